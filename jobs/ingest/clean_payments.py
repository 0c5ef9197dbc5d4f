"""Clean the payments of every feed into silver payments, one row per revision, refunds negative."""

import sys

from jobs.ingest.cleaning import publish_mapped
from jobs.lakehouse.job import Job
from jobs.lakehouse.run import Run

JOB = Job(reads=("bronze.*",), writes=("silver.payments",))


def build(run: Run) -> None:
    publish_mapped(run, "silver.payments")


if __name__ == "__main__":
    sys.exit(JOB.main(__doc__, build))
