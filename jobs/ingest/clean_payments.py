"""Clean the payments of every feed into silver payments, one row per revision, refunds negative."""

import sys

from jobs.ingest.cleaning import publish_mapped
from jobs.lakehouse.job import Job
from jobs.lakehouse.run import Run
from jobs.lakehouse.tables import empty_rows

JOB = Job(reads=("bronze.*",), writes=("silver.payments",), fills_without_feeds=True)
TABLE = "silver.payments"


def build(run: Run) -> None:
    if not publish_mapped(run, TABLE):
        # Who shares a wallet can't be told without payments; what looks for rings finds none, not a missing table.
        run.publish(TABLE, empty_rows(run.spark, run.contract(TABLE)))


if __name__ == "__main__":
    sys.exit(JOB.main(__doc__, build))
