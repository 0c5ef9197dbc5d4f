"""The archive: deliveries too old for bronze, whole, packed tight, and ready to be brought back."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace

from delta.tables import DeltaTable
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.lakehouse.contracts import Contract, split_table
from jobs.lakehouse.errors import DataError
from jobs.lakehouse.files import delete_folder
from jobs.lakehouse.session import configured
from jobs.lakehouse.tables import Lake, Write, ensure_table, read_table, table_exists, write_table
from jobs.lakehouse.tiers import ARRIVED, content_of, packing

ID = "_delivery_id"
COMMIT_NOTE = "spark.databricks.delta.commitInfo.userMetadata"


def archive_contract(bronze: Contract) -> Contract:
    """The contract of the table that keeps what left a bronze table: the same columns."""
    name = split_table(bronze.table)[1]
    return replace(bronze, table=f"archive.{name}", grain=f"Left bronze by its age. {bronze.grain}")


def kept_rows(spark: SparkSession, lake: Lake, bronze: Contract) -> list[DataFrame]:
    """The rows of a bronze table and those that left it for the archive, of each table that is there."""
    places = [lake.path(contract.table) for contract in (bronze, archive_contract(bronze))]
    return [read_table(spark, place) for place in places if table_exists(spark, place)]


def archive(
    spark: SparkSession,
    lake: Lake,
    bronze: Contract,
    before: dt.datetime,
    cluster_by: tuple[str, ...],
    level: int,
    note: str,
) -> int:
    """Move the deliveries whose last record arrived before an instant from bronze to the archive; gives the rows that left.

    They are added to the archive, compared, and only then deleted from bronze. Killed in between they lie in both, and the
    next attempt finds them there: by delivery, so that none is lost or kept twice.

    Raises:
        DataError: the archive does not hold what bronze does; bronze keeps it.
    """
    held_at, archive_at = lake.path(bronze.table), lake.path(archive_contract(bronze).table)
    with _old_deliveries(spark, lake, bronze.table, before) as old, packing(spark, level):
        if old is None:
            return 0
        ensure_table(spark, held_at, bronze)
        ensure_table(spark, archive_at, archive_contract(bronze))
        leaving = read_table(spark, held_at).join(F.broadcast(old), on=ID, how="left_semi")
        there = read_table(spark, archive_at).select(ID).distinct()
        fresh = leaving.join(there, on=ID, how="left_anti").select(*bronze.column_names)
        keys = [f"`{name}`" for name in (*cluster_by, ARRIVED)]
        packed = fresh.repartitionByRange(F.col(ARRIVED)).sortWithinPartitions(*keys)
        write_table(packed, archive_at, Write("append"), (), note)
        arrived = read_table(spark, archive_at).join(F.broadcast(old), on=ID, how="left_semi")
        rows = _same_content(leaving, arrived, bronze, f"{held_at} keeps them")
        _delete(spark, held_at, old, note)
        return rows


def bring_back(spark: SparkSession, lake: Lake, bronze: Contract, level: int, note: str) -> int:
    """Move all that the archive has of a bronze table back into it; gives the rows that came.

    Raises:
        DataError: there is nothing archived, or bronze does not hold what came; the archive keeps it.
    """
    held_at, archive_at = lake.path(bronze.table), lake.path(archive_contract(bronze).table)
    if not table_exists(spark, archive_at):
        raise DataError(f"nothing of {bronze.table} was ever archived: there is no table at {archive_at}")
    if read_table(spark, archive_at).isEmpty():
        return 0
    ensure_table(spark, held_at, bronze)
    ensure_table(spark, archive_at, archive_contract(bronze))
    archived = read_table(spark, archive_at)
    with packing(spark, level):
        coming = archived.select(ID).distinct()
        there = read_table(spark, held_at).select(ID).distinct()
        missing = archived.join(there, on=ID, how="left_anti").select(*bronze.column_names)
        packed = missing.repartitionByRange(F.col(ARRIVED)).sortWithinPartitions(ARRIVED)
        write_table(packed, held_at, Write("append"), (), note)
        arrived = read_table(spark, held_at).join(coming, on=ID, how="left_semi")
        rows = _same_content(archived, arrived, bronze, f"{archive_at} keeps them")
        with _noted(spark, note):
            DeltaTable.forPath(spark, archive_at).delete()
    return rows


def forget(spark: SparkSession, lake: Lake, bronze: Contract, before: dt.datetime, note: str) -> int:
    """Delete the archived deliveries whose last record arrived before an instant; gives the rows that are gone."""
    table = archive_contract(bronze).table
    if not table_exists(spark, lake.path(table)):
        return 0
    with _old_deliveries(spark, lake, table, before) as old:
        if old is None:
            return 0
        rows = read_table(spark, lake.path(table)).join(F.broadcast(old), on=ID, how="left_semi").count()
        _delete(spark, lake.path(table), old, note)
        return rows


@contextmanager
def _old_deliveries(spark: SparkSession, lake: Lake, table: str, before: dt.datetime) -> Iterator[DataFrame | None]:
    """The ids of the deliveries that are old enough, put down so that they stay the same; None where there is none.

    A delivery goes whole or stays whole, and one with a record that tells no time stays.
    """
    newest = read_table(spark, lake.path(table)).groupBy(ID)
    ages = newest.agg(F.max(ARRIVED).alias("newest"), F.count_if(F.col(ARRIVED).isNull()).alias("timeless"))
    path = lake.staging_path("lakehouse.tier", table)
    old = ages.where((F.col("timeless") == 0) & (F.col("newest") < F.lit(before))).select(ID)
    old.write.mode("overwrite").parquet(path)
    try:
        found = spark.read.parquet(path)
        yield None if found.isEmpty() else found
    finally:
        delete_folder(spark, path)


def _same_content(left: DataFrame, right: DataFrame, bronze: Contract, consequence: str) -> int:
    wanted, found = (content_of(rows.select(*bronze.column_names)) for rows in (left, right))
    if wanted != found:
        raise DataError(
            f"{bronze.table}: of {wanted[0]} rows that were to move between bronze and archive {found[0]} arrived, or not the "
            f"same; {consequence}. Restore the table that changed to an older version (python -m jobs restore), and run again"
        )
    return wanted[0]


def _delete(spark: SparkSession, path: str, deliveries: DataFrame, note: str) -> None:
    same = f"held.{ID} = gone.{ID}"
    merge = DeltaTable.forPath(spark, path).alias("held").merge(deliveries.alias("gone"), same)
    with _noted(spark, note):
        merge.whenMatchedDelete().execute()


def _noted(spark: SparkSession, note: str) -> AbstractContextManager[None]:
    """Commits within the block carry the note, also those of commands that take no option."""
    return configured(spark, {COMMIT_NOTE: note})
