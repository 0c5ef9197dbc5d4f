"""Holidays: when they are, that the feed tells their days, and that the season and the orders drawn have them."""

import datetime as dt
from functools import cache
from itertools import pairwise
from typing import cast

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import SparkSession

from jobs.lakehouse.settings import WorldSettings
from jobs.simulate.draws import Integers
from jobs.simulate.feasts import FEASTS, LUNAR_DATES, SHOPPING, UnknownYearError, feast_days, feast_factor
from jobs.simulate.market import competitor_season
from jobs.simulate.orders import organic_orders
from jobs.simulate.outside import holiday_rows
from jobs.simulate.people import people
from jobs.simulate.raw_files import write_raw_files
from jobs.simulate.seasons import day_count, season_factors
from jobs.simulate.truth import write_truth

SETTINGS = WorldSettings(seed=17, customers=100_000, weeks=80, truth_weeks_ahead=4)


@cache
def orders_by_day() -> Integers:
    """How many orders of their own accord all persons place on each day."""
    crowd = people(SETTINGS, np.arange(SETTINGS.customers))
    return np.bincount(organic_orders(SETTINGS, crowd).day, minlength=day_count(SETTINGS))


def orders_from(day: dt.date, days: int) -> float:
    """The orders that are drawn on so many days."""
    first = (day - SETTINGS.start_date).days
    return float(orders_by_day()[first : first + days].sum())


@pytest.mark.parametrize("name", sorted(LUNAR_DATES))
def test_lunar_feasts_come_after_twelve_or_thirteen_moons(name: str) -> None:
    (feast,) = (feast for feast in FEASTS if feast.name == name)
    days = [feast.day_in(year) for year in range(2015, 2041)]
    apart = {(later - day).days for day, later in pairwise(days)}
    assert apart <= {354, 355, 383, 384, 385}
    with pytest.raises(UnknownYearError, match=r"2041.*start_date"):
        feast.day_in(2041)


def test_a_world_of_unknown_years_is_refused_before_anything_is_written() -> None:
    too_late = SETTINGS.model_copy(update={"start_date": dt.date(2040, 6, 4)})
    for write in (write_raw_files, write_truth):
        with pytest.raises(UnknownYearError, match="2041"):
            write(cast(SparkSession, None), too_late, "nowhere")


def test_known_days_of_lunar_feasts() -> None:
    """As the State Council's notices of the holidays of 2024 and 2025 name them."""
    found = {(feast.name, year): feast.day_in(year) for feast in FEASTS for year in (2024, 2025)}
    assert found["Spring Festival", 2024] == dt.date(2024, 2, 10)
    assert found["Dragon Boat Festival", 2024] == dt.date(2024, 6, 10)
    assert found["Mid-Autumn Festival", 2024] == dt.date(2024, 9, 17)
    assert found["Spring Festival", 2025] == dt.date(2025, 1, 29)
    assert found["Dragon Boat Festival", 2025] == dt.date(2025, 5, 31)
    assert found["Mid-Autumn Festival", 2025] == dt.date(2025, 10, 6)


def test_factors_of_a_feast_stay_within_its_year() -> None:
    for feast in FEASTS:
        for year in range(2015, 2041):
            days = [feast.day_in(year) + dt.timedelta(days=number) for number in (*feast.factors, *feast.days_off)]
            assert {day.year for day in days} == {year}, feast.name


def test_the_feed_tells_every_day_that_a_holiday_lasts_and_no_other_day_is_far_from_usual() -> None:
    told = pd.DataFrame(holiday_rows(SETTINGS))
    assert not told.duplicated(["date", "name"]).any()
    last = SETTINGS.last_day + dt.timedelta(weeks=SETTINGS.truth_weeks_ahead)
    assert len(told) == len(feast_days(SETTINGS.start_date, last))
    counts = told[told["date"].str.startswith("2024")].groupby("name").size()
    assert (counts["National Day"], counts["Labour Day"], counts["Spring Festival"], counts["Christmas"]) == (
        7,
        5,
        8,
        1,
    )
    days = [SETTINGS.start_date + dt.timedelta(days=number) for number in range(len(season_factors(SETTINGS)))]
    moved = {str(day) for day in days if feast_factor(day) != 1}
    assert set(told["date"]) <= moved, "what is told has an effect"
    known = pd.to_datetime(told["date"]).to_numpy()
    for day in moved:
        assert np.abs(known - np.datetime64(day)).min() <= np.timedelta64(15, "D"), (
            "what has an effect is near what is told"
        )


def test_shopping_days_are_no_holidays() -> None:
    told = pd.DataFrame(holiday_rows(SETTINGS))
    assert set(told.loc[told["kind"] == SHOPPING, "name"]) == {"Singles Day", "Double Twelve", "618"}


@pytest.mark.parametrize(
    "first", [dt.date(2024, 2, 9), dt.date(2024, 5, 1), dt.date(2024, 10, 1), dt.date(2024, 12, 23)]
)
def test_the_season_of_the_truth_has_the_feasts(first: dt.date) -> None:
    season = season_factors(SETTINGS)
    without = season / competitor_season(SETTINGS, np.arange(len(season)) // 7)
    days = [SETTINGS.start_date + dt.timedelta(days=number) for number in range(len(season))]
    without_feasts = without / np.array([feast_factor(day) for day in days])
    begin = (first - SETTINGS.start_date).days
    for place in range(begin, begin + 3):
        usual = (without_feasts[place - 7] + without_feasts[place + 7]) / 2
        found = without[place] / usual
        assert found == pytest.approx(feast_factor(days[place]), rel=0.015), "but for advertisement and the year"
        assert abs(found - 1) > 0.02


@pytest.mark.parametrize(
    ("first", "days", "least", "most"),
    [
        (dt.date(2024, 2, 9), 7, 0.3, 0.7),  # the Spring Festival, beside the week of shopping and the one after
        (dt.date(2024, 5, 1), 5, 1.08, 1.25),
        (dt.date(2024, 9, 10), 7, 1.02, 1.2),  # before the Mid-Autumn Festival
        (dt.date(2024, 10, 1), 7, 1.12, 1.3),
        (dt.date(2025, 2, 11), 4, 1.02, 1.2),  # before Valentine's Day
        (dt.date(2024, 12, 24), 2, 1.0, 1.2),  # Christmas, beside a week with New Year in it
    ],
)
def test_holidays_are_found_in_the_orders_drawn(first: dt.date, days: int, least: float, most: float) -> None:
    week = dt.timedelta(days=7)
    neighbours = (orders_from(first - week, days) + orders_from(first + week, days)) / 2
    assert least < orders_from(first, days) / neighbours < most
