"""Delta tables at paths: made from contracts, read at a version, written in one commit."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from typing import Literal

from delta.tables import DeltaTable
from pyspark.errors import AnalysisException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from jobs.lakehouse.contracts import Contract, split_table
from jobs.lakehouse.errors import ContractError, DataError
from jobs.lakehouse.files import delete_folder, first_line, names_below

# Gold is plain Delta that any reader opens.
PLAIN_DELTA = {
    "delta.enableDeletionVectors": "false",
    "delta.columnMapping.mode": "none",
    "delta.checkpointPolicy": "classic",
}

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


def table_exists(spark: SparkSession, path: str) -> bool:
    """Whether a Delta table lies at the path."""
    return bool(DeltaTable.isDeltaTable(spark, path))


def table_version(spark: SparkSession, path: str) -> int | None:
    """The newest version of the table at the path; None when there is no table."""
    if not table_exists(spark, path):
        return None
    # DeltaLog answers in milliseconds where DESCRIBE HISTORY takes half a second.
    jvm = spark._jvm
    assert jvm is not None
    nothing = jvm.scala.Option.empty()
    log = jvm.org.apache.spark.sql.delta.DeltaLog.forTable(spark._jsparkSession, path)
    return int(log.update(False, nothing, nothing).version())


def read_table(spark: SparkSession, path: str, version: int | None = None) -> DataFrame:
    """The rows of a table, at a version or the newest.

    Raises:
        DataError: there is no table at the path.
    """
    if not table_exists(spark, path):
        raise DataError(f"there is no Delta table at {path}; run the job that writes it first (python -m jobs graph)")
    reader = spark.read.format("delta")
    return (reader if version is None else reader.option("versionAsOf", version)).load(path)


def is_kept(spark: SparkSession, path: str, version: int) -> bool:
    """Whether a version of a table can still be read: its log, and every file that it names."""
    try:
        named = read_table(spark, path, version).inputFiles()
    except (AnalysisException, DataError):
        return False
    return {file.rsplit("/", 1)[-1] for file in named} <= names_below(spark, path)


def ensure_table(spark: SparkSession, path: str, contract: Contract) -> None:
    """Make the table of a contract, or add the columns that the contract has gained; needs one commit or none.

    Raises:
        ContractError: the table has columns that the contract doesn't know, or of another type: a breaking change.
    """
    if not table_exists(spark, path):
        _create_table(spark, path, contract)
        return
    there = {field.name: field.dataType for field in spark.read.format("delta").load(path).schema}
    declared = {field.name: field for field in contract.schema}
    breaking = [name for name in there if name not in declared]
    breaking += [name for name, held in there.items() if name in declared and declared[name].dataType != held]
    if breaking:
        raise ContractError(
            f"{contract.table}: the contract breaks the table at {path} in {', '.join(sorted(set(breaking)))}; "
            "restore the contract, or move the table away and rebuild it with --force"
        )
    added = [field for name, field in declared.items() if name not in there]
    if added:
        columns = ", ".join(
            f"`{field.name}` {field.dataType.simpleString()} COMMENT {_sql_text(field.metadata['comment'])}"
            for field in added
        )
        spark.sql(f"ALTER TABLE delta.`{path}` ADD COLUMNS ({columns})")


def _create_table(spark: SparkSession, path: str, contract: Contract) -> None:
    # What a creation leaves that was killed, or found the disk full, is no table, and is in the way of one.
    delete_folder(spark, f"{path}/_delta_log")
    builder = DeltaTable.create(spark).location(path).comment(contract.grain).addColumns(contract.schema)
    if contract.partition_columns:
        builder = builder.partitionedBy(*contract.partition_columns)
    # Like a row rule, and unlike a bare CHECK of Delta, a condition that is null is not broken.
    constraints = {f"delta.constraints.{rule.name}": f"coalesce({rule.condition}, true)" for rule in contract.row_rules}
    for key, value in {**PLAIN_DELTA, **constraints, **contract.properties}.items():
        builder = builder.property(key, value)
    builder.execute()


def write_table(rows: DataFrame, path: str, write: Write, key: tuple[str, ...], run_id: str) -> None:
    """Put rows into an existing table in one commit, which carries the run's id."""
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


def empty_rows(spark: SparkSession, contract: Contract) -> DataFrame:
    """No rows, with the contract's columns."""
    return spark.createDataFrame([], StructType(contract.schema.fields))


def _sql_text(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
