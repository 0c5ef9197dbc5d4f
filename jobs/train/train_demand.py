"""Train the demand model, direct to every week of the horizon, judge it on later origins beside simple baselines, and log it to MLflow."""

import datetime as dt
import sys
from dataclasses import dataclass

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.lakehouse.boosters import VALIDATION, trained, with_interval, with_prediction
from jobs.lakehouse.errors import DataError
from jobs.lakehouse.figures import error_figure, importance_figure
from jobs.lakehouse.job import Job
from jobs.lakehouse.measures import Floats, accuracy_at, bootstrap_sums, measured
from jobs.lakehouse.run import Run
from jobs.lakehouse.settings import DemandSettings
from jobs.lakehouse.tracking import Training
from jobs.train.promotion import log_and_promote

JOB = Job(
    reads=("gold.demand_features",),
    writes=("models.demand",),
    settings=(DemandSettings,),
    is_dated=True,
    takes_all_slots=True,
)
NOT_FEATURES = ("product_id", "store_id", "origin_week", "week_start_date", "category", "target_units")
# Below this a mean over a year, and so a season, can't be told: the seasonal baseline needs 52 weeks and the horizon.
SEASONAL_WEEKS = 65
METHODS = ("model", "last_value", "mean_4_weeks", "seasonal_naive")


@dataclass(frozen=True)
class Split:
    """The weeks in time: test origins are the newest whose horizon is closed; what is learned from ends before the first."""

    first_test_origin: dt.date
    last_test_origin: dt.date
    calibration_from: dt.date


def split_weeks(newest_target: dt.date, settings: DemandSettings) -> Split:
    """The test origins, and the target weeks kept for calibration; training targets come before those."""
    last = newest_target - dt.timedelta(weeks=settings.horizon_weeks)
    first = last - dt.timedelta(weeks=settings.test_origins - 1)
    return Split(first, last, first - dt.timedelta(weeks=settings.calibration_weeks - 1))


def only_closed(features: DataFrame, run_date: dt.date, close_after_days: int) -> DataFrame:
    """The rows whose target week was closed by the run date."""
    return features.where(F.date_add("week_start_date", 6 + close_after_days) <= F.lit(run_date))


def model_rows(features: DataFrame) -> tuple[DataFrame, list[str]]:
    """The rows with a closed target, with the ratio to learn, and the names of the features.

    The model learns the ratio of target to level, weighted by the level: a Poisson regression with the level as exposure.
    """
    names = [name for name in features.columns if name not in NOT_FEATURES]
    closed = features.where("target_units is not null")
    numbers = {name: F.col(name).cast("double") for name in names}
    return closed.withColumns(numbers).withColumn("target_ratio", F.col("target_units") / F.col("level_units")), names


def with_baselines(rows: DataFrame) -> DataFrame:
    """The rows with the forecasts of the baselines; the seasonal one only where there are enough weeks."""
    return rows.withColumns(
        {
            "last_value": F.col("lag_0_units"),
            "mean_4_weeks": F.col("mean_4_units"),
            "seasonal_naive": F.when(F.col("history_weeks") >= SEASONAL_WEEKS, F.col("last_year_units")),
        }
    )


def interval_factors(calibration: DataFrame, interval: float) -> dict[str, list[float]]:
    """Split-conformal quantiles of (actual − forecast) / √(forecast + 1) by horizon: lower and upper (Lei et al. 2018)."""
    tail = (1 - interval) / 2
    scaled = (F.col("target_units") - F.col("model")) / F.sqrt(F.col("model") + 1)
    found = calibration.groupBy("horizon_weeks").agg(
        F.percentile_approx(scaled, [tail, 1 - tail], 10_000).alias("quantiles")
    )
    return {str(int(row["horizon_weeks"])): [float(value) for value in row["quantiles"]] for row in found.collect()}


LEVELS = {
    "sku_store_week": ["product_id", "store_id"],
    "category_store_week": ["category", "store_id"],
    "total_week": [],
}


def judged(test: DataFrame, settings: DemandSettings) -> dict[str, float]:
    """The measures on the test origins, at each level, of the model and its baselines on the same rows.

    The seasonal baseline stands where each test row has it; elsewhere it is left out.
    """
    counts = test.agg(F.count("seasonal_naive"), F.count("*")).first()
    has_seasonal = counts is not None and counts[0] > 0
    rows = test.withColumn("seasonal_naive", F.coalesce("seasonal_naive", "mean_4_weeks"))
    metrics: dict[str, float] = {}
    for level, keys in LEVELS.items():
        accuracy = accuracy_at(rows, keys, list(METHODS), settings.bootstrap_replicates, settings.seed)
        for method, replicates in accuracy.items():
            figure = measured(replicates)
            if method != "seasonal_naive" or has_seasonal:
                metrics |= {
                    f"accuracy_{level}_{method}": figure.value,
                    f"accuracy_{level}_{method}_low": figure.low,
                    f"accuracy_{level}_{method}_high": figure.high,
                }
        gain = measured(accuracy["model"] - accuracy["mean_4_weeks"])
        metrics |= {f"accuracy_gain_{level}_over_mean_4_weeks": gain.value, f"accuracy_gain_{level}_low": gain.low}
    covered = test.select(
        F.concat_ws("\x1f", "product_id", "store_id").alias("unit"),
        F.col("target_units").between(F.col("lower_units"), F.col("upper_units")).cast("double").alias("covered"),
        F.lit(1.0).alias("one"),
    )
    sums = bootstrap_sums(covered, "unit", ["covered", "one"], settings.bootstrap_replicates, settings.seed)
    coverage = measured(sums[:, 0] / sums[:, 1])
    metrics |= {"coverage": coverage.value, "coverage_low": coverage.low, "coverage_high": coverage.high}
    return metrics | {"test_rows": float(sums[0, 1])}


