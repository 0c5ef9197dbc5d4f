"""The weather of each city, and what rain does to the stores there: fewer come in, and some order in the web shop instead."""

from functools import lru_cache

import numpy as np

from jobs.lakehouse.settings import WorldSettings
from jobs.simulate.assortment import CITIES
from jobs.simulate.draws import Integers, Numbers, Stream, uniform
from jobs.simulate.seasons import day_count_ahead

RAINY_SHARE = 0.3
RAIN_KEEPS_AWAY = 0.2  # of those who would come in
RAIN_MOVES_ONLINE = 0.15  # of the orders that would be placed in the city's store
MEAN_TEMPERATURES = (17.0, 17.5, 23.0, 16.5, 12.5, 17.0)  # by city, degrees Celsius over the year
TEMPERATURE_WAVE = 11.0
WARMEST_YEAR_DAY = 200
TEMPERATURE_NOISE = 3.0


def is_rainy(settings: WorldSettings, day_numbers: Integers, city: Integers | int) -> Numbers:
    """1 where it rains in a city on a day, else 0."""
    return np.asarray(uniform(settings.seed, Stream.WEATHER, day_numbers, city) < RAINY_SHARE, dtype=np.float64)


def temperatures(settings: WorldSettings, day_numbers: Integers, city: int) -> Numbers:
    """Degrees Celsius in a city on each day."""
    year_day = settings.start_date.timetuple().tm_yday + day_numbers
    noise = 2 * uniform(settings.seed, Stream.WEATHER, day_numbers, 100 + city) - 1
    wave = np.cos(2 * np.pi * (year_day - WARMEST_YEAR_DAY) / 365.25)
    return np.asarray(MEAN_TEMPERATURES[city] + TEMPERATURE_WAVE * wave + TEMPERATURE_NOISE * noise)


@lru_cache(maxsize=8)
def moved_online(settings: WorldSettings) -> Numbers:
    """The share of each store's orders that rain moves to the web shop, by [store, day], through the last day foreseen."""
    cities, days = np.arange(settings.stores) % len(CITIES), np.arange(day_count_ahead(settings))
    return np.asarray(RAIN_MOVES_ONLINE * is_rainy(settings, days[None, :], cities[:, None]))
