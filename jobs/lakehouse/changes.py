"""Changes to tables outside of the jobs, as the ledger keeps them: restores and rotations of the key."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable

from pyspark.sql import SparkSession

from jobs.lakehouse.job import all_contracts
from jobs.lakehouse.ledger import RUNS, Ledger, Output, RunRecord
from jobs.lakehouse.locks import locked
from jobs.lakehouse.settings import Settings
from jobs.lakehouse.tables import Lake, table_version
from jobs.lakehouse.version import VERSION


def record_restore(spark: SparkSession, settings: Settings, table: str, path: str, restore: Callable[[], None]) -> None:
    """Go back to an older version of a table, under its lock, and add it to the ledger as the good one."""
    with locked(Lake(settings.path("lake")).locks, [table]):
        started = dt.datetime.now(dt.UTC).replace(tzinfo=None)
        restore()
        version = table_version(spark, path)
        assert version is not None
        record_change(
            spark,
            settings,
            "lakehouse.restore",
            uuid.uuid4().hex[:24],
            started,
            f"{table} restored",
            [Output(table, version, 0)],
        )


def record_change(
    spark: SparkSession,
    settings: Settings,
    name: str,
    fingerprint: str,
    started: dt.datetime,
    message: str,
    outputs: list[Output],
) -> None:
    """Add what changed tables outside of the jobs to the ledger, so that jobs read the versions that it left."""
    finished = dt.datetime.now(dt.UTC).replace(tzinfo=None)
    record = RunRecord(
        run_id=uuid.uuid4().hex,
        job=name,
        dataset=settings.dataset,
        environment=settings.environment,
        run_date=finished.date(),
        fingerprint=fingerprint,
        outcome="succeeded",
        exit_code=0,
        message=message,
        started_at=started,
        finished_at=finished,
        seconds=(finished - started).total_seconds(),
        peak_memory_mib=0,
        rows_read=0,
        rows_written=sum(output.rows_written for output in outputs),
        rows_rejected=0,
        rows_deduplicated=0,
        outputs=outputs,
        config_hash=settings.digest,
        application_id=spark.sparkContext.applicationId,
        product_version=VERSION,
    )
    Ledger(spark, Lake(settings.path("lake")), all_contracts(settings)[RUNS]).append(record)
