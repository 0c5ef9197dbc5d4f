"""Bridges: links without which a customer would fall apart, and spare ones that could be lost without anybody noticing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pyspark.sql import DataFrame

from jobs.identity.union_find import Ids

Flags = NDArray[np.bool_]
NOWHERE = -1


def bridges_of(one: Ids, other: Ids) -> tuple[Flags, Flags, Ids]:
    """For each edge whether it is a bridge, whether it is spare, and the number of the piece that it lies in.

    One walk into the depth (Tarjan, A note on finding the bridges of a graph, 1974), kept on a list of its own, since a chain
    may be longer than Python's stack is deep. Spare are the edges that the walk did not need; how many, does not depend on its way.

    Args:
        one: one end of each edge, numbered from 0.
        other: the other end; an edge may come twice, and then neither of the two is a bridge.
    """
    count, edges = int(max(one.max(), other.max())) + 1 if len(one) else 0, np.arange(len(one))
    ends = np.concatenate([one, other])
    order = np.argsort(ends, kind="stable")
    first = np.searchsorted(ends[order], np.arange(count + 1)).tolist()
    to, via = np.concatenate([other, one])[order].tolist(), np.concatenate([edges, edges])[order].tolist()
    reached, low, piece, place = [0] * count, [0] * count, [NOWHERE] * count, first[:-1]
    is_bridge, is_spare = np.zeros(len(one), bool), np.ones(len(one), bool)
    clock = 0
    for root in range(count):
        if reached[root] or first[root] == first[root + 1]:
            continue
        path = [(root, NOWHERE)]
        while path:
            node, came_by = path[-1]
            if not reached[node]:
                clock += 1
                reached[node], low[node], piece[node] = clock, clock, root
            if place[node] < first[node + 1]:
                step, edge = to[place[node]], via[place[node]]
                place[node] += 1
                if not reached[step]:
                    is_spare[edge] = False
                    path.append((step, edge))
                elif edge != came_by:
                    low[node] = min(low[node], reached[step])
                continue
            path.pop()
            if path:
                above = path[-1][0]
                low[above] = min(low[above], low[node])
                is_bridge[came_by] = low[node] > reached[above]
    return is_bridge, is_spare, np.array(piece, np.int64)[one]


def with_bridges(links: DataFrame) -> DataFrame:
    """The links that lead from an account to another one of its customer, with `is_bridge`, `is_spare` and the number of their piece.

    An identifier that one account alone of a customer tells of joins nobody; its link is left out.

    Args:
        links: `customer_id`, the two ends `src` (an account) and `dst`, 64-bit ids, and `is_between_accounts`.
    """
    told = "is_bridge boolean, is_spare boolean, piece long"
    ordered = links.repartition("customer_id").sortWithinPartitions("customer_id")
    schema = ", ".join(f"`{field.name}` {field.dataType.simpleString()}" for field in links.schema)
    return ordered.mapInPandas(_of_partition, f"{schema}, {told}")


def _of_partition(batches: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    for links in whole_customers(batches):
        ends = np.concatenate([links["src"].to_numpy(), links["dst"].to_numpy()])
        # One number per customer and id: two customers may share a device.
        owner = pd.factorize(np.tile(links["customer_id"].to_numpy(), 2))[0]
        numbers = pd.MultiIndex.from_arrays([owner, ends]).factorize()[0].astype(np.int64)
        one, other = numbers[: len(links)], numbers[len(links) :]
        joins = links["is_between_accounts"].to_numpy(bool) | (np.bincount(other)[other] > 1)
        is_bridge, is_spare, piece = bridges_of(one[joins], other[joins])
        yield links[joins].assign(is_bridge=is_bridge, is_spare=is_spare, piece=piece)


def whole_customers(batches: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Rows in the order of customers, cut so that no customer is in two pieces; the last one of a batch waits for the next."""
    waiting: list[pd.DataFrame] = []
    for batch in batches:
        if batch.empty:
            continue
        is_last = (batch["customer_id"] == batch["customer_id"].iloc[-1]).to_numpy()
        if waiting and waiting[-1]["customer_id"].iloc[-1] != batch["customer_id"].iloc[-1]:
            yield pd.concat([*waiting, batch[~is_last]], ignore_index=True)
            waiting = []
        elif not is_last.all():
            yield batch[~is_last].reset_index(drop=True)
        waiting.append(batch[is_last])
    if waiting:
        yield pd.concat(waiting, ignore_index=True)