def horizon_errors(test: DataFrame) -> tuple[Floats, dict[str, Floats]]:
    """WAPE by horizon of each method, for the figure."""
    sums = [F.sum(F.abs(F.col(name) - F.col("target_units"))).alias(name) for name in METHODS[:3]]
    table = (
        test.groupBy("horizon_weeks")
        .agg(F.sum("target_units").alias("actual"), *sums)
        .orderBy("horizon_weeks")
        .toPandas()
    )
    errors = {
        name: (table[name] / table["actual"].where(table["actual"] > 0)).to_numpy(dtype=float) for name in METHODS[:3]
    }
    return table["horizon_weeks"].to_numpy(dtype=float), errors


def build(run: Run) -> None:
    settings = run.part(DemandSettings)
    rows, features = model_rows(only_closed(run.read("gold.demand_features"), run.run_date, settings.close_after_days))
    newest = rows.agg(F.max("week_start_date")).first()
    if newest is None or newest[0] is None:
        raise DataError("no product sold enough to be forecast (demand.min_units); nothing was trained")
    split = split_weeks(newest[0], settings)
    target, origin = F.col("week_start_date"), F.col("origin_week")
    # What is learned from has its target closed before the first test origin.
    learning = rows.where(target <= F.lit(split.first_test_origin)).withColumn(
        VALIDATION, target >= F.lit(split.calibration_from)
    )
    learning = learning.persist()
    count = learning.where(~F.col(VALIDATION)).count()
    if count < settings.min_training_rows:
        raise DataError(
            f"demand has {count} training rows, fewer than demand.min_training_rows = {settings.min_training_rows}; nothing was trained"
        )
    parameters = {
        "n_estimators": settings.rounds,
        "early_stopping_rounds": settings.early_stopping_rounds,
        "max_depth": settings.max_depth,
        "learning_rate": settings.learning_rate,
        "subsample": 0.8,
        "colsample_bytree": 0.8,
        "min_child_weight": 20.0,
        "reg_lambda": 2.0,
        "objective": "count:poisson",
        "random_state": settings.seed,
    }
    booster = trained(learning, features, "target_ratio", False, parameters, weight="level_units")
    units = F.col("prediction") * F.col("level_units")
    calibration = with_prediction(learning.where(VALIDATION), booster, features).withColumn("model", units)
    factors = interval_factors(calibration, settings.interval)
    is_test = origin.between(F.lit(split.first_test_origin), F.lit(split.last_test_origin))
    test = with_prediction(with_baselines(rows.where(is_test)), booster, features).withColumn("model", units)
    test = with_interval(test, "model", factors).persist()
    metrics = judged(test, settings)
    horizons, errors = horizon_errors(test)
    training = Training(
        booster=booster,
        example=learning.select(*features).limit(5).toPandas().astype("float64"),
        parameters={
            **parameters,
            "first_test_origin": str(split.first_test_origin),
            "last_test_origin": str(split.last_test_origin),
            "calibration_from": str(split.calibration_from),
            "best_iteration": booster.best_iteration,
            "training_rows": count,
        },
        metrics=metrics,
        figures={"error_by_horizon.png": error_figure(horizons, errors), "importance.png": importance_figure(booster)},
        metadata={
            "interval": settings.interval,
            "interval_factors": factors,
            "first_test_origin": str(split.first_test_origin),
            "last_test_origin": str(split.last_test_origin),
        },
    )
    log_and_promote(run, "demand", training, _beats_champion(run, test, metrics["accuracy_sku_store_week_model"]))
    run.facts["1 − WAPE (SKU, store, week)"] = (
        f"{metrics['accuracy_sku_store_week_model']:.4f} (4-week mean {metrics['accuracy_sku_store_week_mean_4_weeks']:.4f})"
    )
    test.unpersist()
    learning.unpersist()


def _beats_champion(run: Run, test: DataFrame, accuracy: float) -> bool | None:
    """Whether the new model has the smaller error on the same rows; None while there is no champion, or none that fits."""
    if run.tracking.champion_version("demand") is None:
        return None
    champion = run.tracking.champion("demand")
    if not set(champion.feature_names) <= set(test.columns):
        return None
    rows = with_prediction(test.drop("prediction"), champion.booster, list(champion.feature_names))
    error = F.abs(F.col("prediction") * F.col("level_units") - F.col("target_units"))
    sums = rows.agg(F.sum(error), F.sum("target_units")).first()
    held = 1 - sums[0] / sums[1] if sums and sums[1] else float(np.nan)
    return bool(accuracy > held)


if __name__ == "__main__":
    sys.exit(JOB.main(__doc__, build))
