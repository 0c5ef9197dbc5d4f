"""The frame of a job: done once, done again when something changed, and honest about both."""

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from jobs.__main__ import main
from jobs.lakehouse.basis import changed_inputs, read_before
from jobs.lakehouse.contracts import Contract
from jobs.lakehouse.days import utc_now
from jobs.lakehouse.errors import DataError
from jobs.lakehouse.files import delete_folder
from jobs.lakehouse.job import Job, NamedJob
from jobs.lakehouse.ledger import KNOWN, Output, RunRecord
from jobs.lakehouse.run import Run
from jobs.lakehouse.settings import ChurnSettings, Settings
from jobs.lakehouse.tables import Lake, Write, ensure_table, restore_table, table_version, write_table
from jobs.lakehouse.vault import VALUES
from tests.lakes import RUN_DATE, ledger_of, run_job, settings_in, table
from tests.rows import contract_of, frame_of, row_of

NEXT_DAY = RUN_DATE + dt.timedelta(1)


def make_marks(count: int, *, is_dated: bool = False) -> NamedJob:
    """A job that makes so many marks."""

    def build(run: Run) -> None:
        run.publish("gold.marks", run.spark.range(count).selectExpr("cast(id as int) as mark").coalesce(1))

    job = Job(writes=("gold.marks",), settings=(ChurnSettings,), is_dated=is_dated)
    return NamedJob("insight.make_marks", "Make marks.", job, build)


@pytest.fixture
def lake(tmp_path: Path, shop_conf: Path) -> Settings:
    return settings_in(tmp_path, "shop", shop_conf)


def marks_read(spark: SparkSession, settings: Settings) -> int:
    """How many marks a job downstream reads."""
    counts: list[int] = []
    job = Job(reads=("gold.marks",))
    reader = NamedJob("insight.count", "Count.", job, lambda run: counts.append(run.read("gold.marks").count()))
    run_job(spark, settings, reader, force=True)
    return counts[0]


def files_below(folder: str) -> set[str]:
    return {str(path) for path in Path(folder).rglob("*") if path.is_file()}


def test_a_job_runs_again_only_when_something_changed(spark: SparkSession, lake: Settings) -> None:
    make, folder = make_marks(2), lake.path("lake")

    assert run_job(spark, lake, make, dry_run=True).outcome == "would run"
    assert files_below(folder) == set(), "a dry run writes nothing"
    first = run_job(spark, lake, make)
    assert first.outcome == "done"
    assert first.record is not None
    assert first.record.rows_written == 2, "counted while written"

    before = files_below(folder)
    assert run_job(spark, lake, make).outcome == "already done"
    assert run_job(spark, lake, make, NEXT_DAY).outcome == "already done", "it is not dated"
    undeclared = lake.model_copy(update={"demand": lake.demand.model_copy(update={"seed": 8})})
    assert run_job(spark, undeclared, make).outcome == "already done", "a setting that is not its own"
    declared = lake.model_copy(update={"churn": lake.churn.model_copy(update={"gap_days": 8})})
    assert run_job(spark, declared, make, dry_run=True).outcome == "would run", "a setting of its own"
    assert run_job(spark, lake, make_marks(2, is_dated=True), NEXT_DAY, dry_run=True).outcome == "would run"
    assert files_below(folder) == before, "nothing was written by any of these"

    assert run_job(spark, lake, make, force=True).outcome == "done"
    assert ledger_of(spark, lake).good_versions() == {"gold.marks": 2}
    delete_folder(spark, Lake(folder).path("gold.marks"))
    assert run_job(spark, lake, make).outcome == "done", "its table was taken away"
    assert table(spark, lake, "gold.marks").count() == 2


def test_a_run_that_was_cut_short_is_done_again(spark: SparkSession, lake: Settings) -> None:
    is_cut_short = iter((True, False))

    def build(run: Run) -> None:
        run.is_cut_short = next(is_cut_short)
        run.publish("gold.marks", run.spark.range(1).selectExpr("cast(id as int) as mark").coalesce(1))

    make = NamedJob("insight.make_marks", "Make marks.", Job(writes=("gold.marks",)), build)
    assert [run_job(spark, lake, make).outcome for _ in range(3)] == ["done", "done", "already done"]


