"""A row of the scoreboard: what was promised, what was measured, and beside what."""

from __future__ import annotations

from dataclasses import dataclass

from jobs.lakehouse.measures import Floats, measured


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
