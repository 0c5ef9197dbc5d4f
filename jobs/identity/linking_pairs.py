"""Pairs: the candidates as Splink blocks and compares them, a part of them at a time, and what is kept of each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pandas as pd
from splink import DuckDBAPI, Linker, SettingsCreator

from jobs.identity.linking_comparisons import agree_sql
from jobs.identity.linking_keys import Key
from jobs.identity.linking_weights import Comparison, Numbers, gamma, real_levels
from jobs.identity.sealed_files import SealedFiles
from jobs.lakehouse.errors import ConfigurationError

# Splink's working tables take some kilobytes for each pair that it compares.
PAIRS_PER_MIB = 1_000
# The share of the memory that may hold pairs before they are written out, sealed.
SHARE_OF_PAIRS = 0.1


@dataclass
class Candidates:
    """The pairs that were compared: two numbers of records and that of a pattern, the levels at which all columns agree.

    Args:
        told: the comparisons.
        most_bytes: what may stay in memory.
        files: where the rest goes.
    """

    told: list[Comparison]
    most_bytes: int
    files: SealedFiles
    _held: list[npt.NDArray[np.uint32]] = field(default_factory=list)
    _places: dict[int, int] = field(default_factory=dict)
    _counts: list[int] = field(default_factory=list)

    def add(self, left: npt.NDArray[np.uint32], right: npt.NDArray[np.uint32], code: npt.NDArray[np.int64]) -> None:
        """Take some more pairs."""
        codes, places, counts = np.unique(code, return_inverse=True, return_counts=True)
        for found, count in zip(codes.tolist(), counts.tolist(), strict=True):
            place = self._places.setdefault(found, len(self._places))
            if place == len(self._counts):
                self._counts.append(0)
            self._counts[place] += count
        pattern = np.array([self._places[found] for found in codes.tolist()], dtype=np.uint32)[places]
        rows = np.stack([left, right, pattern]) if len(code) else np.zeros((3, 0), dtype=np.uint32)
        if (sum(part.nbytes for part in self._held) + rows.nbytes) > self.most_bytes:
            self.files.write(rows.tobytes())
        else:
            self._held.append(rows)

    def patterns(self) -> pd.DataFrame:
        """One row per pattern, in the order of their numbers: `gamma_<column>` for each comparison, and `pairs`."""
        codes = np.array(list(self._places), dtype=np.int64)
        columns = {}
        for comparison, base, step in _steps(self.told):
            columns[gamma(comparison)] = codes // step % base - 1
        return pd.DataFrame({**columns, "pairs": self._counts})

    def parts(self) -> Iterator[npt.NDArray[np.uint32]]:
        """The pairs, some at a time: left, right and pattern."""
        yield from self._held
        for content in self.files.read():
            yield np.frombuffer(content, dtype=np.uint32).reshape(3, -1)


def compared(
    connection: duckdb.DuckDBPyConnection, told: list[Comparison], keys: dict[Key, int], sets: int, memory_mib: int
) -> Iterator[tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32], npt.NDArray[np.int64]]]:
    """The candidates, some at a time: the numbers of two records, and the levels of all columns as one number.

    Args:
        connection: with a table `set_<number>` for each set.
        told: the comparisons.
        keys: pairs that agree by any of these are compared; with how many each gives.
        sets: one or two.
        memory_mib: for the work on one part.
    """
    linker = _linker(connection, told, list(keys), sets)
    parts = 1 + sum(keys.values()) // (memory_mib * PAIRS_PER_MIB)
    levels = " + ".join(f"({gamma(comparison)} + 1)::BIGINT * {step}" for comparison, _, step in _steps(told))
    for part in range(1, parts + 1):
        found = linker.inference.predict_chunk((part, parts), (1, 1), warning_mode="never")
        rows = f"SELECT record_no_l::UINTEGER AS l, record_no_r::UINTEGER AS r, {levels} AS code FROM {found.physical_name}"  # noqa: S608
        columns = connection.sql(rows).fetchnumpy()
        found.drop_table_from_database_and_remove_from_cache()
        yield columns["l"], columns["r"], columns["code"]


def _steps(told: list[Comparison]) -> list[tuple[Comparison, int, int]]:
    """Each comparison with how many levels it has, that of a missing value too, and what one of them counts in a pattern's number."""
    steps: list[tuple[Comparison, int, int]] = []
    step = 1
    for comparison in told:
        base = len(real_levels(comparison)) + 1
        steps.append((comparison, base, step))
        step *= base
    if step >= 2**63:
        raise ConfigurationError(
            "the model has too many columns and levels to number all their patterns; leave some out"
        )
    return steps


def _linker(connection: duckdb.DuckDBPyConnection, told: list[Comparison], keys: list[Key], sets: int) -> Linker:
    settings = SettingsCreator(
        link_type="dedupe_only" if sets == 1 else "link_only",
        unique_id_column_name="record_no",
        comparisons=[_without_frequencies(comparison) for comparison in told],
        blocking_rules_to_generate_predictions=[agree_sql(key) for key in keys],
        retain_matching_columns=True,  # without them it does not tell the levels either
    )
    api = DuckDBAPI(connection)
    names = [f"set_{number}" for number in range(sets)]
    return Linker([api.register(name, dataset_display_name=name) for name in names], settings, log_level=None)


def _without_frequencies(comparison: Comparison) -> dict[str, Any]:
    """The comparison as Splink needs it to tell the levels of pairs: what these weigh is reckoned from the numbers alone."""
    levels = comparison["comparison_levels"]
    kept = [{name: level[name] for name in level if not name.startswith(("tf_", "u_", "m_"))} for level in levels]
    return {**comparison, "comparison_levels": kept}


def evidence_of(
    part: npt.NDArray[np.uint32], by_pattern: Numbers, exact: dict[str, tuple[npt.NDArray[np.bool_], Numbers]]
) -> Numbers:
    """The evidence of some pairs: what their pattern weighs, more where a value that both share is rare.

    Args:
        part: left, right and pattern.
        by_pattern: the weight of each pattern.
        exact: for each column whether a pattern has both values the same, and what the value of each record then adds.
    """
    left, _, pattern = part
    evidence: Numbers = by_pattern[pattern]
    for is_same, added in exact.values():
        evidence = evidence + np.where(is_same[pattern], added[left], 0.0)
    return evidence
