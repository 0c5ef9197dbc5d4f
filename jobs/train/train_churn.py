"""Train the churn model on a panel of past dates, judge it on the newest labelled one beside simple baselines, and log it to MLflow."""

import datetime as dt
import sys
from dataclasses import dataclass

from pyspark.ml import Pipeline
from pyspark.ml.classification import LogisticRegression
from pyspark.ml.feature import Imputer, StandardScaler, VectorAssembler
from pyspark.ml.functions import vector_to_array
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.lakehouse.boosters import VALIDATION, trained, with_prediction
from jobs.lakehouse.errors import DataError
from jobs.lakehouse.figures import calibration_figure, importance_figure
from jobs.lakehouse.job import Job
from jobs.lakehouse.measures import ScoreCounts, auc_of, bootstrap_sums, measured
from jobs.lakehouse.run import Run
from jobs.lakehouse.settings import ChurnSettings
from jobs.lakehouse.tracking import Training
from jobs.train.promotion import log_and_promote

JOB = Job(
    reads=("gold.customer_features", "gold.churn_labels"),
    writes=("models.churn",),
    settings=(ChurnSettings,),
    is_dated=True,
    takes_all_slots=True,
)
LABEL = "is_churned"
NOT_FEATURES = ("as_of_date", "customer_id", "first_order_date", "currency_code")
UNIT = "customer_id"
CONTACTED_SHARE = 0.1


@dataclass(frozen=True)
class Split:
    """The panel in time: the test date is the newest; every training label closed before it; validation is the last of those."""

    training: list[dt.date]
    validation: dt.date
    test: dt.date


def split_dates(dates: list[dt.date], churn: ChurnSettings) -> Split:
    """The dates by their use; labels of training dates are closed before the test's as-of date.

    Raises:
        DataError: there are too few labelled dates.
    """
    test = max(dates)
    usable = sorted(day for day in dates if day + dt.timedelta(days=churn.label_days) <= test)
    if len(usable) < 2:
        raise DataError(
            f"churn needs two labelled dates {churn.label_days} days before {test}, there are {len(usable)}; "
            "load more history, or lower features.panel_step_days"
        )
    return Split(usable[:-1], usable[-1], test)


def panel_rows(features: DataFrame, labels: DataFrame) -> tuple[DataFrame, list[str]]:
    """One row per as-of date and customer of the churn population with its label, and the names of its features."""
    names = [name for name in features.columns if name not in NOT_FEATURES and not name.startswith("_")]
    numbers = [F.col(name).cast("double").alias(name) for name in names]
    rows = labels.select("as_of_date", UNIT, LABEL).join(
        features.select("as_of_date", UNIT, *numbers), on=["as_of_date", UNIT], how="inner"
    )
    return rows, names


def refuse_unfit(rows: DataFrame, split: Split, minimum: int) -> None:
    """Raise DataError when there is too little to learn from, or only one class; the champion stays."""
    counts = rows.where(F.col("as_of_date") < F.lit(split.test)).agg(F.count("*"), F.sum(LABEL)).first()
    count, churned = (counts[0], counts[1] or 0) if counts else (0, 0)
    if count < minimum:
        raise DataError(
            f"churn has {count} training rows, fewer than churn.min_training_rows = {minimum}; nothing was trained"
        )
    if churned in (0, count):
        raise DataError(f"churn's {count} training rows have one class only ({churned} churned); nothing was trained")


def with_logistic(training: DataFrame, rows: DataFrame, features: list[str]) -> DataFrame:
    """The rows with the probability of a logistic regression on the same features, the baseline to beat."""
    filled = [f"{name}_filled" for name in features]
    pipeline = Pipeline(
        stages=[
            Imputer(strategy="median", inputCols=features, outputCols=filled),
            VectorAssembler(inputCols=filled, outputCol="_vector"),
            StandardScaler(inputCol="_vector", outputCol="_scaled"),
            LogisticRegression(
                featuresCol="_scaled", labelCol=LABEL, regParam=0.01, maxIter=50, probabilityCol="_logistic"
            ),
        ]
    )
    # An imputer refuses a column without any value; a constant tells nothing either way.
    present = {name: F.coalesce(F.col(name), F.lit(0.0)) for name in _empty_columns(training, features)}
    scored = pipeline.fit(training.withColumns(present)).transform(rows.withColumns(present))
    return scored.withColumn("logistic", vector_to_array(F.col("_logistic"))[1]).select(*rows.columns, "logistic")


def _empty_columns(rows: DataFrame, columns: list[str]) -> list[str]:
    counts = rows.agg(*[F.count(name).alias(name) for name in columns]).first()
    return [name for name in columns if counts is not None and counts[name] == 0]


