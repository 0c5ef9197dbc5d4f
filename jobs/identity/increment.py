"""The increment: the accounts that were touched are resolved anew, and put in place of what was published of them."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.identity.evidence import Evidence, edges_on, values_of
from jobs.identity.links import as_told
from jobs.identity.resolution import Resolved, resolved
from jobs.lakehouse.caching import few
from jobs.lakehouse.identity_settings import IdentitySettings

COMPONENT = "_component_id"


def resolved_of(evidence: Evidence, accounts: DataFrame, settings: IdentitySettings, blocked: DataFrame) -> Resolved:
    """The customers of these accounts alone, as if all were resolved; no link may lead from them to others.

    Args:
        evidence: all evidence.
        accounts: `account_id`, each once.
        settings: the kinds of links, the engine and its sizes.
        blocked: `rule` and `identifier_value` of what must never join.
    """
    values = few(values_of(evidence.identifiers, accounts).checkpoint())
    pairs = only_of(evidence.pairs, accounts)
    beside = (
        edges_on(evidence, values, settings.links, blocked).unionByName(pairs, allowMissingColumns=True).checkpoint()
    )
    told = only_of(as_told(beside, settings.links), accounts)
    return resolved(only_of(evidence.accounts, accounts), only_of(beside, accounts), told, evidence.words, settings)


def only_of(rows: DataFrame, accounts: DataFrame) -> DataFrame:
    """The rows of these accounts."""
    return rows.join(accounts, on="account_id", how="left_semi")


def as_minted(customer_ids: DataFrame) -> DataFrame:
    """The customer ids under the names that the links alone give."""
    return customer_ids.withColumns(
        {"customer_id": F.col("_minted_id"), "customer_id_exact": F.col("_minted_id_exact")}
    )


def replaced(published: Resolved, touched: DataFrame) -> DataFrame:
    """One row per component that was published and is resolved anew."""
    return only_of(published.components, touched).select(F.col("component_id").alias(COMPONENT)).distinct()


def with_untouched(found: Resolved, published: Resolved, touched: DataFrame, gone: DataFrame) -> Resolved:
    """What was found of the touched accounts, and what was published of all others, under the names that the links alone give.

    Args:
        found: what `resolved_of` gives for the touched accounts.
        published: the tables as they were published last.
        touched: `account_id`, each once.
        gone: what `replaced` gives.
    """
    customer_ids = as_minted(published.customer_ids.join(gone, on=COMPONENT, how="left_anti"))
    edges, components = (rows.join(touched, on="account_id", how="left_anti") for rows in published[1:])
    return Resolved(
        found.customer_ids.unionByName(customer_ids),
        found.edges.select(*edges.columns).unionByName(edges),
        found.components.unionByName(components),
    )


def at_issue(found: DataFrame, published: DataFrame, gone: DataFrame) -> tuple[DataFrame, DataFrame]:
    """The customer ids found and published whose names can bear on each other: the touched ones, and others that go by a kept id.

    What is not touched and goes by the name that its links give claims no other name, and no other customer can claim it. Needs a
    checkpoint folder.

    Args:
        found: of the touched accounts, under the names that the links alone give.
        published: all, as they were published last.
        gone: what `replaced` gives.
    """
    is_kept = (F.col("customer_id") != F.col("_minted_id")) | ~F.col("customer_id_exact").eqNullSafe(
        F.col("_minted_id_exact")
    )
    kept = few(published.where(is_kept).select(COMPONENT).distinct().checkpoint())
    # Their changes are told anew, and for that all of their rows are needed.
    others = published.join(kept, on=COMPONENT, how="left_semi").join(gone, on=COMPONENT, how="left_anti").checkpoint()
    touched = published.join(gone, on=COMPONENT, how="left_semi")
    return found.unionByName(as_minted(others)).checkpoint(), touched.unionByName(others).checkpoint()


def incremented(
    evidence: Evidence, published: Resolved, touched: DataFrame, settings: IdentitySettings, blocked: DataFrame
) -> tuple[Resolved, tuple[DataFrame, DataFrame]]:
    """What `resolved_all` would give, at the cost of the touched accounts, and the rows whose names can bear on each other.

    Args:
        evidence: all evidence.
        published: the tables as they were published last.
        touched: `account_id` of all who are touched, each once.
        settings: the kinds of links, the engine and its sizes, the same as for what was published.
        blocked: `rule` and `identifier_value` of what must never join, the same as before.
    """
    found = resolved_of(evidence, touched, settings, blocked)
    gone = few(replaced(published, touched).checkpoint())
    claims = at_issue(found.customer_ids, published.customer_ids, gone)
    return with_untouched(found, published, touched, gone), claims
