"""Table queries: what a database is asked of a feed's table, every value as text."""

from __future__ import annotations

from collections.abc import Mapping

from jobs.ingest.shapes import undeclared
from jobs.ingest.table_changes import CURSOR, NUMBERS, TIMES, WITHIN_CURSOR
from jobs.lakehouse.databases import Bounds, Snapshot, quoted
from jobs.lakehouse.errors import ConfigurationError, DataError
from jobs.lakehouse.sources import DatabaseTable, Source

PART = "_part"
UNDECLARED = "_undeclared"


def checked_columns(snapshot: Snapshot, source: Source, table: DatabaseTable) -> dict[str, str]:
    """The columns of the table with their types.

    Raises:
        DataError: a field that is not optional is no column of the table, or there is no such table.
        ConfigurationError: the cursor is neither a time nor a number.
    """
    types = snapshot.column_types(table.name)
    missing = sorted({field.name for field in source.fields if not field.is_optional} - set(types))
    if missing:
        raise DataError(f"{table.name} lacks columns of feed {source.source}: {', '.join(missing)}")
    if types[table.cursor] not in (*TIMES, *NUMBERS):
        raise ConfigurationError(
            f"feed {source.source}: the cursor {table.cursor} is {types[table.cursor]}; it must be a time or a number"
        )
    return types


def rows_query(source: Source, table: DatabaseTable, types: Mapping[str, str], condition: str) -> str:
    """The fields of the rows that meet a condition; a declared column that the table lacks is null.

    Columns that the feed does not declare, but for those that are null, come as JSON in `_undeclared`.
    """
    fields = [f"{_text(field.name, types)} AS {quoted(field.column)}" for field in source.fields]
    strangers = ", ".join(f"{_text(name, types)} AS {quoted(name)}" for name in undeclared(types, source))
    if strangers:
        # A row is turned into JSON as one, for a function takes no more than a hundred arguments.
        told = f"(SELECT json_strip_nulls(row_to_json(_row)) FROM (SELECT {strangers}) AS _row)"  # noqa: S608
        fields.append(f"nullif(CAST({told} AS text), '{{}}') AS {quoted(UNDECLARED)}")
    return f"SELECT {', '.join([*fields, *_part(table)])} FROM {quoted(table.name)} WHERE {condition}"  # noqa: S608


def keys_query(table: DatabaseTable, types: Mapping[str, str], condition: str) -> str:
    """The key of every row, with its cursor as text and whether the row meets a condition."""
    keys = [f"{_text(name, types)} AS {quoted(name)}" for name in table.key]
    cursor = f"{_text(table.cursor, types)} AS {quoted(CURSOR)}"
    columns = [*keys, cursor, f"coalesce({condition}, true) AS {quoted(WITHIN_CURSOR)}", *_part(table)]
    return f"SELECT {', '.join(columns)} FROM {quoted(table.name)}"  # noqa: S608 - names are those of the feed


def count_query(table: DatabaseTable, condition: str) -> str:
    """How many rows meet a condition, and how many keys they have."""
    key = ", ".join(quoted(name) for name in table.key)
    return f"SELECT count(*), count(DISTINCT ROW({key})) FROM {quoted(table.name)} WHERE {condition}"  # noqa: S608


def since(table: DatabaseTable, cursor_type: str, last: str | None) -> str:
    """The condition that a row is not older than the newest that was read, less the overlap; true where none was read."""
    if last is None:
        return "true"
    column = quoted(table.cursor)
    if cursor_type in NUMBERS:
        return f"({column} >= CAST('{last}' AS numeric) OR {column} IS NULL)"
    zone = "+00" if cursor_type.endswith("with time zone") else ""
    start = f"CAST('{last}{zone}' AS {cursor_type}) - CAST('{table.overlap_minutes} minutes' AS interval)"
    return f"({column} >= {start} OR {column} IS NULL)"


def bounds_of(snapshot: Snapshot, table: DatabaseTable) -> Bounds | None:
    """By what the table is read in parts; None where no column is named for it, or there are no rows."""
    if table.partition_column is None or table.partitions == 1:
        return None
    column = quoted(table.partition_column)
    ((lowest, highest),) = snapshot.rows(f"SELECT min({column}), max({column}) FROM {quoted(table.name)}")  # noqa: S608
    return None if lowest is None or highest is None else Bounds(PART, lowest, highest, table.partitions)


def _text(name: str, types: Mapping[str, str]) -> str:
    """A column as text; a time with a zone is told in UTC, for PostgreSQL would tell it in the zone of the session."""
    if name not in types:
        return "CAST(NULL AS text)"
    in_utc = " AT TIME ZONE 'UTC'" if types[name] == "timestamp with time zone" else ""
    return f"CAST({quoted(name)}{in_utc} AS text)"


def _part(table: DatabaseTable) -> list[str]:
    return [f"{quoted(table.partition_column)} AS {quoted(PART)}"] if table.partition_column else []
