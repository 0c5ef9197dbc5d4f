"""Load new, changed and deleted rows of every database table that is a feed into bronze, as one snapshot of the database shows them."""

import datetime as dt
import sys
from collections.abc import Callable
from dataclasses import dataclass

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.ingest.drift import audit_drift
from jobs.ingest.records import with_arrival, with_record_id, with_tokens
from jobs.ingest.sealing import Written, send_sealed, written_records
from jobs.ingest.table_changes import (
    WITHIN_CURSOR,
    as_deletions,
    as_last_held,
    count_changes,
    count_repeated,
    last_load,
    only_changed,
)
from jobs.ingest.table_queries import bounds_of, checked_columns, count_query, keys_query, rows_query, since
from jobs.lakehouse.databases import Snapshot, opened_snapshot
from jobs.lakehouse.errors import QualityGateError
from jobs.lakehouse.job import Job
from jobs.lakehouse.local_rows import empty_rows
from jobs.lakehouse.run import Run
from jobs.lakehouse.settings import PrivacySettings
from jobs.lakehouse.sources import DELETED, DatabaseTable, Source, fed_by
from jobs.lakehouse.tables import Write, read_table, table_version
from jobs.lakehouse.vault import PAYLOADS, VALUES
from jobs.lakehouse.wire_settings import DatabaseSettings

JOB = Job(
    reads=("database.*",),
    writes=("bronze.*", VALUES, PAYLOADS),
    settings=(DatabaseSettings, PrivacySettings),
)


@dataclass(frozen=True)
class Load:
    """One load of one feed: the rows that the database tells, what makes of them those that say something new, and what is gone.

    Beside that their keys, None in a first load, and what is held, by which those are counted that are held already.
    """

    source: Source
    arriving: DataFrame
    row_count: int
    as_changed: Callable[[DataFrame], DataFrame]
    deletions: DataFrame | None
    gone: int
    keys: DataFrame | None
    held: DataFrame


def build(run: Run) -> None:
    now = dt.datetime.now(dt.UTC).replace(tzinfo=None)
    snapshot = run.keep(opened_snapshot(run.spark, run.part(DatabaseSettings)))
    keys, sealed_values, sealed_fields, appended = run.keys(), [], [], []
    for source in fed_by(run.sources, "database").values():
        assert source.table is not None
        load = _load(run, snapshot, source, source.table, now)
        path = run.lake.staging_path(run.job, source.bronze_table)
        written = written_records(load.arriving, load.as_changed, source, keys, path)
        repeated = _count_repeated(load, written, source.table)
        run.account_for(load.row_count + load.gone, {source.bronze_table: repeated})
        run.facts[source.source] += f", {written.row_count} new or changed"
        if not written.row_count and load.deletions is None:
            continue
        bronze = written.bronze.unionByName(load.deletions) if load.deletions is not None else written.bronze
        # A value may be sealed in a record that says what is held, and so falls away: the vault has had it since then.
        sealed_values.append(written.values)
        sealed_fields.append(written.lines)
        appended.append((source.bronze_table, bronze))
    # Bronze last: what it holds is what the next load compares with, so nothing that belongs to it may still be missing.
    send_sealed(run.publish, sealed_values, sealed_fields)
    for table, rows in appended:
        run.publish(table, rows, Write("append"))


def _load(run: Run, snapshot: Snapshot, source: Source, table: DatabaseTable, now: dt.datetime) -> Load:
    types = checked_columns(snapshot, source, table)
    bronze = _bronze(run, source)
    number, last = last_load(bronze, table.cursor, types[table.cursor])
    held, delivery_id = as_last_held(bronze, table.key), f"{source.source}/{number + 1:08d}"
    condition, bounds, deletions, gone, read_keys = "true", bounds_of(snapshot, table), None, 0, None
    if number > 0:
        condition = since(table, types[table.cursor], last)
        keys = snapshot.read(keys_query(table, types, condition), table.fetch_size, bounds)
        counts = count_changes(held, keys, table.key, table.cursor)
        _refuse_if_too_many_are_gone(source, counts.gone, counts.held, run.part(DatabaseSettings))
        gone = counts.gone
        deletions = as_deletions(held, keys, source, delivery_id, now) if gone else None
        # Rows that were committed long after their cursor, or came back, are found by key and cursor; then all is compared.
        condition = "true" if counts.missed else condition
        read_keys = keys if condition == "true" else keys.where(WITHIN_CURSOR)
    row_count = _count_rows(snapshot, source, table, condition)
    query = rows_query(source, table, types, condition)
    arriving = _as_records(snapshot.read(query, table.fetch_size, bounds if condition == "true" else None), delivery_id)

    def as_changed(records: DataFrame) -> DataFrame:
        tokenised = with_tokens(records, source, run.keys(), run.settings.calendar.phone_region)
        return only_changed(with_record_id(tokenised, source), held, source, now)

    began = (
        "all rows" if condition == "true" else f"rows from {table.cursor} {last} less {table.overlap_minutes} minutes"
    )
    run.facts[source.source] = f"{began} compared, {gone} deleted"
    audit_drift(run, source, types)
    return Load(
        source, with_arrival(arriving, source, now), row_count, as_changed, deletions, gone, read_keys, held
    )  # fmt: skip


def _count_rows(snapshot: Snapshot, source: Source, table: DatabaseTable, condition: str) -> int:
    """How many rows the database tells.

    Raises:
        QualityGateError: some of them share a key, so that none could be told from the other.
    """
    ((rows, keys),) = snapshot.rows(count_query(table, condition))
    if rows != keys:
        raise QualityGateError(
            f"feed {source.source}: {rows} rows of {table.name} have {keys} keys ({', '.join(table.key)}), nothing was loaded; "
            "name columns that tell its rows apart as the feed's key"
        )
    return int(rows or 0)


def _count_repeated(load: Load, written: Written, table: DatabaseTable) -> int:
    """How many of the rows that the database told are held as they are, and fall away.

    Raises:
        QualityGateError: some were neither written nor held.
    """
    repeated = 0 if load.keys is None else count_repeated(load.held, load.keys, written.bronze, table.key)
    if load.row_count != written.row_count + repeated:
        raise QualityGateError(
            f"{load.source.bronze_table}: {load.row_count} rows were told of feed {load.source.source}, but {written.row_count} are "
            f"new or changed and {repeated} held as they are; nothing was loaded"
        )
    return repeated


def _as_records(rows: DataFrame, delivery_id: str) -> DataFrame:
    return rows.withColumns(
        {"_raw_line": F.lit(None).cast("string"), "_delivery_id": F.lit(delivery_id), DELETED.name: F.lit(False)}
    )


def _bronze(run: Run, source: Source) -> DataFrame:
    """What was loaded before; the state of a feed is its bronze table and nothing else."""
    path = run.lake.path(source.bronze_table)
    if table_version(run.spark, path) is None:
        return empty_rows(run.spark, run.contract(source.bronze_table))
    return read_table(run.spark, path)


def _refuse_if_too_many_are_gone(source: Source, gone: int, held: int, settings: DatabaseSettings) -> None:
    if gone > settings.max_deleted_share * held:
        raise QualityGateError(
            f"feed {source.source}: {gone} of {held} rows are gone from the database, nothing was loaded. If that is "
            "meant so, raise database.max_deleted_share for one run; if not, see whether it is the right database"
        )


if __name__ == "__main__":
    sys.exit(JOB.main(__doc__, build))
