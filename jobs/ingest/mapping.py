"""Mapping: what a silver table takes from the bronze tables of its feeds, with a reason for each value that can't be read."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from itertools import chain
from typing import NamedTuple

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import DataType, DateType, DecimalType, IntegralType, TimestampType

from jobs.ingest.lookups import with_looked_up
from jobs.ingest.revisions import TELLER
from jobs.ingest.times import in_calendar, local_time
from jobs.lakehouse.contracts import Contract
from jobs.lakehouse.errors import ConfigurationError, DataError
from jobs.lakehouse.quality import REASONS, RECORD, UNPARSEABLE
from jobs.lakehouse.run import Run
from jobs.lakehouse.sources import DELETED, LOOKED_UP, Source, TableMapping, sources_of
from jobs.lakehouse.tables import count_rows
from jobs.lakehouse.translations import TRANSLATED, Coded, LocalTime, Measured, Taken

# What the frame of a silver table fills in itself.
GIVEN = ("source", "arrived_at", "superseded_at", "revision", TRANSLATED, "_record_id")
# In between, numbers are reckoned with to this precision.
NUMBER = DecimalType(28, 8)


class Reading(NamedTuple):
    """What a mapping makes of a field: its value, the reason why there is none where one was told, and whether it was translated."""

    value: Column
    refused: Column
    is_translated: Column


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
        bronze = as_told(run.read(source.bronze_table))
        if mapping.where == "true" and _counts_unparseable(source, mapping, short):
            count += count_rows(run.spark, run.lake.path(source.bronze_table), int(run.inputs[source.bronze_table]))
        else:
            bronze = _applicable(bronze, source, mapping, short)
            count += bronze.count()
        frames.append(as_mapped(_with_lookups(run, bronze, source), source, mapping, run.contract(table)))
    return reduce(_union, frames), count


def _counts_unparseable(source: Source, mapping: TableMapping, table: str) -> bool:
    """Whether the mapping is the feed's first, which speaks of what did not parse too."""
    return source.reports_unparseable == table and mapping is source.tables[table][0]


def _applicable(bronze: DataFrame, source: Source, mapping: TableMapping, table: str) -> DataFrame:
    """The records that the mapping speaks of; what did not parse is counted by the feed's first mapping only."""
    counts_unparseable = F.lit(_counts_unparseable(source, mapping, table))
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
        bronze = with_looked_up(bronze, as_told(run.read(other.bronze_table)), lookup, tells_time)
    return bronze


def as_told(bronze: DataFrame) -> DataFrame:
    """The bronze records with null for each blank field, and the fields as they came in `_record`.

    A blank text says nothing: an empty field of CSV is null already, one of JSON or of a database is not, and as a part of an
    id it would make all that lack it one and the same.
    """
    if RECORD in bronze.columns:
        return bronze
    fields = [name for name in bronze.columns if not name.startswith("_")]
    said = {name: F.when(F.trim(F.col(f"`{name}`")) != "", F.col(f"`{name}`")) for name in fields}
    return bronze.withColumns({**said, RECORD: F.struct(*[F.col(f"`{name}`") for name in fields])})


def as_mapped(bronze: DataFrame, source: Source, mapping: TableMapping, contract: Contract) -> DataFrame:
    """The bronze records as rows of a silver table; a column that the mapping doesn't name is null."""
    types = {field.name: field.dataType for field in contract.schema}
    unknown = sorted(set(mapping.columns) - set(types))
    if unknown:
        raise ConfigurationError(
            f"source {source.source} maps columns that {contract.table} lacks: {', '.join(unknown)}"
        )
    is_translated = {name for name, told in mapping.columns.items() if isinstance(told, Coded | Measured)}
    if is_translated and TRANSLATED not in types:
        problem = f"source {source.source} translates columns of {contract.table}, whose contract has no {TRANSLATED} to say so"
        raise ConfigurationError(problem)
    columns: list[Column] = []
    translated: list[Column] = []
    reasons = [F.when(F.expr(condition), F.lit(reason)) for reason, condition in mapping.reject.items()]
    for name in contract.column_names:
        if name in GIVEN:
            continue
        told = mapping.columns.get(name)
        if told is None:
            columns.append(F.lit(None).cast(types[name]).alias(name))
            continue
        read = reading(name, told, types[name], source.time_zone)
        columns.append(read.value.alias(name))
        reasons.append(read.refused)
        if name in is_translated:
            translated.append(F.when(read.is_translated, F.lit(name)))
    reasons += _lacking(source)
    arrived_at = F.col("_arrived_at")
    can_be_deleted = source.table is not None and DELETED.name in bronze.columns
    is_deleted = F.coalesce(DELETED.name, F.lit(False)) if can_be_deleted else F.lit(False)
    if mapping.arrival is not None:
        _, told_at = _read(mapping.arrival, TimestampType(), source.time_zone)
        # That a row is gone was known when it was missed, whatever time the row itself tells.
        arrived_at = F.when(is_deleted, F.greatest(told_at, arrived_at)).otherwise(told_at)
    found = F.array_compact(F.array(*reasons).cast("array<string>"))
    if TRANSLATED in types:
        columns.append(F.array_compact(F.array(*translated).cast("array<string>")).alias(TRANSLATED))
    return as_told(bronze).select(
        *columns,
        F.lit(source.source).alias("source"),
        arrived_at.alias("arrived_at"),
        F.col("_record_id"),
        F.when(F.col("_is_unparseable"), F.array(F.lit(UNPARSEABLE))).otherwise(found).alias(REASONS),
        F.col(RECORD),
        *([is_deleted.alias(DELETED.name), _teller(source)] if can_be_deleted else []),
    )


