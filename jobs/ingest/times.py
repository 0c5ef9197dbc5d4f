"""Times: the days and instants that a feed tells, as far as calendars go; what lies beyond is null, as what can't be read is."""

from __future__ import annotations

from pyspark.sql import Column
from pyspark.sql import functions as F

from jobs.lakehouse.translations import LocalTime

# A year of more than four digits, which has a sign.
YEAR_BEYOND = r"(^|[^0-9])[+-][0-9]{5}"


def local_time(told: LocalTime, time_zone: str) -> Column:
    """The instant, in UTC, of a wall-clock time of the source; null where it is told in none of its formats."""
    raw = F.trim(F.expr(told.local))
    # Even to try them is an overflow where the year is far enough away.
    readable = F.when(~raw.rlike(YEAR_BEYOND), raw)
    read = [F.try_to_timestamp(readable, F.lit(pattern)) for pattern in told.formats]
    return F.to_utc_timestamp(in_calendar(F.coalesce(*read)), time_zone)


def in_calendar(time: Column) -> Column:
    """The day or instant where its year has four digits.

    Spark reads other years too, but at its ends a step into another time zone overflows, and Python reads none of them.
    """
    return F.when(F.year(time).between(1, 9999), time)
