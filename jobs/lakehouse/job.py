"""The frame of a job: what it declares, and how one run of it goes from inputs to ledger row."""

from __future__ import annotations

import datetime as dt
import hashlib
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

from jobs.lakehouse.contracts import Contract, read_contracts
from jobs.lakehouse.days import utc_now
from jobs.lakehouse.files import delete_folder, folder_exists
from jobs.lakehouse.foreseen import as_foreseen, told
from jobs.lakehouse.inputs import MODELS, TRUTH, feeds_of, has_feeds, input_versions, world_mark, written_names
from jobs.lakehouse.ledger import AUDITS, RUNS, Ledger, Output, RunRecord, TableVersion
from jobs.lakehouse.locks import locked
from jobs.lakehouse.memory import PeakMemory
from jobs.lakehouse.part import Part
from jobs.lakehouse.run import Run
from jobs.lakehouse.session import described
from jobs.lakehouse.settings import Settings
from jobs.lakehouse.sources import read_sources
from jobs.lakehouse.tables import Lake, table_exists
from jobs.lakehouse.tracking import Tracking
from jobs.lakehouse.vault import ADDED_TO
from jobs.lakehouse.version import VERSION

Build = Callable[[Run], None]


@dataclass(frozen=True)
class Job:
    """What a job declares: tables (`layer.name`, or a pattern), models (`models.churn`), and what comes from outside.

    That is `files.*`, `topics.*` or `database.*`, the feeds of a dataset by the way in which they arrive. A job that takes
    feeds in and writes `bronze.*` writes the tables of those feeds and no other.

    Args:
        reads: what it may read.
        writes: what it may write.
        settings: the sections of the settings that it is handed; they are part of its fingerprint.
        is_dated: whether its result depends on the run date, and not on its inputs alone.
        only_simulated: whether it makes sense for the simulated world only.
        can_lack: of what it reads, the tables that it can do without where no feed of the dataset fills them.
        fills_without_feeds: whether it leaves its tables empty, not missing, where no feed of the dataset fills them.
        takes_all_slots: whether its tasks must all run at once, so that of such jobs one runs at a time; others may run beside it.
    """

    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    settings: tuple[type[Part], ...] = ()
    is_dated: bool = False
    only_simulated: bool = False
    can_lack: tuple[str, ...] = ()
    fills_without_feeds: bool = False
    takes_all_slots: bool = False

    def main(self, doc: str | None, build: Build, arguments: Sequence[str] | None = None) -> int:
        """Run the job as a program, and give its exit code."""
        from jobs.lakehouse.cli import run_as_program  # noqa: PLC0415 - the command line stands above the frame

        return run_as_program(NamedJob(job_name(build), doc or "", self, build), arguments)


@dataclass(frozen=True)
class NamedJob:
    """A job with its name, `<stage>.<file>`, its sentence and what it does."""

    name: str
    doc: str
    job: Job
    build: Build

    @property
    def reads(self) -> tuple[str, ...]:
        """What it may read."""
        return self.job.reads

    @property
    def writes(self) -> tuple[str, ...]:
        """What it may write."""
        return self.job.writes

    @property
    def sentence(self) -> str:
        """The first sentence of its docstring."""
        return " ".join(self.doc.strip().split("\n\n")[0].split())


@dataclass(frozen=True)
class Result:
    """How a run ended: `done`, `already done`, `would run`, `nothing to do` or `failed`, what it cost, and why."""

    name: str
    outcome: str
    record: RunRecord | None = None
    note: str = ""


def job_name(build: Build) -> str:
    """The name of a job by the file of its `build`: `<stage>.<file>`."""
    file = Path(build.__code__.co_filename)
    return f"{file.parent.name}.{file.stem}"


def all_contracts(settings: Settings) -> Mapping[str, Contract]:
    """The contracts of every table of a dataset, those of its bronze tables made from its feeds."""
    conf_dir = Path(settings.conf_dir)
    bronze = [source.bronze_contract for source in read_sources(conf_dir, settings.dataset).values()]
    return {**read_contracts(conf_dir), **{contract.table: contract for contract in bronze}}


