"""Cleaning: the way from bronze to a silver table that its feeds' mappings and its contract describe in full."""

from __future__ import annotations

from collections.abc import Callable

from pyspark.sql import DataFrame

from jobs.ingest.mapping import mapped_rows
from jobs.ingest.revisions import as_first_arrivals, as_revisions
from jobs.lakehouse.contracts import Contract
from jobs.lakehouse.quality import with_reject_reasons
from jobs.lakehouse.run import Run
from jobs.lakehouse.sources import sources_of

REVISION = "revision"


def publish_mapped(run: Run, table: str, derived: Callable[[DataFrame], DataFrame] | None = None) -> bool:
    """Publish what the dataset's feeds give a silver table; tells whether any feed fills it.

    A table whose key has a `revision` keeps each delivered state of a thing, with when it was superseded. Of what never
    changes, such as an event, the first arrival is kept.

    Args:
        run: the run.
        table: the silver table.
        derived: adds the columns that follow from those that are mapped.
    """
    if not sources_of(run.sources, table.removeprefix("silver.")):
        return False
    contract = run.contract(table)
    rows, rows_in = mapped_rows(run, table)
    judged = with_reject_reasons(derived(rows) if derived else rows, contract)
    run.publish(table, in_order_of_arrival(judged, contract), rows_in=rows_in)
    return True


def in_order_of_arrival(judged: DataFrame, contract: Contract) -> DataFrame:
    """The judged rows with their duplicates marked, and as revisions where the contract's key has one."""
    if REVISION in contract.key:
        return as_revisions(judged, tuple(name for name in contract.key if name != REVISION))
    return as_first_arrivals(judged, contract.key)
