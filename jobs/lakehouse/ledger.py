"""The run ledger `ops.runs`: what each run read, wrote, refused and cost, and so which versions of tables are good."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from pyspark.sql import DataFrame, Row, SparkSession, Window
from pyspark.sql import functions as F

from jobs.lakehouse.contracts import Contract
from jobs.lakehouse.local_rows import local_rows
from jobs.lakehouse.locks import waiting_lock
from jobs.lakehouse.quality import Audited
from jobs.lakehouse.tables import Lake, Write, ensure_table, read_table, table_made_at, table_version, write_table
from jobs.lakehouse.vault import ADDED_TO

RUNS = "ops.runs"
AUDITS = "ops.audits"


@dataclass(frozen=True)
class TableVersion:
    """A table, model or listing of files, and the version of it that a run read."""

    table: str
    version: str


@dataclass(frozen=True)
class Output:
    """What a run left in one table."""

    table: str
    version: int
    rows_written: int
    rows_rejected: int = 0
    rows_deduplicated: int = 0


@dataclass(frozen=True)
class RunRecord:
    """One row of the ledger."""

    run_id: str
    job: str
    dataset: str
    environment: str
    run_date: dt.date
    fingerprint: str
    outcome: str
    exit_code: int
    message: str
    started_at: dt.datetime
    finished_at: dt.datetime
    seconds: float
    peak_memory_mib: int
    rows_read: int
    rows_written: int
    rows_rejected: int
    rows_deduplicated: int
    inputs: list[TableVersion] = field(default_factory=list)
    outputs: list[Output] = field(default_factory=list)
    config_hash: str = ""
    application_id: str = ""
    product_version: str = ""
    terms_hash: str | None = None


@dataclass(frozen=True)
class Success:
    """A run that ended well: by what terms, what it was made from, and in which version it left each of its tables."""

    fingerprint: str
    finished_at: dt.datetime
    terms_hash: str | None
    inputs: Mapping[str, str]
    outputs: Mapping[str, int]

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables that it left something in."""
        return tuple(self.outputs)

    def is_basis(self, terms: str, good: Mapping[str, int]) -> bool:
        """Whether a run of these terms may build upon what it left: nothing else has changed its tables since."""
        return self.terms_hash == terms and all(good.get(table) == version for table, version in self.outputs.items())


@dataclass
class Known:
    """What a ledger says at one version: of each table, and of the last success of each job on the run dates asked for.

    `made_at` says when the tables were made that several jobs add to, for whether their versions began again is not told
    by the order of the rows: of two jobs side by side the one that wrote first may have its row last.
    """

    version: int
    made_at: dict[str, dt.datetime]
    good_versions: dict[str, int]
    begun_again: dict[str, dt.datetime]
    successes: dict[dt.date | None, dict[str, Success]] = field(default_factory=dict)

    def last(self, spark: SparkSession, path: str, run_date: dt.date | None) -> dict[str, Success]:
        """The last success of each job, of that run date where one is given."""
        if run_date not in self.successes:
            self.successes[run_date] = _last_successes(spark, path, self.version, run_date)
        return self.successes[run_date]

    def add(self, record: RunRecord) -> None:
        """Take in the row that makes the ledger's next version."""
        self.version += 1
        if record.outcome != "succeeded":
            return
        for output in record.outputs:
            held = self.good_versions.get(output.table, -1)
            if output.table in ADDED_TO:
                self.good_versions[output.table] = max(held, output.version)
                continue
            if output.version < held or (output.version == held and output.rows_written):
                self.begun_again[output.table] = record.finished_at
            self.good_versions[output.table] = output.version
        success = Success(
            record.fingerprint,
            record.finished_at,
            record.terms_hash,
            {read.table: read.version for read in record.inputs},
            {output.table: output.version for output in record.outputs},
        )
        for run_date, by_job in self.successes.items():
            if run_date in (None, record.run_date):
                by_job[record.job] = success


# By the ledger's path; jobs that run side by side take turns.
KNOWN: dict[str, Known] = {}
TURN = threading.RLock()


