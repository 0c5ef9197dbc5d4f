"""Clean the reviews, surveys and service tickets of every feed into silver, one row per revision."""

import sys

from jobs.ingest.cleaning import publish_mapped
from jobs.lakehouse.job import Job
from jobs.lakehouse.run import Run

JOB = Job(reads=("bronze.*",), writes=("silver.reviews", "silver.surveys", "silver.tickets"))


def build(run: Run) -> None:
    for table in JOB.writes:
        publish_mapped(run, table)


if __name__ == "__main__":
    sys.exit(JOB.main(__doc__, build))
