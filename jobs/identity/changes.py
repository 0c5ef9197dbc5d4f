"""Changes: the merges, splits and renames of customers, for each of the two ids, with what brought them about."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.identity.links import OVERRIDE
from jobs.identity.overrides import ALWAYS_JOIN
from jobs.identity.stable_ids import held_accounts

# Each id that changes, and the column of the history that tells by what its times ended.
LEVELS = {"customer_id": "_ended_by", "customer_id_exact": "_ended_by_exact"}
MERGE, SPLIT, RENAME = "merge", "split", "rename"
# The cause of what neither a link nor a word tells of.
OTHERWISE = "rules or evidence changed"
CAME = "came"
SHIFT = ("level", "from_customer_id", "to_customer_id")
KEY = ("changed_at", *SHIFT)


def spans_by_level(customer_ids: DataFrame) -> DataFrame:
    """One row per account, id and time in which it stayed: `level`, `identifier_value`, `_id`, `_since`, `_until`, `_cause`.

    Args:
        customer_ids: the history, with `_ended_by` and `_ended_by_exact`.
    """
    told = [
        F.struct(F.lit(name).alias("level"), F.col(name).alias("_id"), F.col(cause).alias("_cause"))
        for name, cause in LEVELS.items()
    ]
    times = (F.col("valid_from").alias("_since"), F.col("valid_to").alias("_until"))
    accounts = customer_ids.where("identifier_kind = 'account'")
    return accounts.select("identifier_value", *times, F.inline(F.array(*told))).where("_id is not null")


def held_by_level(customer_ids: DataFrame) -> DataFrame:
    """One row per account and id that it goes by now: `level`, `identifier_value`, `_id`."""
    told = [F.struct(F.lit(name).alias("level"), F.col(name).alias("_id")) for name in LEVELS]
    held = held_accounts(customer_ids).select("identifier_value", F.inline(F.array(*told)))
    return held.where("_id is not null")


def as_changes(customer_ids: DataFrame) -> DataFrame:
    """One row per id and moment at which accounts went from one customer to another: a merge where none stayed, else a split.

    Args:
        customer_ids: the history, with `_ended_by` and `_ended_by_exact`.
    """
    spans = spans_by_level(customer_ids)
    after = spans.select(
        "level", "identifier_value", F.col("_since").alias("changed_at"), F.col("_id").alias("to_customer_id")
    )
    moves = (
        spans.withColumnsRenamed({"_until": "changed_at", "_id": "from_customer_id"})
        .join(after, on=["level", "identifier_value", "changed_at"], how="inner")
        .where("from_customer_id <> to_customer_id")
        .groupBy(*KEY)
        .agg(F.count("*").cast("int").alias("account_count"), F.max("_cause").alias("_cause"))
    )
    stayed = spans.select("level", F.col("_id").alias("from_customer_id"), "_since", "_until")
    is_held = (F.col("_since") <= F.col("changed_at")) & (
        F.col("_until").isNull() | (F.col("_until") > F.col("changed_at"))
    )
    of = ["level", "changed_at", "from_customer_id"]
    split = moves.join(stayed, on=["level", "from_customer_id"], how="inner").where(is_held)
    split = split.select(*of, F.lit(True).alias("_is_split")).distinct()
    kind: Column = F.when(F.col("_is_split"), SPLIT).otherwise(MERGE)
    cause, word = F.split_part("_cause", F.lit(":"), F.lit(1)), F.split_part("_cause", F.lit(":"), F.lit(2))
    detail = F.when(word != "", word).when(cause == OVERRIDE, ALWAYS_JOIN).when(cause.isNotNull(), CAME)
    joined = moves.join(split, on=of, how="left")
    told = joined.withColumns({"change_kind": kind, "cause": cause, "cause_detail": detail})
    return told.drop("_is_split", "_cause")


def as_moves(before: DataFrame, now: DataFrame, changes: DataFrame, changed_at: Column) -> DataFrame:
    """One row per id and two customers between whom accounts went since the last run, where nothing that arrived tells of it.

    Other rules, evidence that is gone or came late, a word that was taken back: what was published is not told again.

    Args:
        before: the customer ids as they were published last.
        now: the customer ids, under the names that are kept.
        changes: the rows of `as_changes` of these.
        changed_at: the end of the day up to which the run knows things.
    """
    ends = [
        held_by_level(rows).withColumnRenamed("_id", name)
        for rows, name in ((before, "from_customer_id"), (now, "to_customer_id"))
    ]
    moved = ends[0].join(ends[1], on=["level", "identifier_value"], how="inner")
    counted = moved.where("from_customer_id <> to_customer_id").groupBy(*SHIFT)
    untold = counted.agg(F.count("*").cast("int").alias("account_count"))
    untold = untold.join(changes.select(*SHIFT), on=list(SHIFT), how="left_anti")
    left = ends[1].select("level", F.col("to_customer_id").alias("from_customer_id")).distinct()
    left = left.withColumn("_is_split", F.lit(True))
    return untold.join(left, on=["level", "from_customer_id"], how="left").select(
        changed_at.alias("changed_at"),
        *SHIFT,
        "account_count",
        F.when(F.col("_is_split"), SPLIT).otherwise(MERGE).alias("change_kind"),
    )


def as_renames(renamed: DataFrame, customer_ids: DataFrame, changed_at: Column) -> DataFrame:
    """One row per id that a customer keeps where the links alone would now give it another.

    Args:
        renamed: the rows of `renames`, with the `level` that they are about.
        customer_ids: the history, under the names that are kept.
        changed_at: the end of the day up to which the run knows things.
    """
    counts = (
        held_by_level(customer_ids)
        .groupBy("level", F.col("_id").alias("kept_id"))
        .agg(F.count("*").cast("int").alias("account_count"))
    )
    return renamed.join(counts, on=["level", "kept_id"], how="left").select(
        changed_at.alias("changed_at"),
        "level",
        F.col("found_id").alias("from_customer_id"),
        F.col("kept_id").alias("to_customer_id"),
        F.coalesce("account_count", F.lit(0)).alias("account_count"),
        F.lit(RENAME).alias("change_kind"),
    )


def with_level(written: DataFrame) -> DataFrame:
    """The changes that were written, also where they are of a time when those of one id alone were."""
    told = {
        name: F.col(name) if name in written.columns else F.lit(None).cast("string")
        for name in ("level", "cause_detail")
    }
    return written.withColumns({**told, "level": F.coalesce(told["level"], F.lit("customer_id"))})
