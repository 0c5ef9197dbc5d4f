"""Connected components of large graphs: the suite's engine beside GraphFrames, scipy and a union-find, from Parquet to Parquet.

    python benchmarks/identity.py --folder <folder> [--nodes 1000000 10000000] [--graphframes-minutes 15] [--engines scipy suite]

A graph has persons of geometric size (mean 2.5 ids, joined as chains), one hub of 20,000 and one chain of 2,000; ids are
random 64-bit numbers, edges come in random order. All engines run one after the other on the same file; the partitions
must be the same.
"""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as TookTooLong
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyspark.sql import SparkSession
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from jobs.identity.components import grown, with_components
from jobs.lakehouse.identity_settings import IdentitySettings
from jobs.lakehouse.session import open_session
from jobs.lakehouse.settings import load_settings

MEAN_SIZE, HUB, CHAIN = 2.5, 20_000, 2_000
INCREMENT_SHARE = 0.01
INCREMENT = "suite, 1% increment"
FILES = 8
Ids = NDArray[np.int64]


def graph(nodes: int, seed: int = 7) -> tuple[Ids, Ids]:
    """The two ends of each edge, in random order."""
    draw = np.random.default_rng(seed)
    ids = draw.integers(-(2**63), 2**63 - 1, nodes, dtype=np.int64)
    ordinary = nodes - HUB - CHAIN
    starts = draw.random(ordinary) < 1 / MEAN_SIZE
    starts[0] = True
    inside = np.flatnonzero(~starts)
    src = [ids[inside - 1], np.full(HUB - 1, ids[ordinary]), ids[ordinary + HUB : -1]]
    dst = [ids[inside], ids[ordinary + 1 : ordinary + HUB], ids[ordinary + HUB + 1 :]]
    order = draw.permutation(sum(map(len, src)))
    return np.concatenate(src)[order], np.concatenate(dst)[order]


def write_edges(folder: Path, src: Ids, dst: Ids) -> None:
    """The edges as a few Parquet files."""
    folder.mkdir(parents=True)
    for part, (one, other) in enumerate(zip(np.array_split(src, FILES), np.array_split(dst, FILES), strict=True)):
        pq.write_table(pa.table({"src": one, "dst": other}), folder / f"part-{part}.parquet")


def ends(folder: Path) -> tuple[Ids, Ids]:
    """The edges of a folder."""
    table = pq.read_table(folder)
    return table["src"].to_numpy(), table["dst"].to_numpy()


def by_scipy(source: Path, target: Path) -> None:
    """Scipy in one process, its components called by any number."""
    src, dst = ends(source)
    ids, places = np.unique(np.concatenate([src, dst]), return_inverse=True)
    edges = (places[: len(src)], places[len(src) :])
    _, group = connected_components(
        coo_array((np.ones(len(src), np.int8), edges), shape=(len(ids),) * 2), directed=False
    )
    target.mkdir()
    pq.write_table(pa.table({"id": ids, "component": group.astype(np.int64)}), target / "part-0.parquet")


def by_union_find(source: Path, target: Path) -> None:
    """A union-find with path halving, one edge after the other in Python."""
    parents: dict[int, int] = {}

    def root(node: int) -> int:
        while (parent := parents.setdefault(node, node)) != node:
            parents[node] = node = parents.setdefault(parent, parent)
        return node

    for one, other in zip(*(end.tolist() for end in ends(source)), strict=True):
        a, b = root(one), root(other)
        if a != b:
            parents[max(a, b)] = min(a, b)
    target.mkdir()
    found = pa.table({"id": list(parents), "component": [root(node) for node in parents]})
    pq.write_table(found, target / "part-0.parquet")


def by_suite(spark: SparkSession, settings: IdentitySettings) -> Callable[[Path, Path], None]:
    """The suite's engine, or GraphFrames alone, as the settings say."""

    def run(source: Path, target: Path) -> None:
        with_components(spark.read.parquet(str(source)), settings).write.parquet(str(target))

    return run


def by_increment(spark: SparkSession, settings: IdentitySettings, before: Path) -> Callable[[Path, Path], None]:
    """The suite's engine on what came in a day, given the components of the day before."""

    def run(source: Path, target: Path) -> None:
        known = spark.read.parquet(str(before))
        grown(known, spark.read.parquet(str(source)), settings).write.parquet(str(target))

    return run


