"""Audit how fresh and how full each feed is at the run date, against what its owner promises in the feed's configuration."""

import datetime as dt
import sys
from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.lakehouse.job import Job
from jobs.lakehouse.local_rows import local_rows
from jobs.lakehouse.quality import Audited
from jobs.lakehouse.run import Run
from jobs.lakehouse.sources import Source
from jobs.lakehouse.tables import date_slices

JOB = Job(reads=("bronze.*",), writes=("ops.feeds",), is_dated=True)
TABLE = "ops.feeds"
WEEKS_BEFORE, WEEKS_NEEDED = 8, 4
NOTHING_ARRIVED = (None, 0, None)


def arrivals_by_feed(arrivals: DataFrame, as_of: dt.datetime) -> DataFrame:
    """One row per feed: its newest arrival, the records of the last seven days, and the median of the eight weeks before.

    Weeks are spans of seven days that end at `as_of`; one without a record counts as zero from the feed's first record on.

    Args:
        arrivals: one row per record: `source`, `arrived_at`.
        as_of: the instant, UTC, up to which arrivals are known.
    """
    # What is not known yet is left out at the end: a filter would have Delta look through the statistics of each feed's files.
    age_seconds = F.lit(as_of).cast("timestamp").cast("double") - F.col("arrived_at").cast("double")
    weeks_ago = F.when(F.col("arrived_at") < F.lit(as_of), F.floor(age_seconds / F.lit(7 * 86400.0)).cast("int"))
    by_week = arrivals.groupBy("source", weeks_ago.alias("weeks_ago")).agg(
        F.count("*").alias("rows"), F.max("arrived_at").alias("newest")
    )
    is_known = F.col("weeks_ago").isNotNull()
    weeks = F.map_from_entries(F.collect_list(F.when(is_known, F.struct("weeks_ago", "rows"))))
    newest = F.max(F.when(is_known, F.col("newest")))
    by_feed = by_week.groupBy("source").agg(
        newest.alias("newest_at"), F.max("weeks_ago").alias("oldest_week"), weeks.alias("weeks")
    )
    by_feed = by_feed.where(F.col("newest_at").isNotNull())
    before = F.sequence(F.lit(1), F.least(F.lit(WEEKS_BEFORE), F.col("oldest_week")))
    counts = F.when(
        F.col("oldest_week") >= 1, F.transform(before, lambda week: F.coalesce(F.col("weeks")[week], F.lit(0)))
    )
    sorted_counts = F.array_sort(counts)
    return by_feed.select(
        "source",
        "newest_at",
        F.coalesce(F.col("weeks")[F.lit(0)], F.lit(0)).alias("rows_this_week"),
        F.when(F.size(counts) >= WEEKS_NEEDED, F.element_at(sorted_counts, (F.size(counts) / 2).cast("int") + 1)).alias(
            "usual_rows"
        ),
    )


def audited_feed(
    source: Source, newest_at: dt.datetime | None, rows_this_week: int, usual_rows: int | None, as_of: dt.datetime
) -> list[Audited]:
    """What a feed promises, held against its arrivals."""
    promised, found = source.expect, []
    if promised.fresh_within_days is not None:
        age = None if newest_at is None else (as_of - newest_at).total_seconds() / 86400
        told = "nothing has arrived" if age is None else f"{age:.1f} days old"
        is_fresh = age is not None and age <= promised.fresh_within_days
        found.append(_audited(source, f"newest record at most {promised.fresh_within_days:g} days old", is_fresh, told))
    if promised.week_to_usual_ratio is not None and usual_rows is not None:
        low, high = promised.week_to_usual_ratio
        is_usual = low * usual_rows <= rows_this_week <= high * usual_rows
        told = f"{rows_this_week} records in seven days, usually {usual_rows}"
        found.append(_audited(source, f"records of a week between {low:g} and {high:g} of the usual", is_usual, told))
    return found


def _audited(source: Source, expectation: str, is_met: bool, told: str) -> Audited:
    return Audited(source.bronze_table, expectation, source.expect.severity, is_met, told)


def build(run: Run) -> None:
    arrived = [
        run.read(source.bronze_table).select(F.lit(name).alias("source"), F.col("_arrived_at").alias("arrived_at"))
        for name, source in run.sources.items()
        if run.has(source.bronze_table)
    ]
    feeds = arrivals_by_feed(reduce(DataFrame.union, arrived), run.as_of).collect() if arrived else []
    known = {source: told for source, *told in feeds}
    audited = []
    for name, source in run.sources.items():
        newest_at, rows_this_week, usual_rows = known.get(name, NOTHING_ARRIVED)
        audited += audited_feed(source, newest_at, rows_this_week, usual_rows, run.as_of)
    broken = sum(not entry.is_met for entry in audited)
    run.facts["feeds"] = f"{len(known)} of {len(run.sources)} delivered, {broken} promises not kept"
    run.judge(audited, "the owner of the feed can tell why; `severity: warning` lets runs go on")
    rows = local_rows(run.spark, [(run.run_date, *row) for row in feeds], run.contract(TABLE).schema)
    run.publish(TABLE, rows, date_slices("run_date", [run.run_date]))


if __name__ == "__main__":
    sys.exit(JOB.main(__doc__, build))
