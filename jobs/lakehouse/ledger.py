"""The run ledger `ops.runs`: what each run read, wrote, refused and cost, and so which versions of tables are good."""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.lakehouse.contracts import Contract
from jobs.lakehouse.locks import waiting_lock
from jobs.lakehouse.tables import Lake, Write, ensure_table, read_table, table_version, write_table

RUNS = "ops.runs"


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
class Ledger:
    """The ledger of one lake."""

    spark: SparkSession
    lake: Lake
    contract: Contract

    @property
    def path(self) -> str:
        """Where the ledger's table lies."""
        return self.lake.path(RUNS)

    def last_fingerprint(self, job: str, run_date: dt.date | None) -> tuple[str, list[str]] | None:
        """The fingerprint and output tables of the job's last success, of that run date where one is given."""
        version = table_version(self.spark, self.path)
        return None if version is None else _last_successes(self.spark, self.path, version, run_date).get(job)

    def good_versions(self) -> dict[str, int]:
        """The version of every table that its last successful run left; the only ones that jobs read."""
        version = table_version(self.spark, self.path)
        return {} if version is None else dict(_good_versions(self.spark, self.path, version))

    def append(self, record: RunRecord) -> None:
        """Add the row of a run; a row that is there already (the same run id) is not added twice."""
        row = asdict(record)
        rows = self.spark.createDataFrame(
            [tuple(row[name] for name in self.contract.column_names)], self.contract.schema
        )
        with waiting_lock(Path(self.lake.root) / "_locks", RUNS):
            ensure_table(self.spark, self.path, self.contract)
            write_table(rows.coalesce(1), self.path, Write("append", transaction=record.run_id), (), record.run_id)


# A ledger that has not changed is not asked twice: a chain that finds all done asks it for every job.
@lru_cache(maxsize=4)
def _good_versions(spark: SparkSession, path: str, version: int) -> dict[str, int]:
    outputs = _successes(spark, path, version).select("finished_at", F.explode("outputs").alias("output"))
    newest = outputs.groupBy("output.table").agg(F.max_by("output.version", "finished_at").alias("version"))
    return {row["table"]: row["version"] for row in newest.collect()}


@lru_cache(maxsize=4)
def _last_successes(
    spark: SparkSession, path: str, version: int, run_date: dt.date | None
) -> dict[str, tuple[str, list[str]]]:
    """The fingerprint and output tables of each job's last success."""
    successes = _successes(spark, path, version)
    if run_date is not None:
        successes = successes.where(F.col("run_date") == F.lit(run_date))
    last = successes.groupBy("job").agg(
        F.max_by("fingerprint", "finished_at").alias("fingerprint"),
        F.max_by("outputs.table", "finished_at").alias("tables"),
    )
    return {row["job"]: (row["fingerprint"], list(row["tables"])) for row in last.collect()}


def _successes(spark: SparkSession, path: str, version: int) -> DataFrame:
    return read_table(spark, path, version).where("outcome = 'succeeded'")
