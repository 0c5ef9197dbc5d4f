"""Describe each real customer in silver customers: how many accounts and identifiers it holds, and what is last known of it."""

import sys

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.lakehouse.job import Job
from jobs.lakehouse.repaired import with_repaired
from jobs.lakehouse.run import Run

REPAIRS = "silver.repairs"
JOB = Job(reads=("silver.accounts", "silver.customer_ids", REPAIRS), writes=("silver.customers",), can_lack=(REPAIRS,))


def last_known(column: str) -> Column:
    """The value of the newest revision that has one, ties by account."""
    newest = F.struct("arrived_at", "account_id", "revision")
    return F.max_by(column, F.when(F.col(column).isNotNull(), newest)).alias(column)


def as_customers(customer_ids: DataFrame, accounts: DataFrame) -> DataFrame:
    """One row per customer as known now."""
    current_ids = customer_ids.where("valid_to is null")
    counts = current_ids.groupBy("customer_id").agg(
        *[
            F.count_if(F.col("identifier_kind") == kind).cast("int").alias(f"{kind}_count")
            for kind in ("account", "phone", "email", "device")
        ]
    )
    owned = current_ids.where("identifier_kind = 'account'").select(
        "customer_id", F.col("identifier_value").alias("account_id")
    )
    described = (
        owned.join(accounts, on="account_id", how="inner")
        .groupBy("customer_id")
        .agg(
            F.min("arrived_at").alias("first_seen_at"),
            *[last_known(name) for name in ("name_masked", "phone_masked", "email_masked", "city", "country")],
        )
    )
    return counts.join(described, on="customer_id", how="inner")


def build(run: Run) -> None:
    accounts = run.read("silver.accounts")
    if run.has(REPAIRS):
        accounts = with_repaired(accounts, run.read(REPAIRS), "accounts", "account_id", "city")
    run.publish("silver.customers", as_customers(run.read("silver.customer_ids"), accounts))


if __name__ == "__main__":
    sys.exit(JOB.main(__doc__, build))