def _lacking(source: Source) -> list[Column]:
    """For each plain field that every record of JSON must have, the reason `<field>_missing` where one does not.

    A file of CSV or Parquet and a table have all of their columns or are refused as a whole. That a personal value came to nothing can
    have other causes.
    """
    if not source.topic and source.format != "json":
        return []
    required = [field.column for field in source.fields if not field.is_optional and not field.personal]
    return [F.when(F.col(f"{RECORD}.`{name}`").isNull(), F.lit(f"{name}_missing")) for name in required]


def _teller(source: Source) -> Column:
    """Which row of the feed's table a record was told by."""
    assert source.table is not None
    key = [F.col(f"{RECORD}.`{name}`") for name in source.table.key]
    return F.concat_ws("\x1f", F.lit(source.source), *key).alias(TELLER)


def _union(one: DataFrame, other: DataFrame) -> DataFrame:
    """Rows of both; `_record` gets the fields of both feeds."""
    return one.unionByName(other, allowMissingColumns=True)


def reading(name: str, told: Taken, data_type: DataType, time_zone: str) -> Reading:
    """How a field is read for a column.

    A text that can't be gives the reason `<column>_unreadable`, a code or unit that is not listed `<column>_unknown_code` or
    `<column>_unknown_unit`.

    Args:
        name: the column.
        told: what the mapping takes.
        data_type: the column's type.
        time_zone: that of the feed.
    """
    if isinstance(told, Coded):
        code = F.trim(F.expr(told.told).cast("string"))
        named = F.try_element_at(_listed(told.codes), code)
        value = named.try_cast(data_type)
        reason = F.when(named.isNull(), f"{name}_unknown_code").when(value.isNull(), f"{name}_unreadable")
        return Reading(value, F.when(_is_told(code), reason), value.isNotNull() & (named != code))
    if isinstance(told, Measured):
        raw, unit = F.expr(told.told), F.trim(F.expr(told.unit))
        number, factor = raw.try_cast(NUMBER), F.try_element_at(_listed(told.factors), unit).cast(NUMBER)
        ours = F.try_divide(number, factor) if told.is_rate else number * factor
        # Of a whole number no part is dropped.
        ours = F.when(ours == F.floor(ours), ours) if isinstance(data_type, IntegralType) else ours
        value = ours.try_cast(data_type)
        reason = F.when(number.isNull(), f"{name}_unreadable").when(factor.isNull(), f"{name}_unknown_unit")
        reason = reason.when(value.isNull(), f"{name}_unreadable")
        return Reading(value, F.when(_is_told(raw), reason), value.isNotNull() & (factor != 1))
    raw, typed = _read(told, data_type, time_zone)
    return Reading(typed, F.when(_is_told(raw) & typed.isNull(), f"{name}_unreadable"), F.lit(False))


def _is_told(raw: Column) -> Column:
    return raw.isNotNull() & (F.trim(raw.cast("string")) != "")


def _listed(entries: Mapping[str, object]) -> Column:
    return F.create_map(*[F.lit(str(part)) for part in chain.from_iterable(entries.items())])


def _read(told: str | LocalTime, data_type: DataType, time_zone: str) -> tuple[Column, Column]:
    """What a mapping tells, as it came and as its type; null where it can't be read as that."""
    if isinstance(told, LocalTime):
        return F.expr(told.local), local_time(told, time_zone)
    raw = F.expr(told)
    typed = raw.try_cast(data_type)
    return raw, in_calendar(typed) if isinstance(data_type, DateType | TimestampType) else typed
