"""The figures of an audit of customers, one row each; all of them are sums, so that one pass over what is counted makes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from jobs.identity.links import setting_of
from jobs.lakehouse.identity_settings import LinkSettings

# Up to these sizes customers are counted class by class, then together.
ACCOUNT_BOUNDS, NODE_BOUNDS = (1, 2, 3, 4, 5, 10, 20, 50, 100), (1, 2, 3, 5, 10, 20, 50, 100, 200)
SHOWN = 15
WHOLE = ("joining_links", "bridges", "spare_links")
KINDS_OF_CHANGE = ("merge", "split", "rename")
FIGURE = ("section", "label", "position", "measure")


def size_class(count: Column, bounds: Sequence[int]) -> Column:
    """The class that a size falls into, as a struct of `label` and `position`: each bound ends one, the last has no end."""
    starts = [1, *(bound + 1 for bound in bounds)]
    names = [f"{end}" if start == end else f"{start} – {end}" for start, end in zip(starts, bounds, strict=False)]
    names.append(f"more than {bounds[-1]}")
    classes = [F.struct(F.lit(name).alias("label"), F.lit(place).alias("position")) for place, name in enumerate(names)]
    return F.coalesce(
        *[F.when(count <= bound, told) for bound, told in zip(bounds, classes, strict=False)], classes[-1]
    )


def labelled(label: str, position: Column) -> Column:
    """A label, and its place in the section."""
    return F.struct(F.col(label).alias("label"), position.cast("int").alias("position"))


def in_all() -> Column:
    """The one label of what is told of the whole lake."""
    return F.struct(F.lit("all").alias("label"), F.lit(0).alias("position"))


def told(section: str, of: Column, measures: Mapping[str, Column], note: Column | None = None) -> list[Column]:
    """What one row adds to the figures of a label: a struct per measure."""
    return [
        F.struct(
            F.lit(section).alias("section"),
            of["label"].alias("label"),
            of["position"].alias("position"),
            F.lit(name).alias("measure"),
            value.cast("double").alias("value"),
            (F.lit(None) if note is None else note).cast("string").alias("note"),
        )
        for name, value in measures.items()
    ]


def of_customers(customers: DataFrame) -> DataFrame:
    """What customers add: in all, and by how many accounts, and accounts and identifiers, they hold; the lonely ones by feed."""
    one, columns = F.lit(1), {name: F.col(name) for name in ("accounts", *WHOLE)}
    is_alone = {"customers_of_one_account": (F.col("accounts") == 1).cast("int")}
    is_in_pieces = {"customers_in_pieces": (F.col("pieces") > 1).cast("int")}
    without_bridge = {"customers_without_bridge": (F.col("bridges") == 0).cast("int")}
    by_accounts = size_class(F.col("accounts"), ACCOUNT_BOUNDS)
    by_nodes = size_class(F.col("accounts") + F.col("identifiers"), NODE_BOUNDS)
    whole = {"customers": one, **is_alone, **is_in_pieces, **columns, "identifiers": F.col("identifiers")}
    return _added(
        customers,
        told("totals", in_all(), whole)
        + told("customer_sizes", by_accounts, {"customers": one, **without_bridge, **columns})
        + told("node_sizes", by_nodes, {"customers": one})
        + told("feeds", labelled("feed", F.lit(0)), is_alone),
    )


def of_links(edges: DataFrame, links: DataFrame, settings: Mapping[str, LinkSettings]) -> list[DataFrame]:
    """What links add, by rule: how many there are, how many join, why the others don't, and which hold customers together."""
    rule = labelled("rule", F.coalesce(setting_of(settings, "priority"), F.lit(100)))
    is_aside = F.col("refusal_reason") == "suspicious_component"
    fate = {"links": F.lit(1), "accepted_links": F.col("is_accepted").cast("int")}
    aside = {"links_put_aside": F.coalesce(is_aside.cast("int"), F.lit(0))}
    last = F.date_format("arrived_at", "yyyy-MM-dd")
    all_edges = _added(
        edges, told("totals", in_all(), fate, last) + told("totals", in_all(), aside) + told("rules", rule, fate)
    )
    refused = _added(edges.where("not is_accepted"), told("refusals", rule, {"": F.lit(1)}, F.col("refusal_reason")))
    refused = refused.withColumns({"measure": F.col("note"), "note": F.lit(None).cast("string")})
    alone = edges.where(is_aside).select("account_id").distinct()
    return [
        all_edges,
        refused,
        _added(links, told("rules", rule, {"joining_links": F.lit(1), "bridges": F.col("is_bridge").cast("int")})),
        _added(alone, told("totals", in_all(), {"accounts_put_aside": F.lit(1)})),
    ]


