"""Expected demand: what the persons' rates, the season and the choice of products add up to, before chance."""

import numpy as np
import pandas as pd

from jobs.lakehouse.settings import WorldSettings
from jobs.simulate.assortment import assortment
from jobs.simulate.draws import Columns, Integers, Numbers
from jobs.simulate.orders import EXTRA_QUANTITY
from jobs.simulate.outreach import WORKING_DAYS, campaigns, outreach
from jobs.simulate.people import People, people
from jobs.simulate.seasons import DAYS_OF_A_WEEK, day_count, season_factors
from jobs.simulate.tastes import lines_per_order
from jobs.simulate.weather import moved_online

EXPECTED_LINES_SCHEMA = "store int, week int, expected_lines double"


def summed_until(factors: Numbers, rows: Integers, moments: Numbers) -> Numbers:
    """The factors, by [row, day], summed from the world's start to each [person, moment], in the row of the person."""
    totals = np.pad(np.cumsum(factors, axis=1), ((0, 0), (1, 0)))
    day = np.clip(moments.astype(np.int64), 0, factors.shape[1] - 1)
    row = rows[:, None]
    return np.asarray(totals[row, day] + (moments - day) * factors[row, day])


def lived(settings: WorldSettings, crowd: People, factors: Numbers, rows: Integers) -> Numbers:
    """The summed factors of each [person, week] of the world while the person, as it came to be, was active."""
    bounds = DAYS_OF_A_WEEK * np.arange(settings.weeks + 1, dtype=np.float64)
    clipped = np.clip(bounds[None, :], crowd.active_from[:, None], crowd.active_until[:, None])
    return np.diff(summed_until(factors, rows, np.clip(clipped, 0.0, bounds[-1])), axis=1)


def ahead(settings: WorldSettings, crowd: People, factors: Numbers, rows: Integers) -> Numbers:
    """The expected summed factors of each [person, week] after the world's last day.

    Who is active at the end stays so with the survival probability of the own dropout rate, taken at noon of each day;
    nobody new joins.
    """
    later = factors[:, day_count(settings) :]
    noons = np.arange(later.shape[1]) + 0.5
    is_active = (crowd.active_until > day_count(settings)) & (crowd.active_from <= day_count(settings))
    by_day = np.exp(-np.outer(crowd.dropout_rate, noons)) * later[rows] * is_active[:, None]
    return np.asarray(by_day.reshape(len(is_active), -1, DAYS_OF_A_WEEK).sum(axis=2), dtype=np.float64)


def by_week(settings: WorldSettings, crowd: People, factors: Numbers, rows: Integers) -> Numbers:
    """The summed factors of each [person, week] through the last one foreseen: lived in the world, expected after it.

    Args:
        settings: the world.
        crowd: the persons.
        factors: by [row, day], of all days.
        rows: the row that holds for each person.
    """
    return np.hstack([part(settings, crowd, factors, rows) for part in (lived, ahead)])


def lines_by_campaigns(settings: WorldSettings, crowd: People) -> Numbers:
    """The lines of the orders that messages are expected to bring about, by [store, week]; none after the world's last day."""
    reached, sent = outreach(settings, crowd), campaigns(settings)
    a_day = reached.effect / WORKING_DAYS * lines_per_order(settings, crowd.person_id)[reached.owner]
    store = crowd.home_store[reached.owner]
    first_day = sent.send_day[reached.campaign] + 1
    rain = np.pad(np.cumsum(moved_online(settings), axis=1), ((0, 0), (1, 0)))
    rainy_days = rain[store, first_day + reached.days_left] - rain[store, first_day]
    in_store = a_day * (reached.days_left - rainy_days) * (1 - crowd.online_share[reached.owner])
    week = first_day // DAYS_OF_A_WEEK
    web = np.full(len(week), settings.stores, dtype=np.int64)
    totals = np.zeros((settings.stores + 1, settings.weeks + settings.truth_weeks_ahead))
    np.add.at(totals, (store, week), in_store)
    np.add.at(totals, (web, week), a_day * reached.days_left - in_store)
    return totals


def expected_lines(settings: WorldSettings, persons: Integers) -> Columns:
    """One row per store and week: the lines that orders of these persons together are expected to have; the last store is the web shop."""
    crowd, season = people(settings, persons), season_factors(settings)
    lived_season = by_week(settings, crowd, season[None, :], np.zeros(len(persons), dtype=np.int64))
    lived_rain = by_week(settings, crowd, season * moved_online(settings), crowd.home_store)
    line_rate = crowd.order_rate * lines_per_order(settings, persons)
    # What rain keeps from a store is ordered in the web shop.
    in_stores = (line_rate * (1 - crowd.online_share))[:, None] * (lived_season - lived_rain)
    at_home = crowd.home_store[None, :] == np.arange(settings.stores)[:, None]
    online = line_rate @ lived_season - in_stores.sum(axis=0)
    totals = np.vstack([at_home @ in_stores, online]) + lines_by_campaigns(settings, crowd)
    store, week = np.indices(totals.shape)
    return {"store": store.ravel(), "week": week.ravel(), "expected_lines": totals.ravel()}


def expected_units(settings: WorldSettings, totals: pd.DataFrame) -> pd.DataFrame:
    """One row per product, store and week, from the lines per store and week: the units expected to be sold.

    `units_if_in_stock` is what would be sold if no store ran out of anything; `price_factor` what the week's price does to how
    often the product is chosen, beside its first list price.
    """
    goods = assortment(settings)
    store, week = totals["store"].to_numpy(), totals["week"].to_numpy()
    pieces = totals["expected_lines"].to_numpy() * (1 + EXTRA_QUANTITY)
    units = pieces[:, None] * goods.choice[store, week, :]
    in_stock = pieces[:, None] * goods.full_choice[store, week, :]
    product_count = goods.choice.shape[2]
    return pd.DataFrame(
        {
            "product": np.tile(np.arange(product_count), len(totals)),
            "store": np.repeat(store, product_count),
            "week": np.repeat(week, product_count),
            "expected_units": units.ravel(),
            "units_if_in_stock": in_stock.ravel(),
            "is_stocked_out": goods.is_stocked_out[store, week, :].ravel(),
            "price_factor": goods.price_factor[week, :].ravel(),
        }
    )
