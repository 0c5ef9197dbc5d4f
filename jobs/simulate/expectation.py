"""Expected demand: what the persons' rates, the season and the choice of products add up to, before chance."""

import numpy as np
import pandas as pd

from jobs.lakehouse.settings import WorldSettings
from jobs.simulate.assortment import assortment
from jobs.simulate.draws import Columns, Integers, Numbers
from jobs.simulate.orders import EXTRA_LINES, EXTRA_QUANTITY
from jobs.simulate.outreach import WORKING_DAYS, campaigns, outreach
from jobs.simulate.people import People, people
from jobs.simulate.seasons import DAYS_OF_A_WEEK, day_count, season_factors, season_until

EXPECTED_ORDERS_SCHEMA = "store int, week int, expected_orders double"


def season_lived(settings: WorldSettings, crowd: People) -> Numbers:
    """The summed season factors of each [person, week] of the world while the person, as it came to be, was active."""
    bounds = DAYS_OF_A_WEEK * np.arange(settings.weeks + 1, dtype=np.float64)
    clipped = np.clip(bounds[None, :], crowd.active_from[:, None], crowd.active_until[:, None])
    lived = np.diff(season_until(settings, np.clip(clipped, 0.0, bounds[-1])), axis=1)
    return np.asarray(lived, dtype=np.float64)


def season_ahead(settings: WorldSettings, crowd: People) -> Numbers:
    """The expected summed season factors of each [person, week] after the world's last day.

    Who is active at the end stays so with the survival probability of the own dropout rate, taken at noon of each day;
    nobody new joins.
    """
    factors = season_factors(settings)[day_count(settings) :]
    noons = np.arange(len(factors)) + 0.5
    is_active = (crowd.active_until > day_count(settings)) & (crowd.active_from <= day_count(settings))
    by_day = np.exp(-np.outer(crowd.dropout_rate, noons)) * factors[None, :] * is_active[:, None]
    return np.asarray(by_day.reshape(len(is_active), -1, DAYS_OF_A_WEEK).sum(axis=2), dtype=np.float64)


def orders_by_campaigns(settings: WorldSettings, crowd: People) -> Numbers:
    """The orders that messages are expected to bring about, by [store, week]; none after the world's last day."""
    reached, sent = outreach(settings, crowd), campaigns(settings)
    expected = reached.effect * reached.days_left / WORKING_DAYS
    online = crowd.online_share[reached.owner]
    week = sent.send_day[reached.campaign] // DAYS_OF_A_WEEK
    web = np.full(len(week), settings.stores, dtype=np.int64)
    totals = np.zeros((settings.stores + 1, settings.weeks + settings.truth_weeks_ahead))
    np.add.at(totals, (crowd.home_store[reached.owner], week), expected * (1 - online))
    np.add.at(totals, (web, week), expected * online)
    return totals


def expected_orders(settings: WorldSettings, persons: Integers) -> Columns:
    """One row per store and week: the orders expected of these persons together; the last store is the web shop."""
    crowd = people(settings, persons)
    season = np.hstack([season_lived(settings, crowd), season_ahead(settings, crowd)])
    at_home = crowd.home_store[None, :] == np.arange(settings.stores)[:, None]
    in_store = at_home * (crowd.order_rate * (1 - crowd.online_share))[None, :]
    rates = np.vstack([in_store, (crowd.order_rate * crowd.online_share)[None, :]])
    totals = rates @ season + orders_by_campaigns(settings, crowd)
    store, week = np.indices(totals.shape)
    return {"store": store.ravel(), "week": week.ravel(), "expected_orders": totals.ravel()}


def expected_units(settings: WorldSettings, totals: pd.DataFrame) -> pd.DataFrame:
    """One row per product, store and week, from the orders per store and week: the units expected to be sold.

    `units_if_in_stock` is what would be sold if no store ran out of anything.
    """
    goods = assortment(settings)
    store, week = totals["store"].to_numpy(), totals["week"].to_numpy()
    lines = totals["expected_orders"].to_numpy() * (1 + EXTRA_LINES) * (1 + EXTRA_QUANTITY)
    units = lines[:, None] * goods.choice[store, week, :]
    in_stock = lines[:, None] * goods.full_choice[store, week, :]
    product_count = goods.choice.shape[2]
    return pd.DataFrame(
        {
            "product": np.tile(np.arange(product_count), len(totals)),
            "store": np.repeat(store, product_count),
            "week": np.repeat(week, product_count),
            "expected_units": units.ravel(),
            "units_if_in_stock": in_stock.ravel(),
            "is_stocked_out": goods.is_stocked_out[store, week, :].ravel(),
        }
    )
