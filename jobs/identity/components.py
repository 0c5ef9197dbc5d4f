"""Connected components of the graph whose edges are accounts and the identifiers seen with them."""

from __future__ import annotations

from graphframes import GraphFrame
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from jobs.lakehouse.errors import QualityGateError


def accepted_links(identifiers: DataFrame, max_accounts: dict[str, int]) -> DataFrame:
    """The links that count: of each identifier the first accounts to arrive, as many as its kind allows.

    An identifier seen with more accounts is shared by nature (a shop's phone, a tablet in a family): later accounts
    are not joined by it. Since the first to arrive are kept, a link never vanishes because of what comes later.

    Args:
        identifiers: rows of silver.identifiers with `account_origin`.
        max_accounts: by kind, the most accounts that one value may join.
    """
    caps = F.create_map(*[F.lit(entry) for kind in sorted(max_accounts) for entry in (kind, max_accounts[kind])])
    arrivals = Window.partitionBy("identifier_kind", "identifier_value").orderBy("arrived_at", "account_origin")
    ranked = identifiers.withColumn("_rank", F.row_number().over(arrivals))
    return ranked.where(F.col("_rank") <= F.coalesce(F.try_element_at(caps, "identifier_kind"), F.lit(0))).drop("_rank")


def node_id(kind: Column, value: Column) -> Column:
    """A stable 64-bit id of a node: GraphFrames then needs none of its own, which would change from run to run."""
    return F.xxhash64(kind, value)


def with_component(accounts: DataFrame, links: DataFrame) -> DataFrame:
    """One row per account and per link (its identifier set), with the connected component that it lies in.

    Args:
        accounts: `account_id`, `arrived_at`, `account_origin`.
        links: `account_id`, `identifier_kind`, `identifier_value`, `arrived_at`, `account_origin`, `identifier_origin`.

    Raises:
        QualityGateError: the result contradicts its own edges; nothing is published.
    """
    told = accounts.select(
        "account_id",
        F.lit(None).cast("string").alias("identifier_kind"),
        F.lit(None).cast("string").alias("identifier_value"),
        "arrived_at",
        "account_origin",
        F.lit(None).cast("string").alias("identifier_origin"),
    )
    told = told.unionByName(links.select(*told.columns))
    told = told.withColumn("_account_node", node_id(F.lit("account"), F.col("account_id")))
    told = told.withColumn("_identifier_node", node_id(F.col("identifier_kind"), F.col("identifier_value"))).persist()
    edges = told.where("identifier_kind is not null").select(
        F.col("_account_node").alias("src"), F.col("_identifier_node").alias("dst")
    )
    nodes = told.select(F.col("_account_node").alias("id")).union(edges.select("dst")).distinct().persist()
    try:
        components = GraphFrame(nodes, edges).connectedComponents()
        _check(nodes, edges, components)
        joined = told.join(
            components.select(F.col("id").alias("_account_node"), "component"), on="_account_node", how="inner"
        )
        return joined.drop("_account_node", "_identifier_node").localCheckpoint()
    finally:
        nodes.unpersist()
        told.unpersist()


def _check(nodes: DataFrame, edges: DataFrame, components: DataFrame) -> None:
    """Every node has one component, and every edge lies inside one."""
    ends = components.select(F.col("id"), F.col("component"))
    torn = (
        edges.join(ends.select(F.col("id").alias("src"), F.col("component").alias("one")), on="src", how="left")
        .join(ends.select(F.col("id").alias("dst"), F.col("component").alias("other")), on="dst", how="left")
        .where(~F.col("one").eqNullSafe(F.col("other")))
    )
    torn_count, expected, found = torn.count(), nodes.count(), ends.count()
    if torn_count or expected != found:
        raise QualityGateError(
            f"connected components are wrong: {torn_count} edges between two components, "
            f"{found} nodes for {expected}; run again, and report it if it comes back"
        )
