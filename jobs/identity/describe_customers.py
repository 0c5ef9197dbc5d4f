"""Describe each real customer in silver customers: what it holds, and of each attribute the value that survives, with its source."""

import sys
from collections.abc import Collection, Mapping

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.lakehouse.deletions import is_deletion
from jobs.lakehouse.errors import ConfigurationError
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
    "birth_date": "birth_date_token",
    "city": "city",
    "country": "country",
    "store": "store_id",
    "registered": "registered_at",
}
# Where the settings say nothing: the last told, but of when somebody came the first.
BY_DEFAULT: Mapping[Attribute, SurvivorSettings] = {"registered": SurvivorSettings(prefer="first")}
LATEST_MICROS = 2**62  # after all openings that are told
KINDS = ("account", "open_id", "union_id", "phone", "email", "payer", "device")


def refuse_unknown_feeds(survivorship: Mapping[Attribute, SurvivorSettings], feeds: Collection[str]) -> None:
    """Let no rule trust a feed that is not there: it would be obeyed by nobody's telling it.

    Raises:
        ConfigurationError: it tells the attribute, the name and those that there are.
    """
    for attribute, rule in survivorship.items():
        if unknown := [name for name in rule.sources if name not in (*feeds, REPAIRS)]:
            known = ", ".join((*sorted(feeds), REPAIRS))
            told = f"identity.survivorship.{attribute}.sources names {unknown[0]}, which is no feed of the dataset"
            raise ConfigurationError(f"{told}; there are {known}")


def with_city_source(accounts: DataFrame) -> DataFrame:
    """The accounts with `city_source`: their feed where it tells the city; else what fills it is the guess of silver.repairs."""
    return accounts.withColumn("city_source", F.when(F.col("city").isNotNull(), F.col("source")).otherwise(REPAIRS))


def standing(rule: SurvivorSettings, source: Column) -> Column:
    """Where a revision of an account stands among those that tell an attribute.

    By source, before that which guesses; by completeness if asked for; then the last told, or the first where that is asked for: of
    what came together, as a first load brings years at once, the account that was opened first.
    """
    places = [F.when(source == name, -place) for place, name in enumerate(rule.sources)]
    times = [F.unix_micros("arrived_at")]
    if rule.prefer == "first":
        times = [-times[0], -F.coalesce(F.unix_micros("registered_at"), F.lit(LATEST_MICROS))]
    return F.struct(
        F.coalesce(*places, F.lit(-len(rule.sources))).alias("priority"),
        (source != REPAIRS).alias("is_told"),
        (F.col("_told_count") if rule.prefer == "completeness" else F.lit(0)).alias("completeness"),
        *[time.alias(f"time_{place}") for place, time in enumerate(times)],
        "account_id",
        "revision",
    )


def survivor(attribute: Attribute, rule: SurvivorSettings, source: Column) -> Column:
    """The value and source of an attribute that survive over all accounts of a customer, as a struct.

    A deletion repeats what was last known when it arrives; it tells nothing.
    """
    column = ATTRIBUTES[attribute]
    told = F.when(F.col(column).isNotNull() & ~is_deletion(), standing(rule, source))
    return F.max_by(F.struct(F.col(column).alias("value"), source.alias("source")), told).alias(f"_{attribute}")


def as_customers(
    customer_ids: DataFrame, accounts: DataFrame, survivorship: Mapping[Attribute, SurvivorSettings]
) -> DataFrame:
    """One row per customer as known now.

    Args:
        customer_ids: the history of silver.customer_ids.
        accounts: revisions of silver.accounts; an attribute whose source is not the row's own has a column `<attribute>_source`.
        survivorship: by attribute, which of several values survives; as `BY_DEFAULT` where nothing is said.
    """
    rules = {name: survivorship.get(name, BY_DEFAULT.get(name, SurvivorSettings())) for name in ATTRIBUTES}
    sources_of = {name: f"{name}_source" if f"{name}_source" in accounts.columns else "source" for name in ATTRIBUTES}
    is_told = [F.col(column).isNotNull() & (F.col(sources_of[name]) != REPAIRS) for name, column in ATTRIBUTES.items()]
    counted = accounts.withColumn("_told_count", sum((told.cast("int") for told in is_told), start=F.lit(0)))
    current_ids = customer_ids.where("valid_to is null")
    counts = current_ids.groupBy("customer_id").agg(
        *[F.count_if(F.col("identifier_kind") == kind).cast("int").alias(f"{kind}_count") for kind in KINDS]
    )
    owned = current_ids.where("identifier_kind = 'account'").select(
        "customer_id", F.col("identifier_value").alias("account_id")
    )
    described = (
        owned.join(counted, on="account_id", how="inner")
        .groupBy("customer_id")
        .agg(
            F.min("arrived_at").alias("first_seen_at"),
            *[survivor(name, rule, F.col(sources_of[name])) for name, rule in rules.items()],
        )
    )
    values = [F.col(f"_{name}.value").alias(column) for name, column in ATTRIBUTES.items()]
    sources = [F.col(f"_{name}.source").alias(f"{name}_source") for name in ATTRIBUTES]
    golden = described.select("customer_id", "first_seen_at", *values, *sources)
    return counts.join(golden, on="customer_id", how="inner")


def build(run: Run) -> None:
    survivorship = run.part(IdentitySettings).survivorship
    refuse_unknown_feeds(survivorship, run.sources)
    accounts = run.read("silver.accounts")
    if run.has(REPAIRS):
        accounts = with_repaired(with_city_source(accounts), run.read(REPAIRS), "accounts", "account_id", "city")
    run.publish(
        "silver.customers",
        as_customers(run.read("silver.customer_ids"), accounts, survivorship),
    )


if __name__ == "__main__":
    sys.exit(JOB.main(__doc__, build))
