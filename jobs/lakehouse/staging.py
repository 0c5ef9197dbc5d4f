"""Staging: rows wait at a path, each with the reasons against it, until all that belongs together is audited."""

from __future__ import annotations

from dataclasses import dataclass

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.lakehouse.contracts import Contract
from jobs.lakehouse.quality import DUPLICATE, REASONS, RECORD, is_rejected, with_reject_reasons
from jobs.lakehouse.tables import Write, conform


@dataclass(frozen=True)
class Staged:
    """Rows of one table that passed the audit and wait for their commit, at a path or, where nothing is to be judged, as a plan."""

    contract: Contract
    write: Write
    path: str = ""
    unjudged: DataFrame | None = None
    rows_valid: int = 0
    rows_rejected: int = 0
    rows_deduplicated: int = 0


def stage(rows: DataFrame, contract: Contract, path: str) -> None:
    """Write the rows once, each with the reasons against it, and its JSON where there is one."""
    judged = rows if REASONS in rows.columns else with_reject_reasons(rows, contract)
    if DUPLICATE not in judged.columns:
        judged = judged.withColumn(DUPLICATE, F.lit(False))
    content = F.col(RECORD) if RECORD in rows.columns else F.struct(*contract.column_names)
    record = F.when(is_rejected(), F.to_json(content))
    working: tuple[str, ...] = (REASONS, DUPLICATE, RECORD)
    if "_record_id" not in contract.column_names:
        working = (*working, "_record_id")
    conform(judged.withColumn(RECORD, record), contract, working).write.mode("overwrite").parquet(path)


def count_staged(spark: SparkSession, path: str) -> tuple[int, int, int]:
    """How many of the staged rows are valid, rejected and duplicates."""
    duplicate, rejected = F.col(DUPLICATE), ~F.col(DUPLICATE) & is_rejected()
    counts = spark.read.parquet(path).agg(
        F.count_if(~duplicate & ~is_rejected()), F.count_if(rejected), F.count_if(duplicate)
    )
    valid, refused, repeated = counts.first() or (0, 0, 0)
    return valid, refused, repeated


def valid_rows(spark: SparkSession, path: str, contract: Contract) -> DataFrame:
    """The staged rows that are neither rejected nor duplicates, with the contract's columns."""
    staged = spark.read.parquet(path)
    return staged.where(~F.col(DUPLICATE) & ~is_rejected()).select(*contract.column_names)
