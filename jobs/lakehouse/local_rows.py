"""Frames of the few rows that the driver itself holds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import StructType

from jobs.lakehouse.contracts import Contract


def local_rows(spark: SparkSession, rows: Iterable[Sequence[Any]], schema: StructType | str) -> DataFrame:
    """The rows as a local relation, which is part of the plan: no Python worker has to bring them, and none makes joins with it fall away.

    Args:
        spark: the session.
        rows: a sequence of values each, in the schema's order; they become part of every plan that reads them, so they are few.
        schema: the schema, or as a string of DDL.
    """
    typed = cast("StructType", StructType.fromDDL(schema)) if isinstance(schema, str) else schema
    told = list(rows)
    arrow = to_arrow_schema(typed)
    columns = [pa.array([row[place] for row in told], field.type) for place, field in enumerate(arrow)]
    made: DataFrame = spark.createDataFrame(pa.Table.from_arrays(columns, schema=arrow), typed)
    return made


def empty_rows(spark: SparkSession, contract: Contract) -> DataFrame:
    """No rows, with the contract's columns."""
    return local_rows(spark, [], contract.schema)
