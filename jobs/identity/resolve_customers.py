"""Resolve who is who: identifiers become links, links connected components, components customers with one stable id and a history."""

import sys

from pyspark.sql import functions as F

from jobs.identity.components import accepted_links, with_component
from jobs.identity.history import as_history
from jobs.identity.origins import with_origin
from jobs.lakehouse.job import Job
from jobs.lakehouse.run import Run
from jobs.lakehouse.settings import IdentitySettings
from jobs.lakehouse.vault import VALUES

JOB = Job(
    reads=("silver.accounts", "silver.identifiers", VALUES),
    writes=("silver.customer_ids",),
    settings=(IdentitySettings,),
)


def build(run: Run) -> None:
    checkpoints = f"{run.lake.root}/_checkpoints"
    run.spark.sparkContext.setCheckpointDir(checkpoints)
    rotated = run.read(VALUES).where("origin is not null").select("token", "origin") if run.has(VALUES) else None
    seen = with_origin(run.read("silver.identifiers"), "account_id", "account_origin", rotated)
    seen = with_origin(seen, "identifier_value", "identifier_origin", rotated)
    links = accepted_links(seen, run.part(IdentitySettings).max_accounts_per_identifier)
    accounts = run.read("silver.accounts").groupBy("account_id").agg(F.min("arrived_at").alias("arrived_at"))
    accounts = with_origin(accounts, "account_id", "account_origin", rotated)
    run.publish("silver.customer_ids", as_history(with_component(accounts, links)))
    run.clean_up(checkpoints)


if __name__ == "__main__":
    sys.exit(JOB.main(__doc__, build))
