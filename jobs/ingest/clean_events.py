"""Clean the web and app events of every feed into silver events, one row per event, the first arrival of each."""

import sys

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.ingest.cleaning import publish_mapped
from jobs.lakehouse.job import Job
from jobs.lakehouse.local_rows import empty_rows
from jobs.lakehouse.run import Run

JOB = Job(reads=("bronze.*",), writes=("silver.events",), fills_without_feeds=True)
TABLE = "silver.events"


def with_event_date(events: DataFrame, time_zone: str) -> DataFrame:
    """The events with the business day on which each happened."""
    return events.withColumn("event_date", F.to_date(F.from_utc_timestamp("event_at", time_zone)))


def build(run: Run) -> None:
    if not publish_mapped(run, TABLE, lambda events: with_event_date(events, run.time_zone)):
        # A shop without a web site has no events; what reads them finds none, not a missing table.
        run.publish(TABLE, empty_rows(run.spark, run.contract(TABLE)))


if __name__ == "__main__":
    sys.exit(JOB.main(__doc__, build))
