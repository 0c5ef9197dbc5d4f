"""Counts: how often each level of a comparison is met among any two records, and how frequent each record's values are."""

from __future__ import annotations

import re

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from jobs.identity.linking_weights import Comparison, Numbers, real_levels

# Pairs of a sample of records that are compared, each with each other.
RANDOM_PAIRS = 2_000_000
# The order of these is as good as chance, and the same in every run.
BY_CHANCE = "md5(record_id), record_id"


def level_shares(
    connection: duckdb.DuckDBPyConnection, told: list[Comparison], sizes: tuple[int, ...]
) -> list[dict[int, float]]:
    """For each comparison the share of random pairs at each level, by its number; those where a value is missing are none.

    Pairs of values are compared once, however many records hold them.

    Args:
        connection: with the table `records`.
        told: the comparisons.
        sizes: how many records each set has; there are one or two.
    """
    possible = sizes[0] * (sizes[0] - 1) / 2 if len(sizes) == 1 else float(sizes[0] * sizes[1])
    taken = min(1.0, (RANDOM_PAIRS / possible) ** 0.5) if possible else 1.0
    for number, size in enumerate(sizes):
        sample = f"SELECT * FROM set_{number} ORDER BY {BY_CHANCE} LIMIT {round(taken * size)}"  # noqa: S608 - names of columns
        connection.execute(f"CREATE TABLE sample_{number} AS {sample}")
    shares = [_shares_of(connection, comparison, len(sizes)) for comparison in told]
    for number in range(len(sizes)):
        connection.execute(f"DROP TABLE sample_{number}")
    return shares


def _shares_of(connection: duckdb.DuckDBPyConnection, comparison: Comparison, sets: int) -> dict[int, float]:
    levels = real_levels(comparison)
    conditions = " ".join(level["sql_condition"] for level in levels)
    named = set(re.findall(r"\b(\w+)_[lr]\b", conditions)) | {comparison["output_column_name"]}
    ((known,),) = connection.sql("SELECT list(column_name) FROM (DESCRIBE records)").fetchall()
    columns = sorted(named & set(known))
    for number in range(sets):
        is_told = f"{comparison['output_column_name']} IS NOT NULL"
        values = f"SELECT {', '.join(columns)}, count(*) AS held FROM sample_{number} WHERE {is_told} GROUP BY ALL"  # noqa: S608
        numbered = f"SELECT *, row_number() OVER () AS place FROM ({values})"  # noqa: S608 - names of columns
        connection.execute(f"CREATE OR REPLACE TABLE values_{number} AS {numbered}")
    both = ", ".join(f"l.{name} AS {name}_l, r.{name} AS {name}_r" for name in columns)
    if sets == 2:
        pairs = f"SELECT {both}, l.held * r.held AS pairs FROM values_0 l, values_1 r"  # noqa: S608
    else:
        pairs = (
            f"SELECT {both}, l.held * r.held AS pairs FROM values_0 l JOIN values_0 r ON l.place < r.place "  # noqa: S608
            f"UNION ALL SELECT {both}, l.held * (l.held - 1) // 2 FROM values_0 l JOIN values_0 r ON l.place = r.place"
        )
    counted = f"SELECT {_level_sql(levels)} AS level, sum(pairs)::BIGINT AS pairs FROM ({pairs}) GROUP BY 1"  # noqa: S608
    counts = dict(connection.sql(counted).fetchall())
    compared = sum(counts.values())
    return {level: pairs / compared for level, pairs in counts.items()} if compared else {}


def _level_sql(levels: list[dict[str, str]]) -> str:
    """The number of the first level whose condition holds; the last one is 0."""
    cases = [f"WHEN {level['sql_condition']} THEN {len(levels) - 1 - place}" for place, level in enumerate(levels[:-1])]
    return f"CASE {' '.join(cases)} ELSE 0 END"


def frequencies(values: pa.Array) -> Numbers:
    """For each record the share of its value among all that are told; 0 where it tells none."""
    coded = values.dictionary_encode()
    codes: npt.NDArray[np.int64] = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    counts = np.bincount(codes[codes >= 0], minlength=1)
    return np.where(codes >= 0, counts[np.maximum(codes, 0)] / max(1, int(counts.sum())), 0.0)
