"""Clean the accounts, cards and contacts of every feed into silver accounts, one row per revision."""

import sys

from jobs.ingest.cleaning import publish_mapped
from jobs.lakehouse.job import Job
from jobs.lakehouse.run import Run

JOB = Job(reads=("bronze.*",), writes=("silver.accounts",))


def build(run: Run) -> None:
    publish_mapped(run, "silver.accounts")


if __name__ == "__main__":
    sys.exit(JOB.main(__doc__, build))
