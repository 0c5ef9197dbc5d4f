"""Clean the accounts, cards and contacts of every feed into silver accounts, one row per revision."""

import sys

from jobs.ingest.mapping import mapped_rows
from jobs.ingest.revisions import as_revisions
from jobs.lakehouse.job import Job
from jobs.lakehouse.quality import with_reject_reasons
from jobs.lakehouse.run import Run

JOB = Job(reads=("bronze.*",), writes=("silver.accounts",))
TABLE = "silver.accounts"


def build(run: Run) -> None:
    accounts, rows_in = mapped_rows(run, TABLE)
    judged = with_reject_reasons(accounts, run.contract(TABLE))
    run.publish(TABLE, as_revisions(judged, ("account_id",)), rows_in=rows_in)


if __name__ == "__main__":
    sys.exit(JOB.main(__doc__, build))
