"""The season factor that all customers share, by day: week, year, feasts, advertisement, a competitor; and its running total."""

from datetime import date, timedelta
from functools import lru_cache

import numpy as np

from jobs.lakehouse.settings import WorldSettings
from jobs.simulate.ads import ad_lifts
from jobs.simulate.draws import Numbers
from jobs.simulate.feasts import feast_factor
from jobs.simulate.market import competitor_season

DAYS_OF_A_WEEK = 7
YEAR_DAYS = 364  # whole weeks, so that each weekday weighs the same in the yearly mean
WEEKDAY_FACTORS = (0.88, 0.86, 0.88, 0.92, 1.04, 1.24, 1.18)  # Monday to Sunday
YEARLY_WAVE = 0.12  # half the swing between the strongest and the weakest time of the year
STRONGEST_YEAR_DAY = 330  # late November


def day_count(settings: WorldSettings) -> int:
    """The number of days from the first to the last day of the world."""
    return DAYS_OF_A_WEEK * settings.weeks


def day_count_ahead(settings: WorldSettings) -> int:
    """The number of days from the first day of the world to the last one that the truth foresees."""
    return DAYS_OF_A_WEEK * (settings.weeks + settings.truth_weeks_ahead)


def raw_factor(day: date) -> float:
    """The season factor of a day, before the mean is set to 1."""
    angle = 2 * np.pi * (day.timetuple().tm_yday - STRONGEST_YEAR_DAY) / 365.25
    return WEEKDAY_FACTORS[day.weekday()] * (1 + YEARLY_WAVE * float(np.cos(angle))) * feast_factor(day)


@lru_cache(maxsize=8)
def season_factors(settings: WorldSettings) -> Numbers:
    """The season factor of each day from the world's first to the last foreseen one, about 1 over a year."""
    days = max(day_count_ahead(settings), YEAR_DAYS)
    factors = np.array([raw_factor(settings.start_date + timedelta(days=n)) for n in range(days)])
    lifts = ad_lifts(settings).sum(axis=1)
    factors[: len(lifts)] *= 1 + lifts
    factors *= competitor_season(settings, np.arange(days) // DAYS_OF_A_WEEK)
    return np.asarray(factors / factors[:YEAR_DAYS].mean())[: day_count_ahead(settings)]


@lru_cache(maxsize=8)
def season_totals(settings: WorldSettings) -> Numbers:
    """The running total of the season factors at each midnight, from 0 on the first day's morning."""
    return np.concatenate([[0.0], np.cumsum(season_factors(settings))])


def season_until(settings: WorldSettings, moments: Numbers) -> Numbers:
    """The season factors summed from the world's start to each moment, given in days since the start."""
    totals = season_totals(settings)
    return np.interp(moments, np.arange(len(totals)), totals)


def moment_of_season(settings: WorldSettings, totals_wanted: Numbers) -> Numbers:
    """The moment, in days since the world's start, at which the summed season factors reach each total."""
    totals = season_totals(settings)
    return np.interp(totals_wanted, totals, np.arange(len(totals)))
