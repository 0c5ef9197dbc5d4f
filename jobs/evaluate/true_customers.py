"""Who stands behind each account and customer in truth, and how well customers follow persons."""

from __future__ import annotations

import numpy as np
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from jobs.evaluate.scoreboard import Score, scored
from jobs.lakehouse.keys import Keys
from jobs.lakehouse.measures import bootstrap_sums
from jobs.lakehouse.personal import tokenised

REPLICATES, SEED = 200, 7


def account_persons(identifiers: DataFrame, keys: Keys, region: str) -> DataFrame:
    """One row per account id as silver names it, with the person who stands behind it."""
    owned = identifiers.where(~F.col("shared") | F.col("kind").isin("account", "card"))
    prefix = F.create_map(F.lit("account"), F.lit("web_accounts:"), F.lit("card"), F.lit("member_cards:"))
    numbered = owned.where(F.col("kind").isin("account", "card")).select(
        F.concat(F.try_element_at(prefix, "kind"), F.col("value")).alias("account_id"), "person_id"
    )
    contacts = owned.where("kind = 'email'").select(
        F.concat(F.lit("contact:"), tokenised(keys, "email", F.col("value"), region)["token"]).alias("account_id"),
        "person_id",
    )
    return numbered.unionByName(contacts)


def customer_persons(customer_ids: DataFrame, persons_of_accounts: DataFrame, as_of: Column) -> DataFrame:
    """One row per customer as known at an instant, with the person behind most of its accounts."""
    is_held = (F.col("valid_from") < as_of) & (F.col("valid_to").isNull() | (F.col("valid_to") >= as_of))
    accounts = customer_ids.where((F.col("identifier_kind") == "account") & is_held)
    counts = (
        accounts.select("customer_id", F.col("identifier_value").alias("account_id"))
        .join(persons_of_accounts, on="account_id", how="inner")
        .groupBy("customer_id", "person_id")
        .count()
    )
    most = Window.partitionBy("customer_id").orderBy(F.desc("count"), "person_id")
    return counts.withColumn("_rank", F.row_number().over(most)).where("_rank = 1").select("customer_id", "person_id")


def identity_scores(customer_ids: DataFrame, persons_of_accounts: DataFrame, measured_on: str) -> list[Score]:
    """Consistency, and precision and recall by pairs and by accounts (B-cubed), of the customers as they are now."""
    current = customer_ids.where("identifier_kind = 'account' and valid_to is null")
    linked = current.select("customer_id", F.col("identifier_value").alias("account_id")).join(
        persons_of_accounts, on="account_id", how="inner"
    )
    cells = linked.groupBy("person_id", "customer_id").agg(F.count("*").alias("accounts"))
    by_customer = Window.partitionBy("customer_id")
    by_person = Window.partitionBy("person_id")
    placed = cells.withColumns(
        {"of_customer": F.sum("accounts").over(by_customer), "of_person": F.sum("accounts").over(by_person)}
    )

    def pairs(count: str) -> Column:
        return F.col(count) * (F.col(count) - 1) / 2.0

    # A pair that a customer holds is shared out over the persons in it, so that each is counted once.
    per_person = placed.groupBy("person_id").agg(
        F.sum(pairs("accounts")).alias("right_pairs"),
        F.sum(F.col("accounts") * (F.col("of_customer") - 1) / 2.0).alias("found_pairs"),
        F.first(pairs("of_person")).alias("true_pairs"),
        F.max((F.col("accounts") == F.col("of_person")) & (F.col("accounts") == F.col("of_customer")))
        .cast("double")
        .alias("is_consistent"),
        F.sum(F.col("accounts") * F.col("accounts") / F.col("of_customer")).alias("b_cubed_precision"),
        F.sum(F.col("accounts") * F.col("accounts") / F.col("of_person")).alias("b_cubed_recall"),
        F.sum("accounts").cast("double").alias("records"),
        F.lit(1.0).alias("one"),
    )
    columns = ["right_pairs", "found_pairs", "true_pairs", "is_consistent", "one"]
    columns += ["b_cubed_precision", "b_cubed_recall", "records"]
    sums = bootstrap_sums(per_person, "person_id", columns, REPLICATES, SEED)
    right, found, true, consistent, persons, precision, recall, records = sums.T
    with np.errstate(divide="ignore", invalid="ignore"):
        figures = {
            "consistency": (consistent / persons, "share of persons whose accounts are one pure customer", 0.99),
            "pairwise precision": (right / found, "pairs of accounts held together that are one person's", None),
            "pairwise recall": (right / true, "pairs of one person's accounts that are held together", None),
            # Bagga and Baldwin, Entity-based cross-document coreferencing using the vector space model, 1998.
            "B-cubed precision": (precision / records, "share of an account's customer that is its own person's", None),
            "B-cubed recall": (recall / records, "share of an account's person that its customer holds", None),
        }
    return [
        scored("4 linkage", metric, "accounts", values, measured_on, goal=goal, note=note)
        for metric, (values, note, goal) in figures.items()
    ]
