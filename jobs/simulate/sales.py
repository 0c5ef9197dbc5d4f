"""The feeds of what was sold: order lines of the web shop, receipt lines of the tills, with a source's usual dirt."""

from functools import partial

import numpy as np
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.lakehouse.settings import WorldSettings
from jobs.simulate import texts
from jobs.simulate.assortment import product_ids, store_ids
from jobs.simulate.batches import generated
from jobs.simulate.contacts import NONE, contacts
from jobs.simulate.draws import Columns, Integers, Stream, chosen, happens, scrambled, uniform
from jobs.simulate.local_time import as_moments, next_export, wall_seconds_of
from jobs.simulate.orders import (
    accounts_shown,
    cards_shown,
    days_late,
    guest_contacts,
    only_channel,
    order_lines,
    orders,
    with_returns,
)
from jobs.simulate.people import people

ORDER_BITS = 46  # fourteen digits; person numbers up to 2**32
COPY_MONTHS_SHARE = 0.3  # of the copies, those that come with the next month's file
SALE_SCHEMA = (
    "order_number long, is_return boolean, line_no long, sold_at timestamp_ntz, store long, account long, card long,"
    " surname long, given_name long, email long, phone long, phone_style long, email_style long, product long,"
    " quantity long, unit_cents long, list_cents long, exported_at timestamp_ntz, bad_date long, bad_price long,"
    " copies long, copy_months long"
)


def line_dirt(settings: WorldSettings, keys: Integers) -> Columns:
    """What is wrong with each line: the place of its bad date or price in the lists (mostly NONE), and its copies."""
    seed = settings.seed
    share = uniform(seed, Stream.LINE_DIRT, keys)
    has_bad_date = share < settings.bad_date_share
    has_bad_price = ~has_bad_date & (share < settings.bad_date_share + settings.bad_price_share)
    return {
        "bad_date": np.where(has_bad_date, chosen(seed, Stream.LINE_DIRT_KIND, keys, len(texts.BAD_DATES)), NONE),
        "bad_price": np.where(has_bad_price, chosen(seed, Stream.LINE_DIRT_KIND, keys, len(texts.BAD_PRICES)), NONE),
    } | copies(settings, Stream.LINE_COPY, keys)


def copies(settings: WorldSettings, stream: Stream, keys: Integers) -> Columns:
    """How many extra copies of each row are delivered (0 or 1), and how many months after the row itself (0 or 1)."""
    return {
        "copies": happens(settings.seed, stream, keys, settings.duplicate_share).astype(np.int64),
        "copy_months": (uniform(settings.seed, stream, keys, 1) < COPY_MONTHS_SHARE).astype(np.int64),
    }


def sale_batch(is_online: bool, settings: WorldSettings, persons: Integers) -> Columns:
    """One row per line of one channel's orders, sold or brought back."""
    seed = settings.seed
    crowd = people(settings, persons)
    known = contacts(settings, crowd)
    placed = only_channel(orders(settings, crowd), is_online)
    lines = with_returns(settings, order_lines(settings, placed))
    of_line = lines.order
    owner = placed.owner[of_line]
    account = accounts_shown(settings, known, placed)[of_line]
    guest_email, guest_phone = (
        np.where(account == NONE, value[of_line], NONE) for value in guest_contacts(settings, known, placed)
    )
    late = days_late(settings, 2 * placed.key[of_line] + lines.is_return)
    return {
        "order_number": scrambled(seed, "orders", placed.key, ORDER_BITS)[of_line],
        "is_return": lines.is_return,
        "line_no": lines.line_no,
        "sold_at": as_moments(wall_seconds_of(settings, lines.day, lines.second)),
        "store": placed.store[of_line],
        "account": account,
        "card": cards_shown(settings, known, placed)[of_line],
        "surname": known.surname[owner],
        "given_name": known.given_name[owner],
        "email": guest_email,
        "phone": guest_phone,
        "phone_style": chosen(seed, Stream.ORDER_TEXT, placed.key, 100, 1)[of_line],
        "email_style": chosen(seed, Stream.ORDER_TEXT, placed.key, 100, 2)[of_line],
        "product": lines.product,
        "quantity": lines.quantity,
        "unit_cents": lines.unit_cents,
        "list_cents": lines.list_cents,
        "exported_at": as_moments(next_export(settings, lines.day, late)),
    } | line_dirt(settings, lines.key)


def sales(spark: SparkSession, settings: WorldSettings, is_online: bool, partitions: int = 0) -> DataFrame:
    """One row per true line of one channel's orders, in numbers; `copies` tells how often it is delivered again."""
    return generated(spark, settings, partial(sale_batch, is_online), SALE_SCHEMA, partitions)


def order_id(prefix: str) -> Column:
    """The id of an order or receipt; a return's is that of the sale with R before it."""
    return F.concat(F.when(F.col("is_return"), "R").otherwise(""), texts.numbered(prefix, "order_number", 14))


def line_columns(settings: WorldSettings) -> list[Column]:
    """The columns that order lines and receipt lines have in common, and at the end what the delivery needs."""
    return [
        texts.listed(product_ids(settings), F.col("product")).alias("product_id"),
        F.col("quantity").cast("string").alias("quantity"),
        texts.spoilt(texts.amount("unit_cents"), texts.BAD_PRICES, "bad_price").alias("unit_price"),
        texts.amount("list_cents").alias("list_price"),
        F.lit(settings.currency_code).alias("currency"),
        texts.utc_text("exported_at").alias("exported_at"),
        F.col("copies"),
        F.col("copy_months"),
    ]


def web_orders(spark: SparkSession, settings: WorldSettings) -> DataFrame:
    """One row per order line of the web shop, as it exports them."""
    address = texts.email("surname", "given_name", "email")
    return sales(spark, settings, is_online=True).select(
        order_id("W").alias("order_id"),
        F.col("line_no").cast("string").alias("line_no"),
        texts.spoilt(F.col("sold_at").cast("string"), texts.BAD_DATES, "bad_date").alias("ordered_at"),
        texts.account_id("account").alias("account_id"),
        texts.email_as_typed(address, F.col("email_style")).alias("guest_email"),
        texts.phone_as_typed("phone", F.col("phone_style")).alias("guest_phone"),
        *line_columns(settings),
    )


def pos_receipts(spark: SparkSession, settings: WorldSettings) -> DataFrame:
    """One row per receipt line of the tills, as they export them."""
    return sales(spark, settings, is_online=False).select(
        order_id("T").alias("receipt_id"),
        F.col("line_no").cast("string").alias("line_no"),
        texts.listed(store_ids(settings), F.col("store")).alias("store_id"),
        texts.spoilt(F.col("sold_at").cast("string"), texts.BAD_DATES, "bad_date").alias("sold_at"),
        texts.card_no("card").alias("card_no"),
        *line_columns(settings),
    )