@pytest.mark.long
def test_a_run_may_build_upon_the_last_one_of_the_same_terms_whose_inputs_are_kept(
    spark: SparkSession, lake: Settings
) -> None:
    told: list[tuple[frozenset[str] | None, int | None]] = []

    def build(run: Run) -> None:
        changed = changed_inputs(run)
        before = read_before(run, "gold.marks") if changed else None
        told.append((changed, None if before is None else before.count()))

    job = Job(reads=("gold.marks",), settings=(ChurnSettings,))
    reader = NamedJob("insight.count", "Count.", job, build)
    run_job(spark, lake, make_marks(2))
    run_job(spark, lake, reader)
    run_job(spark, lake, make_marks(3), force=True)
    run_job(spark, lake, reader)
    run_job(spark, lake, reader, force=True)
    declared = lake.model_copy(update={"churn": lake.churn.model_copy(update={"gap_days": 8})})
    run_job(spark, declared, reader)
    assert told == [(None, None), (frozenset({"gold.marks"}), 2), (None, None), (None, None)]
    KNOWN.clear()
    run_job(spark, lake, make_marks(4), force=True)
    run_job(spark, declared, reader)
    assert told[-1] == (frozenset({"gold.marks"}), 3), "and so it is when the ledger is read anew"
    path = Lake(lake.path("lake")).path("gold.marks")
    cleaned = table(spark, lake, "gold.marks").inputFiles()
    run_job(spark, lake, make_marks(5), force=True)
    for file in cleaned:
        (Path(path) / file.rsplit("/", 1)[-1]).unlink()
    run_job(spark, declared, reader)
    assert told[-1][0] is None, "what it was made from was cleaned away"


@pytest.mark.long
def test_what_a_job_published_and_somebody_took_away_is_nothing_to_build_upon(
    spark: SparkSession, lake: Settings, things: Contract
) -> None:
    told: list[tuple[int | None, bool]] = []

    def build(run: Run) -> None:
        before = run.previous("gold.marks")
        told.append((None if before is None else before.count(), run.basis is None))
        run.publish("gold.marks", run.spark.range(len(told)).selectExpr("cast(id as int) as mark").coalesce(1))

    def make_things(run: Run) -> None:
        run.publish("gold.things", frame_of(run.spark, things, row_of(things, weight=5)))

    job = NamedJob("insight.make_marks", "Make marks.", Job(writes=("gold.marks",), reads=("gold.things",)), build)
    source = NamedJob("insight.make_things", "Make things.", Job(writes=("gold.things",)), make_things)
    for _ in range(2):
        run_job(spark, lake, source, force=True)
        run_job(spark, lake, job)
    delete_folder(spark, Lake(lake.path("lake")).path("gold.marks"))
    run_job(spark, lake, source, force=True)
    assert run_job(spark, lake, job).outcome == "done"
    assert told == [(None, True), (1, False), (None, True)]


@pytest.mark.long
def test_a_date_is_made_again_when_its_table_was_made_anew_for_another(spark: SparkSession, lake: Settings) -> None:
    make = make_marks(2, is_dated=True)
    assert run_job(spark, lake, make).outcome == "done"
    assert run_job(spark, lake, make, NEXT_DAY).outcome == "done"
    assert run_job(spark, lake, make).outcome == "already done", "another date changes nothing for this one"

    delete_folder(spark, Lake(lake.path("lake")).path("gold.marks"))
    assert run_job(spark, lake, make, NEXT_DAY).outcome == "done"
    assert run_job(spark, lake, make, NEXT_DAY).outcome == "already done"
    assert run_job(spark, lake, make).outcome == "done", "its rows went with the table"


