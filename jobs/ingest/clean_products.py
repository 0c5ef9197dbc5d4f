"""Clean the product lists of every feed into silver products, one row per revision."""

import sys

from jobs.ingest.mapping import mapped_rows
from jobs.ingest.revisions import as_revisions
from jobs.lakehouse.job import Job
from jobs.lakehouse.quality import with_reject_reasons
from jobs.lakehouse.run import Run

JOB = Job(reads=("bronze.*",), writes=("silver.products",))
TABLE = "silver.products"


def build(run: Run) -> None:
    products, rows_in = mapped_rows(run, TABLE)
    judged = with_reject_reasons(products, run.contract(TABLE))
    run.publish(TABLE, as_revisions(judged, ("product_id",)), rows_in=rows_in)


if __name__ == "__main__":
    sys.exit(JOB.main(__doc__, build))
