"""The run ledger `ops.runs`: what each run read, wrote, refused and cost, and so which versions of tables are good."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame, Row, SparkSession, Window
from pyspark.sql import functions as F

from jobs.lakehouse.contracts import Contract
from jobs.lakehouse.locks import waiting_lock
from jobs.lakehouse.quality import Audited
from jobs.lakehouse.tables import Lake, Write, ensure_table, read_table, table_version, write_table

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
    """What a ledger says at one version: of each table, and of the last success of each job on the run dates asked for."""

    version: int
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
        """The version of every table that its last successful run left; the only ones that jobs read."""
        with TURN:
            known = self._known()
            return {} if known is None else dict(known.good_versions)

    def _known(self) -> Known | None:
        """What the ledger says; a ledger that has not changed is not asked twice."""
        version = table_version(self.spark, self.path)
        if version is None:
            return None
        if self.path not in KNOWN or KNOWN[self.path].version != version:
            KNOWN[self.path] = Known(
                version, _good_versions(self.spark, self.path, version), _begun_again(self.spark, self.path, version)
            )
        return KNOWN[self.path]

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
        """Add a row per expectation that the run held against a table; those of a run are not added twice."""
        rows = [
            (run_id, entry.table, entry.expectation, entry.severity, entry.is_met, entry.observed, at)
            for entry in audited
        ]  # fmt: skip
        if rows:
            self.add_rows(AUDITS, contract, rows, Write("append", transaction=run_id), run_id)

    def add_rows(self, table: str, contract: Contract, rows: list[tuple[Any, ...]], write: Write, run_id: str) -> None:
        """Add a few rows to a table of ops, which other processes add to as well."""
        path, made = self.lake.path(table), self.spark.createDataFrame(rows, contract.schema)
        with waiting_lock(Path(self.lake.root) / "_locks", table):
            ensure_table(self.spark, path, contract)
            write_table(made.coalesce(1), path, write, (), run_id)


def _good_versions(spark: SparkSession, path: str, version: int) -> dict[str, int]:
    """The version that the last success left in each table."""
    outputs = _successes(spark, path, version).select("finished_at", F.explode("outputs").alias("output"))
    newest = outputs.groupBy("output.table").agg(F.max_by("output.version", "finished_at").alias("version"))
    return {row["table"]: row["version"] for row in newest.collect()}


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
    """When a table's versions last began again, for the tables whose ever did; one row per such table."""
    outputs = _successes(spark, path, version).select("finished_at", F.explode("outputs").alias("output"))
    before = F.lag("output.version").over(Window.partitionBy("output.table").orderBy("finished_at"))
    is_rewritten = (F.col("output.version") == F.col("before")) & (F.col("output.rows_written") > 0)
    falls = outputs.withColumn("before", before).where((F.col("output.version") < F.col("before")) | is_rewritten)
    newest = falls.groupBy("output.table").agg(F.max("finished_at").alias("finished_at"))
    return {row["table"]: row["finished_at"] for row in newest.collect()}


def _successes(spark: SparkSession, path: str, version: int) -> DataFrame:
    return read_table(spark, path, version).where("outcome = 'succeeded'")
