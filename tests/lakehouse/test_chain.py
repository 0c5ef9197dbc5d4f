"""A chain: what does not wait for each other runs side by side, and a failure stops what has not begun."""

from pathlib import Path
from threading import Barrier

import pytest
from pyspark.sql import SparkSession

from jobs.lakehouse.chain import run_chain, startable
from jobs.lakehouse.errors import DataError
from jobs.lakehouse.job import Build, Job, NamedJob
from jobs.lakehouse.ledger import KNOWN
from jobs.lakehouse.run import Run
from jobs.lakehouse.settings import Settings
from tests.lakes import RUN_DATE, ledger_of, settings_in

SECONDS_TO_MEET = 120


def step(
    name: str, reads: tuple[str, ...] = (), build: Build = lambda run: None, *, takes_all_slots: bool = False
) -> NamedJob:
    """A job that writes nothing; that it writes `gold.<name>` is only declared."""
    return NamedJob(f"insight.{name}", name, Job(reads, (f"gold.{name}",), takes_all_slots=takes_all_slots), build)


@pytest.fixture
def lake(tmp_path: Path, shop_conf: Path) -> Settings:
    return settings_in(tmp_path, "shop", shop_conf)


def test_two_jobs_that_do_not_wait_for_each_other_run_side_by_side(spark: SparkSession, lake: Settings) -> None:
    both_run, order = Barrier(2), list[str]()

    def meet(run: Run) -> None:
        both_run.wait(SECONDS_TO_MEET)
        order.append(run.job)

    jobs = [step("left", build=meet), step("right", build=meet)]
    jobs.append(step("sum", ("gold.left", "gold.right"), lambda run: order.append(run.job)))
    told: list[tuple[int, int]] = []
    results = list(
        run_chain(jobs, spark, lake, RUN_DATE, tell=lambda ended, running: told.append((ended, len(running))))
    )

    assert {result.name for result in results[:2]} == {"insight.left", "insight.right"}
    assert [order[-1], results[-1].name] == ["insight.sum", "insight.sum"], "it waited for both"
    assert told[0] == (0, 2)
    remembered = {named.name: ledger_of(spark, lake).last_success(named.name, None) for named in jobs}
    KNOWN.clear()
    assert remembered == {named.name: ledger_of(spark, lake).last_success(named.name, None) for named in jobs}
    assert None not in remembered.values()


def test_after_a_failure_the_neighbour_ends_and_nothing_more_begins(spark: SparkSession, lake: Settings) -> None:
    both_run, ran = Barrier(2), list[str]()

    def fail(run: Run) -> None:
        both_run.wait(SECONDS_TO_MEET)
        raise DataError("the file is gone")

    def run_on(run: Run) -> None:
        both_run.wait(SECONDS_TO_MEET)
        run.spark.range(3).count()
        ran.append(run.job)

    jobs = [step("failing", build=fail), step("beside", build=run_on)]
    jobs.append(step("after", ("gold.beside",), lambda run: ran.append(run.job)))
    with pytest.raises(DataError, match="the file is gone"):
        list(run_chain(jobs, spark, lake, RUN_DATE))
    assert ran == ["insight.beside"]
    assert ledger_of(spark, lake).last_success("insight.beside", None) is not None


def test_of_jobs_that_take_all_slots_one_runs_at_a_time() -> None:
    train, other_training, score = (
        step("train", takes_all_slots=True),
        step("retrain", takes_all_slots=True),
        step("score"),
    )
    waiting = {named.name: named for named in (train, other_training, score)}
    free: dict[str, set[str]] = {name: set() for name in waiting}

    assert startable(waiting, free, [], 3) == [train, score]
    assert startable({other_training.name: other_training}, free, [train], 3) == []
    assert startable({other_training.name: other_training}, free, [score], 3) == [other_training]
    assert startable(waiting, free, [score, score, score], 3) == []
