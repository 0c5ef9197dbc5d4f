"""Faults of a linking model: what it asks of records that they don't tell, and conditions that are none, before any record is read."""

from __future__ import annotations

from collections.abc import Collection

import duckdb

from jobs.identity.linking_comparisons import condition_over
from jobs.identity.linking_forms import SOUND
from jobs.lakehouse.linking_settings import LinkingModel


def faults_of(model: LinkingModel, columns: Collection[str]) -> list[str]:
    """What is wrong with a model for records of these columns, a sentence each that names the key and says what to do.

    Args:
        model: the columns, keys and thresholds.
        columns: what the records tell, `record_id` and `source` aside; `source` where they tell of which set each is.
    """
    known = ", ".join(sorted(set(columns) - {"record_id", "source"}))
    unknown = [name for name in model.columns if name not in columns]
    faults = [
        f"columns.{name}: the records tell no {name}, but {known}; take it out or name one of these" for name in unknown
    ]
    if model.sets == "two" and "source" not in columns:
        faults.append("sets: two needs a column source, which these records don't have; write sets: one")
    return [*faults, *_faults_of_levels(model)]


def _faults_of_levels(model: LinkingModel) -> list[str]:
    """The conditions that DuckDB does not understand; its answer speaks of the condition alone, for there are no rows."""
    # A column of names or words has its sound beside it, of which conditions may speak too.
    names = [told for name in model.columns for told in (name, f"{name}{SOUND}")]
    sides = ", ".join(f"NULL::VARCHAR AS {name}_l, NULL::VARCHAR AS {name}_r" for name in names)
    faults = []
    with duckdb.connect(":memory:") as connection:
        for name, column in model.columns.items():
            for level in column.levels:
                condition = condition_over(level, name)
                try:
                    connection.execute(f"SELECT CAST(({condition}) AS BOOLEAN) FROM (SELECT {sides}) LIMIT 0")  # noqa: S608 - a setting
                except duckdb.Error as error:
                    told = str(error).strip().splitlines()[0]
                    faults.append(
                        f"columns.{name}.levels: {level!r} is no condition over {{l}} and {{r}} in DuckDB's SQL ({told})"
                    )
    return faults
