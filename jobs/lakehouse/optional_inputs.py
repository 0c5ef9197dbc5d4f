"""Inputs that a job may lack: what a retailer doesn't tell is no rows."""

from __future__ import annotations

from pyspark.sql import DataFrame

from jobs.lakehouse.local_rows import empty_rows
from jobs.lakehouse.run import Run


def read_or_nothing(run: Run, table: str) -> DataFrame:
    """The rows of a declared table that the job can lack; none, in the form of its contract, where it was never published."""
    return run.read(table) if run.has(table) else empty_rows(run.spark, run.contract(table))
