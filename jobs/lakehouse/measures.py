"""Measures of models with bootstrap intervals, computed where the rows are: only small sums come to the driver.

The bootstrap is the Poisson bootstrap (Chamandy et al. 2012, Estimating uncertainty for massive data streams): each
unit gets a Poisson(1) weight per replicate, a pure function of unit and seed, so that partitions don't matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from scipy.stats import poisson

Floats = npt.NDArray[np.float64]
SCORE_BINS = 2000
# A bootstrap over fewer series would say little of how far another draw of them could lie.
FEWEST_SERIES = 8
SPLITMIX = (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)


@dataclass(frozen=True)
class Measured:
    """A figure with its 95% interval."""

    value: float
    low: float
    high: float


def measured(replicates: Floats) -> Measured:
    """The figure of the rows themselves (first replicate) with the 2.5% and 97.5% quantiles of the others."""
    low, high = np.nanquantile(replicates[1:], [0.025, 0.975])
    return Measured(float(replicates[0]), float(low), float(high))


def poisson_weights(units: pd.Series, replicates: int, seed: int) -> Floats:
    """One row per unit, one column per replicate; the first column is all ones: the rows as they are."""
    hashed = pd.util.hash_array(units.to_numpy(dtype=object)).astype(np.uint64)
    with np.errstate(over="ignore"):
        mixed = hashed[:, None] + np.arange(1, replicates + 1, dtype=np.uint64) * np.uint64(SPLITMIX[0])
        mixed += np.uint64(seed) * np.uint64(SPLITMIX[2])
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(SPLITMIX[1])
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(SPLITMIX[2])
    uniform = (mixed ^ (mixed >> np.uint64(31))).astype(np.float64) / 2.0**64
    weights = np.searchsorted(poisson.cdf(np.arange(12), 1.0), uniform).astype(np.float64)
    return np.hstack([np.ones((len(units), 1)), weights])


def bootstrap_sums(rows: DataFrame, unit: str, columns: list[str], replicates: int, seed: int) -> Floats:
    """Weighted sums of columns, shape (1 + replicates, columns); rows of one unit are drawn together."""

    def partial(batches: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        total = np.zeros((replicates + 1, len(columns)))
        for batch in batches:
            weights = poisson_weights(batch[unit].astype(str), replicates, seed)
            total += weights.T @ batch[columns].to_numpy(dtype=np.float64)
        yield pd.DataFrame({"sums": [total.tobytes()]})

    parts = rows.select(unit, *columns).mapInPandas(partial, "sums binary").collect()
    shape = (replicates + 1, len(columns))
    return np.asarray(sum(np.frombuffer(part["sums"]) for part in parts), dtype=np.float64).reshape(shape)


def accuracy_at(rows: DataFrame, level: list[str], methods: list[str], replicates: int, seed: int) -> dict[str, Floats]:
    """1 − WAPE of each method's weekly forecasts at a level, per replicate of a bootstrap over the level's series.

    Where the level has too few series to draw from, its target weeks are drawn instead.

    Args:
        rows: one row per series, origin and week, with `target_units`, `origin_week`, `week_start_date` and the methods.
        level: columns whose values part the series; forecasts are summed within. Empty: the total.
        methods: columns with forecasts in units.
        replicates: number of bootstrap replicates.
        seed: seed of the weights.
    """
    summed = rows.groupBy(*level, "origin_week", "week_start_date").agg(
        F.sum("target_units").alias("actual"), *[F.sum(name).alias(name) for name in methods]
    )
    has_many_series = bool(level) and summed.select(*level).distinct().count() >= FEWEST_SERIES
    unit = F.concat_ws("\x1f", *(level if has_many_series else [*level, "week_start_date"]))
    errors = [F.abs(F.col(name) - F.col("actual")).alias(name) for name in methods]
    told = summed.select(unit.alias("unit"), "actual", *errors)
    sums = bootstrap_sums(told, "unit", ["actual", *methods], replicates, seed)
    with np.errstate(divide="ignore", invalid="ignore"):
        return {name: 1 - sums[:, place] / sums[:, 0] for place, name in enumerate(methods, start=1)}


@dataclass(frozen=True)
class ScoreCounts:
    """Weighted counts by bin of the score, shape (1 + replicates, bins), of positives and negatives."""

    positives: Floats
    negatives: Floats

    @property
    def auc(self) -> Floats:
        """Area under the ROC curve per replicate; ties within a bin count half (Mann-Whitney)."""
        below = np.cumsum(self.negatives, axis=1) - self.negatives
        won = (self.positives * (below + self.negatives / 2)).sum(axis=1)
        pairs = self.positives.sum(axis=1) * self.negatives.sum(axis=1)
        areas: Floats = np.divide(won, pairs, out=np.full_like(won, np.nan), where=pairs > 0)
        return areas

    def precision_at(self, share: float) -> Floats:
        """Share of positives among the `share` of units with the highest scores, per replicate."""
        positives, all_units = self.positives[:, ::-1], (self.positives + self.negatives)[:, ::-1]
        wanted = all_units.sum(axis=1, keepdims=True) * share
        before = np.cumsum(all_units, axis=1) - all_units
        taken = np.clip(np.divide(wanted - before, all_units, out=np.zeros_like(all_units), where=all_units > 0), 0, 1)
        precision: Floats = (positives * taken).sum(axis=1) / wanted[:, 0]
        return precision


def score_counts(
    rows: DataFrame, unit: str, score: str, label: str, replicates: int, seed: int, edges: Floats
) -> ScoreCounts:
    """Counts of units by bin of their score.

    Args:
        rows: one row per unit, with a numeric score and a 0/1 label.
        unit: the column that tells units apart.
        score: the column with the score, higher meaning more likely positive.
        label: the column with the label.
        replicates: number of bootstrap replicates.
        seed: seed of the weights.
        edges: inner edges of the bins, rising (see score_edges).
    """
    bins = len(edges) + 1
    shape = (2, replicates + 1, bins)

    def partial(batches: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        counts = np.zeros(shape)
        for batch in batches:
            weights = poisson_weights(batch[unit].astype(str), replicates, seed)
            place = np.searchsorted(edges, batch[score].to_numpy(dtype=np.float64), side="right")
            for value in (0, 1):
                chosen = (batch[label] == value).to_numpy()
                np.add.at(counts[value].T, place[chosen], weights[chosen])
        yield pd.DataFrame({"counts": [counts.tobytes()]})

    parts = rows.select(unit, score, label).mapInPandas(partial, "counts binary").collect()
    total = np.asarray(sum(np.frombuffer(part["counts"]) for part in parts), dtype=np.float64).reshape(shape)
    return ScoreCounts(positives=total[1], negatives=total[0])


def score_edges(rows: DataFrame, score: str, bins: int = SCORE_BINS) -> Floats:
    """Inner edges of bins with about the same number of rows each, so that ties cost the AUC next to nothing."""
    quantiles = rows.approxQuantile(score, [float(q) for q in np.linspace(0, 1, bins + 1)[1:-1]], 0.5 / bins)
    return np.unique(np.asarray(quantiles, dtype=np.float64))


def auc_of(rows: DataFrame, unit: str, score: str, label: str, replicates: int, seed: int) -> ScoreCounts:
    """Counts by bins of equal frequency, from which AUC and precision are read."""
    return score_counts(rows, unit, score, label, replicates, seed, score_edges(rows, score))
