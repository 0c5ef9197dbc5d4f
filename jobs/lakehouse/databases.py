"""Databases: PostgreSQL as a run sees it, one state of it for all that the run reads, and how rows are put there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from py4j.protocol import Py4JJavaError
from pyspark.sql import DataFrame, SparkSession

from jobs.lakehouse.errors import ConfigurationError, DataError
from jobs.lakehouse.sources import DatabaseTable
from jobs.lakehouse.wire_settings import DatabaseSettings

PASSWORD = "LAKEHOUSE_DATABASE_PASSWORD"  # noqa: S105 - the name of the variable, not the password
REPEATABLE_READ = 4  # java.sql.Connection.TRANSACTION_REPEATABLE_READ


@dataclass(frozen=True)
class Bounds:
    """A column of a query, and its least and greatest value, by which the query is read in parts."""

    column: str
    lowest: str
    highest: str
    parts: int


@dataclass(frozen=True)
class Snapshot:
    """One state of a database: every query sees the rows that were committed when it was opened, in every task and pass."""

    spark: SparkSession
    settings: DatabaseSettings
    snapshot_id: str
    connection: Any = field(repr=False)

    def read(self, query: str, fetch_size: int, bounds: Bounds | None = None) -> DataFrame:
        """The rows of a query; read in parts, each by a connection of its own, where bounds are given."""
        options = {
            "url": self.settings.url,
            "driver": "org.postgresql.Driver",
            "dbtable": f"({query}) AS source",
            "fetchsize": str(fetch_size),
            "sessionInitStatement": "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY; "
            f"SET TRANSACTION SNAPSHOT '{self.snapshot_id}'",
            **_connection_properties(self.settings),
        }
        if bounds:
            options |= {
                "partitionColumn": bounds.column,
                "lowerBound": bounds.lowest,
                "upperBound": bounds.highest,
                "numPartitions": str(bounds.parts),
            }
        return self.spark.read.format("jdbc").options(**options).load()

    def rows(self, query: str) -> list[tuple[str | None, ...]]:
        """The few rows of a query, each value as text; for what is asked about a table, not for its rows."""
        statement = self.connection.createStatement()
        try:
            result = statement.executeQuery(query)
            width = range(1, int(result.getMetaData().getColumnCount()) + 1)
            found = []
            while result.next():
                found.append(tuple(result.getString(position) for position in width))
            return found
        except Py4JJavaError as error:
            raise failed_database(self.settings, str(error.java_exception.getMessage())) from error
        finally:
            statement.close()

    def column_types(self, table: str) -> dict[str, str]:
        """The columns of a table with their PostgreSQL types.

        Raises:
            DataError: there is no such table.
        """
        rows = self.rows(
            "SELECT attname, format_type(atttypid, NULL) FROM pg_attribute "  # noqa: S608 - a name by the pattern of Source
            f"WHERE attrelid = to_regclass('{quoted(table)}') AND attnum > 0 AND NOT attisdropped"
        )
        if not rows:
            raise DataError(
                f"the database at {self.settings.url} has no table {table} that {self.settings.user} may see"
            )
        return {str(name): str(data_type) for name, data_type in rows}


@contextmanager
def opened_snapshot(spark: SparkSession, settings: DatabaseSettings) -> Iterator[Snapshot]:
    """A snapshot of the database as it is now, held by a transaction on the driver while the block runs.

    Raises:
        ConfigurationError: the password is not in the environment.
        DataError: the database does not answer, or refuses the user.
    """
    jvm: Any = spark._jvm
    connection = _connected(spark, settings)
    try:
        connection.setAutoCommit(False)
        connection.setTransactionIsolation(REPEATABLE_READ)
        connection.setReadOnly(True)
        opened = Snapshot(spark, settings, "", connection)
        ((snapshot_id,),) = opened.rows("SELECT pg_export_snapshot()")
        yield Snapshot(spark, settings, str(snapshot_id), connection)
    finally:
        connection.abort(jvm.java.util.concurrent.ForkJoinPool.commonPool())


def put_rows(rows: DataFrame, settings: DatabaseSettings, table: DatabaseTable) -> int:
    """How many rows of a table are new or changed, now that these rows are put there; a table that is missing is made.

    All columns are text, but for the cursor, a time with a zone. Of rows with one key the one with the latest cursor counts;
    one that is there is updated by a later one and by no other. The rows appear all at once, or not at all.

    Args:
        rows: the rows, every column as text; the cursor with its zone.
        settings: the database.
        table: the table.

    Raises:
        ConfigurationError: the password is not in the environment.
        DataError: the database does not answer, or refuses.
    """
    arriving, driver = f"{table.name}_arriving", {"url": settings.url, "driver": "org.postgresql.Driver"}
    options = {**driver, "dbtable": quoted(arriving), **_connection_properties(settings)}
    rows.write.format("jdbc").options(**options).mode("overwrite").save()
    connection = _connected(rows.sparkSession, settings)
    try:
        statement = connection.createStatement()
        statement.executeUpdate(_making(table, rows.columns))
        changed = int(statement.executeUpdate(_putting(table, rows.columns, arriving)))
        statement.executeUpdate(f"DROP TABLE {quoted(arriving)}")
        return changed
    except Py4JJavaError as error:
        raise failed_database(settings, str(error.java_exception.getMessage())) from error
    finally:
        connection.close()


def _making(table: DatabaseTable, columns: list[str]) -> str:
    told = [f"{quoted(name)} {'timestamptz NOT NULL' if name == table.cursor else 'text'}" for name in columns]
    key = ", ".join(quoted(name) for name in table.key)
    return f"CREATE TABLE IF NOT EXISTS {quoted(table.name)} ({', '.join(told)}, PRIMARY KEY ({key}))"


def _putting(table: DatabaseTable, columns: list[str], arriving: str) -> str:
    key, cursor = ", ".join(quoted(name) for name in table.key), quoted(table.cursor)
    typed = [f"CAST({quoted(name)} AS timestamptz)" if name == table.cursor else quoted(name) for name in columns]
    anew = [f"{quoted(name)} = EXCLUDED.{quoted(name)}" for name in columns if name not in table.key]
    is_later = f"EXCLUDED.{cursor} > {quoted(table.name)}.{cursor}"
    on_conflict = f"UPDATE SET {', '.join(anew)} WHERE {is_later}" if anew else "NOTHING"
    return (
        f"INSERT INTO {quoted(table.name)} ({', '.join(quoted(name) for name in columns)}) "  # noqa: S608 - names of the feed
        f"SELECT DISTINCT ON ({key}) {', '.join(typed)} FROM {quoted(arriving)} "
        f"ORDER BY {key}, CAST({cursor} AS timestamptz) DESC ON CONFLICT ({key}) DO {on_conflict}"
    )


def failed_database(settings: DatabaseSettings, reason: str) -> DataError:
    """The error of a database that does not answer, refuses, or went away while it was read."""
    return DataError(
        f"the database at {settings.url} failed: {reason[:300]}. Nothing was half written; see that it runs and that "
        f"{settings.user} may read it, then run again"
    )


def quoted(name: str) -> str:
    """A name of one or two parts as an identifier of SQL."""
    return ".".join('"' + part.replace('"', '""') + '"' for part in name.split("."))


def _connected(spark: SparkSession, settings: DatabaseSettings) -> Any:
    """A connection of the driver's own."""
    jvm: Any = spark._jvm
    properties = jvm.java.util.Properties()
    for key, value in _connection_properties(settings).items():
        properties.setProperty(key, value)
    try:
        return jvm.org.postgresql.Driver().connect(settings.url, properties)
    except Py4JJavaError as error:
        raise failed_database(settings, str(error.java_exception.getMessage())) from error


def _connection_properties(settings: DatabaseSettings) -> dict[str, str]:
    """What the driver needs to connect; Spark keeps the password out of plans and logs by the name of its option."""
    password = os.environ.get(PASSWORD)
    if not password:
        raise ConfigurationError(f"there is no password for {settings.user} at {settings.url}: set {PASSWORD}")
    return {
        "user": settings.user,
        "password": password,
        "ApplicationName": "customer-lakehouse",
        "connectTimeout": "10",
        "socketTimeout": str(settings.timeout_seconds),
    }
