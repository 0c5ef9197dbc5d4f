"""Ids that stay: what a rebuild calls by another name keeps the name that was published, and what changed is written down."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

# Each id, and the column that holds the one that the links alone give.
IDS = {"customer_id": "_minted_id", "customer_id_exact": "_minted_id_exact"}
MERGE, SPLIT, RENAME = "merge", "split", "rename"
# The cause of what no link that arrived tells of.
OTHERWISE = "rules or evidence changed"


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


def as_changes(customer_ids: DataFrame) -> DataFrame:
    """One row per moment at which accounts went from one customer to another: a merge where none stayed, else a split.

    Args:
        customer_ids: the history, with `_ended_by`.
    """
    accounts = customer_ids.where("identifier_kind = 'account'")
    after = accounts.select(
        "identifier_value", F.col("valid_from").alias("changed_at"), F.col("customer_id").alias("to_customer_id")
    )
    moves = (
        accounts.withColumnsRenamed({"valid_to": "changed_at", "customer_id": "from_customer_id"})
        .join(after, on=["identifier_value", "changed_at"], how="inner")
        .where("from_customer_id <> to_customer_id")
        .groupBy("changed_at", "from_customer_id", "to_customer_id")
        .agg(F.count("*").cast("int").alias("account_count"), F.max("_ended_by").alias("cause"))
    )
    stayed = accounts.select(
        F.col("customer_id").alias("from_customer_id"),
        F.col("valid_from").alias("_since"),
        F.col("valid_to").alias("_until"),
    )
    is_held = (F.col("_since") <= F.col("changed_at")) & (
        F.col("_until").isNull() | (F.col("_until") > F.col("changed_at"))
    )
    split = moves.join(stayed, on="from_customer_id", how="inner").where(is_held)
    split = split.select("changed_at", "from_customer_id", F.lit(True).alias("_is_split")).distinct()
    kind: Column = F.when(F.col("_is_split"), SPLIT).otherwise(MERGE)
    joined = moves.join(split, on=["changed_at", "from_customer_id"], how="left")
    return joined.withColumn("change_kind", kind).drop("_is_split")


def as_moves(before: DataFrame, now: DataFrame, changes: DataFrame, changed_at: Column) -> DataFrame:
    """One row per two customers between whom accounts went since the last run, where nothing that arrived tells of it.

    Other rules, evidence that is gone or came late, a word that was taken back: what was published is not told again.

    Args:
        before: the customer ids as they were published last.
        now: the customer ids, under the names that are kept.
        changes: the rows of `as_changes` of these.
        changed_at: the end of the day up to which the run knows things.
    """
    ends = [
        held_accounts(rows).select("identifier_value", F.col("customer_id").alias(name))
        for rows, name in ((before, "from_customer_id"), (now, "to_customer_id"))
    ]
    pair = ["from_customer_id", "to_customer_id"]
    moved = ends[0].join(ends[1], on="identifier_value", how="inner").where("from_customer_id <> to_customer_id")
    counted = moved.groupBy(*pair).agg(F.count("*").cast("int").alias("account_count"))
    untold = counted.join(changes.select(*pair), on=pair, how="left_anti")
    left = ends[1].select(F.col("to_customer_id").alias("from_customer_id"), F.lit(True).alias("_is_split")).distinct()
    return untold.join(left, on="from_customer_id", how="left").select(
        changed_at.alias("changed_at"),
        *pair,
        "account_count",
        F.lit(OTHERWISE).alias("cause"),
        F.when(F.col("_is_split"), SPLIT).otherwise(MERGE).alias("change_kind"),
    )


def as_renames(renamed: DataFrame, customer_ids: DataFrame, changed_at: Column) -> DataFrame:
    """One row per customer that keeps a published id where the links alone would now give it another.

    Args:
        renamed: the rows of `renames` for `customer_id`.
        customer_ids: the history, under the names that are kept.
        changed_at: the end of the day up to which the run knows things.
    """
    counts = (
        held_accounts(customer_ids)
        .groupBy(F.col("customer_id").alias("kept_id"))
        .agg(F.count("*").cast("int").alias("account_count"))
    )
    return renamed.join(counts, on="kept_id", how="left").select(
        changed_at.alias("changed_at"),
        F.col("found_id").alias("from_customer_id"),
        F.col("kept_id").alias("to_customer_id"),
        F.coalesce("account_count", F.lit(0)).alias("account_count"),
        F.lit(OTHERWISE).alias("cause"),
        F.lit(RENAME).alias("change_kind"),
    )
