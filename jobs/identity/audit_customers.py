"""Audit how accounts hang together: customers by size, singles by feed, links and bridges by rule, the largest and the weakest."""

import sys
from collections.abc import Mapping

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.identity.audit_figures import WHOLE, figures
from jobs.identity.bridges import with_bridges
from jobs.identity.components import node_id
from jobs.identity.evidence import known_accounts
from jobs.identity.links import NOBODY, setting_of, with_group
from jobs.identity.origins import with_origin
from jobs.identity.stable_ids import held_accounts
from jobs.lakehouse.caching import cached
from jobs.lakehouse.identity_settings import IdentitySettings, LinkSettings
from jobs.lakehouse.job import Job
from jobs.lakehouse.run import Run

TABLE, REVIEWS, COMPONENTS = "gold.identity_audit", "silver.link_reviews", "silver.identity_components"
JOB = Job(
    reads=(
        "silver.accounts",
        "silver.customer_ids",
        "silver.identity_edges",
        "silver.identity_changes",
        COMPONENTS,
        REVIEWS,
    ),
    writes=(TABLE,),
    settings=(IdentitySettings,),
    can_lack=(REVIEWS,),
)


def links_of_customers(edges: DataFrame, accounts: DataFrame, links: Mapping[str, LinkSettings]) -> DataFrame:
    """One row per accepted link with its customer and its two ends, `src` and `dst`.

    Where persons of several names share a value it is one node per name; accounts without a name count to the first name that it
    arrived with, as they do when customers are resolved.

    Args:
        edges: rows of silver.identity_edges.
        accounts: `account_id`, its `customer_id` now, and `name_token`.
        links: the settings of each kind.
    """
    weighed = edges.where("refusal_reason is null or refusal_reason in ('suspicious_component', 'contradicts')")
    grouped = with_group(weighed.join(accounts, on="account_id", how="inner"), links)
    shared = setting_of(links, "joins") == "not_against_name"
    arrival = F.struct("arrived_at", "account_origin", "identifier_group")
    first = (
        with_origin(grouped.where(shared & F.col("name_token").isNotNull()), "account_id", "account_origin")
        .groupBy("rule", "identifier_value")
        .agg(F.min(arrival)["identifier_group"].alias("_first"))
    )
    placed = grouped.where("is_accepted").join(first, on=["rule", "identifier_value"], how="left")
    group = F.when(shared & F.col("name_token").isNull(), F.col("_first"))
    value = F.concat_ws("\0", "identifier_value", F.coalesce(group, "identifier_group"))
    nodes = placed.withColumns(
        {
            "src": node_id(F.lit("account"), F.concat_ws("\0", "account_id", F.lit(NOBODY))),
            "dst": node_id(F.col("identifier_kind"), value),
            "is_between_accounts": F.col("identifier_kind") == "account",
        }
    )
    return nodes.select("customer_id", "rule", "confidence", "is_between_accounts", "src", "dst")


def as_audited(customer_ids: DataFrame, links: DataFrame) -> DataFrame:
    """One row per customer as known now: what it holds, and how well its links hold it.

    Args:
        customer_ids: the history of silver.customer_ids.
        links: those that join accounts, as `with_bridges` gives them.
    """
    is_account = F.col("identifier_kind") == "account"
    held = customer_ids.where("valid_to is null").groupBy("customer_id")
    customers = held.agg(
        F.count_if(is_account).alias("accounts"),
        F.count_if(~is_account).alias("identifiers"),
        F.min(F.when(is_account, F.substring_index("identifier_value", ":", 1))).alias("feed"),
    )
    weakest = F.min(F.when(F.col("is_bridge"), F.struct("confidence", "rule")))
    other = F.when(F.col("is_between_accounts"), F.col("dst"))
    joined = links.groupBy("customer_id").agg(
        F.count("*").alias("joining_links"),
        F.count_if("is_bridge").alias("bridges"),
        F.count_if("is_spare").alias("spare_links"),
        weakest.alias("weakest"),
        (F.size(F.collect_set("piece")) - F.size(F.array_union(F.collect_set("src"), F.collect_set(other)))).alias(
            "_gap"
        ),
    )
    placed = customers.where("accounts > 0").join(joined, on="customer_id", how="left").na.fill(0, list(WHOLE))
    # Each piece counts once, and each account that no link reaches is a piece of its own.
    return placed.withColumn("pieces", F.col("accounts") + F.coalesce("_gap", F.lit(0))).drop("_gap")


def build(run: Run) -> None:
    settings = run.part(IdentitySettings)
    customer_ids, edges = run.read("silver.customer_ids"), run.read("silver.identity_edges")
    held = held_accounts(customer_ids).select(F.col("identifier_value").alias("account_id"), "customer_id")
    names = known_accounts(run.read("silver.accounts")).select("account_id", "name_token")
    accounts = held.join(names, on="account_id", how="left")
    links = run.keep(cached(with_bridges(links_of_customers(edges, accounts, settings.links))))
    customers = run.keep(cached(as_audited(customer_ids, links)))
    changes, reviews = run.read("silver.identity_changes"), run.read(REVIEWS) if run.has(REVIEWS) else None
    found = figures(customers, held, edges, links, changes, reviews, settings.links, run.read(COMPONENTS))
    run.publish(TABLE, found.select(*run.contract(TABLE).column_names))


if __name__ == "__main__":
    sys.exit(JOB.main(__doc__, build))
