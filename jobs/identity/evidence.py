"""The evidence: all that says who is who, as it stood at one time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.identity.links import NAMES, OVERRIDE, RECORD_LINK, as_edges, between_accounts
from jobs.identity.origins import with_origin
from jobs.identity.overrides import Words, once_joined, words_of
from jobs.lakehouse.caching import few
from jobs.lakehouse.identity_settings import LinkSettings

ACCOUNTS, IDENTIFIERS = "silver.accounts", "silver.identifiers"
RECORD_LINKS, OVERRIDES = "silver.record_links", "ops.identity_overrides"
TABLES = (ACCOUNTS, IDENTIFIERS, RECORD_LINKS, OVERRIDES)
Links = Mapping[str, LinkSettings]


class Evidence(NamedTuple):
    """What customers are resolved from.

    Args:
        accounts: one row per account: `account_id`, `account_origin`, `arrived_at`, `name_token`, `named_at`.
        identifiers: rows of silver.identifiers with `account_origin` and `identifier_origin`.
        pairs: links between accounts, as `between_accounts` makes them.
        words: what persons said of pairs of accounts.
    """

    accounts: DataFrame
    identifiers: DataFrame
    pairs: DataFrame
    words: Words


def known_accounts(accounts: DataFrame) -> DataFrame:
    """One row per account: when it first arrived, the first name that it was told with, and when that was."""
    is_named = F.col("name_token").isNotNull()
    return accounts.groupBy("account_id").agg(
        F.min("arrived_at").alias("arrived_at"),
        F.min_by("name_token", F.when(is_named, F.struct("arrived_at", "revision"))).alias("name_token"),
        F.min(F.when(is_named, F.col("arrived_at"))).alias("named_at"),
    )


def accepted_links(record_links: DataFrame) -> DataFrame:
    """The pairs of accounts that likeness of records joins; a table of before tells of each when it was known, and no more."""
    of_before = {
        "last_seen_at": F.col("arrived_at"), "seen_count": F.lit(1).cast("long"), "_record_id": F.lit(None).cast("string"),
    }  # fmt: skip
    missing = {name: value for name, value in of_before.items() if name not in record_links.columns}
    return (
        record_links.withColumns(missing)
        .where("decision = 'accept'")
        .select(
            F.col("left_account_id").alias("account_id"),
            F.col("right_account_id").alias("other_account_id"),
            *("arrived_at", "last_seen_at", "seen_count", "_record_id"),
            F.col("match_probability").alias("confidence"),
            F.lit(True).alias("holds"),
        )
    )


def evidence_of(tables: Mapping[str, DataFrame], links: Links, rotated: DataFrame | None = None) -> Evidence:
    """The evidence that tables hold.

    Args:
        tables: the rows of each of `TABLES`, by name.
        links: the settings of each kind of link.
        rotated: as for `with_origin`.
    """
    accounts, identifiers, record_links, overrides = (tables[name] for name in TABLES)
    seen = with_origin(identifiers, "account_id", "account_origin", rotated)
    pairs = [
        _as_pairs(rows, rule, links, rotated)
        for rule, rows in ((RECORD_LINK, accepted_links(record_links)), (OVERRIDE, once_joined(overrides)))
    ]
    return Evidence(
        with_origin(known_accounts(accounts), "account_id", "account_origin", rotated),
        with_origin(seen, "identifier_value", "identifier_origin", rotated),
        pairs[0].unionByName(pairs[1]),
        words_of(overrides),
    )


def _as_pairs(pairs: DataFrame, rule: str, links: Links, rotated: DataFrame | None) -> DataFrame:
    ends = with_origin(pairs, "account_id", "account_origin", rotated)
    return between_accounts(with_origin(ends, "other_account_id", "other_origin", rotated), rule, links)


def all_edges(evidence: Evidence, links: Links, blocked: DataFrame) -> DataFrame:
    """All edges that the evidence tells, those between accounts too."""
    names = evidence.accounts.select(*NAMES)
    edges = as_edges(evidence.identifiers, names, links, blocked)
    return edges.unionByName(evidence.pairs, allowMissingColumns=True)


def values_of(identifiers: DataFrame, accounts: DataFrame) -> DataFrame:
    """One row per value that was seen with one of these accounts."""
    seen = identifiers.join(accounts, on="account_id", how="left_semi")
    return seen.select("identifier_kind", "identifier_value").distinct()


def edges_on(evidence: Evidence, values: DataFrame, links: Links, blocked: DataFrame) -> DataFrame:
    """The edges to these values, judged as among all edges, at the cost of these.

    A link's fate depends on what else is seen with its value, and where the settings limit the values of an account, with its account.
    Needs a checkpoint folder.

    Args:
        evidence: all evidence.
        values: `identifier_kind` and `identifier_value`, each once.
        links: the settings of each kind.
        blocked: `rule` and `identifier_value` of what must never join.
    """
    value = ["identifier_kind", "identifier_value"]
    limited = [rule for rule, link in links.items() if link.max_per_account is not None]
    seen = evidence.identifiers.join(values, on=value, how="left_semi").checkpoint()
    owners = few(seen.select("account_id").distinct().checkpoint())
    if limited:
        beside = evidence.identifiers.where(F.col("identifier_kind").isin(limited)).join(
            values, on=value, how="left_anti"
        )
        seen = seen.unionByName(beside.join(owners, on="account_id", how="left_semi"))
    names = evidence.accounts.join(owners, on="account_id", how="left_semi").select(*NAMES)
    edges = as_edges(seen, names, links, blocked)
    return edges.join(values, on=value, how="left_semi") if limited else edges
