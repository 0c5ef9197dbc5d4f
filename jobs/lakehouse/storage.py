"""The tier command: bronze by age, from hot to warm, cold and the archive, and back; tells the bytes per million rows."""

from __future__ import annotations

import argparse
import datetime as dt
import sys
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from delta.tables import DeltaTable
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs.lakehouse.archive import archive, bring_back, forget
from jobs.lakehouse.changes import record_change
from jobs.lakehouse.cli import add_date_options, add_lake_options, run_dates, settings_of
from jobs.lakehouse.contracts import Contract
from jobs.lakehouse.days import end_of_day, utc_now
from jobs.lakehouse.errors import ConfigurationError
from jobs.lakehouse.foreseen import as_foreseen
from jobs.lakehouse.job import all_contracts, ledger_of
from jobs.lakehouse.ledger import Output
from jobs.lakehouse.locks import locked
from jobs.lakehouse.session import open_session
from jobs.lakehouse.settings import Settings
from jobs.lakehouse.sources import fed_by, read_sources
from jobs.lakehouse.storage_settings import Ages
from jobs.lakehouse.tables import Lake, Write, read_table, table_exists, table_version
from jobs.lakehouse.tiers import ORDER, Month, Settled, Tier, months_due, months_in, pack
from jobs.lakehouse.tracking import Tracking

NAME = "lakehouse.tier"
STORAGE = "ops.storage"


@dataclass(frozen=True)
class Size:
    """What a table takes on disk at its newest version."""

    rows: int
    files: int
    size_bytes: int

    @property
    def mb_per_million_rows(self) -> float:
        """Megabytes (10^6 bytes) per million rows; the same number as bytes per row."""
        return self.size_bytes / self.rows if self.rows else 0.0


@dataclass(frozen=True)
class Tiered:
    """What was done to one table, or why nothing was."""

    table: str
    note: str = ""
    months: Mapping[Tier, int] = field(default_factory=dict)
    rows_archived: int = 0
    rows_deleted: int = 0
    before: Size = Size(0, 0, 0)
    after: Size = Size(0, 0, 0)

    def __str__(self) -> str:
        if self.note:
            return f"{self.table}: {self.note}"
        told = [f"{self.months[tier]} months {tier}" for tier in ORDER if tier in self.months]
        told += [f"{self.rows_archived:,} rows archived"] if self.rows_archived else []
        told += [f"{self.rows_deleted:,} archived rows deleted"] if self.rows_deleted else []
        return (
            f"{self.table}: {', '.join(told)}; {self.after.rows:,} rows; MB per million rows "
            f"{self.before.mb_per_million_rows:.1f} -> {self.after.mb_per_million_rows:.1f}, "
            f"files {self.before.files:,} -> {self.after.files:,}"
        )


def add_commands(commands: Any) -> None:
    """Add tier to the command line."""
    told = "pack old months of bronze, archive what is older than the settings keep; --bring-back returns it"
    parser = commands.add_parser("tier", help=told)
    way = parser.add_mutually_exclusive_group()
    way.add_argument("--bring-back", metavar="TABLE", help="put all that was archived of bronze.<feed> back into it")
    way.add_argument("--dry-run", action="store_true", help="say what would be done")
    add_lake_options(parser)
    add_date_options(parser)
    parser.set_defaults(command=tier)


def tier(options: argparse.Namespace) -> int:
    """Move every bronze table's records to the tier of their age, and say what that saved."""
    settings = settings_of(options)
    as_of = end_of_day(run_dates(options, settings)[-1], settings.calendar.time_zone)
    spark = open_session(settings, "customer-lakehouse")
    try:
        _move(spark, settings, as_of, options.bring_back, options.dry_run)
    except Exception as error:
        # Packing needs room for old and new files, and may be asked for too late.
        if (foreseen := as_foreseen(error, settings)) is error:
            raise
        raise foreseen from error
    return 0


