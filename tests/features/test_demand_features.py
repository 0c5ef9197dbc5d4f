"""Demand features: an origin knows its own and earlier weeks only; a target is null until its week is closed."""

import datetime as dt
import random
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import SparkSession

from jobs.features.build_demand_features import demand_features
from jobs.features.covariates import Outside
from jobs.lakehouse.settings import DemandSettings
from tests.rows import SHANGHAI, Row, contract_of, frame_of, product, row_of

SETTINGS = DemandSettings(horizon_weeks=4, origins=100, min_history_weeks=8, min_units=10)
FIRST = dt.date(2023, 10, 2)
SERIES = {("p1", "s1"): 0, ("p1", "s2"): 30, ("p2", "s1"): 55, ("p3", "s1"): 0}
WEEKS = 75
ORIGIN = FIRST + dt.timedelta(weeks=68)
Key = tuple[str, str, dt.date, int]


def random_history(seed: int) -> list[Row]:
    draw = random.Random(seed)
    rows = []
    for (sku, store), first in SERIES.items():
        for week in range(first, WEEKS):
            rows.append(
                row_of(
                    "gold.demand_history",
                    product_id=sku,
                    store_id=store,
                    week_start_date=FIRST + dt.timedelta(weeks=week),
                    gross_units=draw.choice([0, 1, 2, 5, 9]) if sku != "p3" else 0,
                    price_amount=Decimal(draw.randrange(500, 1000)) / 100,
                    list_price_amount=Decimal(10),
                    promotion_ratio=draw.random(),
                )
            )
    return rows


def changed_after_origin(rows: list[Row]) -> list[Row]:
    """The same history with every week after the origin told otherwise."""
    return [
        row
        if row["week_start_date"] <= ORIGIN
        else {**row, "gross_units": row["gross_units"] + 1000, "price_amount": Decimal(1), "promotion_ratio": 1.0}
        for row in rows
    ]


def features(spark: SparkSession, history: list[Row]) -> dict[Key, dict[str, Any]]:
    products = [product(product_id=sku, category="tea" if sku == "p1" else None) for sku in ("p1", "p2", "p3")]
    nothing = Outside(*(frame_of(spark, f"silver.{name}") for name in ("promotions", "holidays", "trends")))
    found = demand_features(
        frame_of(spark, "gold.demand_history", *history),
        frame_of(spark, "silver.products", *products),
        nothing,
        SETTINGS,
        SHANGHAI,
    )
    rows = found.select(*contract_of("gold.demand_features").column_names).collect()
    made = {
        (row["product_id"], row["store_id"], row["origin_week"], row["horizon_weeks"]): row.asDict() for row in rows
    }
    assert len(made) == len(rows), "an origin and horizon has two rows"
    return made


@pytest.fixture(scope="module")
def told(spark: SparkSession) -> dict[Key, dict[str, Any]]:
    return features(spark, random_history(1))


def known_at_origin(rows: dict[Key, dict[str, Any]]) -> dict[Key, str]:
    """The rows up to the origin, to the last digit, with targets only of weeks up to the origin."""
    return {
        key: repr({**row, "target_units": row["target_units"] if row["week_start_date"] <= ORIGIN else "later"})
        for key, row in rows.items()
        if key[2] <= ORIGIN
    }


def test_no_feature_of_an_origin_depends_on_later_weeks(spark: SparkSession, told: dict[Key, dict[str, Any]]) -> None:
    changed = features(spark, changed_after_origin(random_history(1)))
    assert known_at_origin(changed) == known_at_origin(told)
    later = {key: row for key, row in told.items() if key[2] > ORIGIN}
    assert later
    assert all(repr(changed[key]) != repr(row) for key, row in later.items()), (
        "later origins did not move: the test could not have failed"
    )


def test_an_origin_has_the_same_features_before_the_later_weeks_exist(
    spark: SparkSession, told: dict[Key, dict[str, Any]]
) -> None:
    cut = features(spark, [row for row in random_history(1) if row["week_start_date"] <= ORIGIN])
    assert known_at_origin(cut) == known_at_origin(told)
    open_targets = {row["target_units"] for row in cut.values() if row["week_start_date"] > ORIGIN}
    assert open_targets == {None}


def test_each_active_origin_has_every_horizon_and_no_target_before_its_week_is_closed(
    told: dict[Key, dict[str, Any]],
) -> None:
    last = FIRST + dt.timedelta(weeks=WEEKS - 1)
    for (_, _, origin, horizon), row in told.items():
        assert row["week_start_date"] == origin + dt.timedelta(weeks=horizon)
        assert (row["target_units"] is None) == (row["week_start_date"] > last)
    horizons = pd.Series([key[3] for key in told]).value_counts()
    assert dict(horizons) == dict.fromkeys([1, 2, 3, 4], len(told) // 4)
    newest = {(sku, store) for sku, store, origin, _ in told if origin == last}
    assert newest == {("p1", "s1"), ("p1", "s2"), ("p2", "s1")}, "a product that does not sell is not forecast"


def test_features_are_those_that_pandas_finds(told: dict[Key, dict[str, Any]]) -> None:
    history = pd.DataFrame(random_history(1))
    history["units"] = history["gross_units"].astype(float)
    for sku, store in (("p1", "s2"), ("p2", "s1"), ("p1", "s1")):
        series = history[(history["product_id"] == sku) & (history["store_id"] == store)].set_index("week_start_date")
        series = series.sort_index()
        for origin in (ORIGIN, ORIGIN - dt.timedelta(weeks=4)):
            units = series.loc[series.index <= origin, "units"]
            last_13 = units.tail(13)
            for horizon in (1, 4):
                row = told[sku, store, origin, horizon]
                target = origin + dt.timedelta(weeks=horizon)
                year_before = [target - dt.timedelta(weeks=52 + step) for step in (1, 0, -1)]
                around = series["units"].reindex(year_before)
                expected = {
                    **{f"lag_{lag}_units": units.iloc[-1 - lag] for lag in range(4)},
                    **{f"mean_{weeks}_units": units.tail(weeks).mean() for weeks in (4, 13, 26, 52)},
                    "std_13_units": last_13.std(ddof=0),
                    "max_13_units": last_13.max(),
                    "zero_ratio_13": (last_13 == 0).mean(),
                    "history_weeks": len(units),
                    "level_units": (last_13.sum() + 1) / (len(last_13) + 1),
                    "price_ratio": float(series["price_amount"][origin]) / 10,
                    "promotion_mean_13": series.loc[series.index <= origin, "promotion_ratio"].tail(13).mean(),
                    "last_year_units": around.iloc[1] if not np.isnan(around.iloc[1]) else None,
                    "last_year_mean_3_units": around.mean() if not np.isnan(around.iloc[1]) else None,
                    "target_units": series["units"].get(target),
                }
                for name in ("lag_0", "mean_4", "mean_52", "last_year", "last_year_mean_3"):
                    units_told = expected[f"{name}_units"]
                    expected[f"{name}_ratio"] = units_told and units_told / expected["level_units"]
                for name, value in expected.items():
                    assert row[name] == (None if value is None else pytest.approx(value)), (
                        f"{name} of {sku}, {store} at {origin} for {horizon} weeks"
                    )
