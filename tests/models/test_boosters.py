"""Boosters: predictions and reasons are those of plain XGBoost, learning finds what is there and nothing else."""

import numpy as np
import pandas as pd
import pytest
import xgboost as xgb
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from sklearn.metrics import roc_auc_score

from jobs.lakehouse.boosters import VALIDATION, trained, with_prediction, with_reasons
from jobs.lakehouse.session import configured
from jobs.score.score_churn import with_decile

FEATURES = ["days_since_last_order", "order_count_90d", "event_count_30d", "tenure_days", "noise"]


def customers(count: int, seed: int) -> pd.DataFrame:
    """Customers whose label follows their recency and orders; some features are unknown."""
    draw = np.random.default_rng(seed)
    table = pd.DataFrame(draw.normal(size=(count, len(FEATURES))), columns=FEATURES)
    odds = 1.5 * table["days_since_last_order"] - table["order_count_90d"]
    table["label"] = (draw.random(count) < 1 / (1 + np.exp(-odds))).astype(float)
    return table.mask(draw.random(table.shape) < 0.05).assign(label=table["label"], customer=range(count))


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return customers(400, 1)


@pytest.fixture(scope="module")
def booster(table: pd.DataFrame) -> xgb.Booster:
    matrix = xgb.DMatrix(table[FEATURES], table["label"])
    return xgb.train({"objective": "binary:logistic", "max_depth": 3, "seed": 7}, matrix, num_boost_round=20)


@pytest.fixture(scope="module")
def frame(spark: SparkSession, table: pd.DataFrame) -> DataFrame:
    schema = ", ".join([f"{name} double" for name in [*FEATURES, "label"]] + ["customer long"])
    return spark.createDataFrame(
        table.astype(object).where(table.notna(), None).to_numpy().tolist(), schema
    ).repartition(3)


def test_predictions_in_batches_are_the_boosters_to_the_last_bit(
    frame: DataFrame, table: pd.DataFrame, booster: xgb.Booster
) -> None:
    rows = with_prediction(frame, booster, FEATURES).toPandas().sort_values("customer")
    expected = booster.inplace_predict(table[FEATURES]).astype("float64")
    assert np.array_equal(rows["prediction"].to_numpy(), expected)
    assert list(rows.columns) == [*frame.columns, "prediction"]


def test_reasons_are_the_features_with_the_greatest_contributions(
    frame: DataFrame, table: pd.DataFrame, booster: xgb.Booster
) -> None:
    rows = with_reasons(frame, booster, FEATURES).toPandas().sort_values("customer").reset_index(drop=True)
    contributions = booster.predict(xgb.DMatrix(table[FEATURES]), pred_contribs=True)
    assert contributions[:, :-1].sum(axis=1) + contributions[:, -1] == pytest.approx(
        booster.predict(xgb.DMatrix(table[FEATURES]), output_margin=True), abs=1e-4
    )
    missing = 0
    for place, raised in enumerate(contributions[:, :-1]):
        strongest = sorted((-value, number) for number, value in enumerate(raised) if value > 0)[:3]
        expected = [FEATURES[number] for _, number in strongest] + [None] * (3 - len(strongest))
        told = [rows[f"reason_{n}"][place] for n in (1, 2, 3)]
        assert [reason.split(" ")[0] if reason else None for reason in told] == expected, f"customer {place}"
        for reason in filter(None, told):
            name, _, value = reason.partition(" ")
            known = table[name][place]
            assert value == ("unknown" if np.isnan(known) else f"= {known:.4g}")
            missing += np.isnan(known)
    assert missing > 0, "no reason is an unknown value"
    assert rows["reason_3"].isna().any(), "every customer has three reasons"


@pytest.mark.parametrize("is_shuffled", [False, True])
def test_training_finds_what_is_there_and_nothing_in_shuffled_labels(spark: SparkSession, is_shuffled: bool) -> None:
    learning, test = customers(800, 3), customers(2000, 4)
    if is_shuffled:
        learning["label"] = learning["label"].sample(frac=1, random_state=5).to_numpy()
    rows = spark.createDataFrame(learning.fillna(float("nan"))).withColumn(VALIDATION, F.col("customer") % 4 == 0)
    parameters = {
        "n_estimators": 30,
        "early_stopping_rounds": 10,
        "max_depth": 3,
        "learning_rate": 0.1,
        "eval_metric": "logloss",
        "random_state": 7,
    }
    booster = trained(rows, FEATURES, "label", True, parameters)
    auc = roc_auc_score(test["label"], booster.inplace_predict(test[FEATURES]))
    if is_shuffled:
        assert auc == pytest.approx(0.5, abs=0.05), "the model knows labels that it can't know"
    else:
        assert auc > 0.7
        assert booster.feature_names == FEATURES


def test_batches_without_a_row_to_validate_on_are_learned_from_too(spark: SparkSession) -> None:
    rows = spark.createDataFrame(customers(400, 3).fillna(float("nan"))).withColumn(
        VALIDATION, F.col("customer") % 40 == 0
    )
    parameters = {"n_estimators": 5, "max_depth": 2, "random_state": 7}
    with configured(spark, {"spark.sql.execution.arrow.maxRecordsPerBatch": "5"}):
        booster = trained(rows, FEATURES, "label", True, parameters)
    assert booster.num_boosted_rounds() == 5


def test_deciles_are_tenths_with_1_the_most_likely_to_churn(spark: SparkSession) -> None:
    scores = spark.createDataFrame([(n, n / 1000) for n in range(1000)], "customer long, churn_probability double")
    rows = with_decile(scores).toPandas()
    assert rows["churn_decile"].value_counts().to_dict() == pytest.approx(dict.fromkeys(range(1, 11), 100), abs=4)
    assert rows.sort_values("churn_probability")["churn_decile"].is_monotonic_decreasing
    assert rows.nlargest(1, "churn_probability")["churn_decile"].item() == 1
    equal = spark.createDataFrame([(0.5,)] * 50, "churn_probability double")
    assert with_decile(equal).select("churn_decile").distinct().count() == 1, "equal probabilities share a tenth"