def judged(test: DataFrame, churn: ChurnSettings) -> tuple[dict[str, float], dict[str, ScoreCounts]]:
    """The measures of the model and its baselines on the same rows, each with the ends of its 95% interval."""
    metrics: dict[str, float] = {}
    counts = {
        name: auc_of(test, UNIT, name, LABEL, churn.bootstrap_replicates, churn.seed)
        for name in ("model", "logistic", "recency")
    }
    for name, found in counts.items():
        figures = {"auc": measured(found.auc), "precision_top_decile": measured(found.precision_at(CONTACTED_SHARE))}
        for metric, figure in figures.items():
            metrics |= {
                f"{metric}_{name}": figure.value,
                f"{metric}_{name}_low": figure.low,
                f"{metric}_{name}_high": figure.high,
            }
    gain = measured(counts["model"].auc - counts["logistic"].auc)
    metrics |= {"auc_gain_over_logistic": gain.value, "auc_gain_over_logistic_low": gain.low}
    squares = test.select(
        UNIT,
        F.pow(F.col("model") - F.col(LABEL), 2).alias("square"),
        F.col(LABEL).cast("double").alias("churned"),
        F.lit(1.0).alias("one"),
    )
    sums = bootstrap_sums(squares, UNIT, ["square", "churned", "one"], churn.bootstrap_replicates, churn.seed)
    brier = measured(sums[:, 0] / sums[:, 2])
    rate = sums[0, 1] / sums[0, 2]
    metrics |= {
        "brier": brier.value,
        "brier_low": brier.low,
        "brier_high": brier.high,
        "brier_of_base_rate": rate * (1 - rate),
    }
    return metrics | {"churn_rate": rate, "test_rows": float(sums[0, 2])}, counts


def calibration(test: DataFrame) -> DataFrame:
    """One row per tenth of probability with the mean prediction, the observed share and the number of customers."""
    bins = F.least(F.floor(F.col("model") * 10), F.lit(9))
    return test.groupBy(bins.alias("bin")).agg(F.avg("model"), F.avg(LABEL), F.count("*").cast("double")).orderBy("bin")


def build(run: Run) -> None:
    churn = run.part(ChurnSettings)
    rows, features = panel_rows(run.read("gold.customer_features"), run.read("gold.churn_labels"))
    days = [row[0] for row in run.read("gold.churn_labels").select("as_of_date").distinct().collect()]
    split = split_dates([day for day in days if day + dt.timedelta(days=churn.label_days) <= run.run_date], churn)
    used = rows.where(F.col("as_of_date").isin([*split.training, split.validation, split.test]))
    panel = used.withColumn(VALIDATION, F.col("as_of_date") == F.lit(split.validation)).persist()
    refuse_unfit(panel, split, churn.min_training_rows)
    learning, test = (
        panel.where(F.col("as_of_date") < F.lit(split.test)),
        panel.where(F.col("as_of_date") == F.lit(split.test)),
    )
    parameters = {
        "n_estimators": churn.rounds,
        "early_stopping_rounds": churn.early_stopping_rounds,
        "max_depth": churn.max_depth,
        "learning_rate": churn.learning_rate,
        "subsample": 0.8,
        "colsample_bytree": 0.6,
        "min_child_weight": churn.min_child_weight,
        "reg_lambda": churn.reg_lambda,
        "eval_metric": "logloss",
        "random_state": churn.seed,
    }
    booster = trained(learning, features, LABEL, True, parameters)
    scored = with_prediction(with_logistic(learning, test, features), booster, features, "model")
    scored = scored.withColumn("recency", F.col("days_since_last_order")).persist()
    metrics, counts = judged(scored, churn)
    bins = calibration(scored).toPandas().to_numpy()
    training = Training(
        booster=booster,
        example=learning.select(*features).limit(5).toPandas().astype("float64"),
        parameters={
            **parameters,
            "training_dates": ", ".join(map(str, split.training)),
            "validation_date": str(split.validation),
            "test_date": str(split.test),
            "best_iteration": booster.best_iteration,
            "features": len(features),
        },
        metrics=metrics,
        figures={
            "calibration.png": calibration_figure(bins[:, 1], bins[:, 2], bins[:, 3]),
            "importance.png": importance_figure(booster),
        },
        metadata={"test_date": str(split.test), "label_days": churn.label_days},
    )
    log_and_promote(run, "churn", training, _beats_champion(run, scored, counts["model"], churn))
    run.facts["AUC"] = (
        f"{metrics['auc_model']:.4f} (logistic {metrics['auc_logistic']:.4f}, recency {metrics['auc_recency']:.4f})"
    )
    scored.unpersist()
    panel.unpersist()


def _beats_champion(run: Run, test: DataFrame, challenger: ScoreCounts, churn: ChurnSettings) -> bool | None:
    """Whether the new model has the higher AUC on the same rows; None while there is no champion, or none that fits."""
    if run.tracking.champion_version("churn") is None:
        return None
    champion = run.tracking.champion("churn")
    if not set(champion.feature_names) <= set(test.columns):
        return None
    rows = with_prediction(test, champion.booster, list(champion.feature_names), "champion")
    held = auc_of(rows, UNIT, "champion", LABEL, churn.bootstrap_replicates, churn.seed)
    return bool(challenger.auc[0] > held.auc[0])


if __name__ == "__main__":
    sys.exit(JOB.main(__doc__, build))