def partition_digest(folder: Path) -> tuple[int, int, int]:
    """What two results share only if they are the same partition: ids, components, and a sum over each id's component's smallest id."""
    table = pq.read_table(folder, columns=["id", "component"])
    ids, component = table["id"].to_numpy(), table["component"].to_numpy()
    order = np.argsort(ids)
    ids, component = ids[order], component[order]
    _, first, group = np.unique(component, return_index=True, return_inverse=True)
    with np.errstate(over="ignore"):
        mixed = (ids.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)) ^ ids[first][group].astype(np.uint64)
        return len(ids), len(first), int((mixed * np.uint64(0xC2B2AE3D27D4EB4F)).sum())


@contextmanager
def fresh(folder: Path) -> Iterator[Path]:
    """A folder name that is free, cleared up afterwards."""
    shutil.rmtree(folder, ignore_errors=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def timed(run: Callable[[Path, Path], None], source: Path, target: Path, minutes: float | None = None) -> float | None:
    """The seconds that an engine took; None where it was cut off."""
    began = time.monotonic()
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(run, source, target)
        try:
            done.result(None if minutes is None else 60 * minutes)
        except TookTooLong:
            active = SparkSession.getActiveSession()
            assert active is not None
            active.sparkContext.cancelAllJobs()
            done.exception()
            return None
    return time.monotonic() - began


def measure(
    spark: SparkSession,
    folder: Path,
    nodes: int,
    engines: list[str],
    minutes: float,
    runs: int,
    contract: IdentitySettings,
) -> None:
    """Run all engines on one graph and print a row of each."""
    src, dst = graph(nodes)
    cut = int(len(src) * (1 - INCREMENT_SHARE))
    write_edges(folder / "edges", src, dst)
    write_edges(folder / "until_yesterday", src[:cut], dst[:cut])
    write_edges(folder / "today", src[cut:], dst[cut:])
    del src, dst
    alone = IdentitySettings(engine="graphframes")
    before = folder / "components_of_yesterday"
    if INCREMENT in engines:
        by_suite(spark, contract)(folder / "until_yesterday", before)
    known: dict[str, tuple[Callable[[Path, Path], None], str, float | None]] = {
        "suite": (by_suite(spark, contract), "edges", None),
        "suite, distributed rounds": (by_suite(spark, IdentitySettings(edges_per_process=nodes // 20)), "edges", None),
        INCREMENT: (by_increment(spark, contract, before), "today", None),
        "scipy": (by_scipy, "edges", None),
        "union-find": (by_union_find, "edges", None),
        "graphframes": (by_suite(spark, alone), "edges", minutes),
    }
    expected = None
    for name in engines:
        run, source, limit = known[name]
        for _ in range(1 if limit else runs):
            with fresh(folder / "found") as target:
                seconds = timed(run, folder / source, target, limit)
                if seconds is None:
                    print(f"| {nodes:,} | {name} | more than {60 * minutes:,.0f} | |", flush=True)
                    continue
                digest = partition_digest(target)
            expected = expected or digest
            if digest != expected:
                raise SystemExit(f"{name} found another partition: {digest}, not {expected}")
            print(f"| {nodes:,} | {name} | {seconds:,.1f} | {digest[1]:,} |", flush=True)


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="a folder that is not there yet; removed afterwards")
    parser.add_argument("--nodes", type=int, nargs="+", default=[1_000_000, 10_000_000])
    engines = ["scipy", "suite", INCREMENT, "suite, distributed rounds", "union-find", "graphframes"]
    parser.add_argument("--engines", nargs="+", default=engines, choices=engines)
    parser.add_argument("--graphframes-minutes", type=float, default=15)
    parser.add_argument("--runs", type=int, default=3, help="of each engine but GraphFrames")
    most = IdentitySettings().edges_per_process
    parser.add_argument("--edges-per-process", type=int, default=most, help="of the suite; as in the settings")
    told = parser.parse_args()
    contract = IdentitySettings(edges_per_process=told.edges_per_process)
    spark = open_session(load_settings("local", "world"), "benchmark of identity")
    spark.sparkContext.setCheckpointDir(str(told.folder.resolve() / "checkpoints"))
    print("| nodes | engine | seconds | components |\n| ---: | --- | ---: | ---: |")
    for nodes in told.nodes:
        with fresh(told.folder.resolve() / f"{nodes}") as folder:
            measure(spark, folder, nodes, told.engines, told.graphframes_minutes, told.runs, contract)
    spark.stop()
    shutil.rmtree(told.folder, ignore_errors=True)


if __name__ == "__main__":
    main()
