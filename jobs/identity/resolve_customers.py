"""Resolve who is who: links become components, components customers with one stable id and a history; each link keeps its fate."""

import sys
from collections.abc import Mapping

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.identity.clusters import Rules
from jobs.identity.components import node_id, with_components
from jobs.identity.history import as_history
from jobs.identity.links import NOBODY, OVERRIDE, RECORD_LINK, as_edges, as_told, between_accounts
from jobs.identity.origins import with_origin
from jobs.identity.overrides import always_joined, never_joined
from jobs.identity.stable_ids import IDS, RENAME, as_changes, as_renames, renames, with_kept_ids
from jobs.lakehouse.caching import checkpoints
from jobs.lakehouse.identity_settings import IdentitySettings
from jobs.lakehouse.job import Job
from jobs.lakehouse.personal import token_of
from jobs.lakehouse.personal_kinds import PersonalKind, normalised
from jobs.lakehouse.run import Run
from jobs.lakehouse.vault import VALUES

EDGES_TABLE, IDS_TABLE, CHANGES = "silver.identity_edges", "silver.customer_ids", "silver.identity_changes"
RECORD_LINKS, OVERRIDES = "silver.record_links", "ops.identity_overrides"
JOB = Job(
    reads=("silver.accounts", "silver.identifiers", RECORD_LINKS, OVERRIDES, VALUES),
    writes=(EDGES_TABLE, IDS_TABLE, CHANGES),
    settings=(IdentitySettings,),
    can_lack=(RECORD_LINKS, OVERRIDES),
)
TOLD = (
    "account_id", "account_origin", "rule", "identifier_kind", "identifier_value", "identifier_group",
    "identifier_origin", "arrived_at", "is_exact", "is_owner", "name_token", "confidence",
)  # fmt: skip
PERSONAL_KINDS: Mapping[str, PersonalKind] = {
    "phone": "phone", "email": "email", "open_id": "open_id", "device": "device_id", "payer": "payment_account",
}  # fmt: skip
EDGE = ("account_id", "rule", "identifier_value")


def known_accounts(accounts: DataFrame) -> DataFrame:
    """One row per account: when it first arrived, and the first name that it was told with."""
    named = F.when(F.col("name_token").isNotNull(), F.struct("arrived_at", "revision"))
    return accounts.groupBy("account_id").agg(
        F.min("arrived_at").alias("arrived_at"), F.min_by("name_token", named).alias("name_token")
    )


def accepted_links(record_links: DataFrame) -> DataFrame:
    """The pairs of accounts that likeness of records joins."""
    return record_links.where("decision = 'accept'").select(
        F.col("left_account_id").alias("account_id"),
        F.col("right_account_id").alias("other_account_id"),
        "arrived_at",
        F.col("match_probability").alias("confidence"),
    )


def as_stories(accounts: DataFrame, told: DataFrame) -> DataFrame:
    """One row per account by itself and per link that may join, with its two nodes.

    Args:
        accounts: `account_id`, `account_origin`, `arrived_at`, `name_token`.
        told: the columns `TOLD`.
    """
    empty = {name: F.lit("") for name in ("rule", "identifier_kind", "identifier_value", "identifier_origin")}
    alone = accounts.withColumns(empty | {"identifier_group": F.lit(NOBODY)})
    alone = alone.withColumns({"is_exact": F.lit(True), "is_owner": F.lit(True), "confidence": F.lit(1.0)})
    rows = alone.select(*TOLD).unionByName(told.select(*TOLD))
    account = node_id(F.lit("account"), F.concat_ws("\0", "account_id", F.lit(NOBODY)))
    other = node_id(F.col("identifier_kind"), F.concat_ws("\0", "identifier_value", "identifier_group"))
    rows = rows.withColumns({"src": account, "dst": F.when(F.col("rule") == "", account).otherwise(other)})
    return rows.withColumns({"at": F.unix_micros("arrived_at"), "name": F.coalesce("name_token", F.lit(""))})


def with_component(stories: DataFrame, settings: IdentitySettings) -> DataFrame:
    """The rows with the component that they lie in; of a suspicious one each account is alone, and its links are marked.

    Args:
        stories: rows with `src` and `dst`.
        settings: the engine, and the most links that a component may have.
    """
    components = with_components(stories.select("src", "dst"), settings)
    placed = stories.join(components.withColumnRenamed("id", "src"), on="src", how="inner")
    sizes = placed.groupBy("component").agg(F.count_if(F.col("rule") != "").alias("links"))
    suspicious = sizes.where(F.col("links") > settings.max_links_per_component).select("component")
    marked = placed.join(
        F.broadcast(suspicious.withColumn("_is_suspicious", F.lit(True))), on="component", how="left"
    ).withColumn("_is_suspicious", F.coalesce("_is_suspicious", F.lit(False)))
    # Alone, an account is a component of its own: the replay takes whole components into one process.
    return marked.withColumn("component", F.when(F.col("_is_suspicious"), F.col("src")).otherwise(F.col("component")))


def blocked_values(run: Run) -> DataFrame:
    """One row per value that the settings block, as its token."""
    links = run.part(IdentitySettings).links
    listed = [(rule, value) for rule, link in links.items() for value in link.blocked_values]
    rows = [(rule, _token(run, rule, value)) for rule, value in listed]
    return run.spark.createDataFrame(rows, "rule string, identifier_value string")


