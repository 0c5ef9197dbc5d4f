"""The feeds of what was sold: order lines of the web shop, receipt lines of the tills, with a source's usual dirt."""

from functools import partial

import numpy as np
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.lakehouse.settings import WorldSettings
from jobs.simulate import texts
from jobs.simulate.addresses import delivery_addresses, member_addresses
from jobs.simulate.assortment import product_ids, store_ids
from jobs.simulate.batches import generated
from jobs.simulate.contacts import NONE, contacts
from jobs.simulate.draws import Columns, Integers, Stream, chosen, happens, scrambled, uniform
from jobs.simulate.local_time import as_moments, next_export, wall_seconds_of
from jobs.simulate.orders import (
    OrderLines,
    Orders,
    accounts_shown,
    cards_shown,
    days_late,
    guest_contacts,
    only_channel,
    order_lines,
    orders,
    returned_shares,
    with_returns,
)
from jobs.simulate.people import people
from jobs.simulate.rings import ring_lines, ring_orders, ring_returned_shares, rings, rings_led_by

ORDER_BITS = 46  # fourteen digits; person numbers up to 2**32
COPY_MONTHS_SHARE = 0.3  # of the copies, those that come with the next month's file
NEAR_COPY_KINDS = ("told again", "numbered anew")  # with other spellings; under another line number
RENUMBERED_BY = 50
OUTLIER_FIELDS = ("quantity", "unit_price")
SALE_SCHEMA = (
    "order_number long, is_return boolean, line_no long, sold_at timestamp_ntz, store long, account long, card long,"
    " surname long, given_name long, email long, phone long, phone_style long, email_style long, product long,"
    " quantity long, unit_cents long, list_cents long, exported_at timestamp_ntz, bad_date long, bad_price long,"
    " copies long, copy_months long, near_copy long, outlier long, true_quantity long, true_unit_cents long,"
    " address long, ring long"
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


def near_copies(settings: WorldSettings, keys: Integers) -> Integers:
    """How each line comes again as almost the same: NONE for nearly all, else the place in NEAR_COPY_KINDS."""
    comes_again = happens(settings.seed, Stream.NEAR_COPY, keys, settings.near_duplicate_share)
    return np.where(comes_again, chosen(settings.seed, Stream.NEAR_COPY, keys, len(NEAR_COPY_KINDS), 1), NONE)


def mistyped(settings: WorldSettings, lines: OrderLines) -> Columns:
    """What was keyed in, beside what is true: a digit too often in the quantity, a point in the wrong place of a price."""
    seed, keys = settings.seed, lines.key
    is_wrong = happens(seed, Stream.OUTLIER, keys, settings.outlier_share) & ~lines.is_return
    kind = np.where(is_wrong, chosen(seed, Stream.OUTLIER, keys, len(OUTLIER_FIELDS), 1), NONE)
    twice = lines.quantity + lines.quantity * 10 ** (1 + np.floor(np.log10(np.abs(lines.quantity))).astype(np.int64))
    return {
        "outlier": kind,
        "true_quantity": lines.quantity,
        "true_unit_cents": lines.unit_cents,
        "quantity": np.where(kind == 0, twice, lines.quantity),
        "unit_cents": np.where(kind == 1, 100 * lines.unit_cents, lines.unit_cents),
    }


def sale_columns(settings: WorldSettings, placed: Orders, lines: OrderLines) -> Columns:
    """One row per line, as far as it doesn't say who bought."""
    of_line = lines.order
    late = days_late(settings, 2 * placed.key[of_line] + lines.is_return)
    dirt = line_dirt(settings, lines.key)
    return {
        "order_number": scrambled(settings.seed, "orders", placed.key, ORDER_BITS)[of_line],
        "is_return": lines.is_return,
        "line_no": lines.line_no,
        "sold_at": as_moments(wall_seconds_of(settings, lines.day, lines.second)),
        "store": placed.store[of_line],
        "phone_style": chosen(settings.seed, Stream.ORDER_TEXT, placed.key, 100, 1)[of_line],
        "email_style": chosen(settings.seed, Stream.ORDER_TEXT, placed.key, 100, 2)[of_line],
        "product": lines.product,
        "list_cents": lines.list_cents,
        "exported_at": as_moments(next_export(settings, lines.day, late)),
        **mistyped(settings, lines),
        **dirt,
        "near_copy": np.where(
            (dirt["bad_date"] >= 0) | (dirt["bad_price"] >= 0), NONE, near_copies(settings, lines.key)
        ),
    }


def person_sales(is_online: bool, settings: WorldSettings, persons: Integers) -> Columns:
    """One row per line of one channel's orders by these persons, sold or brought back."""
    crowd = people(settings, persons)
    known = contacts(settings, crowd)
    placed = only_channel(orders(settings, crowd), is_online)
    sold = order_lines(settings, placed)
    lines = with_returns(settings, placed, sold, returned_shares(settings, placed, sold))
    of_line = lines.order
    owner = placed.owner[of_line]
    account = accounts_shown(settings, known, placed)[of_line]
    guest_email, guest_phone = (
        np.where(account == NONE, value[of_line], NONE) for value in guest_contacts(settings, known, placed)
    )
    return {
        "account": account,
        "card": cards_shown(settings, known, placed)[of_line],
        "surname": known.surname[owner],
        "given_name": known.given_name[owner],
        "email": guest_email,
        "phone": guest_phone,
        "address": delivery_addresses(settings, crowd.person_id[owner]),
        "ring": np.full(len(owner), NONE, dtype=np.int64),
    } | sale_columns(settings, placed, lines)


def ring_sales(settings: WorldSettings, numbers: Integers) -> Columns:
    """One row per line of these rings' orders, sold or brought back."""
    crew = rings(settings, numbers)
    placed = ring_orders(settings, crew)
    sold = ring_lines(settings, crew, placed)
    lines = with_returns(settings, placed, sold, ring_returned_shares(settings, crew, placed, sold))
    owner = placed.owner[lines.order]
    nothing = np.full(len(owner), NONE, dtype=np.int64)
    return {
        "account": crew.account[owner],
        "card": nothing,
        "surname": crew.surname[owner],
        "given_name": crew.given_name[owner],
        "email": nothing,
        "phone": nothing,
        "address": member_addresses(settings, crew)[owner],
        "ring": crew.ring[owner],
    } | sale_columns(settings, placed, lines)


def sale_batch(is_online: bool, settings: WorldSettings, persons: Integers) -> Columns:
    """One row per line of one channel's orders, those of brushing rings among those of the web shop."""
    honest = person_sales(is_online, settings, persons)
    if not is_online:
        return honest
    brushed = ring_sales(settings, rings_led_by(settings, persons))
    return {name: np.concatenate([honest[name], brushed[name]]) for name in honest}


def sales(spark: SparkSession, settings: WorldSettings, is_online: bool, partitions: int = 0) -> DataFrame:
    """One row per true line of one channel's orders, in numbers; `copies` tells how often it is delivered again."""
    return generated(spark, settings, partial(sale_batch, is_online), SALE_SCHEMA, partitions)


def with_near_copies(rows: DataFrame) -> DataFrame:
    """The rows of a feed, and after some of them almost the same again: exported a day later, with other spellings."""
    again = F.when(F.col("near_copy") >= 0, F.array(F.lit(False), F.lit(True))).otherwise(F.array(F.lit(False)))
    told = rows.withColumn("_is_again", F.explode(again))
    is_again = F.col("_is_again")
    later = F.to_timestamp(F.col("exported_at"), "yyyy-MM-dd'T'HH:mm:ssX") + F.expr("interval 1 day")
    renumbered = (F.col("line_no").cast("int") + RENUMBERED_BY).cast("string")
    is_renumbered = is_again & (F.col("near_copy") == NEAR_COPY_KINDS.index("numbered anew"))
    spelt_anew = F.regexp_replace("unit_price", "\\.?0+$", "")
    return told.withColumns(
        {
            "line_no": F.when(is_renumbered, renumbered).otherwise(F.col("line_no")),
            "unit_price": F.when(is_again & F.col("unit_price").contains("."), spelt_anew).otherwise(
                F.col("unit_price")
            ),
            "exported_at": F.when(is_again, F.date_format(later, "yyyy-MM-dd'T'HH:mm:ss'Z'")).otherwise(
                F.col("exported_at")
            ),
            "copies": F.when(is_again, F.lit(0)).otherwise(F.col("copies")),
        }
    ).drop("near_copy", "_is_again")


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
        F.col("near_copy"),
    ]


