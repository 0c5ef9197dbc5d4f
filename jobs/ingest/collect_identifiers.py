"""Collect the phones, e-mails and devices seen with each account into silver identifiers, with when each was first seen."""

import sys
from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.lakehouse.job import Job
from jobs.lakehouse.run import Run

JOB = Job(reads=("silver.accounts", "silver.events"), writes=("silver.identifiers",))


def as_identifiers(accounts: DataFrame, events: DataFrame) -> DataFrame:
    """One row per account and identifier, with when the two were first seen together and when that was first told."""
    told = [
        accounts.select(
            "account_id",
            F.lit(kind).alias("identifier_kind"),
            F.col(f"{kind}_token").alias("identifier_value"),
            F.coalesce("registered_at", "arrived_at").alias("first_seen_at"),
            "arrived_at",
        )
        for kind in ("phone", "email")
    ]
    told.append(
        events.select(
            "account_id",
            F.lit("device").alias("identifier_kind"),
            F.col("device_token").alias("identifier_value"),
            F.col("event_at").alias("first_seen_at"),
            "arrived_at",
        )
    )
    evidence = reduce(DataFrame.unionByName, told).where("account_id is not null and identifier_value is not null")
    return evidence.groupBy("account_id", "identifier_kind", "identifier_value").agg(
        F.min("first_seen_at").alias("first_seen_at"), F.min("arrived_at").alias("arrived_at")
    )


def build(run: Run) -> None:
    run.publish("silver.identifiers", as_identifiers(run.read("silver.accounts"), run.read("silver.events")))


if __name__ == "__main__":
    sys.exit(JOB.main(__doc__, build))
