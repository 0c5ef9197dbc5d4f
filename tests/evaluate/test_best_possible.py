"""The best possible churn forecast: its formula against a simulation of the process that it describes."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import Row, SparkSession

from jobs.evaluate.best_possible import identified_orders, moved_by_store, silence_probability, with_silence_probability
from jobs.lakehouse.measures import Floats

DRAWS = 20_000
SEASON = 1 + 0.5 * np.sin(np.arange(60) / 60 * 2 * np.pi)


def simulated_silence(order_rate: float, dropout_rate: float, before: int, season: Floats, seed: int) -> Floats:
    """Whether each simulated person, active at the as-of date, places no order in the window.

    A person drops out at an exponential time. Orders of each day are Poisson while the person is active, at random
    moments of the day; those after dropping out are never placed.
    """
    draw = np.random.default_rng(seed)
    active_days = draw.exponential(1 / dropout_rate, DRAWS)
    silent = np.ones(DRAWS, dtype=bool)
    for day, factor in enumerate(season):
        active_share = np.clip(active_days - (before + day), 0, 1)
        silent &= draw.poisson(order_rate * factor * active_share) == 0
    return silent.astype(float)


@pytest.mark.parametrize(
    ("order_rate", "dropout_rate"),
    [(0.005, 0.001), (0.02, 0.001), (0.02, 0.05), (0.1, 0.02), (0.5, 0.3), (0.0005, 0.5)],
)
def test_the_probability_is_that_of_the_simulated_process(order_rate: float, dropout_rate: float) -> None:
    silent = simulated_silence(order_rate, dropout_rate, 7, SEASON, seed=23)
    rates = np.array([order_rate]), np.array([dropout_rate]), np.array([True])
    (formula,) = silence_probability(*rates, 7, SEASON)
    standard_error = max(np.sqrt(formula * (1 - formula) / DRAWS), 1 / DRAWS)
    assert abs(silent.mean() - formula) < 3 * standard_error, f"simulated {silent.mean():.4f}, formula {formula:.4f}"


def test_without_dropout_silence_is_that_of_a_poisson_process() -> None:
    rates = np.array([0.0, 0.001, 0.03, 2.0])
    found = silence_probability(rates, np.zeros(4), np.ones(4, dtype=bool), 7, SEASON)
    assert found == pytest.approx(np.exp(-rates * SEASON.sum()), rel=1e-12)


def test_who_has_dropped_out_or_will_at_once_is_silent_for_sure() -> None:
    rates = np.array([0.0, 0.1, 5.0])
    gone = silence_probability(rates, np.full(3, 0.001), np.zeros(3, dtype=bool), 7, SEASON)
    assert list(gone) == [1, 1, 1]
    at_once = silence_probability(rates, np.full(3, 1e6), np.ones(3, dtype=bool), 7, SEASON)
    assert at_once == pytest.approx(np.ones(3))


def test_more_orders_make_silence_rarer_and_dropping_out_makes_it_likelier() -> None:
    ones = np.ones(50, dtype=bool)
    by_rate = silence_probability(np.linspace(0, 1, 50), np.full(50, 0.01), ones, 7, SEASON)
    by_dropout = silence_probability(np.full(50, 0.05), np.linspace(0, 1, 50), ones, 7, SEASON)
    assert np.all(np.diff(by_rate) < 0)
    assert np.all(np.diff(by_dropout) > 0)
    assert np.all((by_rate >= 0) & (by_rate <= 1) & (by_dropout >= 0) & (by_dropout <= 1))


def test_each_person_may_have_a_season_of_its_own() -> None:
    rate, dropout, is_active = np.array([0.02, 0.3]), np.array([0.001, 0.02]), np.array([True, True])
    by_person = np.column_stack([SEASON, SEASON[::-1]])
    together = silence_probability(rate, dropout, is_active, 7, by_person)
    for person in (0, 1):
        one = slice(person, person + 1)
        alone = silence_probability(rate[one], dropout[one], is_active[one], 7, by_person[:, person])
        assert together[one] == pytest.approx(alone)


def test_an_order_that_rain_moves_to_the_web_shop_carries_the_identity_that_orders_have_there() -> None:
    persons = pd.DataFrame(
        {
            "order_rate_per_day": [0.1, 0.1, 0.1], "online_share": [0.4, 0.4, 1.0], "online_identified_share": 1.0,
            "store_identified_share": [0.0, 0.9, 0.0], "home_store_id": ["S002", "S001", "S001"],
        }
    )  # fmt: skip
    moved = {"S001": [0.0, 0.15, 0.15], "S002": [0.0, 0.0, 0.15]}
    found = identified_orders(persons, np.array([1.0, 1.0, 2.0]), moved)
    in_store = 0.6 * np.array([[1, 1, 1], [1, 0.85, 1], [0.85, 0.85, 1]]) * np.array([1, 1, 0])
    identified = 1 - in_store * (1 - persons["store_identified_share"].to_numpy())
    assert found == pytest.approx(0.1 * identified * np.array([[1.0], [1.0], [2.0]]))
    assert identified_orders(persons, np.ones(3), {}) == pytest.approx(np.tile(0.1 * identified[0], (3, 1)))
    with pytest.raises(KeyError, match="S002"):
        identified_orders(persons, np.ones(3), {"S001": [0.0, 0.0, 0.0]})


def test_what_rain_moves_is_told_by_store_and_day() -> None:
    days = [(day, store) for day in (1, 2) for store in ("S001", "S002")]
    rows = [Row(date=dt.date(2025, 3, day), store_id=store, moved_online_share=day / 10) for day, store in days]
    assert moved_by_store(rows) == {"S001": [0.1, 0.2], "S002": [0.1, 0.2]}
    assert moved_by_store([]) == {}


def test_of_each_person_only_the_orders_count_that_carry_their_identity(spark: SparkSession) -> None:
    as_of = dt.date(2025, 3, 9)
    later = as_of + dt.timedelta(days=1)
    rows = [
        # online share, identified online, identified in the store, dropped out on
        (1, 0.5, 1.0, 0.0, later),
        (2, 0.25, 1.0, 0.6, later),
        (3, 0.0, 1.0, 0.0, later),
        (4, 1.0, 1.0, 1.0, as_of),
    ]
    schema = "person_id long, online_share double, online_identified_share double, store_identified_share double, dropped_out_on date"
    persons = spark.createDataFrame(rows, schema).selectExpr(
        "*", "0.04D as order_rate_per_day", "0.0D as dropout_rate_per_day"
    )
    found = with_silence_probability(persons, as_of, 7, [1.0] * 60).collect()
    identified = {1: 0.5, 2: 0.25 + 0.75 * 0.6, 3: 0.0}
    expected = {person: np.exp(-0.04 * share * 60) for person, share in identified.items()} | {4: 1.0}
    assert {row["person_id"]: row["best_probability"] for row in found} == pytest.approx(expected)
