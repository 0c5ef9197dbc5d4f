"""What a load added: whether its table is as the last load left it."""

from __future__ import annotations

from jobs.lakehouse.run import Run
from jobs.lakehouse.tables import table_version


def changed_since(run: Run, table: str) -> int | None:
    """The version in which the job's last success left a table that was changed since; None where it was not."""
    left = run.left.get(table)
    return None if left in (None, table_version(run.spark, run.lake.path(table))) else left
