"""Days of the business, as instants in UTC."""

import datetime as dt
from zoneinfo import ZoneInfo


def end_of_day(day: dt.date, time_zone: str) -> dt.datetime:
    """The instant, in UTC without a zone, at which a day ends in a time zone."""
    midnight = dt.datetime.combine(day + dt.timedelta(days=1), dt.time(), ZoneInfo(time_zone))
    return midnight.astimezone(dt.UTC).replace(tzinfo=None)


def utc_now() -> dt.datetime:
    """The instant now, in UTC, as the tables of ops tell it: without a time zone."""
    return dt.datetime.now(dt.UTC).replace(tzinfo=None)