@pytest.mark.long
def test_what_a_chain_remembers_of_its_ledger_is_what_a_new_reader_finds(spark: SparkSession, lake: Settings) -> None:
    dated = make_marks(2, is_dated=True)
    for run_date in (RUN_DATE, NEXT_DAY, RUN_DATE):
        run_job(spark, lake, dated, run_date)
    run_job(spark, lake, make_marks(3), force=True)
    delete_folder(spark, Lake(lake.path("lake")).path("gold.marks"))
    run_job(spark, lake, dated, NEXT_DAY)

    path = ledger_of(spark, lake).path
    remembered = KNOWN.pop(path)
    assert remembered.begun_again.keys() == {"gold.marks"}
    found = ledger_of(spark, lake)
    assert found.good_versions() == remembered.good_versions
    for asked in (None, RUN_DATE, NEXT_DAY):
        KNOWN[path].last(spark, path, asked)
    assert (KNOWN[path].version, KNOWN[path].begun_again) == (remembered.version, remembered.begun_again)
    for asked, successes in remembered.successes.items():
        assert KNOWN[path].successes[asked] == successes


def add_values(spark: SparkSession, settings: Settings, job: str, *, row_is_late: bool = False) -> RunRecord:
    """A run that adds to the vault, and its row of the ledger; one whose row is late is left to whoever calls."""
    path, contract = Lake(settings.path("lake")).path(VALUES), contract_of(VALUES)
    ensure_table(spark, path, contract)
    write_table(frame_of(spark, VALUES, row_of(VALUES, token=job)), path, Write("append"), (), job)
    version = table_version(spark, path)
    assert version is not None
    told = RunRecord(
        **{**row_of("ops.runs"), "run_id": f"{job} {version}", "job": job, "finished_at": utc_now(), "message": ""},
    )
    record = replace(told, outcome="succeeded", inputs=[], outputs=[Output(VALUES, version, 1)])
    if not row_is_late:
        ledger_of(spark, settings).append(record)
    return record


def vault_as_known(spark: SparkSession, settings: Settings, *jobs: str) -> tuple[int | None, list[bool]]:
    """The good version of the vault, and of each job whether its last success counts: remembered, and alike when found anew."""
    told = []
    for forgets in (False, True):
        if forgets:
            KNOWN.clear()
        ledger = ledger_of(spark, settings)
        counts = [ledger.last_success(job, None) is not None for job in jobs]
        told.append((ledger.good_versions().get(VALUES), counts))
    assert told[0] == told[1], "what is remembered is what is found"
    return told[0]


@pytest.mark.long
def test_of_what_several_jobs_add_to_the_greatest_version_is_good_whoever_has_the_last_row(
    spark: SparkSession, lake: Settings
) -> None:
    jobs = ("load_files", "load_tables")
    add_values(spark, lake, "load_files")
    assert vault_as_known(spark, lake, *jobs) == (1, [True, False])
    late = add_values(spark, lake, "load_tables", row_is_late=True)
    add_values(spark, lake, "load_files")
    ledger_of(spark, lake).append(replace(late, finished_at=utc_now()))
    assert vault_as_known(spark, lake, *jobs) == (3, [True, True]), "the second writer had its row first"

    path = Lake(lake.path("lake")).path(VALUES)
    restore_table(spark, path, 1)
    restored = replace(late, run_id="restored", job="lakehouse.restore", finished_at=utc_now())
    ledger_of(spark, lake).append(replace(restored, outputs=[Output(VALUES, 4, 0)]))
    assert vault_as_known(spark, lake, *jobs) == (4, [True, True])

    delete_folder(spark, path)
    assert vault_as_known(spark, lake)[0] is None
    add_values(spark, lake, "load_tables")
    assert vault_as_known(spark, lake, *jobs) == (1, [False, True]), "what load_files added went with the folder"