def ledger_of(spark: SparkSession, settings: Settings) -> Ledger:
    """The ledger of a dataset's lake."""
    return Ledger(spark, Lake(settings.path("lake")), all_contracts(settings)[RUNS])


def execute(
    named: NamedJob, spark: SparkSession, settings: Settings, run_date: dt.date, *, force: bool = False,
    dry_run: bool = False, upstream_would_run: bool = False,
) -> Result:  # fmt: skip
    """Run one job for one date, unless its last run had the same inputs, settings and date.

    Raises:
        LakehouseError: the run failed; the ledger has its row.
    """
    contracts = all_contracts(settings)
    lake = Lake(settings.path("lake"))
    ledger = Ledger(spark, lake, contracts[RUNS])
    if not has_feeds(named.reads, named.writes, settings):
        return Result(named.name, "nothing to do", note=f"no feed of dataset {settings.dataset} comes in this way")
    if dry_run and upstream_would_run:
        return Result(named.name, "would run")
    writes = written_names(named.reads, named.writes, settings, contracts)
    own = [name for name in writes if name not in ADDED_TO] or [named.name]
    with locked(lake.locks, [] if dry_run else own):
        published = ledger.good_versions()
        inputs = input_versions(named.reads, spark, settings, contracts, published)
        promised = [contracts[name] for name in writes if name in contracts]
        fingerprint = _fingerprint(named, settings, run_date, promised, inputs)
        terms = _fingerprint(named, settings, run_date, promised, {})
        last = ledger.last_success(named.name, run_date if named.job.is_dated else None)
        if (
            not force
            and last is not None
            and last.fingerprint == fingerprint
            and _still_there(named.job, spark, settings, last.tables)
        ):
            return Result(named.name, "already done")
        if dry_run:
            return Result(named.name, "would run")
        # What somebody took away is nothing to build upon.
        kept = {
            name: good for name, good in published.items() if name not in writes or table_exists(spark, lake.path(name))
        }
        salted = f"{fingerprint}-{uuid.uuid4().hex[:8]}" if force else fingerprint
        run = Run(
            spark, settings, named.name, run_date, uuid.uuid4().hex, salted, named.job.reads, writes,
            named.job.settings, contracts, inputs, kept, terms,
        )  # fmt: skip
        run.left = {} if last is None else last.outputs
        if last is not None and not force and last.is_basis(terms, kept):
            run.basis = last.inputs
        return _accounted(named, run, ledger, fingerprint)


def _accounted(named: NamedJob, run: Run, ledger: Ledger, fingerprint: str) -> Result:
    """Build, commit, and leave a row in the ledger, however it ends; a stream leaves one after each of its batches too."""
    started = utc_now()
    outputs: list[Output] = []
    error: Exception | None = None
    with PeakMemory() as memory:

        def account() -> None:
            nonlocal started
            batch = RunRecord(
                **_told_of(run, started, run.take_added()), outcome="succeeded", exit_code=0, message="a batch",
                run_id=uuid.uuid4().hex, fingerprint=uuid.uuid4().hex[:24], peak_memory_mib=memory.reset(),
            )  # fmt: skip
            ledger.append(batch)
            _note_audits(run, ledger, batch.run_id)
            run.rows_accounted, started = 0, utc_now()

        run.account = account
        try:
            with run.resources, described(run.spark, f"{run.job} {run.run_date}"):
                named.build(run)
                # What the audits found is noted while the audited rows are committed.
                with ThreadPoolExecutor(1) as beside:
                    noting = beside.submit(_note_audits, run, ledger, run.run_id)
                    outputs = run.commit()
                noting.result()
            delete_folder(run.spark, f"{run.lake.root}/_staging/{run.job}")
        except Exception as caught:
            error = as_foreseen(caught, run.settings)
            with suppress(Exception):
                outputs = run.take_added()  # what the batches of a stream have committed stays
            error.__cause__ = None if error is caught else caught
        peak = memory.reset()
    record = RunRecord(
        **_told_of(run, started, outputs),
        run_id=run.run_id,
        # What was told to end before it had read all is not done: no other run has this fingerprint.
        fingerprint=uuid.uuid4().hex[:24] if run.is_cut_short else fingerprint,
        outcome="failed" if error else "succeeded",
        exit_code=getattr(error, "exit_code", 1) if error else 0,
        message=told(error) if error else "; ".join(f"{key}: {value}" for key, value in run.facts.items()),
        peak_memory_mib=peak,
    )
    try:
        if error is not None:
            _note_audits(run, ledger, run.run_id)
        ledger.append(record)
    except Exception as unwritten:
        # On a full disk the ledger can't tell of it either; what ended the run is what is said.
        error = error or as_foreseen(unwritten, run.settings)
    if error is not None:
        raise error
    return Result(named.name, "done", record)


