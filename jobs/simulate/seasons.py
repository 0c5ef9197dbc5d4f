"""The season factor that all customers share: week, year, feasts and advertisement, by day, and its running total."""

from datetime import date, timedelta
from functools import lru_cache

import numpy as np

from jobs.lakehouse.settings import WorldSettings
from jobs.simulate.ads import ad_lifts
from jobs.simulate.draws import Numbers

DAYS_OF_A_WEEK = 7
YEAR_DAYS = 364  # whole weeks, so that each weekday weighs the same in the yearly mean
WEEKDAY_FACTORS = (0.88, 0.86, 0.88, 0.92, 1.04, 1.24, 1.18)  # Monday to Sunday
YEARLY_WAVE = 0.12  # half the swing between the strongest and the weakest time of the year
STRONGEST_YEAR_DAY = 330  # late November
NEW_YEARS = (
    date(2023, 1, 22),
    date(2024, 2, 10),
    date(2025, 1, 29),
    date(2026, 2, 17),
    date(2027, 2, 6),
    date(2028, 1, 26),
)
FEASTS = {  # (month, day): factors of the days around it, from two days before to two days after
    (11, 11): (1.3, 1.6, 2.8, 1.5, 1.2),
    (12, 12): (1.0, 1.2, 1.7, 1.1, 1.0),
    (6, 18): (1.2, 1.4, 2.0, 1.3, 1.1),
}
NEW_YEAR_SHOPPING = 1.35  # the fortnight before Chinese New Year's eve
NEW_YEAR_REST = 0.5  # New Year's eve and the six days after


def day_count(settings: WorldSettings) -> int:
    """The number of days from the first to the last day of the world."""
    return DAYS_OF_A_WEEK * settings.weeks


def day_count_ahead(settings: WorldSettings) -> int:
    """The number of days from the first day of the world to the last one that the truth foresees."""
    return DAYS_OF_A_WEEK * (settings.weeks + settings.truth_weeks_ahead)


def raw_factor(day: date) -> float:
    """The season factor of a day, before the mean is set to 1."""
    angle = 2 * np.pi * (day.timetuple().tm_yday - STRONGEST_YEAR_DAY) / 365.25
    factor = WEEKDAY_FACTORS[day.weekday()] * (1 + YEARLY_WAVE * float(np.cos(angle)))
    for (month, day_of_month), factors in FEASTS.items():
        days_after = (day - date(day.year, month, day_of_month)).days
        if abs(days_after) <= 2:
            factor *= factors[days_after + 2]
    for new_year in NEW_YEARS:
        days_after = (day - new_year).days
        if -15 <= days_after < -1:
            factor *= NEW_YEAR_SHOPPING
        elif -1 <= days_after <= 6:
            factor *= NEW_YEAR_REST
    return factor


@lru_cache(maxsize=8)
def season_factors(settings: WorldSettings) -> Numbers:
    """The season factor of each day from the world's first to the last foreseen one, about 1 over a year."""
    days = max(day_count_ahead(settings), YEAR_DAYS)
    factors = np.array([raw_factor(settings.start_date + timedelta(days=n)) for n in range(days)])
    lifts = ad_lifts(settings).sum(axis=1)
    factors[: len(lifts)] *= 1 + lifts
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
