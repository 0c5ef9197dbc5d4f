"""What a person said of two accounts: always one customer, or never, from then on and until the next word about the two."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

ALWAYS_JOIN, NEVER_JOIN, AS_FOUND = "always", "never", "as_found"
PAIR = ("account_id", "other_account_id")
Pair = frozenset[str]
# Of each pair what was said of it, in order: the moment in microseconds from which it holds, and the decision.
Words = Mapping[Pair, tuple[tuple[int, str], ...]]


def words_of(overrides: DataFrame) -> Words:
    """What persons said of each pair of accounts; a word that says again what holds already says nothing.

    They come to this process: persons say few.

    Args:
        overrides: rows of ops.identity_overrides.
    """
    at = F.unix_micros("made_at").alias("at")
    rows = overrides.select("account_id", "other_account_id", at, "decision").collect()
    told = sorted((sorted(row[:2]), row["at"], row["decision"]) for row in rows)
    words: dict[Pair, tuple[tuple[int, str], ...]] = {}
    for pair, said in groupby(told, key=lambda word: word[0]):
        holding, kept = AS_FOUND, []
        for _, since, decision in said:
            if decision != holding:
                kept.append((since, decision))
            holding = decision
        if kept:
            words[frozenset(pair)] = tuple(kept)
    return words


def last_words(overrides: DataFrame) -> DataFrame:
    """One row per pair of accounts, in their order, with the decision that was said last.

    Args:
        overrides: rows of ops.identity_overrides.
    """
    last = F.max_by("decision", F.struct("made_at", "decision")).alias("decision")
    return in_order(overrides).groupBy(*PAIR).agg(last)


def in_order(overrides: DataFrame) -> DataFrame:
    """The words with each pair in the order of its account ids."""
    return overrides.withColumns({"account_id": F.least(*PAIR), "other_account_id": F.greatest(*PAIR)})


def once_joined(overrides: DataFrame) -> DataFrame:
    """The pairs that were ever said to be one customer, as links between accounts from when it was first said.

    `last_seen_at` and `seen_count` tell when it was last said, and how often; `holds`, whether it is the last word.

    Args:
        overrides: rows of ops.identity_overrides.
    """
    is_join = F.col("decision") == ALWAYS_JOIN
    told = (
        in_order(overrides)
        .groupBy(*PAIR)
        .agg(
            F.min(F.when(is_join, F.col("made_at"))).alias("arrived_at"),
            F.max(F.when(is_join, F.col("made_at"))).alias("last_seen_at"),
            F.count_if(is_join).alias("seen_count"),
            F.max_by(is_join, F.struct("made_at", "decision")).alias("holds"),
        )
    )
    return told.where("arrived_at is not null").withColumns(
        {"confidence": F.lit(1.0), "_record_id": F.lit(None).cast("string")}
    )