def _note_audits(run: Run, ledger: Ledger, run_id: str) -> None:
    """Keep what the run's audits found since this was last asked."""
    ledger.append_audits(run_id, utc_now(), run.audits, run.contracts[AUDITS])
    run.audits.clear()


def _told_of(run: Run, started: dt.datetime, outputs: list[Output]) -> dict[str, Any]:
    """What a row of the ledger says of a run, whatever its outcome."""
    finished = utc_now()
    return {
        "job": run.job,
        "dataset": run.dataset,
        "environment": run.settings.environment,
        "run_date": run.run_date,
        "started_at": started,
        "finished_at": finished,
        "seconds": (finished - started).total_seconds(),
        "rows_read": run.rows_read,
        "rows_written": sum(output.rows_written for output in outputs),
        "rows_rejected": sum(output.rows_rejected for output in outputs),
        "rows_deduplicated": sum(output.rows_deduplicated for output in outputs),
        "inputs": [TableVersion(table, version) for table, version in sorted(run.inputs.items())],
        "outputs": outputs,
        "config_hash": run.settings.digest,
        "application_id": run.spark.sparkContext.applicationId,
        "product_version": VERSION,
        "terms_hash": run.terms,
    }


def _fingerprint(
    named: NamedJob,
    settings: Settings,
    run_date: dt.date,
    written: list[Contract],
    inputs: Mapping[str, str],
) -> str:
    """A hash of all that the result depends on: job, inputs, its settings, the contracts of what it writes, the feeds."""
    parts = sorted(value.digest for value in settings.__dict__.values() if isinstance(value, named.job.settings))
    promised = [repr(contract) for contract in sorted(written, key=lambda contract: contract.table)]
    told = [named.name, settings.dataset, VERSION, sorted(inputs.items()), parts, settings.calendar.digest, promised]
    told += [source.digest for source in feeds_of(named.reads, settings).values()]
    # A version's number says which model it is in one store only.
    told += [settings.tracking.digest] if any(name.startswith(f"{MODELS}.") for name in named.reads) else []
    told += [run_date.isoformat()] if named.job.is_dated else []
    return hashlib.sha256(repr(told).encode()).hexdigest()[:24]


def _still_there(job: Job, spark: SparkSession, settings: Settings, tables: tuple[str, ...]) -> bool:
    """Whether what the job wrote last time was not taken away since."""
    lake = Lake(settings.path("lake"))
    kept = [table_exists(spark, lake.path(table)) for table in tables]
    for name in job.writes:
        layer, _, rest = name.partition(".")
        if layer == MODELS:
            kept.append(Tracking(settings.tracking, settings.dataset).champion_version(rest) is not None)
        elif layer == TRUTH:
            kept.append(world_mark(spark, settings) is not None and folder_exists(spark, settings.path("data")))
    return all(kept)
