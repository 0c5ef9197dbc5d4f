"""Payments: what each order was paid with, adding up to the order to the cent; money back for what was brought back."""

from dataclasses import dataclass

import numpy as np
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.lakehouse.settings import WorldSettings
from jobs.simulate import texts
from jobs.simulate.batches import generated
from jobs.simulate.coupons import coupon_ratios
from jobs.simulate.draws import Columns, Integers, Numbers, Stream, scrambled, uniform, weighted_choice
from jobs.simulate.local_time import as_moments, next_export, wall_seconds_of
from jobs.simulate.orders import OrderLines, Orders, order_lines, orders, returned_shares, with_returns
from jobs.simulate.outreach import outreach
from jobs.simulate.payers import member_payers, payers
from jobs.simulate.people import people
from jobs.simulate.rings import ring_lines, ring_orders, ring_returned_shares, rings, rings_led_by
from jobs.simulate.sales import ORDER_BITS

METHODS = ("wallet", "credit_card", "debit_card", "cash", "gift_card", "voucher")
# The tills know the same by the keys on their keyboards.
TENDER_CODES = ("10", "21", "22", "01", "31", "32")
ONLINE_SHARES = (0.78, 0.12, 0.1, 0.0)
STORE_SHARES = (0.62, 0.12, 0.08, 0.18)
CASH, GIFT_CARD, VOUCHER = 3, 4, 5
GIFT_CARD_USE, GIFT_CARD_PART = 0.04, 0.3
NO_PAYER = 0
PAYMENT_SCHEMA = (
    "order_number long, is_online boolean, is_return boolean, payment_no long, method long, payer long, cents long,"
    " paid_at timestamp_ntz, exported_at timestamp_ntz"
)


@dataclass(frozen=True, eq=False)
class Basket:
    """Some orders with their lines, who pays, and which share a coupon takes off."""

    placed: Orders
    sold: OrderLines
    lines: OrderLines
    payer: Integers
    coupon_ratio: Numbers


def person_basket(settings: WorldSettings, persons: Integers) -> Basket:
    """What these persons bought and brought back, in both channels."""
    crowd = people(settings, persons)
    placed = orders(settings, crowd)
    sold = order_lines(settings, placed)
    return Basket(
        placed=placed,
        sold=sold,
        lines=with_returns(settings, placed, sold, returned_shares(settings, placed, sold)),
        payer=payers(settings, crowd.person_id[placed.owner], placed.key),
        coupon_ratio=coupon_ratios(settings, outreach(settings, crowd), placed),
    )


def ring_basket(settings: WorldSettings, numbers: Integers) -> Basket:
    """What these rings bought and brought back."""
    crew = rings(settings, numbers)
    placed = ring_orders(settings, crew)
    sold = ring_lines(settings, crew, placed)
    lines = with_returns(settings, placed, sold, ring_returned_shares(settings, crew, placed, sold))
    payer = member_payers(settings, crew)[placed.owner]
    return Basket(placed, sold, lines, payer, np.zeros(len(placed.key)))


def methods_used(settings: WorldSettings, placed: Orders) -> Integers:
    """The main method of each order, by its place in the list."""
    draw = uniform(settings.seed, Stream.PAYMENT, placed.key)
    online, store = (weighted_choice(draw, np.array(shares)) for shares in (ONLINE_SHARES, STORE_SHARES))
    return np.where(placed.is_online, online, store)


def payment_columns(settings: WorldSettings, basket: Basket) -> Columns:
    """One row per payment and refund of these orders."""
    placed, sold, lines = basket.placed, basket.sold, basket.lines
    cents = np.zeros(len(placed.key), dtype=np.int64)
    np.add.at(cents, sold.order, sold.quantity * sold.unit_cents)
    voucher = np.floor(cents * basket.coupon_ratio).astype(np.int64)
    has_gift_card = uniform(settings.seed, Stream.PAYMENT, placed.key, 1) < GIFT_CARD_USE
    gift_card = np.where(has_gift_card, np.floor((cents - voucher) * GIFT_CARD_PART), 0).astype(np.int64)
    method, every = methods_used(settings, placed), np.arange(len(placed.key))
    payer = np.where(method == CASH, NO_PAYER, basket.payer)
    back = np.flatnonzero(lines.is_return)
    of_back = lines.order[back]
    ones, nobody = np.ones(len(every), dtype=np.int64), np.full(len(every), NO_PAYER, dtype=np.int64)
    parts = (
        # order, number of the payment, method, payer, cents, day, second, whether it is money back
        (every, ones, method, payer, cents - voucher - gift_card, placed.day, placed.second, False),
        (every, 2 * ones, GIFT_CARD * ones, nobody, gift_card, placed.day, placed.second, False),
        (every, 2 + (gift_card > 0), VOUCHER * ones, nobody, voucher, placed.day, placed.second, False),
        (
            *(of_back, lines.line_no[back], method[of_back], payer[of_back]),
            *((lines.quantity * lines.unit_cents)[back], lines.day[back], lines.second[back], True),
        ),
    )
    tables = []
    for order, number, how, who, amount, day, second, is_return in parts:
        kept = np.flatnonzero((amount != 0) | ((number == 1) & (not is_return)))
        tables.append(
            {
                "order_number": scrambled(settings.seed, "orders", placed.key[order[kept]], ORDER_BITS),
                "is_online": placed.is_online[order[kept]],
                "is_return": np.full(len(kept), is_return),
                "payment_no": number[kept],
                "method": how[kept],
                "payer": who[kept],
                "cents": amount[kept],
                "paid_at": as_moments(wall_seconds_of(settings, day[kept], second[kept])),
                "exported_at": as_moments(next_export(settings, day[kept])),
            }
        )
    return {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}


def payment_batch(settings: WorldSettings, persons: Integers) -> Columns:
    """One row per payment and refund of these persons' orders, and of the rings told of with them."""
    baskets = (person_basket(settings, persons), ring_basket(settings, rings_led_by(settings, persons)))
    parts = [payment_columns(settings, basket) for basket in baskets]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def payments(spark: SparkSession, settings: WorldSettings) -> DataFrame:
    """One row per payment and refund, as the payment provider exports them."""
    prefix = F.when(F.col("is_return"), "R").otherwise("")
    return generated(spark, settings, payment_batch, PAYMENT_SCHEMA).select(
        F.concat(prefix, texts.order_id("is_online", "order_number")).alias("order_id"),
        F.col("payment_no").cast("string").alias("payment_no"),
        F.when(F.col("is_online"), texts.listed(METHODS, F.col("method")))
        .otherwise(texts.listed(TENDER_CODES, F.col("method")))
        .alias("method"),
        F.when(F.col("payer") != NO_PAYER, texts.payer("payer")).alias("payer"),
        texts.amount("cents").alias("amount"),
        F.lit(settings.currency_code).alias("currency"),
        F.col("paid_at").cast("string").alias("paid_at"),
        texts.utc_text("exported_at").alias("exported_at"),
    )