def _move(
    spark: SparkSession, settings: Settings, as_of: dt.datetime, bring_back_to: str | None, dry_run: bool
) -> None:
    if bring_back_to:
        rows = return_archived(spark, settings, bring_back_to)
        sys.stdout.write(f"{bring_back_to}: {rows:,} rows came back; the next run of jobs reads them\n")
        return
    cited = Tracking(settings.tracking, settings.dataset).cited_versions()
    for tiered in tier_tables(spark, settings, as_of, cited, dry_run):
        sys.stdout.write(f"{tiered}\n")
    sys.stdout.write("files that are no longer needed go with python -m jobs vacuum, a week after they were replaced\n")


def tier_tables(
    spark: SparkSession, settings: Settings, as_of: dt.datetime, cited: Mapping[str, set[int]], dry_run: bool = False
) -> Iterator[Tiered]:
    """Move the records of each bronze table that is there to the tier of their age at an instant (UTC).

    A table with a version that a model cites stays as it is: its files could not be removed, and would only be more. So
    does one whose newest version the ledger does not know: a load was broken off, and must end first.

    Raises:
        ConfigurationError: ages or columns are set for a table that has none such.
        LockedError: a table is being written.
        DataError: rows got lost on the way, and the table that was to give them has kept them.
    """
    sources = read_sources(Path(settings.conf_dir), settings.dataset)
    contracts = {source.bronze_table: source.bronze_contract for source in sources.values()}
    settings.storage.refuse_unknown_tables(set(contracts))
    _refuse_unknown_columns(settings, contracts)
    mirrored = {source.bronze_table for source in fed_by(sources, "database").values()}
    lake = Lake(settings.path("lake"))
    for table, contract in sorted(contracts.items()):
        if not table_exists(spark, lake.path(table)):
            continue
        if cited.get(table):
            yield Tiered(table, f"left as it is, a champion cites versions {sorted(cited[table])}")
            continue
        with locked(lake.locks, [table]):
            yield _tiered(spark, settings, contract, as_of, table in mirrored, dry_run)


def _tiered(
    spark: SparkSession, settings: Settings, contract: Contract, as_of: dt.datetime, is_mirror: bool, dry_run: bool
) -> Tiered:
    lake, ages, table = Lake(settings.path("lake")), settings.storage.of(contract.table), contract.table
    path, started, note = lake.path(table), utc_now(), f"{NAME}/{uuid.uuid4().hex[:16]}"
    good = ledger_of(spark, settings).good_versions().get(table)
    if good != table_version(spark, path) and not _is_own(spark, path):
        return Tiered(table, "left as it is: its last load did not end; run that again first")
    before = size_of(spark, path)
    if dry_run:
        due = _due(spark, settings, table, as_of, ages)
        told = ", ".join(f"{len(due[tier])} months {tier}" for tier in ORDER if tier in due) or "already done"
        return Tiered(table, told if told == "already done" else f"would be packed: {told}")
    # What mirrors a database is compared with all that bronze holds: to lose a row's last state would bring the row anew.
    archived = 0 if is_mirror else _archive(spark, settings, contract, as_of, ages, note)
    deleted = 0
    if ages.delete_after_days is not None and not is_mirror:
        deleted = forget(spark, lake, contract, as_of - dt.timedelta(days=ages.delete_after_days), note)
    due = _due(spark, settings, table, as_of, ages)
    for tier_due, months in due.items():
        pack(spark, path, tier_due, months, settings.storage, ages, note)
    version = table_version(spark, path)
    if version != good and version is not None:
        message = f"{sum(map(len, due.values()))} months packed, {archived} rows archived"
        record_change(spark, settings, NAME, note, started, message, [Output(table, version, 0)])
    _remember(spark, settings, table, due, note)
    if not due and not archived and not deleted:
        return Tiered(table, "already done")
    months_by_tier = {tier_due: len(months) for tier_due, months in due.items()}
    return Tiered(table, "", months_by_tier, archived, deleted, before, size_of(spark, path))


