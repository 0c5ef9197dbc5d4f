"""Repaired: rows with their missing values filled from silver repairs, where a reader prefers a good guess to none."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F


def with_repaired(rows: DataFrame, repairs: DataFrame, table: str, key: str, *columns: str) -> DataFrame:
    """The rows, each of these columns filled where it is missing and its value could be told.

    Args:
        rows: rows of a silver table.
        repairs: silver repairs.
        table: the table's name, without its layer.
        key: the column that names a row, whatever its revision.
        columns: the columns to fill.
    """
    named = [F.max(F.when(F.col("column_name") == name, F.col("repaired"))).alias(f"_{name}") for name in columns]
    told = repairs.where(F.col("table_name") == table).groupBy(F.col("row_key").alias(key)).agg(*named)
    types = {field.name: field.dataType for field in rows.schema}
    filled = {name: F.coalesce(name, F.col(f"_{name}").try_cast(types[name])) for name in columns}
    joined = rows.join(told, on=key, how="left")
    return joined.withColumns(filled).select(*rows.columns)
