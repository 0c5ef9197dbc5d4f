"""Ids that stay: what a rebuild calls by another name keeps the name that was published."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

# Each id, and the column that holds the one that the links alone give.
IDS = {"customer_id": "_minted_id", "customer_id_exact": "_minted_id_exact"}


def renames(found: DataFrame, published: DataFrame, column: str) -> DataFrame:
    """One row per customer whose id must be another than the one found: `found_id` and `kept_id`.

    A customer keeps the published id with which it shares most accounts, the older one where it shares as many with two; of
    customers that claim one id the one that shares most has it. A customer whose own id is another's by now gets a new one. One that
    holds no account any more goes on in the history under the id that was published. Needs a checkpoint folder.

    Args:
        found: the customer ids as the replay names them.
        published: the customer ids as they were published last.
        column: `customer_id` or `customer_id_exact`.
    """
    pairs = (
        _held(found, column, "found_id")
        .drop("valid_from")
        .join(_held(published, column, "kept_id"), on="identifier_value", how="inner")
        .groupBy("found_id", "kept_id")
        .agg(F.count("*").alias("shared"), F.min("valid_from").alias("since"))
    )
    strongest = (F.desc("shared"), F.asc("since"), F.asc("kept_id"), F.asc("found_id"))
    matched = pairs
    # Each customer claims one id, and of those that claim it one has it.
    for side in ("found_id", "kept_id"):
        rank = F.row_number().over(Window.partitionBy(side).orderBy(*strongest))
        matched = matched.withColumn("_rank", rank).where("_rank = 1")
    # All that follows begins here, in many places, and would be planned and worked out anew in each.
    matched = matched.select("found_id", "kept_id").checkpoint()
    moved = matched.where("found_id <> kept_id")
    taken = moved.select(F.col("kept_id").alias("found_id"))
    # A name that was given here before is nobody's own.
    own = found.select(F.col(column).alias("found_id")).distinct()
    homeless = taken.join(matched.select("found_id"), on="found_id", how="left_anti")
    homeless = homeless.join(own, on="found_id", how="left_semi")
    anew = F.concat(F.lit("c-"), F.substring(F.sha2(F.concat("found_id", F.lit("#"), F.lit("again")), 256), 1, 16))
    renamed = moved.unionByName(homeless.withColumn("kept_id", anew))
    held = _held(found, column, "found_id").select("found_id").distinct()
    past = own
    for others in (held, renamed.select("found_id")):
        past = past.join(others, on="found_id", how="left_anti")
    in_use = matched.select("kept_id").union(held.join(moved.select("found_id"), on="found_id", how="left_anti"))
    return renamed.unionByName(_past_names(past, published, column, in_use))


def _past_names(past: DataFrame, published: DataFrame, column: str, in_use: DataFrame) -> DataFrame:
    """The published ids of customers that hold no account any more, where nobody else goes by these now.

    Args:
        past: `found_id` of the customers, each once.
        published: the customer ids as they were published last.
        column: `customer_id` or `customer_id_exact`.
        in_use: `kept_id` of all that hold accounts.
    """
    names = published.select(F.col(IDS[column]).alias("found_id"), F.col(column).alias("kept_id"))
    names = names.where("found_id <> kept_id").distinct().join(past, on="found_id", how="left_semi")
    return names.join(in_use.distinct(), on="kept_id", how="left_anti").select("found_id", "kept_id")


def held_accounts(customer_ids: DataFrame) -> DataFrame:
    """The rows of silver.customer_ids that say whose each account is now."""
    return customer_ids.where("identifier_kind = 'account' and valid_to is null")


def _held(customer_ids: DataFrame, column: str, name: str) -> DataFrame:
    """The accounts as they are held now."""
    return (
        held_accounts(customer_ids)
        .where(F.col(column).isNotNull())
        .select("identifier_value", F.col(column).alias(name), "valid_from")
    )


def with_kept_ids(found: DataFrame, renamed: Sequence[DataFrame]) -> DataFrame:
    """The customer ids under the names that they keep.

    Args:
        found: the customer ids as the replay names them.
        renamed: for each of `IDS`, the rows of `renames`.
    """
    for column, names in zip(IDS, renamed, strict=True):
        known = names.select(F.col("found_id").alias(column), "kept_id")
        found = found.join(known, on=column, how="left")
        found = found.withColumn(column, F.coalesce("kept_id", column)).drop("kept_id")
    return found
