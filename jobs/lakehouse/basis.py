"""The basis of a run: what is published already, upon which it may build where nothing but some inputs has changed since."""

from __future__ import annotations

from pyspark.sql import DataFrame

from jobs.lakehouse.run import Run
from jobs.lakehouse.tables import is_kept, read_table


def is_basis_kept(run: Run) -> bool:
    """Whether the run may build upon what is published: `run.basis` names the inputs that it was made from, by version.

    It was made by the same terms, nothing else has changed it since, nobody forces the run, and no input was cleaned away.
    """
    return run.basis is not None and all(
        is_kept(run.spark, run.lake.path(table), int(version))
        for table, version in run.basis.items()
        if table in run.contracts and version != run.inputs.get(table)
    )


def changed_inputs(run: Run) -> frozenset[str] | None:
    """What the run reads in another version than what is published was made from; None where it may not build upon that."""
    if run.basis is None or not is_basis_kept(run):
        return None
    names = run.basis.keys() | run.inputs.keys()
    return frozenset(name for name in names if run.basis.get(name) != run.inputs.get(name))


def read_before(run: Run, table: str) -> DataFrame | None:
    """The rows of a declared table from which what is published was made; None where there were none."""
    version = (run.basis or {}).get(table)
    return None if version is None else read_table(run.spark, run.lake.path(table), int(version))
