"""What goes on outside and at the door: search trends, a competitor's prices, weather, holidays, visitors and users of kiosks counted."""

from datetime import date, timedelta

import numpy as np

from jobs.lakehouse.settings import WorldSettings
from jobs.simulate.assortment import CITIES, store_ids, store_weights
from jobs.simulate.draws import Integers, Numbers, Stream, poisson_quantile, uniform
from jobs.simulate.feasts import feast_days
from jobs.simulate.local_time import OPEN_HOURS, STORE_HOURS, next_export
from jobs.simulate.market import CATEGORIES, competitor_prices, search_index
from jobs.simulate.seasons import DAYS_OF_A_WEEK, day_count, season_factors
from jobs.simulate.weather import RAIN_KEEPS_AWAY, is_rainy, temperatures

VISITORS_PER_PERSON_AND_YEAR = 20.0
KIOSK_SHARE = 0.06  # of those who come in


def days_of(settings: WorldSettings) -> list[date]:
    """The days of the world."""
    return [settings.start_date + timedelta(days=day) for day in range(day_count(settings))]


def exported(settings: WorldSettings, days: Integers) -> list[str]:
    """The UTC times of the exports that carry rows of these days."""
    moments = next_export(settings, days).astype("datetime64[s]")
    return [f"{moment}Z" for moment in np.datetime_as_string(moments)]


def counted_rows(settings: WorldSettings, stream: Stream, share: float) -> list[tuple[str, str, str, str]]:
    """One row per store and open hour: store, hour, how many of a share of the visitors, and when it is told; fewer in the rain."""
    days = np.arange(day_count(settings))
    weights = store_weights(settings)
    a_day = VISITORS_PER_PERSON_AND_YEAR * settings.customers / 365 * weights / weights.sum()
    told_at, dates = exported(settings, days), days_of(settings)
    rows = []
    for store, store_id in enumerate(store_ids(settings)[:-1]):
        at_the_door = 1 - RAIN_KEEPS_AWAY * is_rainy(settings, days, store % len(CITIES))
        mean = a_day[store] * season_factors(settings)[: len(days)] * at_the_door
        for hour in OPEN_HOURS:
            of_day = share * STORE_HOURS[hour] / sum(STORE_HOURS)
            counts = poisson_quantile(uniform(settings.seed, stream, days, 100 * store + hour), mean * of_day)
            rows += [
                (store_id, f"{on} {hour:02d}:00:00", str(count), at)
                for on, count, at in zip(dates, counts.tolist(), told_at, strict=True)
            ]
    return rows


def footfall_rows(settings: WorldSettings) -> list[dict[str, str]]:
    """One row per store and open hour: the persons counted at the door."""
    names = ("store_id", "hour", "visitors", "exported_at")
    return [dict(zip(names, row, strict=True)) for row in counted_rows(settings, Stream.FOOTFALL, 1.0)]


def kiosk_rows(settings: WorldSettings) -> list[dict[str, str]]:
    """One row per store and open hour: the persons who used its kiosk."""
    rows = counted_rows(settings, Stream.KIOSK, KIOSK_SHARE)
    return [
        {"kiosk": f"{store_id}-K1", "hour": hour, "users": count, "sent_at": at} for store_id, hour, count, at in rows
    ]


def trend_rows(settings: WorldSettings) -> list[dict[str, str]]:
    """One row per outside series and period: weekly search and competitor's price by category, daily weather by city."""
    weeks, days = np.arange(settings.weeks), np.arange(day_count(settings))
    week_dates, told_weekly = days_of(settings)[::DAYS_OF_A_WEEK], exported(settings, 7 * weeks + 6)
    series: list[tuple[str, str, str, list[date], Numbers, list[str]]] = []
    searches, prices = search_index(settings, weeks), 100 * competitor_prices(settings, weeks)
    for number, category in enumerate(CATEGORIES):
        series.append((f"search {category}", "week", "", week_dates, searches[:, number], told_weekly))
        series.append((f"competitor price {category}", "week", "", week_dates, prices[:, number], told_weekly))
    day_dates, told_daily = days_of(settings), exported(settings, days)
    for number, (city, region) in enumerate(CITIES):
        warmth = temperatures(settings, days, number)
        series.append((f"temperature {city}", "day", region, day_dates, warmth, told_daily))
        series.append((f"rain {city}", "day", region, day_dates, is_rainy(settings, days, number), told_daily))
    return [
        {
            "series": name,
            "period": period,
            "region": region,
            "date": str(on),
            "value": f"{value:.2f}",
            "exported_at": at,
        }
        for name, period, region, dates, values, told in series
        for on, value, at in zip(dates, values.tolist(), told, strict=True)
    ]


def holiday_rows(settings: WorldSettings) -> list[dict[str, str]]:
    """One row per day of a holiday, or shopping day, through the last day that the truth foresees; known from the start."""
    last = settings.last_day + timedelta(weeks=settings.truth_weeks_ahead)
    told = exported(settings, np.array([-30]))[0]
    return [
        {"date": str(day), "name": feast.name, "kind": feast.kind, "exported_at": told}
        for day, feast in feast_days(settings.start_date, last)
    ]
