"""Mapping: what a silver table takes from the bronze tables of its feeds, with a reason for each value that can't be read."""

from __future__ import annotations

from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import DataType, TimestampType

from jobs.ingest.lookups import with_looked_up
from jobs.lakehouse.contracts import Contract
from jobs.lakehouse.errors import ConfigurationError, DataError
from jobs.lakehouse.quality import REASONS, RECORD, UNPARSEABLE
from jobs.lakehouse.run import Run
from jobs.lakehouse.sources import DELETED, LOOKED_UP, LocalTime, Source, TableMapping, sources_of

# What the frame of a silver table fills in itself.
GIVEN = ("source", "arrived_at", "superseded_at", "revision", "_record_id")


def mapped_rows(run: Run, table: str) -> tuple[DataFrame, int]:
    """The rows that the dataset's feeds give a silver table, and how many there are.

    The fields are typed as the contract says; a text that can't be read as its type gives the reason
    `<column>_unreadable`. `_record` holds the fields as they came.

    Raises:
        DataError: no feed of the dataset feeds the table, or none has arrived.
    """
    short = table.removeprefix("silver.")
    feeds = [(source, mapping) for source, mapping in sources_of(run.sources, short) if run.has(source.bronze_table)]
    if not feeds:
        raise DataError(f"no feed of dataset {run.dataset} that fills {table} has arrived")
    frames, count = [], 0
    for source, mapping in feeds:
        bronze = _applicable(run.read(source.bronze_table), source, mapping, short)
        count += bronze.count()
        frames.append(as_mapped(_with_lookups(run, bronze, source), source, mapping, run.contract(table)))
    return reduce(_union, frames), count


def _applicable(bronze: DataFrame, source: Source, mapping: TableMapping, table: str) -> DataFrame:
    """The records that the mapping speaks of; what did not parse is counted by the feed's first mapping only."""
    counts_unparseable = F.lit(source.reports_unparseable == table and mapping is source.tables[table][0])
    return bronze.where(
        (F.col("_is_unparseable") & counts_unparseable) | (~F.col("_is_unparseable") & F.expr(mapping.where))
    )


def _with_lookups(run: Run, bronze: DataFrame, source: Source) -> DataFrame:
    """The records with the fields that they look up in other feeds, those declared first looked up first.

    A record that lost the time which its feed tells gets none from elsewhere: nobody can say when it was known.
    """
    tells_time = source.arrival != LOOKED_UP
    for lookup in source.lookups:
        other = run.sources[lookup.source]
        if not run.has(other.bronze_table):
            raise DataError(f"feed {source.source} looks up feed {other.source}, of which nothing has arrived")
        bronze = with_looked_up(bronze, run.read(other.bronze_table), lookup, tells_time)
    return bronze


def as_mapped(bronze: DataFrame, source: Source, mapping: TableMapping, contract: Contract) -> DataFrame:
    """The bronze records as rows of a silver table; a column that the mapping doesn't name is null."""
    types = {field.name: field.dataType for field in contract.schema}
    unknown = sorted(set(mapping.columns) - set(types))
    if unknown:
        raise ConfigurationError(
            f"source {source.source} maps columns that {contract.table} lacks: {', '.join(unknown)}"
        )
    columns: list[Column] = []
    reasons = [F.when(F.expr(condition), F.lit(reason)) for reason, condition in mapping.reject.items()]
    for name in contract.column_names:
        if name in GIVEN:
            continue
        told = mapping.columns.get(name)
        if told is None:
            columns.append(F.lit(None).cast(types[name]).alias(name))
            continue
        raw, typed = _read(told, types[name], source.time_zone)
        columns.append(typed.alias(name))
        unreadable = raw.isNotNull() & (F.trim(raw.cast("string")) != "") & typed.isNull()
        reasons.append(F.when(unreadable, F.lit(f"{name}_unreadable")))
    looked_up = {name for lookup in source.lookups for name in lookup.fields}
    fields = [name for name in bronze.columns if not name.startswith("_") and name not in looked_up]
    arrived_at = F.col("_arrived_at")
    if mapping.arrival is not None:
        _, arrived_at = _read(mapping.arrival, TimestampType(), source.time_zone)
    found = F.array_compact(F.array(*reasons).cast("array<string>"))
    return bronze.select(
        *columns,
        F.lit(source.source).alias("source"),
        arrived_at.alias("arrived_at"),
        F.col("_record_id"),
        F.when(F.col("_is_unparseable"), F.array(F.lit(UNPARSEABLE))).otherwise(found).alias(REASONS),
        F.struct(*fields).alias(RECORD),
        *[F.coalesce(name, F.lit(False)).alias(name) for name in (DELETED.name,) if name in bronze.columns],
    )


def _union(one: DataFrame, other: DataFrame) -> DataFrame:
    """Rows of both; `_record` gets the fields of both feeds."""
    return one.unionByName(other, allowMissingColumns=True)


def _read(told: str | LocalTime, data_type: DataType, time_zone: str) -> tuple[Column, Column]:
    """What a mapping tells, as it came and as its type; null where it can't be read as that."""
    if isinstance(told, str):
        raw = F.expr(told)
        return raw, raw.try_cast(data_type)
    raw = F.expr(told.local)
    return raw, _local_time(raw, told, time_zone)


def _local_time(raw: Column, told: LocalTime, time_zone: str) -> Column:
    read = [F.try_to_timestamp(F.trim(raw), F.lit(pattern)) for pattern in told.formats]
    return F.to_utc_timestamp(F.coalesce(*read), time_zone)
