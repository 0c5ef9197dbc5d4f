"""Delta tables at paths: made from contracts, read at a version, written in one commit."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from delta.tables import DeltaTable
from pyspark.errors import AnalysisException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.lakehouse.contracts import Contract, split_table
from jobs.lakehouse.errors import ConfigurationError, ContractError, DataError
from jobs.lakehouse.files import delete_folder, first_line, names_below, read_text
from jobs.lakehouse.table_rules import CONSTRAINT, breach_of, follow_rules, rules_of, snapshot

# Gold is plain Delta that any reader opens.
PLAIN_DELTA = {
    "delta.enableDeletionVectors": "false",
    "delta.columnMapping.mode": "none",
    "delta.checkpointPolicy": "classic",
}

RECORD_ID = "_record_id"
Mode = Literal["replace", "replace_where", "append", "merge", "insert"]


@dataclass(frozen=True)
class Write:
    """How staged rows enter a table: all of it, the slice that a condition names, appended once, merged or inserted by key.

    The key is the contract's, unless another is named.
    """

    mode: Mode = "replace"
    condition: str = ""
    transaction: str = ""
    transaction_version: int = 1
    key: tuple[str, ...] = ()


def date_slices(column: str, days: list[dt.date]) -> Write:
    """Replace the partitions of these days, and no other."""
    return Write("replace_where", condition=f"{column} in (" + ", ".join(f"date'{day}'" for day in days) + ")")


@dataclass(frozen=True)
class Lake:
    """The root folder of one dataset's tables."""

    root: str

    def path(self, table: str) -> str:
        """Where a table lies: `<root>/<layer>/<name>`."""
        layer, name = split_table(table)
        return f"{self.root}/{layer}/{name}"

    def staging_path(self, job: str, table: str) -> str:
        """Where a job stages rows before they are audited."""
        return f"{self.root}/_staging/{job}/{table}"

    @property
    def locks(self) -> Path:
        """The folder of the locks that keep two processes from writing one table.

        Raises:
            ConfigurationError: the lake is no folder of a file system, where alone such locks hold.
        """
        scheme, _, rest = self.root.partition(":")
        has_scheme = bool(rest) and "/" not in scheme
        if has_scheme and scheme != "file":
            raise ConfigurationError(
                f"the lake {self.root} is no folder: one writer at a time is kept by locks in a file system, "
                "so put the lake on one that the driver and all executors mount"
            )
        return Path(rest if has_scheme else self.root) / "_locks"


def table_exists(spark: SparkSession, path: str) -> bool:
    """Whether a Delta table lies at the path."""
    return bool(DeltaTable.isDeltaTable(spark, path))


def table_version(spark: SparkSession, path: str) -> int | None:
    """The newest version of the table at the path; None when there is no table."""
    if not table_exists(spark, path):
        return None
    return int(snapshot(spark, path).version())


def table_made_at(spark: SparkSession, path: str) -> dt.datetime | None:
    """When the table at the path was made, to the millisecond; None when there is no table.

    It stays what it is whatever is written or restored, and changes only when the folder is taken away and made anew.
    """
    if not table_exists(spark, path):
        return None
    made_at = dt.datetime.fromtimestamp(int(snapshot(spark, path).metadata().createdTime().get()) / 1000, dt.UTC)
    return made_at.replace(tzinfo=None)


def read_table(spark: SparkSession, path: str, version: int | None = None) -> DataFrame:
    """The rows of a table, at a version or the newest.

    Raises:
        DataError: there is no table at the path.
    """
    if not table_exists(spark, path):
        raise DataError(f"there is no Delta table at {path}; run the job that writes it first (python -m jobs graph)")
    reader = spark.read.format("delta")
    return (reader if version is None else reader.option("versionAsOf", version)).load(path)


def count_rows(spark: SparkSession, path: str, version: int) -> int:
    """How many rows a version of a table holds.

    The checksum of its commit lists the files with their rows; where it does not, Delta adds them up in a job of Spark.
    """
    checksum = read_text(spark, f"{path}/_delta_log/{version:020d}.crc")
    files = json.loads(checksum).get("allFiles") if checksum else None
    counts = [json.loads(file.get("stats") or "{}").get("numRecords") for file in files or ()]
    if files is None or None in counts or any(file.get("deletionVector") for file in files):
        return read_table(spark, path, version).count()
    return sum(counts)


def is_kept(spark: SparkSession, path: str, version: int) -> bool:
    """Whether a version of a table can still be read: its log, and every file that it names."""
    try:
        named = read_table(spark, path, version).inputFiles()
    except (AnalysisException, DataError):
        return False
    return {file.rsplit("/", 1)[-1] for file in named} <= names_below(spark, path)


def ensure_table(spark: SparkSession, path: str, contract: Contract) -> None:
    """Make the table of a contract, or add the columns and rules that the contract has gained and drop the rules that it lost.

    Where nothing has changed it makes no commit.

    Raises:
        ContractError: the table has columns that the contract doesn't know, or of another type: a breaking change.
    """
    if not table_exists(spark, path):
        _create_table(spark, path, contract)
        return
    held = read_table(spark, path)
    if breach := breach_of(held, contract):
        raise ContractError(
            f"{contract.table}: the contract breaks the table at {path} in {', '.join(sorted((*breach.gone, *breach.retyped)))}; "
            f"restore the contract, or bring the table under it: python -m jobs migrate {contract.table}"
        )
    added = [field for field in contract.schema if field.name not in held.columns]
    if added:
        columns = ", ".join(
            f"`{field.name}` {field.dataType.simpleString()} COMMENT {_sql_text(field.metadata['comment'])}"
            for field in added
        )
        spark.sql(f"ALTER TABLE delta.`{path}` ADD COLUMNS ({columns})")
    # A rule may be of a column that has just come.
    follow_rules(spark, path, contract)


