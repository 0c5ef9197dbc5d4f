"""The resolution: what customers, fates of links and components the evidence gives, under the names that the links alone give."""

from __future__ import annotations

from typing import NamedTuple

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.identity.clusters import Rules
from jobs.identity.components import node_id, with_components
from jobs.identity.evidence import Evidence, all_edges
from jobs.identity.history import as_history
from jobs.identity.links import NOBODY, OVERRIDE, as_told
from jobs.identity.overrides import Words
from jobs.lakehouse.identity_settings import IdentitySettings

TOLD = (
    "account_id", "account_origin", "rule", "identifier_kind", "identifier_value", "identifier_group",
    "identifier_origin", "arrived_at", "is_exact", "is_owner", "name_token", "confidence",
)  # fmt: skip
EDGE = ("account_id", "rule", "identifier_value")
IS_WORD_ASIDE = f"is_put_aside and rule = '{OVERRIDE}'"
IS_LINK_ASIDE = f"is_put_aside and rule not in ('', '{OVERRIDE}')"


class Resolved(NamedTuple):
    """What is made of evidence.

    Args:
        customer_ids: rows of silver.customer_ids.
        edges: rows of silver.identity_edges.
        components: rows of silver.identity_components.
    """

    customer_ids: DataFrame
    edges: DataFrame
    components: DataFrame


def as_stories(accounts: DataFrame, told: DataFrame) -> DataFrame:
    """One row per account by itself, another where its name came later, and one per link that may join, with its two nodes.

    Args:
        accounts: `account_id`, `account_origin`, `arrived_at`, `name_token`, `named_at`.
        told: the columns `TOLD`.
    """
    is_named = F.coalesce(F.col("named_at") <= F.col("arrived_at"), F.lit(False))
    first = accounts.withColumn("name_token", F.when(is_named, F.col("name_token")))
    named = accounts.where("named_at > arrived_at").withColumn("arrived_at", F.col("named_at"))
    empty = {name: F.lit("") for name in ("rule", "identifier_kind", "identifier_value", "identifier_origin")}
    alone = first.unionByName(named).withColumns(empty | {"identifier_group": F.lit(NOBODY)})
    alone = alone.withColumns({"is_exact": F.lit(True), "is_owner": F.lit(True), "confidence": F.lit(1.0)})
    rows = alone.select(*TOLD).unionByName(told.select(*TOLD))
    account = node_id(F.lit("account"), F.concat_ws("\0", "account_id", F.lit(NOBODY)))
    other = node_id(F.col("identifier_kind"), F.concat_ws("\0", "identifier_value", "identifier_group"))
    rows = rows.withColumns({"src": account, "dst": F.when(F.col("rule") == "", account).otherwise(other)})
    return rows.withColumns({"at": F.unix_micros("arrived_at"), "name": F.coalesce("name_token", F.lit(""))})


def with_component(stories: DataFrame, settings: IdentitySettings, has_words: bool) -> DataFrame:
    """The rows with the component that they lie in and its sizes; of a suspicious one each account is alone, and its links are marked.

    A person's word holds there too.

    Args:
        stories: rows with `src` and `dst`.
        settings: the engine, and the most links, accounts and names that a component may have.
        has_words: whether any person said anything.
    """
    components = with_components(stories.select("src", "dst"), settings)
    placed = stories.join(components.selectExpr("id as src", "component as component_id"), on="src", how="inner")
    reason = suspicion(settings)
    told = {"put_aside_reason": reason, "is_put_aside": reason.isNotNull(), "_alone": F.col("src")}
    marked = placed.join(component_sizes(placed), on="component_id", how="inner").withColumns(told)
    if has_words:
        marked = marked.checkpoint()
        words = with_components(marked.where(IS_WORD_ASIDE).select("src", "dst"), settings)
        said = words.selectExpr("id as src", "component as _said")
        marked = marked.join(said, on="src", how="left").withColumn("_alone", F.coalesce("_said", "src")).drop("_said")
    # Alone, an account is a component of its own: the replay takes whole components into one process.
    component = F.when(F.col("is_put_aside"), F.col("_alone")).otherwise(F.col("component_id"))
    return marked.withColumn("component", component).drop("_alone")


def component_sizes(placed: DataFrame) -> DataFrame:
    """One row per component: `link_count`, `account_count` and `name_count`.

    Args:
        placed: rows with `component_id`; an account has one name, whenever it was told.
    """
    accounts = placed.groupBy("component_id", "src").agg(
        F.count_if(F.col("rule") != "").alias("links"), F.max("name").alias("name")
    )
    return accounts.groupBy("component_id").agg(
        F.sum("links").alias("link_count"),
        F.count("*").alias("account_count"),
        F.count_distinct(F.nullif("name", F.lit(""))).alias("name_count"),
    )


