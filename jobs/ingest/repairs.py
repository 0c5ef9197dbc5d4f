"""Repairs: values that are missing, told from what else is known, each with its method and how often that is right."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

LOOKUP, MEDIAN, REGRESSION = "lookup", "median_by_group", "regression"


def with_looked_up(rows: DataFrame, evidence: DataFrame, keys: list[str], value: str) -> DataFrame:
    """The rows with `<value>_found` and `<value>_agreement`: what most of the evidence under their keys says, and its share.

    Null where there is no evidence; of two values told equally often the first in the alphabet is taken.

    Args:
        rows: with the keys.
        evidence: one row per time that the value was told, with the keys and the value.
        keys: what ties the two together.
        value: the value's column in the evidence.
    """
    votes = evidence.where(F.col(value).isNotNull()).groupBy(*keys, value).agg(F.count("*").alias("_votes"))
    by_keys = Window.partitionBy(*keys)
    ranked = votes.withColumns(
        {
            "_rank": F.row_number().over(by_keys.orderBy(F.desc("_votes"), value)),
            f"{value}_agreement": F.col("_votes") / F.sum("_votes").over(by_keys),
        }
    )
    most = ranked.where("_rank = 1").select(*keys, F.col(value).alias(f"{value}_found"), f"{value}_agreement")
    return rows.join(most, on=keys, how="left")


def share_right(known: DataFrame, value: str) -> DataFrame:
    """One row: `right_share`, how often the looked-up value is the known one; null where that was never seen.

    Args:
        known: rows with the value and `<value>_found`, which was looked up without the row's own word.
        value: the value's column.
    """
    seen = F.col(f"{value}_found").isNotNull() & F.col(value).isNotNull()
    return known.where(seen).agg(F.avg((F.col(value) == F.col(f"{value}_found")).cast("int")).alias("right_share"))


def as_repairs(rows: DataFrame, table: str, column: str, method: Column, evidence: Column) -> DataFrame:
    """One row of silver repairs per row whose `repaired` is known.

    Args:
        rows: with `row_key`, `repaired` and `confidence`.
        table: the table, without its layer.
        column: the column that is repaired.
        method: lookup, median_by_group or regression.
        evidence: what it was told from.
    """
    return rows.where("repaired is not null").select(
        F.lit(table).alias("table_name"),
        "row_key",
        F.lit(column).alias("column_name"),
        F.lit(None).cast("string").alias("original"),
        F.col("repaired").cast("string").alias("repaired"),
        method.alias("method"),
        F.greatest(F.lit(0.0), F.least(F.lit(1.0), F.col("confidence"))).cast("double").alias("confidence"),
        evidence.alias("evidence"),
    )


def repaired_counts(counts: DataFrame, keys: list[str], season: list[str], level: list[str], fewest: int) -> DataFrame:
    """The rows without a count, with `repaired`, `method` and `confidence`.

    The count that a row's season is used to (the median of its group) times how this level (a store's day) compares with what
    it is used to: the least-squares slope through the origin over the level's known rows (regression). Where these
    are fewer than `fewest`, the median alone.

    Args:
        counts: with the keys and `value`, a number that is not negative, or null.
        keys: what makes a row.
        season: what makes the group of the median.
        level: what makes the rows that rise and fall together.
        fewest: known rows of a level from which a slope is drawn.
    """
    usual = counts.groupBy(*season).agg(F.median("value").alias("usual"))
    by_level = Window.partitionBy(*level)
    is_known = F.col("value").isNotNull() & (F.col("usual") > 0)
    placed = counts.join(usual, on=season, how="left").withColumns(
        {
            "_known": F.count_if(is_known).over(by_level),
            "_products": F.sum(F.when(is_known, F.col("value") * F.col("usual"))).over(by_level),
            "_squares": F.sum(F.when(is_known, F.col("usual") * F.col("usual"))).over(by_level),
        }
    )
    slope = F.when(F.col("_known") >= fewest, F.try_divide("_products", "_squares"))
    fitted = placed.withColumns({"slope": slope, "fitted": F.round(F.coalesce(slope, F.lit(1.0)) * F.col("usual"))})
    error = F.try_divide(
        F.sum(F.when(is_known, F.abs(F.col("value") - F.col("fitted")))), F.sum(F.when(is_known, F.col("value")))
    )
    judged = fitted.crossJoin(F.broadcast(fitted.agg(error.alias("_error"))))
    return judged.where("value is null").select(
        *keys,
        F.col("fitted").cast("long").alias("repaired"),
        F.when(F.col("slope").isNull(), F.lit(MEDIAN)).otherwise(F.lit(REGRESSION)).alias("method"),
        (1 - F.col("_error")).alias("confidence"),
    )
