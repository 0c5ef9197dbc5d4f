"""What the merchandise system tells: prices, promotions, campaigns, and the stock that goes with what was sold."""

from datetime import timedelta

import numpy as np
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs.lakehouse.settings import WorldSettings
from jobs.simulate.assortment import Assortment, assortment, product_ids, store_ids
from jobs.simulate.batches import generated
from jobs.simulate.draws import Columns, Integers, Stream, uniform
from jobs.simulate.orders import OrderLines, Orders, order_lines, orders, returned_shares, with_returns
from jobs.simulate.outreach import CHANNELS, WORKING_DAYS, campaigns
from jobs.simulate.outside import exported
from jobs.simulate.people import people
from jobs.simulate.rings import ring_lines, ring_orders, ring_returned_shares, rings, rings_led_by
from jobs.simulate.seasons import DAYS_OF_A_WEEK

ALL_STORES = "ALL"
PIECES_OF_CARTON = 12
WEEKS_OF_COVER = 1.6  # of a week's usual sale, the stock that orders aim at
LEAST_COVER_UNITS = 4
CAMPAIGN_BUDGET = 5000
MOVED_SCHEMA = "place long, units long"


def price_rows(settings: WorldSettings) -> list[dict[str, str]]:
    """One row per product and week in which its price, or list price, changes; told a week ahead."""
    goods, rows = assortment(settings), []
    for product, product_id in enumerate(product_ids(settings)):
        first = max(int(goods.launch_week[product]), 0)
        before = None
        for week in range(first, settings.weeks):
            prices = int(goods.price_cents[week, product]), int(goods.list_cents[week, product])
            if prices != before:
                rows.append(
                    {
                        "product_id": product_id,
                        "valid_from": str(settings.start_date + timedelta(weeks=week)),
                        "price": f"{prices[0] / 100:.2f}",
                        "list_price": f"{prices[1] / 100:.2f}",
                        "currency": settings.currency_code,
                        "exported_at": exported(settings, np.array([DAYS_OF_A_WEEK * (week - 1)]))[0],
                    }
                )
            before = prices
    return rows


def promotion_rows(settings: WorldSettings) -> list[dict[str, str]]:
    """One row per product and week in which it is sold at a lower price; told a week ahead."""
    goods, ids, rows = assortment(settings), product_ids(settings), []
    on_sale = np.arange(settings.weeks)[:, None] >= goods.launch_week[None, :]
    for week, product in np.argwhere(goods.promoted[: settings.weeks] & on_sale).tolist():
        starts, cents = settings.start_date + timedelta(weeks=week), int(goods.price_cents[week, product])
        rows.append(
            {
                "promotion_id": f"{ids[product]}-{week:03d}",
                "product_id": ids[product],
                "starts_on": str(starts),
                "ends_on": str(starts + timedelta(days=DAYS_OF_A_WEEK - 1)),
                "discount": f"{1 - cents / int(goods.list_cents[week, product]):.3f}",
                "price": f"{cents / 100:.2f}",
                "currency": settings.currency_code,
                "exported_at": exported(settings, np.array([DAYS_OF_A_WEEK * (week - 1)]))[0],
            }
        )
    return rows


def campaign_rows(settings: WorldSettings) -> list[dict[str, str]]:
    """One row per campaign; told a week ahead."""
    sent, rows = campaigns(settings), []
    for number, day in enumerate(sent.send_day.tolist()):
        channel, ratio = CHANNELS[int(sent.channel[number])], float(sent.coupon_ratio[number])
        starts = settings.start_date + timedelta(days=day)
        rows.append(
            {
                "campaign_id": f"K{number:04d}",
                "name": f"{channel} {starts.isoformat()}" + (f" {ratio:.0%} off" if ratio else ""),
                "kind": "coupon" if ratio else "news",
                "channel": channel,
                "starts_on": str(starts),
                "ends_on": str(starts + timedelta(days=WORKING_DAYS)),
                "budget": f"{CAMPAIGN_BUDGET}.00",
                "currency": settings.currency_code,
                "exported_at": exported(settings, np.array([day - DAYS_OF_A_WEEK]))[0],
            }
        )
    return rows


