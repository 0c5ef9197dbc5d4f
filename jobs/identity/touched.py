"""Which accounts must be resolved anew, because what is told of them, or of who hangs together with them, has changed."""

from __future__ import annotations

from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.identity.evidence import Evidence, Links, edges_on, values_of
from jobs.identity.links import as_told
from jobs.lakehouse.caching import few
from jobs.lakehouse.differences import differing, owners_that_differ
from jobs.lakehouse.local_rows import local_rows

ACCOUNT = ("account_id", "arrived_at", "name_token", "named_at")
SEEN = (
    "account_id", "identifier_kind", "identifier_value", "arrived_at", "source", "first_seen_at", "last_seen_at",
    "seen_count", "_record_id",
)  # fmt: skip
PAIR = (
    "account_id", "identifier_value", "rule", "arrived_at", "last_seen_at", "seen_count", "_record_id", "confidence",
    "refusal_reason",
)  # fmt: skip
NODE = ("identifier_kind", "identifier_value", "identifier_group")
FATE = (
    *NODE, "account_id", "rule", "arrived_at", "name_token", "confidence", "is_exact", "is_owner", "refusal_reason",
)  # fmt: skip


def touched_accounts(
    before: Evidence, now: Evidence, changed: DataFrame, components: DataFrame, links: Links, blocked: DataFrame
) -> DataFrame:
    """One row per account whose customer, links or history may differ between two states of the evidence; all others' stay as they are.

    That is who lies in a component, as it was before, of which an account or link was changed. A link that came can only lead from
    there to another such component, or to accounts that nobody knew. Needs a checkpoint folder.

    Args:
        before: the evidence as it stood when customers were last resolved.
        now: the evidence as it stands.
        changed: what `changed_accounts` gives of the two.
        components: silver.identity_components, as it was made of the evidence before.
        links: the settings of each kind of link, the same as before.
        blocked: `rule` and `identifier_value` of what must never join, the same as before.
    """
    values = values_of(before.identifiers, changed).unionByName(values_of(now.identifiers, changed))
    values = few(values.distinct().checkpoint())
    links_before = with_fates(before, values, links, blocked).checkpoint()
    links_now = with_fates(now, values, links, blocked)
    moved = differing(links_before, links_now, *FATE).checkpoint()
    beside = links_before.join(moved.select(*NODE).distinct(), on=list(NODE), how="left_semi")
    known = [rows.select("account_id") for rows in (changed, moved, beside)]
    at_issue = few(reduce(DataFrame.unionByName, known).distinct().checkpoint())
    hit = few(
        components.join(at_issue, on="account_id", how="left_semi").select("component_id").distinct().checkpoint()
    )
    together = components.join(hit, on="component_id", how="left_semi").select("account_id")
    return at_issue.unionByName(together).distinct()


def changed_accounts(before: Evidence, now: Evidence) -> DataFrame:
    """One row per account of which something is told that was not, or no longer: itself, an identifier, another account."""
    pairs = differing(before.pairs, now.pairs, *PAIR)
    words = sorted({account for pair, _ in before.words.items() ^ now.words.items() for account in pair})
    spark = now.accounts.sparkSession
    told = [
        pairs.select("account_id"),
        pairs.select(F.col("identifier_value").alias("account_id")),
        local_rows(spark, [(account,) for account in words], "account_id string"),
    ]
    # What was not written since is the same frame, and need not be read.
    if before.accounts is not now.accounts:
        told.append(owners_that_differ(before.accounts, now.accounts, "account_id", *ACCOUNT))
    if before.identifiers is not now.identifiers:
        told.append(owners_that_differ(before.identifiers, now.identifiers, "account_id", *SEEN))
    return reduce(DataFrame.unionByName, told).distinct()


def with_fates(evidence: Evidence, values: DataFrame, links: Links, blocked: DataFrame) -> DataFrame:
    """One row per link to these values, as the replay reads it, and per link that is refused, with the reason."""
    edges = edges_on(evidence, values, links, blocked).checkpoint()
    refused = edges.where("refusal_reason is not null")
    return as_told(edges, links).select(*FATE).unionByName(refused.select(*FATE))
