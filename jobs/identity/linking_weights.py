"""Weights: how often each level of a comparison is met among pairs of one person, and how often among any two records."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

Comparison = dict[str, Any]
Numbers = npt.NDArray[np.float64]
# Where learning starts: nine in ten pairs of one person agree, the rest is spread evenly over the other levels.
START_AGREEMENT = 0.9
START_SHARE = 1e-4
# Pairs that are taken to be seen of each level beside those that were: none is impossible.
UNSEEN_PAIRS = 0.5
MOST_ROUNDS, SETTLED = 200, 1e-5


def real_levels(comparison: Comparison) -> list[dict[str, Any]]:
    """The levels of a comparison from near to far, without that of a missing value."""
    return [level for level in comparison["comparison_levels"] if not level.get("is_null_level")]


def gamma(comparison: Comparison) -> str:
    """The name of the column that holds the levels of a comparison."""
    return f"gamma_{comparison['output_column_name']}"


def with_u(told: list[Comparison], shares: list[dict[int, float]], sampled: float) -> list[Comparison]:
    """The comparisons with the share of random pairs at each level.

    Args:
        told: the comparisons.
        shares: for each of them, by the number of the level.
        sampled: pairs that were sampled; of a level that none of them met, half a pair is taken to.
    """
    for comparison, of_levels in zip(told, shares, strict=True):
        for number, level in enumerate(reversed(real_levels(comparison))):
            level["u_probability"] = max(of_levels.get(number, 0.0), UNSEEN_PAIRS / sampled)
    return told


def with_m(
    told: list[Comparison], patterns: pd.DataFrame, possible: float, match_share: float | None
) -> list[Comparison]:
    """The comparisons with the share of matching pairs at each level, learned by expectation and maximisation.

    Fellegi and Sunter's mixture over all candidates: in turn, how likely each pattern of levels is a match, and how often the
    matches show each level. What holds among random pairs is known already and stays as it is.

    Args:
        told: the comparisons with `u_probability`.
        patterns: `gamma_<column>` for each of them, -1 where a value is missing, and `pairs`: how many candidates look so.
        possible: pairs of records that there are in all.
        match_share: the share of them that match, where it is told.
    """
    levels = [patterns[gamma(comparison)].to_numpy(dtype=np.int64) for comparison in told]
    pairs = patterns["pairs"].to_numpy(dtype=np.float64)
    u = [_by_level(comparison, "u_probability") for comparison in told]
    m = [_start(len(shares)) for shares in u]
    share = match_share or START_SHARE
    for _ in range(MOST_ROUNDS):
        odds = sum(
            (_weights(level, of_m, of_u) for level, of_m, of_u in zip(levels, m, u, strict=True)),
            start=np.full(len(pairs), math.log2(share / (1 - share))),
        )
        matching = pairs / (1 + np.exp2(-np.clip(odds, -500, 500)))
        before = m
        m = [_shares(level, matching, len(shares)) for level, shares in zip(levels, u, strict=True)]
        share = match_share or min(max(float(matching.sum()) / possible, 1e-12), 0.5)
        if max(float(np.abs(new - old).max()) for new, old in zip(m, before, strict=True)) < SETTLED:
            break
    for comparison, shares in zip(told, m, strict=True):
        for level, found in zip(reversed(real_levels(comparison)), shares.tolist(), strict=True):
            level["m_probability"] = found
    return told


def pattern_weights(told: list[Comparison], patterns: pd.DataFrame) -> Numbers:
    """The evidence of each pattern: the log2 of how many times likelier it is if the two records are of one person."""
    return sum(
        (
            _weights(
                patterns[gamma(comparison)].to_numpy(dtype=np.int64),
                _by_level(comparison, "m_probability"),
                _by_level(comparison, "u_probability"),
            )
            for comparison in told
        ),
        start=np.zeros(len(patterns)),
    )


def _by_level(comparison: Comparison, name: str) -> Numbers:
    """The values of the levels in the order of their numbers: 0 is the last one, with nothing in common."""
    return np.array([level[name] for level in reversed(real_levels(comparison))], dtype=np.float64)


def _start(count: int) -> Numbers:
    shares = np.full(count, (1 - START_AGREEMENT) / max(1, count - 1))
    shares[-1] = START_AGREEMENT
    return shares


def _weights(level: npt.NDArray[np.int64], m: Numbers, u: Numbers) -> Numbers:
    """The evidence of each pattern's level; none where a value is missing."""
    return np.where(level < 0, 0.0, np.log2(m / u)[np.maximum(level, 0)])


def _shares(level: npt.NDArray[np.int64], matching: Numbers, count: int) -> Numbers:
    told = level >= 0
    counts = np.bincount(level[told], weights=matching[told], minlength=count) + UNSEEN_PAIRS
    return np.asarray(counts / counts.sum(), dtype=np.float64)
