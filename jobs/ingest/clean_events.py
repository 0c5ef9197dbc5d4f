"""Clean the web and app events of every feed into silver events, one row per event, the first arrival of each."""

import sys

from pyspark.sql import functions as F

from jobs.ingest.mapping import mapped_rows
from jobs.ingest.revisions import as_first_arrivals
from jobs.lakehouse.job import Job
from jobs.lakehouse.quality import with_reject_reasons
from jobs.lakehouse.run import Run
from jobs.lakehouse.sources import sources_of
from jobs.lakehouse.tables import empty_rows

JOB = Job(reads=("bronze.*",), writes=("silver.events",))
TABLE = "silver.events"


def build(run: Run) -> None:
    if not sources_of(run.sources, "events"):
        run.publish(TABLE, empty_rows(run.spark, run.contract(TABLE)))
        return
    events, rows_in = mapped_rows(run, TABLE)
    dated = events.withColumn("event_date", F.to_date(F.from_utc_timestamp("event_at", run.time_zone)))
    judged = with_reject_reasons(dated, run.contract(TABLE))
    run.publish(TABLE, as_first_arrivals(judged, ("event_id",)), rows_in=rows_in)


if __name__ == "__main__":
    sys.exit(JOB.main(__doc__, build))
