"""Collect what is seen with each account (phones, e-mails, messenger ids, devices, cookies, payers, addresses) into silver identifiers."""

import sys
from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.lakehouse.deletions import is_deletion
from jobs.lakehouse.job import Job
from jobs.lakehouse.run import Run

ORDERS, LINES, PAYMENTS = "silver.orders", "silver.order_lines", "silver.payments"
JOB = Job(
    reads=("silver.accounts", "silver.events", ORDERS, LINES, PAYMENTS),
    writes=("silver.identifiers",),
    can_lack=(ORDERS, LINES, PAYMENTS),
)
OF_ACCOUNTS = ("open_id", "union_id", "email", "phone")
OF_EVENTS = ("device", "cookie")
EVIDENCE = ("account_id", "identifier_kind", "identifier_value", "source", "_record_id", "seen_at", "arrived_at")


def seen_with_accounts(accounts: DataFrame) -> DataFrame:
    """One row per revision of an account and identifier that it was told with; what is gone was not seen again.

    The first revision tells of the opening, however late it arrives; a later one of what was changed by then.
    """
    opened_at = F.when(F.col("revision") == 1, F.col("registered_at"))
    told = [
        accounts.where(~is_deletion())
        .withColumns(
            {
                "identifier_kind": F.lit(kind),
                "identifier_value": F.col(f"{kind}_token"),
                "seen_at": F.coalesce(opened_at, F.col("arrived_at")),
            }
        )
        .select(*EVIDENCE)
        for kind in OF_ACCOUNTS
    ]
    return reduce(DataFrame.unionByName, told)


def seen_with_events(events: DataFrame) -> DataFrame:
    """One row per event and identifier that it tells, the device or the cookie."""
    told = [
        F.struct(F.lit(kind).alias("identifier_kind"), F.col(f"{kind}_token").alias("identifier_value"))
        for kind in OF_EVENTS
    ]
    seen = events.where("account_id is not null").withColumn("seen_at", F.col("event_at"))
    return seen.select("*", F.inline(F.array(*told))).select(*EVIDENCE)


def seen_with_payments(payments: DataFrame, orders: DataFrame) -> DataFrame:
    """One row per payment of an account's order, with the wallet or card that paid."""
    buyers = orders.where("account_id is not null").select("order_id", "account_id").distinct()
    return (
        payments.where("payer_token is not null")
        .withColumns(
            {
                "identifier_kind": F.lit("payer"),
                "identifier_value": F.col("payer_token"),
                "seen_at": F.coalesce("paid_at", "arrived_at"),
            }
        )
        .join(buyers, on="order_id", how="inner")
        .select(*EVIDENCE)
    )


def seen_with_deliveries(lines: DataFrame) -> DataFrame:
    """One row per order of an account and address that its goods went to."""
    first = F.min(F.struct("arrived_at", "source", "_record_id"))
    told = lines.where("account_id is not null and delivery_address_token is not null")
    orders = told.groupBy("order_id", "account_id", F.col("delivery_address_token").alias("identifier_value")).agg(
        F.min("ordered_at").alias("seen_at"), first.alias("_first")
    )
    known = orders.select("*", "_first.arrived_at", "_first.source", "_first._record_id")
    return known.withColumn("identifier_kind", F.lit("address")).select(*EVIDENCE)


def as_identifiers(evidence: DataFrame) -> DataFrame:
    """One row per account and identifier: when and how often the two were seen together, and who first told of it."""
    known = evidence.where("account_id is not null and trim(account_id) <> ''")
    known = known.where("identifier_value is not null and trim(identifier_value) <> ''")
    first = F.min(F.struct("arrived_at", "seen_at", "source", "_record_id"))
    seen = known.groupBy("account_id", "identifier_kind", "identifier_value").agg(
        F.min("seen_at").alias("first_seen_at"),
        F.max("seen_at").alias("last_seen_at"),
        F.count("*").alias("seen_count"),
        first.alias("_first"),
    )
    return seen.select("*", "_first.source", "_first.arrived_at", "_first._record_id").drop("_first")


def build(run: Run) -> None:
    evidence = seen_with_accounts(run.read("silver.accounts")).unionByName(seen_with_events(run.read("silver.events")))
    if run.has(PAYMENTS) and run.has(ORDERS):
        evidence = evidence.unionByName(seen_with_payments(run.read(PAYMENTS), run.read(ORDERS)))
    if run.has(LINES):
        evidence = evidence.unionByName(seen_with_deliveries(run.read(LINES)))
    run.publish("silver.identifiers", as_identifiers(evidence))


if __name__ == "__main__":
    sys.exit(JOB.main(__doc__, build))