def test_a_failing_job_leaves_a_row_and_the_table_unharmed(spark: SparkSession, lake: Settings) -> None:
    make = make_marks(2)
    run_job(spark, lake, make)

    def build(run: Run) -> None:
        run.publish("gold.marks", run.spark.range(9).selectExpr("cast(id as int) as mark"))
        raise ZeroDivisionError("of apples by nobody")

    with pytest.raises(ZeroDivisionError):
        run_job(spark, lake, NamedJob(make.name, make.doc, make.job, build), force=True)
    runs = table(spark, lake, "ops.runs").orderBy("finished_at").collect()
    assert [(run["outcome"], run["exit_code"]) for run in runs] == [("succeeded", 0), ("failed", 1)]
    assert runs[1]["message"] == "ZeroDivisionError: of apples by nobody"
    assert {run["config_hash"] for run in runs} == {lake.digest}
    assert table(spark, lake, "gold.marks").count() == 2


def test_the_ledger_keeps_no_value_that_an_error_quotes(spark: SparkSession, lake: Settings) -> None:
    plain = ("13812345678", "+86 138 1234 5678", "alice@example.com", "王小明", "Alice Liddell")
    make = make_marks(1)

    def build(run: Run) -> None:
        quoted = run.spark.createDataFrame([(f"{plain[0]} {plain[3]}",)], "phone string")
        run.publish("gold.marks", quoted.selectExpr("cast(phone as int) as mark"))

    def build_badly(run: Run) -> None:
        raise KeyError(f'no phone {plain[1]} of <{plain[2]}>, "{plain[4]}"')

    for failing in (build, build_badly):
        with pytest.raises((PySparkException, Py4JJavaError, KeyError)):
            run_job(spark, lake, NamedJob(make.name, make.doc, make.job, failing), force=True)
    messages = [row["message"] for row in table(spark, lake, "ops.runs").orderBy("finished_at").collect()]
    assert len(messages) == 2
    for message in messages:
        assert not [value for value in plain if value in message], message
    assert "[TASK_WRITE_FAILED]" in messages[0], "what went wrong is still told"
    assert messages[1].startswith("KeyError: ")


def test_jobs_read_the_version_that_the_ledger_names(
    spark: SparkSession, lake: Settings, capfd: pytest.CaptureFixture[str]
) -> None:
    run_job(spark, lake, make_marks(2))
    run_job(spark, lake, make_marks(3), force=True)
    stray = spark.range(1).selectExpr("cast(id as int) as mark")
    write_table(stray, Lake(lake.path("lake")).path("gold.marks"), Write("append"), (), "killed before its ledger row")
    assert table(spark, lake, "gold.marks").count() == 4
    assert ledger_of(spark, lake).good_versions() == {"gold.marks": 2}, "the stray commit has no ledger row"

    place = ["--dataset", "shop", "--conf-dir", lake.conf_dir, "--lake", lake.path("lake")]
    assert main(["restore", "gold.marks", "--version", "1", *place]) == 0
    assert marks_read(spark, lake) == 2, "what the ledger names is read"
    assert run_job(spark, lake, make_marks(3)).outcome == "already done", "a restored table stays"
    capfd.readouterr()
    assert main(["restore", "gold.marks", "--version", "9", *place]) == 2
    assert "gold.marks has the versions 0 to 4, not 9" in capfd.readouterr().err
    assert main(["restore", "gold.nothing", "--version", "0", *place]) == 5
    assert main(["show", "gold.marks", *place]) == 0
    assert "gold.marks: One row per mark." in capfd.readouterr().out


@pytest.mark.long
def test_an_append_that_delta_skips_though_its_rows_are_gone_is_no_success(spark: SparkSession, lake: Settings) -> None:
    def append(write: Callable[[Run], Write]) -> None:
        def build(run: Run) -> None:
            run.publish("gold.marks", spark.range(2).selectExpr("cast(id as int) as mark"), write(run))

        run_job(spark, lake, NamedJob("insight.append", "Append.", Job(writes=("gold.marks",)), build), force=True)

    def same(run: Run) -> Write:
        return Write("append", transaction="one slice")

    append(same)
    append(same)
    assert table(spark, lake, "gold.marks").count() == 2, "the slice is there, and once"
    restore_table(spark, Lake(lake.path("lake")).path("gold.marks"), 0)
    with pytest.raises(DataError, match=r"gold\.marks: Delta has taken these rows for ones that it has"):
        append(same)
