"""Group customers who share a delivery address, a phone, a wallet or a device into households, a level above customers."""

import sys

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.identity.components import with_components
from jobs.identity.stable_ids import held_accounts
from jobs.lakehouse.caching import checkpoints
from jobs.lakehouse.identity_settings import IdentitySettings
from jobs.lakehouse.job import Job
from jobs.lakehouse.optional_inputs import read_or_nothing
from jobs.lakehouse.run import Run

LINES, ORDER_FLAGS = "silver.order_lines", "silver.order_flags"
JOB = Job(
    reads=("silver.customer_ids", "silver.identifiers", "silver.identity_edges", LINES, ORDER_FLAGS),
    writes=("silver.households",),
    settings=(IdentitySettings,),
    can_lack=(LINES, ORDER_FLAGS),
)


def brushing_accounts(lines: DataFrame, order_flags: DataFrame) -> DataFrame:
    """One row per account that placed an order which is marked as brushing: `account_id`."""
    flagged = order_flags.where("is_brushing").select("order_id")
    placed = lines.where("superseded_at is null").join(flagged, on="order_id", how="left_semi")
    return placed.select("account_id").distinct()


def shared_things(customer_ids: DataFrame, identifiers: DataFrame, edges: DataFrame, brushing: DataFrame) -> DataFrame:
    """One row per customer and thing that others may share with it: `thing_kind`, `thing` and the customer's node.

    Args:
        customer_ids: the history of silver.customer_ids.
        identifiers: silver.identifiers, those that join no accounts too.
        edges: silver.identity_edges; they tell which values the settings block, and these are nobody's home.
        brushing: accounts that brushed, by `account_id`; that a ring shares an address, a wallet and devices is its work, no home.
    """
    seen = identifiers.select(
        "account_id", F.col("identifier_kind").alias("thing_kind"), F.col("identifier_value").alias("thing")
    )
    blocked = edges.where("refusal_reason = 'blocked_value'").select(
        F.col("identifier_kind").alias("thing_kind"), F.col("identifier_value").alias("thing")
    )
    seen = seen.join(F.broadcast(blocked.distinct()), on=["thing_kind", "thing"], how="left_anti").select(*seen.columns)
    accounts = held_accounts(customer_ids).select(F.col("identifier_value").alias("account_id"), "customer_id")
    honest = accounts.join(brushing, on="account_id", how="left_anti")
    things = seen.join(honest, on="account_id", how="inner")
    return things.select("customer_id", "thing_kind", "thing", F.xxhash64("customer_id").alias("node")).distinct()


def as_households(customer_ids: DataFrame, things: DataFrame, settings: IdentitySettings) -> DataFrame:
    """One row per customer of now, with its household; most are households of one.

    A thing that more customers share than a household has, a shop's tablet or a forwarding address, joins nobody; nor does a chain of
    things that would make a larger household than that.

    Args:
        customer_ids: the history of silver.customer_ids.
        things: as `shared_things` gives them.
        settings: how many customers a household has at most, and the engine.
    """
    most = settings.household_max_customers
    homes = things.groupBy("thing_kind", "thing").agg(F.collect_set("node").alias("nodes"))
    homes = homes.where(F.size("nodes").between(2, most))
    edges = homes.select("thing_kind", F.array_min("nodes").alias("src"), F.explode("nodes").alias("dst")).checkpoint()
    components = with_components(edges.select("src", "dst"), settings)
    kinds = edges.groupBy(F.col("dst").alias("id")).agg(F.array_sort(F.collect_set("thing_kind")).alias("kinds"))
    sizes = components.groupBy("component").agg(F.count("*").alias("size"))
    small = sizes.where(F.col("size") <= most).select("component")
    joined = components.join(small, on="component", how="left_semi").join(kinds, on="id", how="left")
    customers = held_accounts(customer_ids).groupBy("customer_id").agg(F.min("valid_from").alias("known_since"))
    placed = customers.withColumn("id", F.xxhash64("customer_id")).join(joined, on="id", how="left")
    placed = placed.withColumn("component", F.coalesce("component", "id"))
    oldest = F.min(F.struct("known_since", "customer_id"))["customer_id"]
    named = placed.groupBy("component").agg(
        F.regexp_replace(oldest, "^c-", "h-").alias("household_id"),
        F.count("*").cast("int").alias("customer_count"),
        F.array_join(F.array_sort(F.array_distinct(F.flatten(F.collect_list("kinds")))), ", ").alias("joined_by"),
    )
    return placed.join(named, on="component", how="inner").withColumn(
        "joined_by", F.when(F.col("customer_count") > 1, F.col("joined_by"))
    )


def build(run: Run) -> None:
    run.keep(checkpoints(run.spark, f"{run.lake.root}/_checkpoints_of_households"))
    customer_ids = run.read("silver.customer_ids")
    identifiers, edges = run.read("silver.identifiers"), run.read("silver.identity_edges")
    # A shop that has no orders has no rings.
    lines, flags = (read_or_nothing(run, table) for table in (LINES, ORDER_FLAGS))
    things = shared_things(customer_ids, identifiers, edges, brushing_accounts(lines, flags)).checkpoint()
    households = as_households(customer_ids, things, run.part(IdentitySettings))
    run.publish("silver.households", households.select(*run.contract("silver.households").column_names))


if __name__ == "__main__":
    sys.exit(JOB.main(__doc__, build))
