"""The run ledger `ops.runs`: what each run read, wrote, refused and cost, and so which versions of tables are good."""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame, SparkSession, Window
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


@dataclass(frozen=True)
class Success:
    """A run that ended well: what it was made from, and the tables that it left something in."""

    fingerprint: str
    finished_at: dt.datetime
    tables: tuple[str, ...]


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
        version = table_version(self.spark, self.path)
        last = None if version is None else _last_successes(self.spark, self.path, version, run_date).get(job)
        if version is None or last is None:
            return None
        begun_again = _begun_again(self.spark, self.path, version)
        is_lost = any(begun_again.get(table, last.finished_at) > last.finished_at for table in last.tables)
        return None if is_lost else last

    def good_versions(self) -> dict[str, int]:
        """The version of every table that its last successful run left; the only ones that jobs read."""
        version = table_version(self.spark, self.path)
        return {} if version is None else dict(_good_versions(self.spark, self.path, version))

    def append(self, record: RunRecord) -> None:
        """Add the row of a run; a row that is there already (the same run id) is not added twice."""
        row = asdict(record)
        self._add(RUNS, self.contract, [tuple(row[name] for name in self.contract.column_names)], record.run_id)

    def append_audits(self, record: RunRecord, audited: list[Audited], contract: Contract) -> None:
        """Add a row per expectation that the run held against a table."""
        rows = [
            (record.run_id, entry.table, entry.expectation, entry.severity, entry.is_met, entry.observed,
             record.finished_at)
            for entry in audited
        ]  # fmt: skip
        if rows:
            self._add(AUDITS, contract, rows, record.run_id)

    def _add(self, table: str, contract: Contract, rows: list[tuple[Any, ...]], run_id: str) -> None:
        path, made = self.lake.path(table), self.spark.createDataFrame(rows, contract.schema)
        with waiting_lock(Path(self.lake.root) / "_locks", table):
            ensure_table(self.spark, path, contract)
            write_table(made.coalesce(1), path, Write("append", transaction=run_id), (), run_id)


# A ledger that has not changed is not asked twice: a chain that finds all done asks it for every job.
@lru_cache(maxsize=4)
def _good_versions(spark: SparkSession, path: str, version: int) -> dict[str, int]:
    outputs = _successes(spark, path, version).select("finished_at", F.explode("outputs").alias("output"))
    newest = outputs.groupBy("output.table").agg(F.max_by("output.version", "finished_at").alias("version"))
    return {row["table"]: row["version"] for row in newest.collect()}


@lru_cache(maxsize=4)
def _last_successes(spark: SparkSession, path: str, version: int, run_date: dt.date | None) -> dict[str, Success]:
    """The last success of each job."""
    successes = _successes(spark, path, version)
    if run_date is not None:
        successes = successes.where(F.col("run_date") == F.lit(run_date))
    last = successes.groupBy("job").agg(
        F.max_by("fingerprint", "finished_at").alias("fingerprint"),
        F.max("finished_at").alias("finished_at"),
        F.max_by("outputs.table", "finished_at").alias("tables"),
    )
    return {row["job"]: Success(row["fingerprint"], row["finished_at"], tuple(row["tables"])) for row in last.collect()}


@lru_cache(maxsize=4)
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
