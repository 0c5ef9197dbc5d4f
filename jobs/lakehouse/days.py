"""Days of the business: when they end, as instants in UTC, and the weeks that they lie in."""

import datetime as dt
from zoneinfo import ZoneInfo

from pyspark.sql import Column
from pyspark.sql import functions as F


def end_of_day(day: dt.date, time_zone: str) -> dt.datetime:
    """The instant, in UTC without a zone, at which a day ends in a time zone."""
    midnight = dt.datetime.combine(day + dt.timedelta(days=1), dt.time(), ZoneInfo(time_zone))
    return midnight.astimezone(dt.UTC).replace(tzinfo=None)


def week_of(day: Column | str) -> Column:
    """The Monday of a day's week."""
    return F.date_trunc("week", day).cast("date")


def utc_now() -> dt.datetime:
    """The instant now, in UTC, as the tables of ops tell it: without a time zone."""
    return dt.datetime.now(dt.UTC).replace(tzinfo=None)
