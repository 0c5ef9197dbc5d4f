"""Requeue: try what a table refused again after a rule, a mapping, a declaration or code has changed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs.lakehouse.cli import add_date_options, add_lake_options, run_dates, settings_of
from jobs.lakehouse.errors import ConfigurationError
from jobs.lakehouse.job import NamedJob, all_contracts, execute
from jobs.lakehouse.session import open_session
from jobs.lakehouse.tables import Lake, read_table, table_version


def add_commands(
    commands: Any, all_jobs: Callable[[], Mapping[str, NamedJob]], retry_of: Callable[[str], NamedJob]
) -> None:
    """Add requeue to the command line.

    Args:
        commands: the commands.
        all_jobs: the jobs by name.
        retry_of: what reads the sealed payloads of a bronze table again.
    """
    parser = commands.add_parser("requeue", help="try the rejected rows of a table again")
    parser.add_argument("table", help="layer.name of a table that has rejected rows, or bronze.FEED")
    add_lake_options(parser)
    add_date_options(parser)

    def command(options: argparse.Namespace) -> int:
        if options.table.startswith("bronze."):
            return requeue_payloads(options, retry_of(options.table))
        return requeue(options, all_jobs())

    parser.set_defaults(command=command)


def requeue_payloads(options: argparse.Namespace, retry: NamedJob) -> int:
    """Read the lines of a feed that did not parse, and its undeclared fields, again; tell how many still wait.

    Both lie sealed in the vault. A record that can be read now takes the place of the one that bronze held, under the same
    id, in one commit: nothing is doubled, and the next run of the cleaning jobs takes it.

    Raises:
        ConfigurationError: the dataset has no such feed.
    """
    settings = settings_of(options)
    if options.table not in all_contracts(settings):
        raise ConfigurationError(f"dataset {settings.dataset} has no feed {options.table.removeprefix('bronze.')}")
    spark = open_session(settings, "customer-lakehouse")
    path = Lake(settings.path("lake")).path(options.table)
    before = waiting_records(spark, path)
    execute(retry, spark, settings, run_dates(options, settings)[-1], force=True)
    after = waiting_records(spark, path)
    for name in before:
        sys.stdout.write(f"{name:<36} {before[name]:>10,} -> {after[name]:>10,}\n")
    return 0


def waiting_records(spark: SparkSession, path: str) -> dict[str, int]:
    """How many records of a bronze table did not parse, and how many have fields that are not declared."""
    counts = {"unparseable": F.count_if("_is_unparseable"), "with undeclared fields": F.count("_undeclared_fields")}
    found = read_table(spark, path).agg(*counts.values()).first() or (0, 0)
    return dict(zip(counts, found, strict=True))


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
