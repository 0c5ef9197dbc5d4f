"""Intervals of forecasts: factors calibrated on one half of simulated demand cover about their share of the other."""

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import SparkSession

from jobs.lakehouse.boosters import with_interval
from jobs.train.train_demand import interval_factors

HORIZONS = 3


@pytest.mark.parametrize("interval", [0.8, 0.5])
def test_intervals_cover_about_their_share_of_simulated_demand_at_each_horizon(
    spark: SparkSession, interval: float
) -> None:
    draw = np.random.default_rng(13)
    count = 12_000
    level = draw.gamma(4, 20, count)
    horizon = draw.integers(1, HORIZONS + 1, count)
    # The further ahead, the worse the forecast; demand is counted in whole pieces.
    forecast = level * np.exp(draw.normal(0, 0.05 * horizon))
    demand = pd.DataFrame(
        {"horizon_weeks": horizon, "model": forecast, "target_units": draw.poisson(level).astype(float)}
    )
    rows = spark.createDataFrame(demand)
    factors = interval_factors(rows.limit(count // 2), interval)
    assert set(factors) == {"1", "2", "3"}
    assert all(lower < 0 < upper for lower, upper in factors.values())
    widths = [factors[str(n)][1] - factors[str(n)][0] for n in range(1, HORIZONS + 1)]
    assert widths == sorted(widths), "a forecast further ahead has a narrower interval"
    covered = with_interval(spark.createDataFrame(demand.iloc[count // 2 :]), "model", factors).toPandas()
    is_inside = covered["target_units"].between(covered["lower_units"], covered["upper_units"])
    by_horizon = is_inside.groupby(covered["horizon_weeks"]).mean()
    # About 2,000 weeks at each horizon: three standard errors are 3 points at 80%, 3.4 at 50%.
    assert by_horizon.to_numpy() == pytest.approx(np.full(HORIZONS, interval), abs=0.04)


def test_an_interval_holds_no_negative_demand_and_none_for_an_unknown_horizon(spark: SparkSession) -> None:
    rows = spark.createDataFrame([(1, 0.0), (1, 8.0), (9, 8.0)], "horizon_weeks int, forecast double")
    ends = [tuple(row)[2:] for row in with_interval(rows, "forecast", {"1": [-1.0, 2.0]}).collect()]
    assert ends == [(0.0, 2.0), (5.0, 14.0), (None, None)]