@dataclass(frozen=True)
class Ledger:
    """The ledger of one lake."""

    spark: SparkSession
    lake: Lake
    contract: Contract

    @property
    def path(self) -> str:
        """Where the ledger's table lies."""
        return self.lake.path(RUNS)

    def last_success(self, job: str, run_date: dt.date | None) -> Success | None:
        """The job's last success, of that run date where one is given; None where there is none that still counts.

        It no longer counts once a table that it wrote was taken away and made anew for something else: the table's
        versions then begin again, at or below the one that it left.
        """
        with TURN:
            known = self._known()
            last = None if known is None else known.last(self.spark, self.path, run_date).get(job)
            if known is None or last is None:
                return None
            is_lost = any(known.begun_again.get(table, last.finished_at) > last.finished_at for table in last.tables)
        return None if is_lost else last

    def good_versions(self) -> dict[str, int]:
        """The version of every table that its last successful run left; the only ones that jobs read.

        Of a table that several jobs add to it is the greatest that a run left, for each holds what those before it hold.
        """
        with TURN:
            known = self._known()
            return {} if known is None else dict(known.good_versions)

    def _known(self) -> Known | None:
        """What the ledger says; a ledger that has not changed is not asked twice."""
        version = table_version(self.spark, self.path)
        if version is None:
            return None
        made_at = self._made_at()
        known = KNOWN.get(self.path)
        if known is None or (known.version, known.made_at) != (version, made_at):
            good = _good_versions(self.spark, self.lake, version, made_at)
            known = Known(version, made_at, good, _begun_again(self.spark, self.path, version) | made_at)
            KNOWN[self.path] = known
        return known

    def _made_at(self) -> dict[str, dt.datetime]:
        """When each table was made that several jobs add to, for those that are there."""
        told = {table: table_made_at(self.spark, self.lake.path(table)) for table in ADDED_TO}
        return {table: at for table, at in told.items() if at is not None}

    def append(self, record: RunRecord) -> None:
        """Add the row of a run."""
        row = asdict(record)
        with TURN:
            before = KNOWN.get(self.path)
            self.add_rows(
                RUNS,
                self.contract,
                [tuple(row[name] for name in self.contract.column_names)],
                Write("append"),
                record.run_id,
            )
            # In a chain only this process adds rows, and what it has just added need not be read again.
            if before is not None and table_version(self.spark, self.path) == before.version + 1:
                before.add(record)

    def append_audits(self, run_id: str, at: dt.datetime, audited: list[Audited], contract: Contract) -> None:
        """Add a row per expectation that the run held against a table."""
        rows = [
            (run_id, entry.table, entry.expectation, entry.severity, entry.is_met, entry.observed, at)
            for entry in audited
        ]  # fmt: skip
        if rows:
            self.add_rows(AUDITS, contract, rows, Write("append"), run_id)

    def add_rows(self, table: str, contract: Contract, rows: list[tuple[Any, ...]], write: Write, run_id: str) -> None:
        """Add a few rows to a table of ops, which other processes add to as well."""
        path, made = self.lake.path(table), local_rows(self.spark, rows, contract.schema)
        with waiting_lock(self.lake.locks, table):
            ensure_table(self.spark, path, contract)
            write_table(made.coalesce(1), path, write, (), run_id)


def _good_versions(spark: SparkSession, lake: Lake, version: int, made_at: Mapping[str, dt.datetime]) -> dict[str, int]:
    """The version that the last success left in each table, and the greatest in those that several jobs add to."""
    outputs = _successes(spark, lake.path(RUNS), version).select("finished_at", F.explode("outputs").alias("output"))
    counts = ~F.col("output.table").isin(*ADDED_TO)
    for table, at in made_at.items():
        # One that was brought back from a copy of its folder has not all the versions that were told of.
        is_there = F.col("output.version") <= F.lit(table_version(spark, lake.path(table)))
        counts |= (F.col("output.table") == table) & (F.col("finished_at") >= F.lit(at)) & is_there
    newest = (
        outputs.where(counts)
        .groupBy("output.table")
        .agg(F.max_by("output.version", "finished_at").alias("last"), F.max("output.version").alias("greatest"))
    )
    return {row["table"]: row["greatest" if row["table"] in ADDED_TO else "last"] for row in newest.collect()}


def _last_successes(spark: SparkSession, path: str, version: int, run_date: dt.date | None) -> dict[str, Success]:
    """The last success of each job."""
    successes = _successes(spark, path, version)
    if run_date is not None:
        successes = successes.where(F.col("run_date") == F.lit(run_date))
    # A ledger of an older version of the suite has no such column until its next row.
    terms = "terms_hash" if "terms_hash" in successes.columns else F.lit(None).cast("string").alias("terms_hash")
    told = F.struct("fingerprint", "finished_at", terms, "inputs", "outputs")
    last = successes.groupBy("job").agg(F.max_by(told, "finished_at").alias("last"))
    return {row["job"]: _as_success(row["last"]) for row in last.collect()}


def _as_success(told: Row) -> Success:
    inputs = {read["table"]: read["version"] for read in told["inputs"]}
    outputs = {output["table"]: output["version"] for output in told["outputs"]}
    return Success(told["fingerprint"], told["finished_at"], told["terms_hash"], inputs, outputs)


def _begun_again(spark: SparkSession, path: str, version: int) -> dict[str, dt.datetime]:
    """When a table's versions last began again, for the tables of one job whose ever did."""
    outputs = _successes(spark, path, version).select("finished_at", F.explode("outputs").alias("output"))
    outputs = outputs.where(~F.col("output.table").isin(*ADDED_TO))
    before = F.lag("output.version").over(Window.partitionBy("output.table").orderBy("finished_at"))
    is_rewritten = (F.col("output.version") == F.col("before")) & (F.col("output.rows_written") > 0)
    falls = outputs.withColumn("before", before).where((F.col("output.version") < F.col("before")) | is_rewritten)
    newest = falls.groupBy("output.table").agg(F.max("finished_at").alias("finished_at"))
    return {row["table"]: row["finished_at"] for row in newest.collect()}


def _successes(spark: SparkSession, path: str, version: int) -> DataFrame:
    return read_table(spark, path, version).where("outcome = 'succeeded'")
