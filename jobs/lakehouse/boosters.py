"""Training of gradient-boosted trees on every slot of the cluster, and their use in Arrow batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd
import xgboost as xgb
from pyspark.sql import DataFrame
from xgboost.spark import SparkXGBClassifier, SparkXGBRegressor

from jobs.lakehouse.session import task_slots

VALIDATION = "_is_validation"


def trained(
    rows: DataFrame,
    features: list[str],
    label: str,
    is_classifier: bool,
    parameters: dict[str, Any],
    weight: str | None = None,
) -> xgb.Booster:
    """A booster trained by all slots together; rows with `_is_validation` say when to stop.

    Missing features are NaN: `xgboost.spark` takes them as missing.
    """
    estimator = SparkXGBClassifier if is_classifier else SparkXGBRegressor
    options = dict(parameters)
    if weight:
        options["weight_col"] = weight
    model = estimator(
        features_col=features,
        label_col=label,
        validation_indicator_col=VALIDATION,
        num_workers=task_slots(rows.sparkSession),
        device="cpu",
        verbose_eval=False,
        **options,
    )
    columns = [*features, label, VALIDATION, *([weight] if weight else [])]
    booster: xgb.Booster = model.fit(rows.select(*columns)).get_booster()
    booster.feature_names = features
    return booster


def with_prediction(
    rows: DataFrame, booster: xgb.Booster, features: list[str], column: str = "prediction"
) -> DataFrame:
    """The rows with the booster's prediction."""
    raw = bytes(booster.save_raw("ubj"))

    def predict(batches: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        model = xgb.Booster()
        model.load_model(bytearray(raw))
        model.set_param({"nthread": 1})
        for batch in batches:
            matrix = batch[features].astype("float64")
            yield batch.assign(**{column: model.inplace_predict(matrix).astype("float64")})

    schema = ", ".join(f"`{field.name}` {field.dataType.simpleString()}" for field in rows.schema.fields)
    return rows.mapInPandas(predict, f"{schema}, `{column}` double")
