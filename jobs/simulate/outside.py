"""What goes on outside and at the door: search trends, a competitor's prices, weather, holidays, visitors and users of kiosks counted."""

from datetime import date, timedelta

import numpy as np

from jobs.lakehouse.settings import WorldSettings
from jobs.simulate.assortment import CATEGORIES, CATEGORY_WAVE, CITIES, store_ids, store_weights
from jobs.simulate.draws import Integers, Numbers, Stream, poisson_quantile, uniform
from jobs.simulate.local_time import HOUR_WEIGHTS, next_export
from jobs.simulate.seasons import DAYS_OF_A_WEEK, NEW_YEARS, day_count, season_factors

OPEN_HOURS = range(10, 22)
VISITORS_PER_PERSON_AND_YEAR = 20.0
KIOSK_SHARE = 0.06  # of those who come in
RAIN_KEEPS_AWAY = 0.2
RAINY_SHARE = 0.3
SEARCH_LEADS_DAYS = 14  # people search before they buy
MEAN_TEMPERATURES = (17.0, 17.5, 23.0, 16.5, 12.5, 17.0)  # by city, degrees Celsius over the year
TEMPERATURE_WAVE = 11.0
WESTERN_HOLIDAYS = {(1, 1): "New Year", (2, 14): "Valentine's Day", (10, 31): "Halloween", (12, 25): "Christmas"}
CHINESE_HOLIDAYS = {(5, 1): "Labour Day", (10, 1): "National Day"}
SHOPPING_DAYS = {(11, 11): "Singles Day", (12, 12): "Double Twelve", (6, 18): "618"}


def days_of(settings: WorldSettings) -> list[date]:
    """The days of the world."""
    return [settings.start_date + timedelta(days=day) for day in range(day_count(settings))]


def exported(settings: WorldSettings, days: Integers) -> list[str]:
    """The UTC times of the exports that carry rows of these days."""
    moments = next_export(settings, days).astype("datetime64[s]")
    return [f"{moment}Z" for moment in np.datetime_as_string(moments)]


def is_rainy(settings: WorldSettings, day_numbers: Integers, city: int) -> Numbers:
    """1 where it rains in a city on a day, else 0."""
    return np.asarray(uniform(settings.seed, Stream.WEATHER, day_numbers, city) < RAINY_SHARE, dtype=np.float64)


def counted_rows(settings: WorldSettings, stream: Stream, share: float) -> list[tuple[str, str, str, str]]:
    """One row per store and open hour: store, hour, how many of a share of the visitors, and when it is told; fewer in the rain."""
    days = np.arange(day_count(settings))
    weights, hours = store_weights(settings), np.array(HOUR_WEIGHTS, dtype=np.float64)
    a_day = VISITORS_PER_PERSON_AND_YEAR * settings.customers / 365 * weights / weights.sum()
    told_at, dates = exported(settings, days), days_of(settings)
    rows = []
    for store, store_id in enumerate(store_ids(settings)[:-1]):
        at_the_door = 1 - RAIN_KEEPS_AWAY * is_rainy(settings, days, store % len(CITIES))
        mean = a_day[store] * season_factors(settings)[: len(days)] * at_the_door
        for hour in OPEN_HOURS:
            of_day = share * hours[hour] / hours[OPEN_HOURS.start : OPEN_HOURS.stop].sum()
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
    for number, category in enumerate(CATEGORIES):
        key = np.full(len(weeks), number)
        noise = uniform(settings.seed, Stream.TREND, key, weeks)
        phase = (settings.start_date.timetuple().tm_yday + 7 * weeks + SEARCH_LEADS_DAYS) / 365.25 - number / len(
            CATEGORIES
        )
        search = 50 * (1 + CATEGORY_WAVE * np.cos(2 * np.pi * phase)) * (0.9 + 0.2 * noise)
        price = 100 * (0.97 + 0.06 * uniform(settings.seed, Stream.TREND, key, 10_000 + weeks // 4))
        series.append((f"search {category}", "week", "", week_dates, search, told_weekly))
        series.append((f"competitor price {category}", "week", "", week_dates, price, told_weekly))
    day_dates, told_daily = days_of(settings), exported(settings, days)
    for number, (city, region) in enumerate(CITIES):
        angle = 2 * np.pi * ((settings.start_date.timetuple().tm_yday + days) - 200) / 365.25
        noise = 6 * (uniform(settings.seed, Stream.WEATHER, days, 100 + number) - 0.5)
        warmth = MEAN_TEMPERATURES[number] + TEMPERATURE_WAVE * np.cos(angle) + noise
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
    """One row per holiday or shopping day, through the last day that the truth foresees; known from the start."""
    last = settings.last_day + timedelta(weeks=settings.truth_weeks_ahead)
    years = range(settings.start_date.year, last.year + 1)
    found = [(day, "Spring Festival", "Chinese holiday") for day in NEW_YEARS]
    for names, kind in (
        (WESTERN_HOLIDAYS, "Western holiday"),
        (CHINESE_HOLIDAYS, "Chinese holiday"),
        (SHOPPING_DAYS, "shopping day"),
    ):
        found += [(date(year, month, day), name, kind) for year in years for (month, day), name in names.items()]
    told = exported(settings, np.array([-30]))[0]
    return [
        {"date": str(day), "name": name, "kind": kind, "exported_at": told}
        for day, name, kind in sorted(found)
        if settings.start_date <= day <= last
    ]
