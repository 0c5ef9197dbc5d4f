"""Programs of their own that tests wait for: they run one after the other beside the tests of this process, which go first.

A Spark that does little keeps one core busy, planning; so the programs take the other one.
"""

import shutil
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from tests.faults.kills import FEATURES, FEATURES_KILLS, INGEST, INGEST_KILLS, killed
from tests.system.corner_shop import CHECKOUT, FIRST_DATE, LAST_DATE, CornerShop, shop_in, undisturbed_lake
from tests.system.submitted_chain import Submitted, submitted_chain

# The fixtures that wait for a program.
AWAITED = {"submitted", "killed_ingest", "killed_features"}


@dataclass(frozen=True)
class Programs:
    """The programs that the tests of this run wait for, by the fixture that gives what each leaves."""

    wanted: set[str]
    pool: ThreadPoolExecutor
    started: dict[str, Future[Any]] = field(default_factory=dict)

    def start(self, name: str, program: Callable[..., Any], *arguments: object) -> None:
        """Let a program run after those that were started before it, if a test waits for it."""
        if name in self.wanted:
            self.started[name] = self.pool.submit(program, *arguments)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests that wait for a program last."""
    items.sort(key=lambda item: not AWAITED.isdisjoint(getattr(item, "fixturenames", ())))


@pytest.fixture(scope="session", autouse=True)
def programs(request: pytest.FixtureRequest) -> Iterator[Programs]:
    """Start what needs nothing of this session, in the order in which it is waited for."""
    fixtures = {name for item in request.session.items for name in getattr(item, "fixturenames", ())}
    with ThreadPoolExecutor(max_workers=1) as pool:
        programs = Programs(fixtures & AWAITED, pool)
        if programs.wanted:
            shop: CornerShop = request.getfixturevalue("shop")
            # What a process inherits is told here, for tests of this process change its environment meanwhile.
            lake = shop.folder / "killed_ingest"
            programs.start(
                "killed_ingest", killed, shop, lake, INGEST, LAST_DATE, INGEST_KILLS, environment_of(shop, lake)
            )
            lake = shop.folder / "submitted"
            programs.start("submitted", submitted_chain, shop, lake, cluster_environment_of(shop, lake))
        yield programs
        pool.shutdown(wait=True, cancel_futures=True)


def environment_of(shop: CornerShop, lake: Path) -> dict[str, str]:
    """The environment of a process that runs jobs of the checkout."""
    return shop.environment(lake, PYTHONPATH=str(CHECKOUT))


def cluster_environment_of(shop: CornerShop, lake: Path) -> dict[str, str]:
    """The environment of spark-submit, which says all of Spark by its own options."""
    told = {name: value for name, value in shop.environment(lake).items() if not name.startswith("LAKEHOUSE__SPARK")}
    return {**told, "PYSPARK_PYTHON": sys.executable}


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> CornerShop:
    """The corner shop and its raw files."""
    return shop_in(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def undisturbed(spark: SparkSession, shop: CornerShop, programs: Programs) -> Path:
    """The lake of the data jobs for the last date, run in this session; tests read it."""
    undisturbed, lake = undisturbed_lake(shop), shop.folder / "killed_features"
    shutil.copytree(undisturbed, lake)
    programs.start(
        "killed_features", killed, shop, lake, FEATURES, FIRST_DATE, FEATURES_KILLS, environment_of(shop, lake)
    )
    return undisturbed


@pytest.fixture(scope="session")
def submitted(programs: Programs) -> Submitted:
    """The whole chain, submitted once to a cluster of two workers."""
    chain: Submitted = programs.started["submitted"].result()
    return chain


@pytest.fixture(scope="session")
def killed_ingest(programs: Programs) -> Path:
    """A lake whose first filling was killed again and again."""
    lake: Path = programs.started["killed_ingest"].result()
    return lake


@pytest.fixture(scope="session")
def killed_features(undisturbed: Path, programs: Programs) -> Path:
    """A full lake to which a date was added by runs that were killed."""
    lake: Path = programs.started["killed_features"].result()
    return lake
