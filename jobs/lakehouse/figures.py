"""Figures of a model for MLflow: calibration and importance."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from jobs.lakehouse.measures import Floats


def calibration_figure(predicted: Floats, observed: Floats, counts: Floats) -> Figure:
    """Observed against predicted share per bin of the score; the area of a point is the number of its units."""
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    axes.scatter(predicted, observed, s=8 + 240 * counts / max(counts.max(), 1), alpha=0.7)
    axes.set(
        xlabel="predicted share", ylabel="observed share", title="calibration on later dates", xlim=(0, 1), ylim=(0, 1)
    )
    return figure


def importance_figure(booster: Any, most: int = 20) -> Figure:
    """The features whose splits gain most."""
    gains = sorted(booster.get_score(importance_type="gain").items(), key=lambda entry: entry[1])[-most:]
    figure = Figure(figsize=(7, 0.3 * max(len(gains), 4) + 1), layout="constrained")
    axes = figure.subplots()
    axes.barh([name for name, _ in gains], [gain for _, gain in gains])
    axes.set(xlabel="mean gain of its splits", title="importance")
    return figure


def error_figure(horizons: Floats, errors: dict[str, Floats]) -> Figure:
    """Weighted absolute percentage error by horizon, a line per method."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for name, values in errors.items():
        if np.isfinite(values).any():
            axes.plot(horizons, values, marker="o", label=name)
    axes.set(xlabel="weeks ahead", ylabel="WAPE", title="error by horizon on later weeks", ylim=(0, None))
    axes.legend()
    return figure
