"""What differs between two states of the same rows."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F


def differing(before: DataFrame, now: DataFrame, *columns: str) -> DataFrame:
    """One row per combination of values that one state has oftener than the other: what came, what went, and of what changed both.

    Args:
        before: rows with the columns.
        now: rows with the columns.
        columns: what is compared; no array or map.
    """
    told = before.select(*columns, F.lit(-1).alias("_change")).unionByName(
        now.select(*columns, F.lit(1).alias("_change"))
    )
    return told.groupBy(*columns).agg(F.sum("_change").alias("_change")).where("_change <> 0").drop("_change")