def of_components(components: DataFrame) -> DataFrame:
    """What components add that are put aside, by reason."""
    aside = components.where("is_put_aside").groupBy("component_id", "put_aside_reason")
    rows = aside.agg(F.count("*").alias("accounts"), F.max("link_count").alias("links"))
    measures = {"components": F.lit(1), "accounts": F.col("accounts"), "links": F.col("links")}
    return _added(rows, told("put_aside", labelled("put_aside_reason", F.lit(0)), measures))


def of_some(customers: DataFrame, section: str, *order: Column) -> DataFrame:
    """The first customers in an order, each with what it holds and its weakest bridge."""
    first = customers.orderBy(*order, "customer_id").limit(SHOWN)
    ranked = first.withColumn("place", F.row_number().over(Window.orderBy(*order, "customer_id")))
    measures = {name: F.col(name) for name in ("accounts", "identifiers", *WHOLE)}
    weakest = {"weakest_bridge_confidence": F.col("weakest.confidence")}
    of = labelled("customer_id", F.col("place"))
    return _added(ranked, told(section, of, measures) + told(section, of, weakest, F.col("weakest.rule")))


def figures(
    customers: DataFrame, accounts: DataFrame, edges: DataFrame, links: DataFrame, changes: DataFrame,
    reviews: DataFrame | None, settings: Mapping[str, LinkSettings], components: DataFrame | None = None,
) -> DataFrame:  # fmt: skip
    """One row per section, label and measure.

    Args:
        customers: what each customer holds now, and how.
        accounts: the accounts as they are held now.
        edges: rows of silver.identity_edges.
        links: those that join accounts, with `is_bridge`.
        changes: rows of silver.identity_changes.
        reviews: rows of silver.link_reviews, where there are any.
        settings: the kinds of links.
        components: rows of silver.identity_components.
    """
    fed = accounts.withColumn("feed", F.substring_index("account_id", ":", 1))
    month = F.date_format("changed_at", "yyyy-MM").alias("month")
    by_month = changes.where("level = 'customer_id'").select(
        month, *[(F.col("change_kind") == kind).cast("int").alias(kind) for kind in KINDS_OF_CHANGE]
    )
    place = F.replace("month", F.lit("-"), F.lit(""))
    kinds = {f"{kind}s": F.col(kind) for kind in KINDS_OF_CHANGE}
    parts = [
        of_customers(customers),
        *of_links(edges, links, settings),
        _added(fed, told("feeds", labelled("feed", F.lit(0)), {"accounts": F.lit(1)})),
        _added(by_month, told("changes", labelled("month", place), kinds)),
    ]
    if components is not None:
        parts.append(of_components(components))
    if reviews is not None:
        parts.append(_added(reviews, told("totals", in_all(), {"reviews": F.lit(1)})))
    summed = reduce(DataFrame.unionByName, parts).groupBy(*FIGURE)
    found = summed.agg(F.sum("value").alias("value"), F.max("note").alias("note"))
    accounts_first = (F.desc("accounts"), F.desc("joining_links"))
    largest = of_some(customers, "largest_customers", *accounts_first)
    doubtful = customers.where("bridges > 0")
    return found.unionByName(largest).unionByName(
        of_some(doubtful, "doubtful_customers", F.asc("weakest.confidence"), *accounts_first)
    )


def _added(rows: DataFrame, figures_of_row: Sequence[Column]) -> DataFrame:
    return rows.select(F.explode(F.array(*figures_of_row)).alias("_told")).select("_told.*")
