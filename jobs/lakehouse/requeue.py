"""Requeue: try the rejected rows of a table again after a rule, a mapping or code has changed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs.lakehouse.cli import add_run_options, run_dates, settings_of
from jobs.lakehouse.errors import ConfigurationError
from jobs.lakehouse.job import NamedJob, execute
from jobs.lakehouse.session import open_session
from jobs.lakehouse.tables import Lake, read_table, table_version


def add_commands(commands: Any, all_jobs: Callable[[], Mapping[str, NamedJob]]) -> None:
    """Add requeue to the command line."""
    parser = commands.add_parser("requeue", help="try the rejected rows of a table again")
    parser.add_argument("table", help="layer.name of a table that has rejected rows")
    add_run_options(parser)
    parser.set_defaults(command=lambda options: requeue(options, all_jobs()))


def requeue(options: argparse.Namespace, jobs: Mapping[str, NamedJob]) -> int:
    """Run the job that writes the table on all its input again, and tell by reason how many rows are still refused.

    A record never leaves bronze, so a rejected row is tried by reading its record again. The rest of the table is made
    from the same records in the same pass, and stays as it is unless the change concerns it too.
    """
    named = writer_of(options.table, jobs)
    settings = settings_of(options)
    spark = open_session(settings, "customer-lakehouse")
    path = Lake(settings.path("lake")).path(f"{options.table}_rejected")
    before = rejected_by_reason(spark, path)
    for run_date in run_dates(options, settings):
        execute(named, spark, settings, run_date, force=True)
    after = rejected_by_reason(spark, path)
    for reason in sorted({*before, *after}):
        sys.stdout.write(f"{reason:<36} {before.get(reason, 0):>10,} -> {after.get(reason, 0):>10,}\n")
    sys.stdout.write(f"{options.table}: {sum(before.values()):,} refused before, {sum(after.values()):,} now\n")
    return 0


def writer_of(table: str, jobs: Mapping[str, NamedJob]) -> NamedJob:
    """The job that writes a table.

    Raises:
        ConfigurationError: no job does.
    """
    for named in jobs.values():
        if any(fnmatchcase(table, pattern) for pattern in named.writes):
            return named
    raise ConfigurationError(f"no job writes {table}; python -m jobs list shows what each writes")


def rejected_by_reason(spark: SparkSession, path: str) -> dict[str, int]:
    """How many rows lie in a `_rejected` table, by their reasons; one entry per set of reasons."""
    if table_version(spark, path) is None:
        return {}
    reasons = F.array_join(F.array_sort("reasons"), ", ")
    counted = read_table(spark, path).groupBy(reasons.alias("reasons")).agg(F.count("*").alias("rows"))
    return {row["reasons"]: row["rows"] for row in counted.toLocalIterator()}
