"""Rows that are worked out once for all that is made of them, and let go of when that is done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.lakehouse.files import delete_folder

# Rows of a key or two that are sent to every task: some tens of megabytes.
MOST_SENT = 200_000


@contextmanager
def cached(rows: DataFrame) -> Iterator[DataFrame]:
    """The rows, kept while the block runs; a run keeps them to its end by `run.keep(cached(rows))`."""
    kept = rows.persist()
    try:
        yield kept
    finally:
        kept.unpersist()


def written_down(rows: DataFrame, path: str) -> DataFrame:
    """The rows as Parquet files at a path: worked out once however many there are, where memory would let go of them and begin again."""
    rows.write.mode("overwrite").parquet(path)
    return rows.sparkSession.read.schema(rows.schema).parquet(path)


def few(rows: DataFrame) -> DataFrame:
    """Rows that were written down or are kept, to be sent to every task where they are few: what they are joined with need not be shuffled.

    Of rows that were worked out before Spark knows no size, and takes them for many.
    """
    return F.broadcast(rows) if rows.count() <= MOST_SENT else rows


@contextmanager
def checkpoints(spark: SparkSession, folder: str) -> Iterator[None]:
    """A folder for what Spark writes down in between; it is gone when the block ends, and with it what was written."""
    spark.sparkContext.setCheckpointDir(folder)
    try:
        yield
    finally:
        delete_folder(spark, folder)
