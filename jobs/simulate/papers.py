"""Papers and platform ids: birth dates, national ids with their check character, and a messenger's ids of its users."""

from datetime import date

import numpy as np
from pyspark.sql import Column
from pyspark.sql import functions as F

from jobs.lakehouse.settings import WorldSettings
from jobs.simulate import texts
from jobs.simulate.draws import Flags, Integers, Stream, chosen, happens, word_numbers

AGE_BANDS = ("18-24", "25-34", "35-44", "45-54", "55-64", "65+")
LEAST_AGES, AGE_SPANS = np.array([18, 25, 35, 45, 55, 65]), np.array([7, 10, 10, 10, 10, 20])
REGION_CODES = np.array([310101, 330102, 440303, 510104, 110105, 420103])  # a district of each city
CHECK_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)  # GB 11643-1999
CHECK_CHARACTERS = tuple("10X98765432")
MESSENGER_SHARE = 0.6


def age_bands(settings: WorldSettings, persons: Integers) -> Integers:
    """The age of each person, as the place in the list of bands."""
    return chosen(settings.seed, Stream.DEMOGRAPHICS, persons, len(AGE_BANDS), 2)


def birth_dates(settings: WorldSettings, persons: Integers) -> Integers:
    """The eight digits of each person's day of birth, year first; nobody is born on a leap day."""
    seed, band = settings.seed, age_bands(settings, persons)
    age = LEAST_AGES[band] + chosen(seed, Stream.DEMOGRAPHICS, persons, 10**6, 5) % AGE_SPANS[band]
    days_after_newyear = chosen(seed, Stream.DEMOGRAPHICS, persons, 365, 6)
    month_and_day = np.array([100 * day.month + day.day for day in map(date.fromordinal, range(1, 366))])
    born: Integers = 10_000 * (settings.start_date.year - age) + month_and_day[days_after_newyear]
    return born


def national_ids(settings: WorldSettings, persons: Integers) -> Integers:
    """The first seventeen digits of each person's national id: district, day of birth, a number of the day."""
    seed, born = settings.seed, birth_dates(settings, persons)
    district = REGION_CODES[chosen(seed, Stream.DEMOGRAPHICS, persons, len(REGION_CODES), 7)]
    ids: Integers = (district * 10**8 + born) * 10**3 + chosen(seed, Stream.DEMOGRAPHICS, persons, 1000, 8)
    return ids


def check_places(ids: Integers) -> Integers:
    """The place of each id's check character in the list (GB 11643-1999)."""
    digits = ids[:, None] // 10 ** np.arange(16, -1, -1, dtype=np.int64)[None, :] % 10
    places: Integers = (digits @ np.array(CHECK_WEIGHTS)) % 11
    return places


def uses_messenger(settings: WorldSettings, persons: Integers) -> Flags:
    """Whether each person's accounts are tied to the messenger."""
    return happens(settings.seed, Stream.ACCOUNT_TEXT, persons, MESSENGER_SHARE)


def open_ids(settings: WorldSettings, persons: Integers) -> Integers:
    """The 64-bit number of each person in the messenger; 0 for who does not use it."""
    return np.where(uses_messenger(settings, persons), word_numbers(settings.seed, "open ids", persons), 0)


def national_id(number: str, check: str) -> Column:
    """The eighteen characters of a national id."""
    return F.concat(F.lpad(F.col(number).cast("string"), 17, "0"), texts.listed(CHECK_CHARACTERS, F.col(check)))


def open_id(number: str) -> Column:
    """The id by which one program of a messenger knows a user, with letters whose case counts; null where the number is 0."""
    return _messenger_id(number, "o6_bmj", "oGh5TqLx8ZbNw3Ra")


def union_id(number: str) -> Column:
    """The id by which all programs of one company know a user; null where the number is 0."""
    return _messenger_id(number, "oU7x-c", "Qm4ZsVp9TfXu2LkY")


def _messenger_id(number: str, prefix: str, alphabet: str) -> Column:
    code = F.translate(texts.hexadecimal(number), "0123456789abcdef", alphabet)
    return F.when(F.col(number) != 0, F.concat(F.lit(prefix), code))
