"""Staging: rows wait at a path, each with the reasons against it, until all that belongs together is audited."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, BooleanType, DataType, StringType, StructField, StructType

from jobs.lakehouse.contracts import Contract
from jobs.lakehouse.errors import QualityGateError
from jobs.lakehouse.quality import DUPLICATE, REASONS, RECORD, is_rejected, with_reject_reasons
from jobs.lakehouse.tables import RECORD_ID, Write, conform

# What a staged row has beside the columns of its contract.
WORKING: Mapping[str, DataType] = {
    REASONS: ArrayType(StringType()),
    DUPLICATE: BooleanType(),
    RECORD: StringType(),
    RECORD_ID: StringType(),
}


@dataclass(frozen=True)
class Staged:
    """Rows of one table that wait for their commit, staged or, where nothing is to be judged, as a plan.

    Args:
        contract: the table's.
        write: how they enter it.
        rows: the rows, each with the reasons against it where they are judged.
        is_judged: whether they are.
        stay: rows that the table holds already, and holds on to beside these.
        rows_valid: how many of the rows enter it; this and the next two once they are counted.
        rows_rejected: how many broke a rule.
        rows_deduplicated: how many say what others say.
    """

    contract: Contract
    write: Write
    rows: DataFrame
    is_judged: bool
    stay: DataFrame | None = None
    rows_valid: int = 0
    rows_rejected: int = 0
    rows_deduplicated: int = 0

    @cached_property
    def entering(self) -> DataFrame:
        """The rows as the table will have them."""
        valid = valid_rows(self.rows, self.contract) if self.is_judged else self.rows
        return valid if self.stay is None else valid.unionByName(conform(self.stay, self.contract))

    def counted(self) -> Staged:
        """The same with how many of the judged rows are valid, rejected and duplicates."""
        valid, refused, repeated = count_staged(self.rows)
        return replace(self, rows_valid=valid, rows_rejected=refused, rows_deduplicated=repeated)

    def refuse_lost(self, rows_in: int) -> None:
        """Hold the rows against the number of those that they were made from.

        Raises:
            QualityGateError: some were lost, or came twice.
        """
        parts = self.rows_valid, self.rows_rejected, self.rows_deduplicated
        if rows_in != sum(parts):
            raise QualityGateError(
                f"{self.contract.table}: {rows_in} rows went in, but {parts[0]} valid + {parts[1]} rejected + "
                f"{parts[2]} duplicates = {sum(parts)} came out; nothing was published"
            )


def stage(rows: DataFrame, contract: Contract, path: str) -> None:
    """Write the rows once, each with the reasons against it, and its JSON where there is one."""
    judged = rows if REASONS in rows.columns else with_reject_reasons(rows, contract)
    if DUPLICATE not in judged.columns:
        judged = judged.withColumn(DUPLICATE, F.lit(False))
    content = F.col(RECORD) if RECORD in rows.columns else F.struct(*contract.column_names)
    record = F.when(is_rejected(), F.to_json(content))
    working = tuple(name for name in WORKING if name not in contract.column_names)
    conform(judged.withColumn(RECORD, record), contract, working).write.mode("overwrite").parquet(path)


def staged_rows(spark: SparkSession, path: str, contract: Contract) -> DataFrame:
    """The rows as they were staged; what they look like is known, and Spark need not run a job to ask their files."""
    columns = [StructField(field.name, field.dataType) for field in contract.schema]
    working = [StructField(name, held) for name, held in WORKING.items() if name not in contract.column_names]
    return spark.read.schema(StructType([*columns, *working])).parquet(path)


def count_staged(staged: DataFrame) -> tuple[int, int, int]:
    """How many of the staged rows are valid, rejected and duplicates."""
    duplicate, rejected = F.col(DUPLICATE), ~F.col(DUPLICATE) & is_rejected()
    counts = staged.agg(F.count_if(~duplicate & ~is_rejected()), F.count_if(rejected), F.count_if(duplicate))
    valid, refused, repeated = counts.first() or (0, 0, 0)
    return valid, refused, repeated


def valid_rows(staged: DataFrame, contract: Contract) -> DataFrame:
    """The staged rows that are neither rejected nor duplicates, with the contract's columns."""
    return staged.where(~F.col(DUPLICATE) & ~is_rejected()).select(*contract.column_names)