def web_orders(spark: SparkSession, settings: WorldSettings) -> DataFrame:
    """One row per order line of the web shop, as it exports them."""
    address = texts.email("surname", "given_name", "email")
    told = sales(spark, settings, is_online=True).select(
        order_id("W").alias("order_id"),
        F.col("line_no").cast("string").alias("line_no"),
        texts.spoilt(F.col("sold_at").cast("string"), texts.BAD_DATES, "bad_date").alias("ordered_at"),
        texts.account_id("account").alias("account_id"),
        texts.email_as_typed(address, F.col("email_style")).alias("guest_email"),
        texts.phone_as_typed("phone", F.col("phone_style")).alias("guest_phone"),
        F.when(F.col("account") == NONE, texts.full_name("surname", "given_name")).alias("guest_name"),
        texts.delivery_address("address", F.col("phone_style")).alias("delivery_address"),
        *line_columns(settings),
    )
    return with_near_copies(told)


def pos_receipts(spark: SparkSession, settings: WorldSettings) -> DataFrame:
    """One row per receipt line of the tills, as they export them."""
    told = sales(spark, settings, is_online=False).select(
        order_id("T").alias("receipt_id"),
        F.col("line_no").cast("string").alias("line_no"),
        texts.listed(store_ids(settings), F.col("store")).alias("store_id"),
        texts.spoilt(F.col("sold_at").cast("string"), texts.BAD_DATES, "bad_date").alias("sold_at"),
        texts.card_no("card").alias("card_no"),
        *line_columns(settings),
    )
    return with_near_copies(told)