def return_archived(spark: SparkSession, settings: Settings, table: str) -> int:
    """Put what was archived of a bronze table back into it, and tell the ledger; gives the rows.

    Raises:
        ConfigurationError: it is no bronze table of the dataset.
        DataError: nothing of it was ever archived, or rows got lost on the way and the archive has kept them.
        LockedError: the table is being written.
    """
    sources = read_sources(Path(settings.conf_dir), settings.dataset)
    contracts = {source.bronze_table: source.bronze_contract for source in sources.values()}
    if table not in contracts:
        raise ConfigurationError(f"{table} is no bronze table of dataset {settings.dataset}: {', '.join(contracts)}")
    lake, started, note = Lake(settings.path("lake")), utc_now(), f"{NAME}/{uuid.uuid4().hex[:16]}"
    with locked(lake.locks, [table]):
        rows = bring_back(spark, lake, contracts[table], settings.storage.warm_level, note)
        version = table_version(spark, lake.path(table))
        if version is not None and version != ledger_of(spark, settings).good_versions().get(table):
            message = f"{rows} rows of {table} brought back from the archive"
            record_change(spark, settings, NAME, note, started, message, [Output(table, version, rows)])
    return rows


def size_of(spark: SparkSession, path: str) -> Size:
    """What the table takes at its newest version; Delta answers from its log."""
    told = DeltaTable.forPath(spark, path).detail().select("numFiles", "sizeInBytes").first()
    return Size(read_table(spark, path).count(), *told) if told else Size(0, 0, 0)


def _archive(
    spark: SparkSession, settings: Settings, contract: Contract, as_of: dt.datetime, ages: Ages, note: str
) -> int:
    if ages.archive_after_days is None:
        return 0
    before = as_of - dt.timedelta(days=ages.archive_after_days)
    level, lake = settings.storage.cold_level, Lake(settings.path("lake"))
    return archive(spark, lake, contract, before, ages.cluster_by, level, note)


def _due(
    spark: SparkSession, settings: Settings, table: str, as_of: dt.datetime, ages: Ages
) -> dict[Tier, list[Month]]:
    lake = Lake(settings.path("lake"))
    settled = _settled(spark, lake.path(STORAGE), table)
    return months_due(months_in(spark, lake.path(table)), settled, as_of, ages)


def _settled(spark: SparkSession, path: str, table: str) -> dict[dt.date, Settled]:
    """How each month of a table was last packed."""
    if not table_exists(spark, path):
        return {}
    own = read_table(spark, path).where(F.col("table_name") == table)
    last = own.groupBy("arrival_month").agg(F.max_by(F.struct("tier", "_files_digest"), "packed_at").alias("last"))
    return {row["arrival_month"]: Settled(*row["last"]) for row in last.collect()}


def _remember(spark: SparkSession, settings: Settings, table: str, due: Mapping[Tier, list[Month]], note: str) -> None:
    """Add a row to ops.storage for each month that was packed. It comes last: a month that it does not tell of is packed again."""
    lake, contract, now = Lake(settings.path("lake")), all_contracts(settings)[STORAGE], utc_now()
    before = {month.month: (tier_due, month) for tier_due, months in due.items() for month in months}
    if not before:
        return
    rows = [
        (table, month.month, now, before[month.month][0], month.rows, month.files, month.size_bytes,
         before[month.month][1].size_bytes, month.files_digest)
        for month in months_in(spark, lake.path(table))
        if month.month in before
    ]  # fmt: skip
    once = Write("append", transaction=f"{note}/{table}")
    ledger_of(spark, settings).add_rows(STORAGE, contract, rows, once, note)


def _is_own(spark: SparkSession, path: str) -> bool:
    """Whether the newest commit is of a move between tiers that was broken off before the ledger knew."""
    last = DeltaTable.forPath(spark, path).history(1).select("userMetadata").first()
    return last is not None and str(last["userMetadata"]).startswith(f"{NAME}/")


def _refuse_unknown_columns(settings: Settings, contracts: Mapping[str, Contract]) -> None:
    for table, contract in contracts.items():
        unknown = sorted(set(settings.storage.of(table).cluster_by) - set(contract.column_names))
        if unknown:
            raise ConfigurationError(f"storage: {table} is to be clustered by {', '.join(unknown)}, which it lacks")
