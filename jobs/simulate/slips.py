"""Slips of the pen: birth dates that are not told or mistyped, names with a letter too many, too few or out of place."""

import numpy as np

from jobs.lakehouse.settings import WorldSettings
from jobs.simulate.draws import Integers, Stream, chosen, uniform
from jobs.simulate.papers import birth_dates

MISTYPED_DATE_SHARE = 0.01
MISTYPED_NAME_SHARE = 0.02
NOT_TOLD, NO_SLIP = 0, -1
# The slips of a name: a letter dropped, written twice, or swapped with the next one.
SLIPS = 3
LAST_SAFE_DAY = 28


def birth_dates_as_told(settings: WorldSettings, persons: Integers, occasion: int, missing_share: float) -> Integers:
    """The eight digits of the birth date that each person gives on this occasion, for some mistyped; 0 where none is given."""
    draw = uniform(settings.seed, Stream.BIRTH_DATE_TOLD, persons, 2 * occasion)
    born = birth_dates(settings, persons)
    slip = chosen(settings.seed, Stream.BIRTH_DATE_TOLD, persons, 2 * 9, 2 * occasion + 1)
    told = np.where(draw > 1 - MISTYPED_DATE_SHARE, mistyped_dates(born, slip), born)
    return np.where(draw < missing_share, NOT_TOLD, told)


def mistyped_dates(dates: Integers, slip: Integers) -> Integers:
    """Each date with its day and month swapped where the slip is even and that gives another date, else with a digit off.

    Args:
        dates: eight digits each, none of a leap day.
        slip: a number from 0 to 17: half of it tells how far the digit is off.
    """
    year, month, day = dates // 10_000, dates // 100 % 100, dates % 100
    off = 1 + slip // 2
    swapped = year * 10_000 + day * 100 + month
    other_day = day // 10 * 10 + (day + off) % 10
    is_day = (slip % 4 == 1) & (other_day > 0) & (other_day <= LAST_SAFE_DAY)
    other_year = year // 10 * 10 + (year + off) % 10
    digit_off = np.where(is_day, dates - day + other_day, (other_year * 100 + month) * 100 + day)
    return np.where((slip % 2 == 0) & (day <= 12) & (day != month), swapped, digit_off)


def name_slips(settings: WorldSettings, persons: Integers, share: float) -> Integers:
    """How each name is mistyped on a form: the kind of slip plus three times its place; NO_SLIP for most."""
    draw = uniform(settings.seed, Stream.NAME_SLIP, persons)
    slip = chosen(
        settings.seed, Stream.NAME_SLIP, persons, SLIPS * 6, 1
    )  # six places fit names of two and of three letters
    return np.where(draw < share, slip, NO_SLIP)
