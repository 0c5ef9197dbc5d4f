"""The basis of a run: what is published already, upon which it may build where nothing but some inputs has changed since."""

from __future__ import annotations

from pyspark.sql import DataFrame

from jobs.lakehouse.run import Run
from jobs.lakehouse.tables import is_kept, read_table


def changed_inputs(run: Run) -> frozenset[str] | None:
    """What the run reads in another version than what is published was made from; None where it may not build upon that.

    It may where `run.basis` names those inputs, by version: what is published was made by the same terms, nothing else has
    changed it since, nobody forces the run, and no input was cleaned away. That lists the files of those inputs: ask once.
    """
    if run.basis is None:
        return None
    names = run.basis.keys() | run.inputs.keys()
    changed = frozenset(name for name in names if run.basis.get(name) != run.inputs.get(name))
    read_again = changed & run.basis.keys() & run.contracts.keys()
    all_kept = all(is_kept(run.spark, run.lake.path(table), int(run.basis[table])) for table in read_again)
    return changed if all_kept else None


def read_before(run: Run, table: str) -> DataFrame | None:
    """The rows of a declared table from which what is published was made; None where there were none."""
    version = (run.basis or {}).get(table)
    return None if version is None else read_table(run.spark, run.lake.path(table), int(version))