def moved_units(settings: WorldSettings, placed: Orders, lines: OrderLines) -> Integers:
    """The pieces that left each [store, week, product], less those that came back, as one row of counts."""
    week_count = settings.weeks
    place = (placed.store[lines.order] * week_count + lines.day // DAYS_OF_A_WEEK) * settings.products + lines.product
    size = (settings.stores + 1) * week_count * settings.products
    return np.bincount(place, weights=lines.quantity, minlength=size).astype(np.int64)


def moved_batch(settings: WorldSettings, persons: Integers) -> Columns:
    """One row per store, week and product with what these persons, and the rings told of with them, took from it."""
    crowd = people(settings, persons)
    placed = orders(settings, crowd)
    sold = order_lines(settings, placed)
    units = moved_units(settings, placed, with_returns(settings, placed, sold, returned_shares(settings, placed, sold)))
    crew = rings(settings, rings_led_by(settings, persons))
    brushed = ring_orders(settings, crew)
    lines = ring_lines(settings, crew, brushed)
    returned = ring_returned_shares(settings, crew, brushed, lines)
    units += moved_units(settings, brushed, with_returns(settings, brushed, lines, returned))
    place = np.flatnonzero(units)
    return {"place": place, "units": units[place]}


def moved(spark: SparkSession, settings: WorldSettings) -> Integers:
    """The pieces that left by [store, week, product]; as large as the assortment, however many customers there are."""
    size = (settings.stores + 1, settings.weeks, settings.products)
    totals = generated(spark, settings, moved_batch, MOVED_SCHEMA).groupBy("place").agg(F.sum("units").alias("units"))
    units = np.zeros(size, dtype=np.int64)
    found = totals.toPandas()
    units.ravel()[found["place"].to_numpy()] = found["units"].to_numpy()
    return units


def stock_levels(settings: WorldSettings, goods: Assortment, units: Integers) -> tuple[Integers, Integers]:
    """Pieces on hand at the end of each [store, week, product], and pieces that came in or were written off (below 0).

    What is on hand is what was there, and came in, less what left; in a week of a stock-out it ends at 0.
    """
    stores, weeks, products = (np.arange(count, dtype=np.int64) for count in units.shape)
    place = stores[:, None, None] * settings.products + products[None, None, :]
    usual = np.maximum(units.mean(axis=1, keepdims=True) * WEEKS_OF_COVER, LEAST_COVER_UNITS)
    draw = uniform(settings.seed, Stream.STOCK_LEVEL, place, weeks[None, :, None])
    target = np.ceil(usual * (0.5 + draw)).astype(np.int64)
    is_here = np.arange(settings.weeks)[:, None] >= goods.launch_week[None, :]
    target = np.where(goods.is_stocked_out[:, : settings.weeks] | ~is_here[None, :, :], 0, target)
    # Nothing is sent back to the supplier: what is too much stays, unless the shelf must end empty.
    on_hand, received = np.zeros_like(units), np.zeros_like(units)
    before = np.zeros_like(units[:, 0])
    for number in range(settings.weeks):
        left = before - units[:, number]
        wanted = target[:, number] - left
        received[:, number] = np.where(target[:, number] == 0, wanted, np.maximum(wanted, 0))
        on_hand[:, number] = before = left + received[:, number]
    return on_hand, received


def stock_rows(spark: SparkSession, settings: WorldSettings) -> list[dict[str, str]]:
    """One row per product, store and week from its launch on: the stock at the close of Sunday."""
    goods = assortment(settings)
    on_hand, received = stock_levels(settings, goods, moved(spark, settings))
    ids, stores = product_ids(settings), store_ids(settings)
    told = exported(settings, DAYS_OF_A_WEEK * np.arange(settings.weeks) + DAYS_OF_A_WEEK - 1)
    closes = [str(settings.start_date + timedelta(days=DAYS_OF_A_WEEK * week + 6)) for week in range(settings.weeks)]
    # Where both come out even, people count cartons.
    in_cartons = (on_hand % PIECES_OF_CARTON == 0) & (received % PIECES_OF_CARTON == 0)
    size = np.where(in_cartons, PIECES_OF_CARTON, 1)
    return [
        {
            "product_id": ids[product],
            "store_id": stores[store],
            "date": closes[week],
            "on_hand": str(on_hand[store, week, product] // size[store, week, product]),
            "received": str(received[store, week, product] // size[store, week, product]),
            "unit": "CTN" if in_cartons[store, week, product] else "PCS",
            "exported_at": told[week],
        }
        for week in range(settings.weeks)
        for store in range(len(stores))
        for product in np.flatnonzero(goods.launch_week <= week).tolist()
    ]