def suspicion(settings: IdentitySettings) -> Column:
    """Why a component is not of one person, nor of a few whose links contradict each other; null where it may be."""
    return (
        F.when(F.col("link_count") > settings.max_links_per_component, "too_many_links")
        .when(F.col("account_count") > settings.max_accounts_per_component, "too_many_accounts")
        .when(F.col("name_count") > settings.max_names_per_component, "too_many_names")
    )


def as_members(placed: DataFrame) -> DataFrame:
    """One row per account that links tell of, with its component.

    Args:
        placed: the rows of `with_component`.
    """
    told = ("component_id", "is_put_aside", "put_aside_reason", "link_count", "account_count", "name_count")
    others = placed.where("rule <> '' and identifier_kind = 'account'")
    ends = placed.select("account_id", *told).unionByName(
        others.select(F.col("identifier_value").alias("account_id"), *told)
    )
    return ends.groupBy("account_id").agg(*[F.min(name).alias(name) for name in told])


def as_customer_ids(history: DataFrame, placed: DataFrame) -> DataFrame:
    """One row per identifier and time in which it belonged to one customer, under the names that the links alone give.

    Args:
        history: the rows of `as_history`.
        placed: the rows of `with_component`.
    """
    alone = placed.where("is_put_aside").select("component", "component_id").distinct()
    held = history.where("customer_id is not null").join(alone, on="component", how="left")
    return held.select(
        *("identifier_kind", "identifier_value", "customer_id", "customer_id_exact"),
        F.timestamp_micros("since").alias("valid_from"),
        F.timestamp_micros("until").alias("valid_to"),
        F.coalesce("component_id", "component").alias("_component_id"),
        F.col("customer_id").alias("_minted_id"),
        F.col("customer_id_exact").alias("_minted_id_exact"),
        F.col("ended_by").alias("_ended_by"),
        F.col("ended_by_exact").alias("_ended_by_exact"),
    )


def cut_edges(refused: DataFrame, placed: DataFrame) -> DataFrame:
    """One row per edge of which nothing joins: an account without a name has two links on a value that named ones share.

    Args:
        refused: the links that the replay refused, each with its `identifier_group`.
        placed: the rows of `with_component`.
    """
    lost = refused.groupBy(*EDGE).agg(F.countDistinct("identifier_group").alias("_lost"))
    told = placed.where("rule <> ''").join(lost.select(*EDGE), on=list(EDGE), how="left_semi")
    told = told.groupBy(*EDGE).agg(F.countDistinct("identifier_group").alias("_told"))
    return lost.join(told, on=list(EDGE), how="inner").where("_lost = _told").select(*EDGE)


def as_judged_edges(edges: DataFrame, suspicious: DataFrame, cut: DataFrame) -> DataFrame:
    """The edges with their fate: why each does not join, as things stand.

    Args:
        edges: all links.
        suspicious: those of components that were put aside.
        cut: those that the replay cut, each once.
    """
    put_aside = suspicious.select(*EDGE).distinct().withColumn("_later", F.lit("suspicious_component"))
    cut = cut.withColumn("_later", F.lit("contradicts"))
    judged = edges.join(put_aside.unionByName(cut), on=list(EDGE), how="left")
    judged = judged.withColumn("refusal_reason", F.coalesce("refusal_reason", "_later")).drop("_later")
    return judged.withColumn("is_accepted", F.col("refusal_reason").isNull())


def resolved(
    accounts: DataFrame,
    edges: DataFrame,
    told: DataFrame,
    words: Words,
    settings: IdentitySettings,
) -> Resolved:
    """The customers of these accounts, under the names that the links alone give, and the edges with their fate.

    Args:
        accounts: `account_id`, `account_origin`, `arrived_at`, `name_token`, `named_at`.
        edges: all links of these accounts.
        told: those of them that may join, as `as_told` makes them.
        words: what persons said of pairs of accounts.
        settings: the kinds of links, the engine and its sizes.
    """
    # Checkpoints: what follows is planned from the rows, not from all that led to them.
    stories = as_stories(accounts, told).checkpoint()
    placed = with_component(stories, settings, bool(words)).checkpoint()
    history = as_history(placed.where(f"not ({IS_LINK_ASIDE})"), Rules(settings.links, words)).checkpoint()
    put_aside, refused = placed.where(IS_LINK_ASIDE), history.where("customer_id is null")
    judged = as_judged_edges(edges, put_aside, cut_edges(refused, placed))
    return Resolved(as_customer_ids(history, placed), judged, as_members(placed))


def resolved_all(evidence: Evidence, settings: IdentitySettings, blocked: DataFrame) -> Resolved:
    """The customers of all accounts."""
    edges = all_edges(evidence, settings.links, blocked).checkpoint()
    return resolved(evidence.accounts, edges, as_told(edges, settings.links), evidence.words, settings)
