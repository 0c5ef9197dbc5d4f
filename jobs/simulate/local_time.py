"""Wall-clock seconds of the world's time zone, counted as if it were UTC, and the true UTC seconds behind them."""

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np

from jobs.lakehouse.settings import WorldSettings
from jobs.simulate.draws import Flags, Integers, Numbers
from jobs.simulate.seasons import day_count_ahead

DAY_SECONDS = 86_400
HOUR_SECONDS = 3_600
EPOCH = date(1970, 1, 1)
DAYS_KNOWN_BEFORE = (
    1_100  # the first customers joined, and the first products came, up to so long before the world's start
)
DAYS_KNOWN_AFTER = 60
EXPORT_HOUR = 2  # sources export the day before at two in the morning
OPEN_HOURS = range(10, 22)  # of the stores
# How busy the hours are, from midnight on: online much as a marketplace is, in stores as a grocer is while they are open.
ONLINE_HOURS = (20, 11, 6, 3, 2, 2, 5, 12, 28, 46, 60, 64, 60, 62, 62, 62, 64, 62, 62, 66, 70, 68, 56, 36)
STORE_HOURS = (
    (0,) * OPEN_HOURS.start + (44, 63, 72, 77, 78, 82, 95, 105, 99, 80, 63, 42) + (0,) * (24 - OPEN_HOURS.stop)
)


def first_epoch_day(settings: WorldSettings) -> int:
    """The world's first day, as days since 1970-01-01."""
    return (settings.start_date - EPOCH).days


@lru_cache(maxsize=8)
def hourly_offsets(settings: WorldSettings) -> Integers:
    """Seconds by which the wall clock is ahead of UTC, one entry per wall-clock hour that the world can name."""
    zone = ZoneInfo(settings.time_zone)
    first_day = settings.start_date - timedelta(days=DAYS_KNOWN_BEFORE)
    first_hour = datetime(first_day.year, first_day.month, first_day.day, tzinfo=UTC).replace(tzinfo=None)
    hours = 24 * (DAYS_KNOWN_BEFORE + day_count_ahead(settings) + DAYS_KNOWN_AFTER)
    moments = (first_hour + timedelta(hours=n) for n in range(hours))
    offsets = [moment.replace(tzinfo=zone).utcoffset() or timedelta() for moment in moments]
    return np.array([int(offset.total_seconds()) for offset in offsets], dtype=np.int64)


def utc_seconds(settings: WorldSettings, wall_seconds: Integers) -> Integers:
    """UTC seconds since 1970 of each wall-clock second; the first of the two where a clock is put back."""
    offsets = hourly_offsets(settings)
    first_hour = 24 * (first_epoch_day(settings) - DAYS_KNOWN_BEFORE)
    hours = np.clip(wall_seconds // HOUR_SECONDS - first_hour, 0, len(offsets) - 1)
    return wall_seconds - offsets[hours]


def second_of_day(probability: Numbers, hours: tuple[int, ...] = ONLINE_HOURS) -> Integers:
    """A second of the day, drawn so that the hours are as busy as told."""
    totals = np.concatenate([[0.0], np.cumsum(hours)]) / sum(hours)
    return (np.interp(probability, totals, np.arange(25)) * HOUR_SECONDS).astype(np.int64)


def business_seconds(probability: Numbers, is_online: Flags) -> Integers:
    """The second of the day of what is done online, or in a store while it is open."""
    return np.where(is_online, second_of_day(probability), second_of_day(probability, STORE_HOURS))


def wall_seconds_of(settings: WorldSettings, days: Integers, seconds: Integers | int) -> Integers:
    """The wall-clock second of a second in a day, the days being counted from the world's first."""
    return (days + first_epoch_day(settings)) * DAY_SECONDS + seconds


def next_export(settings: WorldSettings, days: Integers, days_late: Integers | int = 0) -> Integers:
    """The UTC second of the export that carries a row of this day: next morning, or so many days late."""
    return utc_seconds(settings, wall_seconds_of(settings, days + 1 + days_late, EXPORT_HOUR * HOUR_SECONDS))


def as_moments(seconds: Integers) -> np.ndarray[tuple[int, ...], np.dtype[np.datetime64]]:
    """Seconds since 1970 as a time without zone, the form in which Spark takes them."""
    return np.asarray(seconds, dtype=np.int64).astype("datetime64[s]").astype("datetime64[us]")
