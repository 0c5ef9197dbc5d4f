"""The history of customers: who was who from when to when, replayed in the order in which links arrived."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby, pairwise
from operator import itemgetter
from typing import Any

import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.identity.clusters import Rules
from jobs.identity.replay import Node, Span, Told, replayed

COLUMNS = (
    "component", "at", "account_id", "account_origin", "rule", "identifier_kind", "identifier_value", "identifier_group",
    "identifier_origin", "name", "confidence", "is_exact", "is_owner",
)  # fmt: skip
HISTORY_SCHEMA = (
    "component long, account_id string, rule string, identifier_kind string, identifier_value string,"
    " identifier_group string, since long, until long, customer_id string, customer_id_exact string,"
    " ended_by string, ended_by_exact string"
)
Row = tuple[
    int, str | None, str | None, str, str, str, int | None, int | None, str | None, str | None, str | None, str | None
]  # fmt: skip


def as_history(told: DataFrame, rules: Rules) -> DataFrame:
    """One row per account or identifier and time in which it belonged to one customer, and one per link that is refused.

    It depends on links and their arrival alone, so that days loaded in any order, or twice, give the same rows. A refused
    link has its `account_id` and `rule`, and no customer; times are microseconds of Unix time.

    Args:
        told: the columns `COLUMNS`; an account by itself has no rule, `at` is its arrival in microseconds.
        rules: the kinds of links, and what persons said.
    """
    ordered = told.select(*COLUMNS).repartition("component")
    ordered = ordered.sortWithinPartitions(
        "component", "at", F.col("rule") != "", "account_origin", "rule", "identifier_origin", "identifier_group"
    )
    return ordered.mapInPandas(_of_partition(rules), HISTORY_SCHEMA)


def _of_partition(rules: Rules) -> Callable[[Iterable[pd.DataFrame]], Iterator[pd.DataFrame]]:
    def of_partition(batches: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        for batch in components_of(batches):
            rows: list[Row] = []
            for component, lines in groupby(batch, key=itemgetter(0)):
                story, is_exact, is_owner = [], [], []
                for line in lines:
                    story.append(Told(*line[1:-2]))
                    is_exact.append(line[-2])
                    is_owner.append(line[-1])
                rows += history_of(component, story, is_exact, is_owner, rules)
            yield as_frame(rows)

    return of_partition


def components_of(batches: Iterable[pd.DataFrame]) -> Iterator[list[tuple[Any, ...]]]:
    """The rows of batches, cut so that no component is in two pieces; what a piece lacks waits for the next batch."""
    waiting: list[tuple[Any, ...]] = []
    for batch in batches:
        lines = list(zip(*(batch[name].array for name in COLUMNS), strict=True))
        last = lines[-1][0]
        cut = next((place for place in range(len(lines) - 1, -1, -1) if lines[place][0] != last), -1) + 1
        if cut:
            yield waiting + lines[:cut]
            waiting = lines[cut:]
        else:
            waiting += lines
    if waiting:
        yield waiting


def as_frame(rows: Sequence[Row]) -> pd.DataFrame:
    """The rows in columns of the schema's types."""
    names = [part.split()[0] for part in HISTORY_SCHEMA.split(", ")]
    return pd.DataFrame(rows, columns=names).astype({"since": "Int64", "until": "Int64"})


def history_of(
    component: int, story: Sequence[Told], exact: Sequence[bool], owned: Sequence[bool], rules: Rules
) -> list[Row]:
    """The rows of one component: both strictnesses are replayed, and their times laid over each other.

    Args:
        component: its id, told with each row.
        story: accounts and links in the order in which they became known.
        exact: for each of them, whether the stricter of the two ids counts it.
        owned: for each of them, whether its identifier belongs to this group of those that share it; no other is told.
        rules: the kinds of links, and what persons said.
    """
    spans, refused = replayed(story, rules)
    sure = [told for told, is_exact in zip(story, exact, strict=True) if is_exact or not told.rule]
    exact_spans = spans if len(sure) == len(story) else replayed(sure, rules)[0]
    ended = {(span.node, span.until): span.ended_by for span in exact_spans}
    mine = {told.node for told, is_owner in zip(story, owned, strict=True) if is_owner or told.kind == "account"}
    rows: list[Row] = [
        (
            *(component, None, None, *span.node, span.since, span.until, span.customer_id, exact_id, span.ended_by),
            ended.get((span.node, span.until)),
        )
        for span, exact_id in laid_over(spans, exact_spans)
        if span.node[0] == "account" or span.node in mine
    ]
    rows += [
        (component, told.account, told.rule, told.kind, told.value, told.group, None, None, None, None, None, None)
        for told in refused
    ]
    return rows


def laid_over(spans: Sequence[Span], exact: Sequence[Span]) -> Iterator[tuple[Span, str | None]]:
    """The spans, cut where the stricter customer of a node changes, with the id of that one; None where there is none."""
    if spans is exact:
        yield from ((span, span.customer_id) for span in spans)
        return
    by_node: dict[Node, list[Span]] = {}
    for one in sorted(exact, key=lambda one: one.since):
        by_node.setdefault(one.node, []).append(one)
    for span in spans:
        yield from _cut(span, by_node.get(span.node, []))


def _cut(span: Span, exact: Sequence[Span]) -> Iterator[tuple[Span, str | None]]:
    """A span in pieces, one for each stricter customer in turn; the last piece alone ends as the whole one does."""
    changes = {moment for one in exact for moment in (one.since, one.until) if moment is not None}
    starts = sorted({span.since, *(moment for moment in changes if _holds(span, moment))})
    pieces = [span._replace(since=start, until=end, ended_by=None) for start, end in pairwise(starts)]
    for piece in (*pieces, span._replace(since=starts[-1])):
        yield piece, next((one.customer_id for one in exact if _holds(one, piece.since)), None)


def _holds(span: Span, at: int) -> bool:
    return span.since <= at and (span.until is None or at < span.until)
