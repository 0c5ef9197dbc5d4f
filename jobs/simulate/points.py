"""Points of the loyalty programme: earned with orders by account or card, and spent all at once now and then."""

import numpy as np
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.lakehouse.settings import WorldSettings
from jobs.simulate import texts
from jobs.simulate.batches import generated
from jobs.simulate.contacts import NONE, contacts
from jobs.simulate.draws import Columns, Integers, Stream, scrambled, uniform
from jobs.simulate.local_time import as_moments, next_export, wall_seconds_of
from jobs.simulate.orders import accounts_shown, cards_shown, order_lines, orders
from jobs.simulate.people import people
from jobs.simulate.sales import ORDER_BITS

CENTS_PER_POINT = 100
SPENT_SHARE = 0.08  # of the orders, those at which all points are spent
ENTRY_KINDS = ("earn", "spend")
ENTRY_BITS = 48
ONLINE_MEMBERS_FROM = 2**40  # tells the numbers of accounts from those of cards
POINTS_SCHEMA = (
    "entry_number long, member long, is_online boolean, order_number long, kind long, points long,"
    " entered_at timestamp_ntz, exported_at timestamp_ntz"
)


def spent_points(member: Integers, earned: Integers, spends: Integers) -> Integers:
    """What is spent at each entry of `spends`: all that the member earned before it and has not spent yet.

    Args:
        member: the member of each entry; the entries of a member lie together, in order of time.
        earned: the points that each entry brings.
        spends: places of the entries at which all points are spent, in order.
    """
    before = np.cumsum(earned) - earned
    had_before = before[spends]
    is_same = np.concatenate([[False], member[spends][1:] == member[spends][:-1]])
    begin = np.flatnonzero(np.diff(member, prepend=NONE))
    starts = before[begin][np.searchsorted(begin, spends, side="right") - 1]
    earlier = np.where(is_same, np.concatenate([[0], had_before[:-1]]), starts)
    return np.asarray(had_before - earlier, dtype=np.int64)


def points_batch(settings: WorldSettings, persons: Integers) -> Columns:
    """One row per movement of points of these persons' accounts and cards."""
    crowd = people(settings, persons)
    known, placed = contacts(settings, crowd), orders(settings, crowd)
    sold = order_lines(settings, placed)
    cents = np.zeros(len(placed.key), dtype=np.int64)
    np.add.at(cents, sold.order, sold.quantity * sold.unit_cents)
    shown = np.where(placed.is_online, accounts_shown(settings, known, placed), cards_shown(settings, known, placed))
    member = np.where(placed.is_online, shown + ONLINE_MEMBERS_FROM, shown)
    told = np.flatnonzero((shown != NONE) & (cents >= CENTS_PER_POINT))
    order = told[np.lexsort((placed.second[told], placed.day[told], member[told]))]
    earned = cents[order] // CENTS_PER_POINT
    spends = np.flatnonzero(uniform(settings.seed, Stream.POINTS, placed.key[order]) < SPENT_SHARE)
    spent = spent_points(member[order], earned, spends)
    at_spend = order[spends[spent > 0]]
    of_entry = np.concatenate([order, at_spend])
    kind = np.repeat([0, 1], [len(order), len(at_spend)])
    return {
        "entry_number": scrambled(settings.seed, "points", 2 * placed.key[of_entry] + kind, ENTRY_BITS),
        "member": shown[of_entry],
        "is_online": placed.is_online[of_entry],
        "order_number": scrambled(settings.seed, "orders", placed.key[of_entry], ORDER_BITS),
        "kind": kind,
        "points": np.concatenate([earned, -spent[spent > 0]]),
        "entered_at": as_moments(wall_seconds_of(settings, placed.day[of_entry], placed.second[of_entry])),
        "exported_at": as_moments(next_export(settings, placed.day[of_entry])),
    }


def points(spark: SparkSession, settings: WorldSettings) -> DataFrame:
    """One row per movement of points, as the loyalty programme exports them."""
    member = F.when(F.col("is_online"), texts.account_id("member")).otherwise(texts.card_no("member"))
    return generated(spark, settings, points_batch, POINTS_SCHEMA).select(
        texts.numbered("L", "entry_number", 15).alias("entry_id"),
        member.alias("member"),
        texts.order_id("is_online", "order_number").alias("order_id"),
        texts.listed(ENTRY_KINDS, F.col("kind")).alias("kind"),
        F.col("points").cast("string").alias("points"),
        F.col("entered_at").cast("string").alias("entered_at"),
        texts.utc_text("exported_at").alias("exported_at"),
    )
