"""A row of the scoreboard: what was promised, what was measured, and beside what."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass

from pyspark.sql import DataFrame, SparkSession

from jobs.lakehouse.contracts import Contract
from jobs.lakehouse.local_rows import local_rows
from jobs.lakehouse.measures import Floats, measured

Z_95 = 1.959964


@dataclass(frozen=True)
class Score:
    """A promise, a metric at a level, and its value with interval, baseline and goal."""

    promise: str
    metric: str
    level: str
    value: float | None
    value_low: float | None
    value_high: float | None
    baseline: str | None
    baseline_value: float | None
    goal: float | None
    is_met: bool | None
    measured_on: str
    note: str | None = None


def scored(
    promise: str,
    metric: str,
    level: str,
    replicates: Floats,
    measured_on: str,
    *,
    baseline: tuple[str, float] | None = None,
    goal: float | None = None,
    note: str | None = None,
) -> Score:
    """A score from the replicates of a bootstrap; the promise is met when the value reaches the goal."""
    figure = measured(replicates)
    name, value = baseline or (None, None)
    is_met = None if goal is None else bool(figure.value >= goal)
    return Score(
        promise, metric, level, figure.value, figure.low, figure.high, name, value, goal, is_met, measured_on, note
    )


def counted(
    promise: str, metric: str, level: str, value: float, measured_on: str, goal: float | None, note: str
) -> Score:
    """A score that is a count over all there is, and so has no interval."""
    is_met = None if goal is None else bool(value >= goal)
    return Score(promise, metric, level, value, None, None, None, None, goal, is_met, measured_on, note)


def shared(
    promise: str, metric: str, level: str, hits: int, trials: int, measured_on: str,
    *, goal: float | None, note: str, independent: float | None = None,
) -> Score:  # fmt: skip
    """A score that is a share, with its score interval at 95% (Wilson 1927); null of none.

    Args:
        promise: the promise.
        metric: what is measured.
        level: of what.
        hits: how many.
        trials: of how many.
        measured_on: the data.
        goal: the least share that keeps the promise, if there is one.
        note: for a reader.
        independent: how many independent things the trials are worth; by default, each is one.
    """
    if not trials:
        return Score(promise, metric, level, None, None, None, None, None, goal, None, measured_on, note)
    worth = trials if independent is None else independent
    share, noise = hits / trials, Z_95 * Z_95 / worth
    half = Z_95 * math.sqrt(share * (1 - share) / worth + noise / (4 * worth))
    low, high = ((share + noise / 2 + sign * half) / (1 + noise) for sign in (-1, 1))
    is_met = None if goal is None else share >= goal
    return Score(
        promise, metric, level, share, max(0.0, low), min(1.0, high), None, None, goal, is_met, measured_on, note
    )


def score_rows(spark: SparkSession, scores: list[Score], run_date: dt.date, contract: Contract) -> DataFrame:
    """One row of gold.scoreboard per score, of one run date."""
    names = [name for name in contract.column_names if name != "run_date"]
    rows = [(run_date, *(getattr(score, name) for name in names)) for score in scores]
    return local_rows(spark, rows, contract.schema)