def _create_table(spark: SparkSession, path: str, contract: Contract) -> None:
    # What a creation leaves that was killed, or found the disk full, is no table, and is in the way of one.
    delete_folder(spark, f"{path}/_delta_log")
    builder = DeltaTable.create(spark).location(path).comment(contract.grain).addColumns(contract.schema)
    if contract.partition_columns:
        builder = builder.partitionedBy(*contract.partition_columns)
    constraints = {f"{CONSTRAINT}{name}": condition for name, condition in rules_of(contract).items()}
    for key, value in {**PLAIN_DELTA, **constraints, **contract.properties}.items():
        builder = builder.property(key, value)
    builder.execute()


def write_table(rows: DataFrame, path: str, write: Write, key: tuple[str, ...], run_id: str) -> None:
    """Put rows into an existing table in one commit, which carries the run's id."""
    if write.mode in ("replace", "merge", "insert") and _is_known_empty(rows.sparkSession, path):
        # To look for what goes or matches where there is nothing costs Delta three times as much as to add.
        write = Write("append")
    if write.mode in ("merge", "insert"):
        _merge(rows, path, write.key or key, update=write.mode == "merge")
        return
    writer = rows.write.format("delta").option("userMetadata", run_id)
    if write.mode == "append":
        if write.transaction:
            # The version of a slice is always 1: the application id names it, so it enters once, in any order. Only the
            # batches of a stream, which come in order, are counted.
            version = write.transaction_version
            writer = writer.option("txnAppId", write.transaction).option("txnVersion", version)
        writer.mode("append").save(path)
    elif write.mode == "replace_where":
        writer.mode("overwrite").option("replaceWhere", write.condition).save(path)
    else:
        writer.mode("overwrite").save(path)


def _is_known_empty(spark: SparkSession, path: str) -> bool:
    """Whether the table's newest version holds no file, as far as the checksum of its commit tells; Delta would run a job to count them."""
    checksum = snapshot(spark, path).checksumOpt()
    return bool(checksum.isDefined()) and int(checksum.get().numFiles()) == 0


def _merge(rows: DataFrame, path: str, key: tuple[str, ...], update: bool) -> None:
    """Insert the rows whose key is new, and update the others where asked; rows are staged, so the source stands still.

    No column of a key is ever null, and a join that need not think of nulls is the faster one.
    """
    same_key = F.expr(" AND ".join(f"held.`{column}` = arriving.`{column}`" for column in key))
    if update:
        same_key &= _within_range(rows, key[0])
    merge = DeltaTable.forPath(rows.sparkSession, path).alias("held").merge(rows.alias("arriving"), same_key)
    merge = merge.whenMatchedUpdateAll() if update else merge
    merge.whenNotMatchedInsertAll().execute()


def _within_range(rows: DataFrame, column: str) -> Column:
    """Whether a held row lies within the range of the arriving keys: files that can hold none of them are then not read."""
    lowest, highest = rows.agg(F.min(column), F.max(column)).first() or (None, None)
    held = F.col(f"held.`{column}`")
    return held.between(F.lit(lowest), F.lit(highest)) if lowest is not None else held.isNull()


def refuse_if_skipped(rows: DataFrame, path: str, write: Write, contract: Contract, before: int | None) -> None:
    """Hold the rows of an append that left the table at the version of before against the table: Delta skips one that it has seen.

    Raises:
        DataError: some of them are not there.
    """
    if write.mode != "append" or not write.transaction or table_version(rows.sparkSession, path) != before:
        return
    # The rest of a row may tell when it was loaded, and so be another by now.
    key = contract.key or ((RECORD_ID,) if RECORD_ID in rows.columns else rows.columns)
    if not rows.select(*key).subtract(read_table(rows.sparkSession, path).select(*key)).isEmpty():
        raise DataError(
            f"{contract.table}: Delta has taken these rows for ones that it has ({write.transaction}), but they are not there: "
            "the table was restored to a version before them. Nothing of them was written; see the runbook, Restore a "
            "table's version"
        )


def rows_in_last_commit(spark: SparkSession, path: str) -> int:
    """How many rows the newest commit of a table wrote."""
    # The first action of a commit says what it did; to ask DESCRIBE HISTORY for it takes a Spark job.
    told = json.loads(first_line(spark, f"{path}/_delta_log/{table_version(spark, path):020d}.json"))
    return int(told["commitInfo"].get("operationMetrics", {}).get("numOutputRows", 0))


def conform(rows: DataFrame, contract: Contract, kept: tuple[str, ...] = ()) -> DataFrame:
    """The rows with exactly the contract's columns, in its order and types, and the working columns `kept`.

    Raises:
        ContractError: a column is missing, or is there undeclared.
    """
    missing = [name for name in contract.column_names if name not in rows.columns]
    undeclared = [name for name in rows.columns if name not in contract.column_names and name not in kept]
    if missing or undeclared:
        raise ContractError(
            f"rows for {contract.table} don't fit its contract: "
            f"missing {', '.join(missing) or 'nothing'}; undeclared {', '.join(undeclared) or 'nothing'}"
        )
    typed = [rows[field.name].cast(field.dataType).alias(field.name) for field in contract.schema]
    return rows.select(*typed, *[name for name in kept if name in rows.columns])


def restore_table(spark: SparkSession, path: str, version: int) -> None:
    """Make an older version of a table the newest again, by a commit of its own."""
    DeltaTable.forPath(spark, path).restoreToVersion(version)


def _sql_text(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
