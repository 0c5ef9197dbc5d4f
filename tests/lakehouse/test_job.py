"""The frame of a job: done once, done again when something changed, and honest about both."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from jobs.__main__ import main
from jobs.lakehouse.contracts import Contract
from jobs.lakehouse.files import delete_folder
from jobs.lakehouse.job import Job, NamedJob
from jobs.lakehouse.settings import ChurnSettings, Settings
from jobs.lakehouse.tables import Lake, Write, write_table
from tests.lakes import RUN_DATE, ledger_of, run_job, settings_in, table
from tests.rows import frame_of, row_of

Outcome = Callable[..., str]
MAKER = "insight.make_things"


@pytest.fixture
def rows_made(spark: SparkSession, things: Contract) -> Callable[[int], NamedJob]:
    """A job that makes so many things."""

    def maker(count: int, *, is_dated: bool = False) -> NamedJob:
        rows = [row_of(things, thing_id=f"t{number}") for number in range(count)]
        frame = frame_of(spark, things, *rows).coalesce(1)
        job = Job(writes=("gold.things",), settings=(ChurnSettings,), is_dated=is_dated)
        return NamedJob(MAKER, "Make things.", job, lambda run: run.publish("gold.things", frame))

    return maker


@pytest.fixture
def lake(tmp_path: Path, shop_conf: Path) -> Settings:
    return settings_in(tmp_path, "shop", shop_conf)


def things_read(spark: SparkSession, settings: Settings) -> int:
    """How many things a job downstream reads."""
    counts: list[int] = []
    job = Job(reads=("gold.things",))
    reader = NamedJob("insight.count", "Count.", job, lambda run: counts.append(run.read("gold.things").count()))
    run_job(spark, settings, reader, force=True)
    return counts[0]


def files_below(folder: str) -> set[str]:
    return {str(path) for path in Path(folder).rglob("*") if path.is_file()}


def test_a_job_runs_again_only_when_something_changed(
    spark: SparkSession, lake: Settings, rows_made: Callable[..., NamedJob]
) -> None:
    make = rows_made(2)
    lake_folder = lake.path("lake")

    assert run_job(spark, lake, make, dry_run=True).outcome == "would run"
    assert files_below(lake_folder) == set(), "a dry run writes nothing"
    assert run_job(spark, lake, make).outcome == "done"

    before = files_below(lake_folder)
    assert run_job(spark, lake, make).outcome == "already done"
    assert run_job(spark, lake, make, RUN_DATE + dt.timedelta(1)).outcome == "already done", "it is not dated"
    assert run_job(spark, lake, make, dry_run=True).outcome == "already done"
    undeclared = lake.model_copy(update={"demand": lake.demand.model_copy(update={"seed": 8})})
    assert run_job(spark, undeclared, make).outcome == "already done", "a setting that is not its own"
    declared = lake.model_copy(update={"churn": lake.churn.model_copy(update={"gap_days": 8})})
    assert run_job(spark, declared, make, dry_run=True).outcome == "would run"
    assert files_below(lake_folder) == before, "nothing was written by any of these"

    assert run_job(spark, declared, make).outcome == "done", "a setting of its own"
    assert run_job(spark, declared, make, force=True).outcome == "done"
    assert ledger_of(spark, lake).good_versions() == {"gold.things": 3}

    delete_folder(spark, Lake(lake_folder).path("gold.things"))
    assert run_job(spark, declared, make).outcome == "done", "its table was taken away"
    assert table(spark, lake, "gold.things").count() == 2


def test_a_dated_job_is_done_once_a_day(
    spark: SparkSession, lake: Settings, rows_made: Callable[..., NamedJob]
) -> None:
    make, next_day = rows_made(1, is_dated=True), RUN_DATE + dt.timedelta(1)
    outcomes = [run_job(spark, lake, make, day).outcome for day in (RUN_DATE, next_day, RUN_DATE)]
    assert outcomes == ["done", "done", "already done"]


def test_a_failing_job_leaves_a_row_and_the_table_unharmed(
    spark: SparkSession, lake: Settings, rows_made: Callable[..., NamedJob]
) -> None:
    make = rows_made(2)
    run_job(spark, lake, make)

    def build(run: object) -> None:
        raise ZeroDivisionError("of apples by nobody")

    failing = NamedJob(MAKER, "Make things.", make.job, build)
    with pytest.raises(ZeroDivisionError):
        run_job(spark, lake, failing, force=True)
    runs = table(spark, lake, "ops.runs").orderBy("finished_at").collect()
    assert [(run["outcome"], run["exit_code"]) for run in runs] == [("succeeded", 0), ("failed", 1)]
    assert runs[1]["message"] == "ZeroDivisionError: of apples by nobody"
    assert runs[0]["config_hash"] == lake.digest
    assert things_read(spark, lake) == 2


def test_jobs_read_the_version_that_the_ledger_names(
    spark: SparkSession, lake: Settings, things: Contract, rows_made: Callable[..., NamedJob]
) -> None:
    run_job(spark, lake, rows_made(2))
    run_job(spark, lake, rows_made(3), force=True)
    assert things_read(spark, lake) == 3
    stray = frame_of(spark, things, row_of(things, thing_id="stray")).coalesce(1)
    write_table(stray, Lake(lake.path("lake")).path("gold.things"), Write("append"), (), "killed before its ledger row")
    assert table(spark, lake, "gold.things").count() == 4
    assert things_read(spark, lake) == 3, "rows of a run that did not reach its ledger row are not read"

    place = ["--dataset", "shop", "--conf-dir", lake.conf_dir, "--lake", lake.path("lake")]
    assert main(["restore", "gold.things", "--version", "1", *place]) == 0
    assert things_read(spark, lake) == 2, "the restored version is read"
    assert run_job(spark, lake, rows_made(3)).outcome == "already done", "a restored table stays until something changes"
    assert main(["restore", "gold.things", "--version", "9", *place]) == 2
    assert main(["restore", "gold.nothing", "--version", "0", *place]) == 5