def _token(run: Run, rule: str, value: str) -> str:
    if rule not in PERSONAL_KINDS:
        return value
    plain = normalised(PERSONAL_KINDS[rule], value, run.settings.calendar.phone_region)
    return token_of(run.keys(), PERSONAL_KINDS[rule], plain or value)


def as_customer_ids(history: DataFrame) -> DataFrame:
    """One row per identifier and time in which it belonged to one customer."""
    held = history.where("customer_id is not null")
    return held.withColumns({"valid_from": F.timestamp_micros("since"), "valid_to": F.timestamp_micros("until")})


def as_judged_edges(edges: DataFrame, suspicious: DataFrame, refused: DataFrame) -> DataFrame:
    """The edges with their fate: why each does not join, as things stand.

    Args:
        edges: all links.
        suspicious: those of components that were put aside.
        refused: those that the replay cut.
    """
    put_aside = suspicious.select(*EDGE).distinct().withColumn("_later", F.lit("suspicious_component"))
    cut = refused.select(*EDGE).distinct().withColumn("_later", F.lit("contradicts"))
    judged = edges.join(put_aside.unionByName(cut), on=list(EDGE), how="left")
    judged = judged.withColumn("refusal_reason", F.coalesce("refusal_reason", "_later")).drop("_later")
    return judged.withColumn("is_accepted", F.col("refusal_reason").isNull())


def resolved(
    accounts: DataFrame, edges: DataFrame, never: Mapping[frozenset[str], int], settings: IdentitySettings
) -> tuple[DataFrame, DataFrame]:
    """The customer ids, and the edges with their fate.

    Args:
        accounts: `account_id`, `account_origin`, `arrived_at`, `name_token`.
        edges: all links, as `as_edges` and `between_accounts` make them.
        never: pairs of accounts that must not be one customer, with the moment from which this holds.
        settings: the kinds of links, the engine and its sizes.
    """
    # Checkpoints: what follows is planned from the rows, not from all that led to them.
    told = edges.checkpoint()
    stories = as_stories(accounts, as_told(told, settings.links)).checkpoint()
    placed = with_component(stories, settings).checkpoint()
    history = as_history(placed.where("not _is_suspicious or rule = ''"), Rules(settings.links, never)).checkpoint()
    put_aside, refused = placed.where("_is_suspicious and rule <> ''"), history.where("customer_id is null")
    return as_customer_ids(history), as_judged_edges(told, put_aside, refused)


def under_kept_ids(found: DataFrame, published: DataFrame | None) -> tuple[DataFrame, DataFrame | None]:
    """The customer ids under the names that were published, and the analytic ones that differ from those found."""
    if published is None:
        return found, None
    renamed = [renames(found, published, column).checkpoint() for column in IDS]
    return with_kept_ids(found, renamed), renamed[0]


def all_changes(
    customer_ids: DataFrame, renamed: DataFrame | None, written: DataFrame | None, as_of: Column
) -> DataFrame:
    """All merges and splits that the history tells, and each rename since the first run.

    Args:
        customer_ids: the history, with `ended_by`.
        renamed: ids that were kept in this run.
        written: the changes as they were published last.
        as_of: the end of the run's day.
    """
    changes = as_changes(customer_ids)
    names = changes.columns
    key = ["from_customer_id", "to_customer_id"]
    before = None if written is None else written.where(F.col("change_kind") == RENAME).select(*names)
    if renamed is not None:
        now = as_renames(renamed, customer_ids, as_of).select(*names)
        before = now if before is None else before.unionByName(now.join(before, on=key, how="left_anti"))
    return changes if before is None else changes.unionByName(before)


def build(run: Run) -> None:
    settings = run.part(IdentitySettings)
    run.keep(checkpoints(run.spark, f"{run.lake.root}/_checkpoints"))
    rotated = run.read(VALUES).where("origin is not null").select("token", "origin") if run.has(VALUES) else None
    known = known_accounts(run.read("silver.accounts"))
    seen = with_origin(run.read("silver.identifiers"), "account_id", "account_origin", rotated)
    seen = with_origin(seen, "identifier_value", "identifier_origin", rotated)
    edges = as_edges(seen, known.select("account_id", "name_token"), settings.links, blocked_values(run))
    overrides = run.read(OVERRIDES) if run.has(OVERRIDES) else None
    pairs = {RECORD_LINK: accepted_links(run.read(RECORD_LINKS))} if run.has(RECORD_LINKS) else {}
    if overrides is not None:
        pairs[OVERRIDE] = always_joined(overrides)
    for rule, rows in pairs.items():
        ends = with_origin(rows, "account_id", "account_origin", rotated)
        ends = with_origin(ends, "other_account_id", "other_origin", rotated)
        edges = edges.unionByName(between_accounts(ends, rule, settings.links), allowMissingColumns=True)
    accounts = with_origin(known, "account_id", "account_origin", rotated)
    never = never_joined(overrides) if overrides is not None else {}
    customer_ids, judged = resolved(accounts, edges, never, settings)
    customer_ids, renamed = under_kept_ids(customer_ids, run.previous(IDS_TABLE))
    changes = all_changes(customer_ids, renamed, run.previous(CHANGES), F.lit(run.as_of))
    for table, rows in ((IDS_TABLE, customer_ids), (CHANGES, changes), (EDGES_TABLE, judged)):
        run.publish(table, rows.select(*run.contract(table).column_names))


if __name__ == "__main__":
    sys.exit(JOB.main(__doc__, build))
