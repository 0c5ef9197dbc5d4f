"""Clean what is known of the world outside into silver: footfall, trends, holidays, credit, demographics, places."""

import sys

from jobs.ingest.cleaning import publish_mapped
from jobs.lakehouse.job import Job
from jobs.lakehouse.run import Run

JOB = Job(
    reads=("bronze.*",),
    writes=(
        "silver.footfall",
        "silver.trends",
        "silver.holidays",
        "silver.credit",
        "silver.demographics",
        "silver.store_areas",
        "silver.geolocations",
    ),
)


def build(run: Run) -> None:
    for table in JOB.writes:
        publish_mapped(run, table)


if __name__ == "__main__":
    sys.exit(JOB.main(__doc__, build))
