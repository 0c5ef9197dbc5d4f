"""The history of customers: who was who from when to when, replayed in the order in which links arrived."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import pandas as pd
from pyspark.sql import DataFrame

HISTORY_SCHEMA = (
    "identifier_kind string, identifier_value string, valid_from timestamp, valid_to timestamp, customer_id string"
)
Node = tuple[str, str]


@dataclass
class Holding:
    """The accounts and identifiers that are one customer at a time of the replay."""

    minted_at: pd.Timestamp
    minted_from: str
    members: list[Node] = field(default_factory=list)

    @property
    def age(self) -> tuple[pd.Timestamp, str]:
        """What decides which of two customers keeps its id: the older one, ties by the account's origin."""
        return self.minted_at, self.minted_from

    @property
    def customer_id(self) -> str:
        """The id, minted once from the first account: 64 bits, as `c-` and hexadecimal digits."""
        return "c-" + hashlib.sha256(self.minted_from.encode()).hexdigest()[:16]


def as_history(told: DataFrame) -> DataFrame:
    """One row per account or identifier and time in which it belonged to one customer.

    It depends on links and their arrival alone, so that days loaded in any order, or twice, give the same ids.

    Args:
        told: `account_id`, `identifier_kind`, `identifier_value` (null for an account by itself), `arrived_at`, `component`,
            `account_origin` and `identifier_origin`.
    """
    by_component = told.repartition("component").drop("component")
    return by_component.mapInPandas(_replay_partition, HISTORY_SCHEMA)


def _replay_partition(batches: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    parts = list(batches)
    if parts:
        told = pd.concat(parts, ignore_index=True).astype(
            {"identifier_kind": object, "identifier_value": object, "identifier_origin": object}
        )
        yield replayed(told)


def replayed(told: pd.DataFrame) -> pd.DataFrame:
    """The history of whole components: each row of `told` is an account or link becoming known at `arrived_at`.

    Ties and ids go by origins, which a rotation of the key leaves as they are.
    """
    ordered = told.assign(
        _kind=told["identifier_kind"].fillna(""),
        _value=told["identifier_value"].fillna(""),
        _origin=told["identifier_origin"].fillna(""),
    )
    ordered = ordered.sort_values(["arrived_at", "account_origin", "_kind", "_origin"], kind="stable")
    holdings: dict[Node, Holding] = {}
    open_since: dict[Node, pd.Timestamp] = {}
    closed: list[tuple[str, str, pd.Timestamp, pd.Timestamp | None, str]] = []
    columns = ("account_id", "account_origin", "_kind", "_value", "arrived_at")
    for account_id, account_origin, kind, value, arrived_at in zip(*(ordered[name] for name in columns), strict=True):
        account = ("account", account_id)
        if account not in holdings:
            holdings[account] = Holding(arrived_at, account_origin, [account])
            open_since[account] = arrived_at
        if not kind:
            continue
        identifier = (kind, value)
        if identifier not in holdings:
            holdings[account].members.append(identifier)
            holdings[identifier] = holdings[account]
            open_since[identifier] = arrived_at
        elif holdings[identifier] is not holdings[account]:
            kept, lost = sorted((holdings[identifier], holdings[account]), key=lambda holding: holding.age)
            for member in lost.members:
                if open_since[member] < arrived_at:
                    closed.append((*member, open_since[member], arrived_at, lost.customer_id))
                open_since[member] = arrived_at
                holdings[member] = kept
            kept.members += lost.members
    closed += [(*node, since, None, holdings[node].customer_id) for node, since in open_since.items()]
    history = pd.DataFrame(
        closed, columns=["identifier_kind", "identifier_value", "valid_from", "valid_to", "customer_id"]
    )
    return history.astype({"valid_from": "datetime64[us]", "valid_to": "datetime64[us]"})
