"""What a person said of two accounts: always one customer, or never; the last word counts."""

from __future__ import annotations

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

ALWAYS_JOIN, NEVER_JOIN, AS_FOUND = "always", "never", "as_found"


def last_words(overrides: DataFrame) -> DataFrame:
    """One row per pair of accounts, in their order, with what was said of it last.

    Args:
        overrides: rows of ops.identity_overrides.
    """
    pair = ("account_id", "other_account_id")
    ordered = overrides.withColumns({"account_id": F.least(*pair), "other_account_id": F.greatest(*pair)})
    newest = Window.partitionBy(*pair).orderBy(F.desc("made_at"))
    return ordered.withColumn("_rank", F.row_number().over(newest)).where("_rank = 1").drop("_rank")


def always_joined(overrides: DataFrame) -> DataFrame:
    """The pairs that are always one customer, as links between accounts from when it was said."""
    told = last_words(overrides).where(F.col("decision") == ALWAYS_JOIN)
    return told.withColumns({"arrived_at": F.col("made_at"), "confidence": F.lit(1.0)})


def never_joined(overrides: DataFrame) -> dict[frozenset[str], int]:
    """The pairs that are never one customer, with the moment from which this holds, in microseconds."""
    told = last_words(overrides).where(F.col("decision") == NEVER_JOIN)
    rows = told.select("account_id", "other_account_id", F.unix_micros("made_at").alias("at")).collect()
    return {frozenset((row["account_id"], row["other_account_id"])): row["at"] for row in rows}
