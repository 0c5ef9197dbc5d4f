"""Measures against scikit-learn and pandas, their intervals against repeated samples, whatever the partitions."""

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession
from sklearn.metrics import roc_auc_score

from jobs.lakehouse.measures import (
    Floats,
    ScoreCounts,
    accuracy_at,
    auc_of,
    bootstrap_sums,
    measured,
    poisson_weights,
)

REPLICATES, SEED = 20, 7


def scored_units(count: int, decimals: int = 2) -> pd.DataFrame:
    """Units with a label and a score that goes with it, rounded so that many scores are equal."""
    draw = np.random.default_rng(3)
    labels = (draw.random(count) < 0.3).astype(int)
    scores = np.round(draw.normal(labels * 0.8, 1.0), decimals)
    return pd.DataFrame({"unit": [f"c-{n}" for n in range(count)], "score": scores, "label": labels})


@pytest.fixture(scope="module")
def units() -> pd.DataFrame:
    return scored_units(900, decimals=1)


@pytest.fixture(scope="module")
def frame(spark: SparkSession, units: pd.DataFrame) -> DataFrame:
    return spark.createDataFrame(units, "unit string, score double, label int").repartition(3).persist()


def test_auc_is_scikit_learns_on_tied_scores_in_every_replicate(frame: DataFrame, units: pd.DataFrame) -> None:
    found = auc_of(frame, "unit", "score", "label", REPLICATES, SEED).auc
    weights = poisson_weights(units["unit"], REPLICATES, SEED)
    expected = [
        roc_auc_score(units["label"], units["score"], sample_weight=weights[:, n]) for n in range(REPLICATES + 1)
    ]
    assert found.shape == (REPLICATES + 1,)
    assert units["score"].nunique() < 100, "there are no ties"
    assert found == pytest.approx(np.array(expected), abs=1e-12)
    assert found[0] == pytest.approx(roc_auc_score(units["label"], units["score"]), abs=1e-12)


def test_auc_of_more_scores_than_bins_is_near_scikit_learns(spark: SparkSession) -> None:
    many = scored_units(8000, decimals=9)
    rows = spark.createDataFrame(many, "unit string, score double, label int")
    assert auc_of(rows, "unit", "score", "label", 2, SEED).auc[0] == pytest.approx(
        roc_auc_score(many["label"], many["score"]), abs=1e-3
    )


def test_partitions_and_the_order_of_rows_change_no_measure(frame: DataFrame) -> None:
    other = frame.orderBy("score").repartition(7)
    one_counts, other_counts = (auc_of(rows, "unit", "score", "label", REPLICATES, SEED) for rows in (frame, other))
    assert np.array_equal(one_counts.positives, other_counts.positives)
    assert np.array_equal(one_counts.negatives, other_counts.negatives)
    # Labels are whole numbers, so that no rounding depends on the order of the sums.
    one_sums, other_sums = (bootstrap_sums(rows, "unit", ["label"], REPLICATES, SEED) for rows in (frame, other))
    assert np.array_equal(one_sums, other_sums)


def test_the_first_replicate_is_the_rows_themselves_and_each_unit_is_drawn_whole(
    frame: DataFrame, units: pd.DataFrame
) -> None:
    sums = bootstrap_sums(frame.union(frame), "unit", ["score", "label"], REPLICATES, SEED)
    assert sums[0] == pytest.approx([2 * units["score"].sum(), 2 * units["label"].sum()])
    weights = poisson_weights(units["unit"], REPLICATES, SEED)
    assert sums[:, 1] == pytest.approx(2 * weights.T @ units["label"].to_numpy())


def test_weights_are_poisson_and_another_seed_gives_others() -> None:
    names = pd.Series([f"customer {n}" for n in range(20_000)])
    weights = poisson_weights(names, 5, SEED)
    assert np.all(weights[:, 0] == 1)
    drawn = weights[:, 1:]
    assert drawn.mean(axis=0) == pytest.approx(np.ones(5), abs=0.03)
    assert drawn.var(axis=0) == pytest.approx(np.ones(5), abs=0.05)
    assert np.abs(np.corrcoef(drawn.T) - np.eye(5)).max() < 0.03, "replicates go with each other"
    assert not np.array_equal(drawn, poisson_weights(names, 5, SEED + 1)[:, 1:])
    assert np.array_equal(weights[5:9], poisson_weights(names[5:9], 5, SEED)), (
        "a unit's weights depend on its neighbours"
    )


