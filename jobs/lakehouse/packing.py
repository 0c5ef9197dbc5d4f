"""Packing: the small files that a stream leaves, put together while it runs."""

from __future__ import annotations

from delta.tables import DeltaTable
from pyspark.sql import SparkSession

from jobs.lakehouse.run import Run
from jobs.lakehouse.session import configured

# A file of this share of the size aimed at, or more, is left as it is, so that nothing is packed again and again.
LARGE_SHARE = 16


def pack_added(run: Run) -> None:
    """Pack the small files of the tables that the run's last batch was added to."""
    for table in run.added:
        with run.turn(table):
            pack(run.spark, run.lake.path(table), run.settings.storage.file_mib * 2**20)


def pack(spark: SparkSession, path: str, file_bytes: int) -> None:
    """Put the small files of a table together in one commit; its rows stay as they are."""
    sizes = {"maxFileSize": file_bytes, "minFileSize": file_bytes // LARGE_SHARE}
    with configured(spark, {f"spark.databricks.delta.optimize.{name}": str(size) for name, size in sizes.items()}):
        DeltaTable.forPath(spark, path).optimize().executeCompaction()
