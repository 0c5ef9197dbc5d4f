"""Promotion: a challenger becomes champion only by beating the champion on the same rows; a refused training changes nothing."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pytest
import xgboost as xgb
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.lakehouse.boosters import with_prediction
from jobs.lakehouse.errors import DataError
from jobs.lakehouse.job import all_contracts
from jobs.lakehouse.measures import auc_of
from jobs.lakehouse.run import Run
from jobs.lakehouse.settings import ChurnSettings, DemandSettings
from jobs.lakehouse.tracking import Training
from jobs.train import train_churn, train_demand
from jobs.train.promotion import log_and_promote
from tests.lakes import RUN_DATE, settings_in
from tests.rows import frame_of, row_of

pytestmark = pytest.mark.long

FEATURES = ["signal", "noise"]
CHURN = ChurnSettings(bootstrap_replicates=10)
COUNT = 600


@dataclass
class RunOnFrames(Run):
    """A run whose tables are frames; what it logs goes to a real MLflow store."""

    frames: Mapping[str, DataFrame] = field(default_factory=dict)

    def read(self, table: str) -> DataFrame:
        return self.frames[table]


@pytest.fixture(scope="module")
def run(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> RunOnFrames:
    settings = settings_in(tmp_path_factory.mktemp("promotion"), overrides={"churn.min_training_rows": 4})
    inputs = {"gold.churn_labels": "12", "models.churn": "none"}
    return RunOnFrames(
        spark, settings, "train.test", RUN_DATE, "run-1", "0123abcd", (), (), (ChurnSettings, DemandSettings),
        all_contracts(settings), inputs,
    )  # fmt: skip


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    draw = np.random.default_rng(17)
    rows = pd.DataFrame(draw.normal(size=(COUNT, 2)), columns=FEATURES)
    rows["is_churned"] = (draw.random(COUNT) < 1 / (1 + np.exp(-2 * rows["signal"]))).astype(int)
    return rows.assign(customer_id=[f"c-{n}" for n in range(COUNT)])


@pytest.fixture(scope="module")
def boosters(table: pd.DataFrame) -> dict[str, xgb.Booster]:
    """Three models: one that knows the noise only, one a little of the signal, one more."""
    made = {}
    for name, column, rounds in (("noise", "noise", 3), ("fair", "signal", 1), ("good", "signal", 25)):
        # The column that a model is not to know is constant in its training.
        blind = table[FEATURES].assign(**{feature: 0.0 for feature in FEATURES if feature != column})
        options = {"objective": "binary:logistic", "max_depth": 1 if name == "fair" else 3, "seed": 7}
        made[name] = xgb.train(options, xgb.DMatrix(blind, table["is_churned"]), num_boost_round=rounds)
    return made


@pytest.fixture(scope="module")
def frame(spark: SparkSession, table: pd.DataFrame) -> DataFrame:
    return spark.createDataFrame(table).repartition(3).persist()


def challenge(run: RunOnFrames, frame: DataFrame, table: pd.DataFrame, booster: xgb.Booster) -> bool | None:
    """Judge, log and maybe promote a booster as train_churn does; whether it beat the champion."""
    scored = with_prediction(frame, booster, FEATURES, "model")
    counts = auc_of(scored, "customer_id", "model", "is_churned", CHURN.bootstrap_replicates, CHURN.seed)
    beats = train_churn._beats_champion(run, scored, counts, CHURN)
    training = Training(
        booster, table[FEATURES].head(), {"seed": 7}, {"auc": float(counts.auc[0])}, metadata={"of": "test"}
    )
    log_and_promote(run, "churn", training, beats)
    return beats


@pytest.fixture(scope="module")
def champions(
    run: RunOnFrames, frame: DataFrame, table: pd.DataFrame, boosters: dict[str, xgb.Booster]
) -> list[tuple[str, bool | None, str | None]]:
    """Each challenge in turn: who challenged, whether they beat the champion, and the champion afterwards."""
    return [
        (name, challenge(run, frame, table, boosters[name]), run.tracking.champion_version("churn"))
        for name in ("fair", "noise", "good")
    ]


def test_the_alias_moves_to_the_first_and_to_a_better_model_and_not_to_a_worse(
    run: RunOnFrames, champions: list[tuple[str, bool | None, str | None]]
) -> None:
    assert champions == [("fair", None, "1"), ("noise", False, "1"), ("good", True, "3")]
    assert run.facts == {
        "world.churn 1": "champion",
        "world.churn 2": "not better than the champion",
        "world.churn 3": "champion",
    }


def test_an_equal_challenger_does_not_replace_the_champion(
    run: RunOnFrames, champions: list[tuple[str, bool | None, str | None]], frame: DataFrame,
    boosters: dict[str, xgb.Booster],
) -> None:  # fmt: skip
    assert champions
    scored = with_prediction(frame, boosters["good"], FEATURES, "model")
    counts = auc_of(scored, "customer_id", "model", "is_churned", CHURN.bootstrap_replicates, CHURN.seed)
    assert train_churn._beats_champion(run, scored, counts, CHURN) is False
    # A champion whose features are gone can't be compared, and gives way.
    assert train_churn._beats_champion(run, scored.drop("noise"), counts, CHURN) is None


def test_the_champion_from_the_registry_scores_like_the_booster_in_memory_to_the_last_bit(
    run: RunOnFrames, champions: list[tuple[str, bool | None, str | None]], frame: DataFrame,
    boosters: dict[str, xgb.Booster],
) -> None:  # fmt: skip
    assert champions
    champion = run.tracking.champion("churn")
    assert (champion.model, champion.version, champion.feature_names) == ("world.churn", "3", tuple(FEATURES))
    assert champion.metadata["of"] == "test"
    both = with_prediction(
        with_prediction(frame, boosters["good"], FEATURES, "in_memory"), champion.booster, FEATURES, "reloaded"
    )
    rows = both.toPandas()
    assert rows["in_memory"].nunique() > 20
    assert np.array_equal(rows["reloaded"].to_numpy(), rows["in_memory"].to_numpy())


def test_the_table_versions_that_the_champion_learned_from_are_cited(
    run: RunOnFrames, champions: list[tuple[str, bool | None, str | None]]
) -> None:
    assert champions
    assert run.tracking.cited_versions() == {"gold.churn_labels": {12}}


@pytest.mark.parametrize(("labels", "reason"), [((1, 1), "one class only"), ((0, 1), "fewer than churn.min_training")])
def test_a_refused_training_leaves_the_champion(
    run: RunOnFrames, champions: list[tuple[str, bool | None, str | None]], labels: tuple[int, int], reason: str
) -> None:
    assert champions
    spark, churn = run.spark, run.part(ChurnSettings)
    test = RUN_DATE - dt.timedelta(days=churn.label_days)
    days = [test - dt.timedelta(days=churn.label_days + back) for back in (28, 0)] + [test]
    count = 3 if reason == "one class only" else 1
    keys = [{"as_of_date": day, "customer_id": f"c{n}"} for day in days for n in range(count)]
    run.frames = {
        "gold.customer_features": frame_of(
            spark, "gold.customer_features", *[row_of("gold.customer_features", **key) for key in keys]
        ),
        "gold.churn_labels": frame_of(
            spark, "gold.churn_labels",
            *[row_of("gold.churn_labels", **key, is_churned=labels[n % 2]) for n, key in enumerate(keys)],
        ),
    }  # fmt: skip
    before = run.tracking.champion_version("churn")
    with pytest.raises(DataError, match=reason):
        train_churn.build(run)
    assert run.tracking.champion_version("churn") == before == "3"


def test_a_demand_model_must_have_the_smaller_error_on_the_same_rows(
    run: RunOnFrames, spark: SparkSession, table: pd.DataFrame
) -> None:
    weeks = table[FEATURES].assign(level_units=2.0, target_units=np.exp(table["signal"]).round())
    assert train_demand._beats_champion(run, spark.createDataFrame(weeks), 0.1) is None, "there is no champion yet"
    booster = xgb.train(
        {"objective": "count:poisson", "seed": 7}, xgb.DMatrix(table[FEATURES], weeks["target_units"] / 2), 20
    )
    log_and_promote(run, "demand", Training(booster, table[FEATURES].head(), {}, {}), None)
    error = np.abs(2 * booster.inplace_predict(table[FEATURES]) - weeks["target_units"]).sum()
    held = 1 - error / weeks["target_units"].sum()
    rows = spark.createDataFrame(weeks).withColumn("prediction", F.lit(0.0))
    assert train_demand._beats_champion(run, rows, held + 1e-6) is True
    assert train_demand._beats_champion(run, rows, held - 1e-6) is False
