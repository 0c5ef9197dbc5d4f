"""How well households follow the world's: pairs of persons who are put into one household, against those who truly share one."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.evaluate.scoreboard import Score, shared


def household_scores(
    households: DataFrame, customer_ids: DataFrame, persons_of_accounts: DataFrame, persons: DataFrame, measured_on: str
) -> list[Score]:
    """Precision and recall of pairs of persons in one household.

    Args:
        households: rows of silver.households.
        customer_ids: the history of silver.customer_ids.
        persons_of_accounts: `account_id` and the `person_id` behind it.
        persons: the world's persons, each with a `household_id`.
        measured_on: on which rows.
    """
    held = customer_ids.where("identifier_kind = 'account' and valid_to is null")
    known = (
        held.select("customer_id", F.col("identifier_value").alias("account_id"))
        .join(persons_of_accounts, on="account_id", how="inner")
        .join(households.select("customer_id", F.col("household_id").alias("home")), on="customer_id", how="inner")
        .select("home", "person_id")
        .distinct()
        .join(persons.select("person_id", "household_id"), on="person_id", how="inner")
    )
    # A person whose accounts are two customers may be found in two households; a pair counts once.
    found = known.join(_others(known, "home"), on="home", how="inner").where("person_id < other_id")
    counts = found.select(
        "person_id", "other_id", (F.col("household_id") == F.col("other_household")).alias("is_right")
    )
    told = counts.distinct().agg(F.count("*").alias("found"), F.count_if("is_right").alias("right")).first()
    of_world = known.select("person_id", "household_id").distinct().groupBy("household_id").count()
    true = of_world.agg(F.sum(F.col("count") * (F.col("count") - 1) / 2)).first()
    assert told is not None
    assert true is not None
    right, level = int(told["right"]), "pairs of persons"
    note = f"of {int(told['found']):,} pairs put into one household, {right:,} share one"
    missing = (
        f"of {int(true[0] or 0):,} pairs who share one, {right:,} are put into one; some never leave anything in common"
    )
    return [
        shared("4 households", "precision", level, right, int(told["found"]), measured_on, goal=None, note=note),
        shared("4 households", "recall", level, right, int(true[0] or 0), measured_on, goal=None, note=missing),
    ]


def _others(known: DataFrame, key: str) -> DataFrame:
    names = {"person_id": "other_id", "household_id": "other_household"}
    return known.select(key, *[F.col(name).alias(other) for name, other in names.items()])
