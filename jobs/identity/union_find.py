"""Components of edges that fit one process: vectorised, over arrays of 64-bit ids."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from jobs.lakehouse.errors import QualityGateError

Ids = NDArray[np.int64]
ROWS_PER_BATCH = 2**17


def labelled(src: Ids, dst: Ids) -> tuple[Ids, Ids]:
    """Each distinct id of the edges, in order, and beside it the smallest id of its component.

    Args:
        src: one end of each edge, any 64-bit ids.
        dst: the other end; an edge may join an id with itself or come twice.

    Raises:
        QualityGateError: the result contradicts the edges.
    """
    ids, places = np.unique(np.concatenate([src, dst]), return_inverse=True)
    one, other = places[: len(src)].astype(np.int32, copy=False), places[len(src) :].astype(np.int32, copy=False)
    graph = coo_array((np.ones(len(src), np.int8), (one, other)), shape=(len(ids), len(ids)))
    count, group = connected_components(graph, directed=False)
    # Ids are in order, so the first of a group to be met is its smallest; written backwards, the first one stays.
    smallest = np.empty(count, np.int64)
    smallest[group[::-1]] = ids[::-1]
    labels = smallest[group]
    # Of each component one id, its smallest, is called by itself.
    refuse_torn(int(np.count_nonzero(labels[one] != labels[other])), int(np.count_nonzero(labels == ids)), count)
    return ids, labels


def refuse_torn(torn: int, found: int, expected: int) -> None:
    """Raise where edges lie between two components, or counts are not conserved.

    Raises:
        QualityGateError: the components contradict their own edges.
    """
    if torn or found != expected:
        raise QualityGateError(
            f"connected components are wrong: {torn} edges between two components, {found} found for {expected} expected;"
            " nothing was published. Run again, with identity.engine: graphframes if it comes back, and report it"
        )


def as_labels(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Batches of edges (`src`, `dst`) become one row per id (`id`, `component`), joined within these batches alone."""
    parts = [batch for batch in batches if batch.num_rows]
    if not parts:
        return
    edges = pa.Table.from_batches(parts)
    if missing := sum(edges.column(end).null_count for end in ("src", "dst")):
        # With a null among them, 64-bit ids would become floating point numbers, and neighbours the same.
        raise QualityGateError(f"{missing} ends of edges are null; an edge of identity leads from an id to an id")
    ids, labels = labelled(*(edges.column(end).to_numpy() for end in ("src", "dst")))
    yield from pa.table({"id": ids, "component": labels}).to_batches(max_chunksize=ROWS_PER_BATCH)


def as_forest(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Batches of edges become the fewest that say the same: each id with the smallest of its component in these batches."""
    for labels in as_labels(batches):
        ends = pa.table({"src": labels.column("id"), "dst": labels.column("component")})
        joins = np.not_equal(*(ends.column(end).to_numpy() for end in ("src", "dst")))
        yield from ends.filter(pa.array(joins)).to_batches()
