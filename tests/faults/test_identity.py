"""Identity in trouble: checkpoints lost in mid-run, edges without an end, components that are far too large, an executor killed."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from pyspark.errors import PythonException
from pyspark.sql import DataFrame, SparkSession

from jobs.__main__ import main
from jobs.identity.components import with_components
from jobs.lakehouse.identity_settings import IdentitySettings
from jobs.lakehouse.run import Run
from tests.identity.test_resolve_customers import IDENTITY, edges_and_ids, fates, held_now, named, seen
from tests.system.corner_shop import CHECKOUT, CornerShop, differences, opened, unaccounted_versions
from tests.system.processes import cluster, running

TABLES = ("silver.customer_ids", "silver.identity_edges", "silver.identity_changes")
LARGE = 5_000_000
Ids = NDArray[np.int64]


@pytest.fixture(autouse=True)
def checkpoints(spark: SparkSession, tmp_path: Path) -> None:
    spark.sparkContext.setCheckpointDir(str(tmp_path / "checkpoints"))


@pytest.mark.long
def test_checkpoints_lost_in_mid_run_end_it_in_words_and_harm_no_table(
    shop: CornerShop,
    undisturbed: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    lake = tmp_path / "lake"
    shutil.copytree(undisturbed, lake)
    of_a_stream = lake / "_checkpoints/clicks/metadata"
    of_a_stream.parent.mkdir(parents=True)
    of_a_stream.touch()
    for name, value in shop.variables(lake).items():
        monkeypatch.setenv(name, value)
    versions = [opened(lake, table).version() for table in TABLES]
    publish: Callable[..., None] = Run.publish

    def robbed(run: Run, *arguments: Any, **named: Any) -> None:
        shutil.rmtree(lake / "_checkpoints_of_customers")
        publish(run, *arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(Run, "publish", robbed)
        code, said = main(shop.command("resolve_customers", "--force")), capfd.readouterr().err
    assert code == 1, said[-3000:]
    assert f"error: {lake}/_checkpoints_of_customers/" in said.replace("file:", "")
    assert "was taken away while the run was reading it" in said
    assert "Traceback" not in said
    assert [opened(lake, table).version() for table in TABLES] == versions, "nothing half done is to be seen"
    assert main(shop.command("resolve_customers", "--force")) == 0
    assert [opened(lake, table).version() for table in TABLES] > versions
    assert differences(lake, undisturbed, TABLES) == {}
    assert unaccounted_versions(lake) == []
    assert not (lake / "_checkpoints_of_customers").exists()
    assert of_a_stream.exists()


def test_edges_without_an_end_are_refused_and_not_rounded(spark: SparkSession) -> None:
    edges = spark.createDataFrame([(2**62 + 1, 2**62 + 3), (2**62 + 2, None)], "src long, dst long")
    for settings in (IdentitySettings(), IdentitySettings(edges_per_process=1)):
        with pytest.raises(PythonException, match="1 ends of edges are null"):
            with_components(edges, settings).collect()


@pytest.mark.parametrize("accounts", [300, pytest.param(5_000, marks=pytest.mark.long)])
def test_a_component_of_thousands_never_reaches_the_replay(
    spark: SparkSession, accounts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = IDENTITY.model_copy(update={"max_links_per_component": 2 * accounts // 10})
    chain = [
        seen("email", f"a{place}", f"e{place + step}", place) for place in range(accounts) for step in (0, 1)
    ]  # each account shares a mailbox with the next
    pair = [seen("email", name, "shared") for name in ("b", "c")]
    people = [named(f"a{place}") for place in range(accounts)]
    edges, customer_ids = edges_and_ids(spark, [*people, named("b"), named("c")], [*chain, *pair], settings)
    held = held_now(customer_ids)
    assert held == {frozenset({row["account_id"]}) for row in people} | {frozenset({"b", "c"})}
    found = fates(edges)
    assert {found.pop((name, "shared")) for name in ("b", "c")} == {None}
    assert len(found) == 2 * accounts
    assert set(found.values()) == {"suspicious_component"}
    mailboxes = customer_ids.where("identifier_kind = 'email'").collect()
    assert [row["identifier_value"] for row in mailboxes] == ["shared"], "what is put aside belongs to nobody"


def scattered(names: Ids) -> Ids:
    """Names as ids anywhere in 64 bits, no two alike, so that order says nothing of the graph."""
    with np.errstate(over="ignore"):
        mixed = names.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) ^ np.uint64(2**63)
    return mixed.view(np.int64)


def large_component() -> tuple[Ids, Ids]:
    """One component: a chain, a star whose hub is the chain's end, and a random tree upon both, five million ids in all."""
    draw = np.random.default_rng(7)
    names = np.arange(1, LARGE)
    parents = np.floor(draw.random(LARGE - 1) * names).astype(np.int64)
    part = LARGE // 50
    parents[:part] = names[:part] - 1
    parents[part : 2 * part] = part
    order = draw.permutation(LARGE - 1)
    return scattered(names[order]), scattered(parents[order])


@pytest.fixture(scope="module")
def large_edges(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("large")
    one, other = large_component()
    for place, (src, dst) in enumerate(zip(np.array_split(one, 8), np.array_split(other, 8), strict=True)):
        pq.write_table(pa.table({"src": src, "dst": dst}), folder / f"part-{place}.parquet")
    return folder


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("edges_per_process", [20_000_000, 1_000_000], ids=["one process", "distributed rounds"])
def test_a_component_of_five_million_ids(
    compiling_spark: SparkSession, large_edges: Path, edges_per_process: int
) -> None:
    edges = compiling_spark.read.parquet(str(large_edges))
    found: DataFrame = with_components(edges, IdentitySettings(edges_per_process=edges_per_process))
    summary = found.selectExpr(
        "count(*) as ids", "count(distinct id) as different", "min(id) as smallest",
        "min(component) as one", "max(component) as other",
    ).collect()[0]  # fmt: skip
    one, other = large_component()
    smallest = int(min(one.min(), other.min()))
    assert summary.asDict() == {
        "ids": LARGE, "different": LARGE, "smallest": smallest, "one": smallest, "other": smallest
    }  # fmt: skip


@pytest.mark.long
def test_an_executor_that_is_killed_changes_no_component(shop: CornerShop, tmp_path: Path) -> None:
    lake = tmp_path / "killed"
    environment = {**shop.environment(lake, PYTHONPATH=str(CHECKOUT)), "PYSPARK_PYTHON": sys.executable}
    log = tmp_path / "driver.log"
    with cluster(tmp_path / "cluster", environment) as address:
        words = [sys.executable, str(CHECKOUT / "tests/faults/killed_executor.py"), address, str(tmp_path / "work")]
        with running(words, log, CHECKOUT, environment) as driver:
            code = driver.wait(timeout=500)
    assert code == 0, log.read_text("utf-8")[-3000:]
    told = json.loads(log.read_text("utf-8").splitlines()[-1])
    assert told["killed"], "an executor must have been killed"
    assert told["was_running"], "in the middle of the work"
    started = list((tmp_path / "cluster").glob("worker-*/app-*/*"))
    assert len(started) > 2, "and another one started in its place"
    assert told["found"] == told["expected"]
    assert told["components"] > 1000
