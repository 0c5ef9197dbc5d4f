"""Training of gradient-boosted trees on every slot of the cluster, and their use in Arrow batches."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xgboost as xgb
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from xgboost.spark import SparkXGBClassifier, SparkXGBRegressor

from jobs.lakehouse.session import task_slots

VALIDATION = "_is_validation"
FEATURES = "_features"


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
        features_col=FEATURES,
        label_col=label,
        validation_indicator_col=VALIDATION,
        num_workers=task_slots(rows.sparkSession),
        device="cpu",
        # Rows spread evenly: a worker without rows, or without any to validate on, would bring the others down.
        force_repartition=True,
        verbose=False,
        verbosity=0,
        **options,
    )
    logging.getLogger("XGBoost-PySpark").setLevel(logging.WARNING)
    # One array, not a column each: with these, a batch in which no row is to validate on (or none to learn from) is an error.
    values = [F.coalesce(F.col(feature).cast("float"), F.lit(float("nan"))) for feature in features]
    others = [label, VALIDATION, *([weight] if weight else [])]
    booster: xgb.Booster = model.fit(rows.select(F.array(*values).alias(FEATURES), *others)).get_booster()
    booster.feature_names = features
    return booster


def with_prediction(
    rows: DataFrame, booster: xgb.Booster, features: list[str], column: str = "prediction"
) -> DataFrame:
    """The rows with the booster's prediction."""
    raw = bytes(booster.save_raw("ubj"))

    def predict(batches: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        model = xgb.Booster()
        model.load_model(bytearray(raw))
        model.set_param({"nthread": 1})
        for batch in batches:
            matrix = batch[features].astype("float64")
            yield batch.assign(**{column: model.inplace_predict(matrix).astype("float64")})

    return rows.mapInPandas(predict, f"{_schema_text(rows)}, `{column}` double")


def with_interval(rows: DataFrame, forecast: str, factors: Mapping[str, Sequence[float]]) -> DataFrame:
    """The rows with `lower_units` and `upper_units`: forecast plus factor times √(forecast + 1), never below zero.

    Null for a horizon that training did not calibrate.

    Args:
        rows: rows with `horizon_weeks`.
        forecast: the column with the forecast, in units.
        factors: by horizon, the lower and the upper factor, as training calibrated them.
    """
    pairs = [
        column
        for horizon, (lower, upper) in factors.items()
        for column in (F.lit(int(horizon)), F.array(F.lit(lower), F.lit(upper)))
    ]
    ends = F.try_element_at(F.create_map(*pairs), F.col("horizon_weeks").cast("int"))
    spread = F.sqrt(F.col(forecast) + 1)

    def end(place: int) -> Column:
        # `greatest` skips nulls: a horizon without factors must not come out as [0, 0].
        return F.when(ends.isNotNull(), F.greatest(F.col(forecast) + ends[place] * spread, F.lit(0.0)))

    return rows.withColumns({"lower_units": end(0), "upper_units": end(1)})


def with_reasons(rows: DataFrame, booster: xgb.Booster, features: list[str], most: int = 3) -> DataFrame:
    """The rows with `reason_1` … : the features that raise the prediction most, by tree SHAP (Lundberg et al. 2020).

    A reason names the feature and its value (`days_since_last_order = 120`); null where fewer features raise it.
    """
    raw = bytes(booster.save_raw("ubj"))
    columns = [f"reason_{place}" for place in range(1, most + 1)]

    def explain(batches: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        model = xgb.Booster()
        model.load_model(bytearray(raw))
        model.set_param({"nthread": 1})
        for batch in batches:
            values = batch[features].astype("float64")
            # The last column of the contributions is the bias.
            raised = model.predict(xgb.DMatrix(values), pred_contribs=True)[:, :-1]
            strongest = np.argsort(-raised, axis=1, kind="stable")[:, :most]
            table = values.to_numpy()
            told = {
                column: pd.Series(
                    [
                        _reason(features[feature], table[row, feature]) if raised[row, feature] > 0 else None
                        for row, feature in enumerate(strongest[:, place])
                    ],
                    index=batch.index,
                    dtype=object,
                )
                for place, column in enumerate(columns)
            }
            yield batch.assign(**told)

    reasons = ", ".join(f"{column} string" for column in columns)
    return rows.mapInPandas(explain, f"{_schema_text(rows)}, {reasons}")


def _reason(feature: str, value: float) -> str:
    return f"{feature} unknown" if np.isnan(value) else f"{feature} = {value:.4g}"


def _schema_text(rows: DataFrame) -> str:
    return ", ".join(f"`{field.name}` {field.dataType.simpleString()}" for field in rows.schema.fields)
