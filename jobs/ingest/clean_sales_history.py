"""Clean the weekly and monthly sales of feeds without single orders into silver sales history."""

import sys

from jobs.ingest.cleaning import publish_mapped
from jobs.lakehouse.job import Job
from jobs.lakehouse.run import Run

JOB = Job(reads=("bronze.*",), writes=("silver.sales_history",))


def build(run: Run) -> None:
    publish_mapped(run, "silver.sales_history")


if __name__ == "__main__":
    sys.exit(JOB.main(__doc__, build))
