"""The increment: the accounts that were touched are resolved anew, and put in place of what was published of them."""

from __future__ import annotations

from typing import NamedTuple

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.identity.evidence import Evidence, edges_on, values_of
from jobs.identity.links import as_told
from jobs.identity.resolution import Resolved, resolved
from jobs.lakehouse.caching import few
from jobs.lakehouse.identity_settings import IdentitySettings

COMPONENT = "_component_id"
# Whether a row of a customer goes by an id that its links alone would not give.
IS_KEPT = "customer_id <> _minted_id or not (customer_id_exact <=> _minted_id_exact)"


class Increment(NamedTuple):
    """What some accounts change.

    Args:
        found: what was found of them; its customer ids are under the names that the links alone give, and those of others too
            whose names can bear on them.
        before: the customer ids that these take the place of, as they were published.
        rest: what was published of all others, and stays as it is.
    """

    found: Resolved
    before: DataFrame
    rest: Resolved


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


def incremented(
    evidence: Evidence, published: Resolved, touched: DataFrame, settings: IdentitySettings, blocked: DataFrame
) -> Increment:
    """What `resolved_all` would give, at the cost of the touched accounts. Needs a checkpoint folder.

    What is not touched and goes by the name that its links give claims no other name, and no other customer can claim it. Of those that
    go by a kept id the names are settled anew, and for that all rows of their components are needed.

    Args:
        evidence: all evidence.
        published: the tables as they were published last.
        touched: `account_id` of all who are touched, each once.
        settings: the kinds of links, the engine and its sizes, the same as for what was published.
        blocked: `rule` and `identifier_value` of what must never join, the same as before.
    """
    found, ids = resolved_of(evidence, touched, settings, blocked), published.customer_ids
    gone = few(replaced(published, touched).checkpoint())
    kept = few(ids.where(IS_KEPT).select(COMPONENT).distinct().checkpoint())
    others = ids.join(kept, on=COMPONENT, how="left_semi").join(gone, on=COMPONENT, how="left_anti").checkpoint()
    anew = found.customer_ids.unionByName(as_minted(others)).checkpoint()
    before = ids.join(gone, on=COMPONENT, how="left_semi").unionByName(others).checkpoint()
    stay = ids.join(kept, on=COMPONENT, how="left_anti").join(gone, on=COMPONENT, how="left_anti")
    edges, components = (rows.join(touched, on="account_id", how="left_anti") for rows in published[1:])
    return Increment(found._replace(customer_ids=anew), before, Resolved(stay, edges, components))
