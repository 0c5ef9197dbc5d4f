"""Clean the product lists of every feed into silver products, one row per revision."""

import sys

from jobs.ingest.cleaning import publish_mapped
from jobs.lakehouse.job import Job
from jobs.lakehouse.run import Run

JOB = Job(reads=("bronze.*",), writes=("silver.products",))


def build(run: Run) -> None:
    publish_mapped(run, "silver.products")


if __name__ == "__main__":
    sys.exit(JOB.main(__doc__, build))