def binned(score: Floats, label: Floats, weights: Floats) -> ScoreCounts:
    bins = pd.factorize(score, sort=True)[0]
    counts = [np.zeros((weights.shape[1], bins.max() + 1)) for _ in range(2)]
    for value, table in enumerate(counts):
        np.add.at(table.T, bins[label == value], weights[label == value])
    return ScoreCounts(positives=counts[1], negatives=counts[0])


def test_95_percent_intervals_hold_the_truth_in_about_95_percent_of_samples() -> None:
    draw = np.random.default_rng(11)
    samples, size = 300, 250
    # Scores N(1, 1) of positives, N(0, 1) of negatives: the true AUC is Φ(1 / √2).
    true_auc, true_ratio = 0.7602499389, 2.0
    held = {"auc": 0, "ratio": 0}
    for sample in range(samples):
        weights = poisson_weights(pd.Series([f"{sample} {n}" for n in range(size)]), 200, SEED)
        labels = (draw.random(size) < 0.4).astype(float)
        auc = measured(binned(draw.normal(labels, 1.0), labels, weights).auc)
        below = draw.gamma(2.0, 1.0, size)
        above = below * draw.gamma(4.0, 0.5, size)
        sums = weights.T @ np.column_stack([above, below])
        ratio = measured(sums[:, 0] / sums[:, 1])
        held["auc"] += auc.low <= true_auc <= auc.high
        held["ratio"] += ratio.low <= true_ratio <= ratio.high
    # Three standard errors of 95% on 300 samples are 3.8 points.
    assert 0.90 <= held["auc"] / samples <= 0.99
    assert 0.90 <= held["ratio"] / samples <= 0.99


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        (0.1, 1.0),
        (0.2, 1.0),
        # The third best bin has 4 units of which 1 is positive: of them half is taken.
        (0.4, (2 + 0.5) / 4),
        (1.0, 4 / 10),
    ],
)
def test_precision_takes_its_share_of_a_bin_of_equal_scores(share: float, expected: float) -> None:
    counts = ScoreCounts(positives=np.array([[1.0, 0, 1, 2]]), negatives=np.array([[3.0, 0, 3, 0]]))
    assert counts.precision_at(share)[0] == pytest.approx(expected)


def test_precision_of_distinct_scores_is_the_share_of_positives_at_the_top(spark: SparkSession) -> None:
    units = scored_units(600, decimals=9)
    rows = spark.createDataFrame(units, "unit string, score double, label int")
    top = units.nlargest(60, "score")
    assert auc_of(rows, "unit", "score", "label", 2, SEED).precision_at(0.1)[0] == pytest.approx(top["label"].mean())


def test_auc_is_unknown_where_one_class_is_missing() -> None:
    assert np.isnan(ScoreCounts(positives=np.zeros((1, 3)), negatives=np.ones((1, 3))).auc[0])


def test_accuracy_is_that_of_pandas_at_each_level(spark: SparkSession) -> None:
    draw = np.random.default_rng(5)
    weeks = pd.date_range("2025-01-06", periods=4, freq="7D").date
    rows = pd.DataFrame(
        [
            {
                "product_id": f"p{product}",
                "store_id": f"s{store}",
                "category": f"c{product % 2}",
                "origin_week": weeks[0],
                "week_start_date": week,
                "target_units": float(draw.poisson(5)),
                "model": float(draw.gamma(5)),
                "naive": float(draw.gamma(5)),
            }
            for product in range(5)
            for store in range(3)
            for week in weeks
        ]
    )
    frame = spark.createDataFrame(rows)
    for level in (["product_id", "store_id"], ["category", "store_id"], []):
        found = accuracy_at(frame, level, ["model", "naive"], REPLICATES, SEED)
        summed = rows.groupby([*level, "origin_week", "week_start_date"])[["target_units", "model", "naive"]].sum()
        for method in ("model", "naive"):
            error = (summed[method] - summed["target_units"]).abs().sum() / summed["target_units"].sum()
            assert found[method][0] == pytest.approx(1 - error), f"{method} at {level}"
            assert np.std(found[method][1:]) > 0, f"no spread at {level}"
