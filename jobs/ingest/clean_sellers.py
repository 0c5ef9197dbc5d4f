"""Clean the sellers of a marketplace into silver sellers, one row per revision."""

import sys

from jobs.ingest.cleaning import publish_mapped
from jobs.lakehouse.job import Job
from jobs.lakehouse.run import Run

JOB = Job(reads=("bronze.*",), writes=("silver.sellers",))


def build(run: Run) -> None:
    publish_mapped(run, "silver.sellers")


if __name__ == "__main__":
    sys.exit(JOB.main(__doc__, build))
