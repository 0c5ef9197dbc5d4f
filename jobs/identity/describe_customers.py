"""Describe each real customer in silver customers: what it holds, and of each attribute the value that survives, with its source."""

import sys
from collections.abc import Mapping

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.lakehouse.deletions import is_deletion
from jobs.lakehouse.identity_settings import Attribute, IdentitySettings, SurvivorSettings
from jobs.lakehouse.job import Job
from jobs.lakehouse.repaired import with_repaired
from jobs.lakehouse.run import Run

REPAIRS = "silver.repairs"
JOB = Job(
    reads=("silver.accounts", "silver.customer_ids", REPAIRS),
    writes=("silver.customers",),
    settings=(IdentitySettings,),
    can_lack=(REPAIRS,),
)
# The column of silver.accounts, by the attribute's name in the settings.
ATTRIBUTES: Mapping[Attribute, str] = {
    "name": "name_masked",
    "phone": "phone_masked",
    "email": "email_masked",
    "city": "city",
    "country": "country",
}
KINDS = ("account", "open_id", "union_id", "phone", "email", "payer", "device")


def standing(rule: SurvivorSettings) -> Column:
    """Where a revision of an account stands among those that tell an attribute: by source, completeness if asked for, then recency."""
    places = [F.when(F.col("source") == source, -place) for place, source in enumerate(rule.sources)]
    filled = [F.col(column).isNotNull().cast("int") for column in ATTRIBUTES.values()]
    completeness = sum(filled, start=F.lit(0)) if rule.prefer == "completeness" else F.lit(0)
    return F.struct(
        F.coalesce(*places, F.lit(-len(rule.sources))).alias("priority"),
        completeness.alias("completeness"),
        "arrived_at",
        "account_id",
        "revision",
    )


def survivor(attribute: Attribute, rule: SurvivorSettings) -> Column:
    """The value and source of an attribute that survive over all accounts of a customer, as a struct.

    A deletion repeats what was last known when it arrives; it tells nothing.
    """
    column = ATTRIBUTES[attribute]
    told = F.when(F.col(column).isNotNull() & ~is_deletion(), standing(rule))
    return F.max_by(F.struct(F.col(column).alias("value"), "source"), told).alias(f"_{attribute}")


def as_customers(
    customer_ids: DataFrame, accounts: DataFrame, survivorship: Mapping[Attribute, SurvivorSettings]
) -> DataFrame:
    """One row per customer as known now.

    Args:
        customer_ids: the history of silver.customer_ids.
        accounts: revisions of silver.accounts.
        survivorship: by attribute, which of several values survives; the last told where nothing is said.
    """
    current_ids = customer_ids.where("valid_to is null")
    counts = current_ids.groupBy("customer_id").agg(
        *[F.count_if(F.col("identifier_kind") == kind).cast("int").alias(f"{kind}_count") for kind in KINDS]
    )
    owned = current_ids.where("identifier_kind = 'account'").select(
        "customer_id", F.col("identifier_value").alias("account_id")
    )
    described = (
        owned.join(accounts, on="account_id", how="inner")
        .groupBy("customer_id")
        .agg(
            F.min("arrived_at").alias("first_seen_at"),
            *[survivor(name, survivorship.get(name, SurvivorSettings())) for name in ATTRIBUTES],
        )
    )
    values = [F.col(f"_{name}.value").alias(column) for name, column in ATTRIBUTES.items()]
    sources = [F.col(f"_{name}.source").alias(f"{name}_source") for name in ATTRIBUTES]
    golden = described.select("customer_id", "first_seen_at", *values, *sources)
    return counts.join(golden, on="customer_id", how="inner")


def build(run: Run) -> None:
    accounts = run.read("silver.accounts")
    if run.has(REPAIRS):
        accounts = with_repaired(accounts, run.read(REPAIRS), "accounts", "account_id", "city")
    run.publish(
        "silver.customers",
        as_customers(run.read("silver.customer_ids"), accounts, run.part(IdentitySettings).survivorship),
    )


if __name__ == "__main__":
    sys.exit(JOB.main(__doc__, build))
