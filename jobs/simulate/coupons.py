"""Messages of campaigns as the sending system tells of them, and the coupons that came with some."""

import numpy as np
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.lakehouse.settings import WorldSettings
from jobs.simulate import texts
from jobs.simulate.batches import generated
from jobs.simulate.contacts import NONE, contacts
from jobs.simulate.draws import Columns, Flags, Integers, Numbers, Stream, chosen, scrambled, uniform
from jobs.simulate.local_time import as_moments, next_export, wall_seconds_of
from jobs.simulate.orders import Orders, orders
from jobs.simulate.outreach import CHANNELS, COUPON_DAYS, Outreach, campaigns, outreach
from jobs.simulate.people import people
from jobs.simulate.sales import ORDER_BITS
from jobs.simulate.seasons import day_count

SENT_AT_SECOND = 9 * 3600
SENDING_SECONDS = 3600
CONTACT_KINDS = ("send", "open", "click", "bounce")
OPENED_SHARES = (0.3, 0.5)  # by any other channel, and by the one that the person likes best
CLICKED_SHARES = (0.2, 0.35)  # likewise, of those that were opened
BOUNCED_SHARE = 0.015
COUPON_EVENTS = ("issue", "redeem", "expire")
REDEEMED_BY_CHANCE_SHARE = 0.3  # of the orders that would have been placed anyway
ORDER_DAY_SPAN = 10**6
EVENT_BITS = 43
CONTACT_SCHEMA = (
    "event_number long, message_number long, campaign long, account long, channel long, kind long,"
    " contacted_at timestamp_ntz, exported_at timestamp_ntz"
)
COUPON_SCHEMA = (
    "event_number long, coupon_number long, campaign long, account long, order_number long, is_online boolean, kind long,"
    " happened_at timestamp_ntz, expires_at timestamp_ntz, ratio double, exported_at timestamp_ntz"
)


def redeemed_orders(settings: WorldSettings, reached: Outreach, placed: Orders) -> Integers:
    """The order (an index) that each message's coupon was redeemed with; NONE for most.

    It is the first order in the coupon's time: surely where the message brought it about, at times where it didn't.
    """
    sent = campaigns(settings)
    if not len(placed.key) or not len(reached.key):
        return np.full(len(reached.key), NONE, dtype=np.int64)
    by_time = np.lexsort((placed.second, placed.day, placed.owner))
    moments = (placed.owner * ORDER_DAY_SPAN + placed.day)[by_time]
    send_day = sent.send_day[reached.campaign]
    first = np.searchsorted(moments, reached.owner * ORDER_DAY_SPAN + send_day + 1)
    found = by_time[np.minimum(first, len(by_time) - 1)]
    in_time = (placed.owner[found] == reached.owner) & (placed.day[found] < send_day + COUPON_DAYS)
    in_time &= (first < len(by_time)) & (placed.day[found] > send_day)
    is_own = placed.campaign[found] == reached.campaign
    by_chance = uniform(settings.seed, Stream.COUPON, reached.key) < REDEEMED_BY_CHANCE_SHARE
    redeems = has_coupon(settings, reached) & in_time & (is_own | by_chance)
    return np.where(redeems, found, NONE)


def has_coupon(settings: WorldSettings, reached: Outreach) -> Flags:
    """Whether each message was sent and carried a coupon."""
    return np.asarray(campaigns(settings).has_coupon[reached.campaign] & ~reached.is_held_out)


def coupon_ratios(settings: WorldSettings, reached: Outreach, placed: Orders) -> Numbers:
    """The share that a coupon takes off each order; 0 for nearly all."""
    redeemed = redeemed_orders(settings, reached, placed)
    ratios = np.zeros(len(placed.key))
    is_redeemed = redeemed != NONE
    ratios[redeemed[is_redeemed]] = campaigns(settings).coupon_ratio[reached.campaign[is_redeemed]]
    return ratios


def contact_batch(settings: WorldSettings, persons: Integers) -> Columns:
    """One row per message sent to these persons, and per opening, click or bounce that followed."""
    seed, crowd = settings.seed, people(settings, persons)
    account, reached, sent = contacts(settings, crowd).account, outreach(settings, crowd), campaigns(settings)
    draw = [uniform(seed, Stream.CONTACT_EVENT, reached.key, index) for index in range(3)]
    is_sent, liked = ~reached.is_held_out, reached.is_preferred.astype(np.int64)
    opened_share, clicked_share = np.array(OPENED_SHARES)[liked], np.array(CLICKED_SHARES)[liked]
    bounces = is_sent & (draw[0] < BOUNCED_SHARE) & (reached.order_day < 0)
    opens = is_sent & ~bounces & ((draw[1] < opened_share) | (reached.order_day >= 0))
    clicks = opens & ((draw[2] < clicked_share) | (reached.order_day >= 0))
    sent_second = SENT_AT_SECOND + chosen(seed, Stream.CONTACT_EVENT, reached.key, SENDING_SECONDS, 3)
    parts = []
    for kind, happened in enumerate((is_sent, opens, clicks, bounces)):
        kept = np.flatnonzero(happened)
        key, day = reached.key[kept], sent.send_day[reached.campaign[kept]]
        # Opened within the evening, clicked some minutes later: all before the next day's orders.
        pause = chosen(seed, Stream.CONTACT_EVENT, key, 6 * 3600, 4) if kind in (1, 2) else 2 * (kind == 3)
        second = sent_second[kept] + pause + (60 if kind == 2 else 0)
        parts.append(
            {
                "event_number": scrambled(seed, "contacts", key * len(CONTACT_KINDS) + kind, EVENT_BITS),
                "message_number": scrambled(seed, "messages of campaigns", key, EVENT_BITS),
                "campaign": reached.campaign[kept],
                "account": account[reached.owner[kept]],
                "channel": sent.channel[reached.campaign[kept]],
                "kind": np.full(len(kept), kind),
                "contacted_at": as_moments(wall_seconds_of(settings, day, second)),
                "exported_at": as_moments(next_export(settings, day)),
            }
        )
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def coupon_batch(settings: WorldSettings, persons: Integers) -> Columns:
    """One row per coupon handed out to these persons, and per coupon redeemed or expired."""
    seed, crowd = settings.seed, people(settings, persons)
    account, reached, placed = contacts(settings, crowd).account, outreach(settings, crowd), orders(settings, crowd)
    sent, redeemed, given = (
        campaigns(settings),
        redeemed_orders(settings, reached, placed),
        has_coupon(settings, reached),
    )
    send_day = sent.send_day[reached.campaign]
    expiry_day = send_day + COUPON_DAYS
    # NONE, which is -1, takes what is appended.
    key, day, second, is_online = (
        np.append(values, none)[redeemed]
        for values, none in ((placed.key, NONE), (placed.day, 0), (placed.second, 0), (placed.is_online, False))
    )
    order_number = np.where(key == NONE, NONE, scrambled(seed, "orders", key, ORDER_BITS))
    nothing, midnight = np.full(len(reached.key), NONE, dtype=np.int64), np.zeros(len(reached.key), dtype=np.int64)
    events = (
        (given, nothing, send_day, midnight + SENT_AT_SECOND),
        (redeemed != NONE, order_number, day, second),
        (given & (redeemed == NONE) & (expiry_day < day_count(settings)), nothing, expiry_day, midnight),
    )
    parts = []
    for kind, (happened, order, on_day, at_second) in enumerate(events):
        kept = np.flatnonzero(happened)
        parts.append(
            {
                "event_number": scrambled(
                    seed, "coupon events", reached.key[kept] * len(COUPON_EVENTS) + kind, EVENT_BITS
                ),
                "coupon_number": scrambled(seed, "coupons", reached.key[kept], EVENT_BITS),
                "campaign": reached.campaign[kept],
                "account": account[reached.owner[kept]],
                "order_number": order[kept],
                "is_online": is_online[kept].astype(np.bool_),
                "kind": np.full(len(kept), kind),
                "happened_at": as_moments(wall_seconds_of(settings, on_day[kept], at_second[kept])),
                "expires_at": as_moments(wall_seconds_of(settings, expiry_day[kept], 0)),
                "ratio": sent.coupon_ratio[reached.campaign[kept]],
                "exported_at": as_moments(next_export(settings, on_day[kept])),
            }
        )
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def messages(spark: SparkSession, settings: WorldSettings) -> DataFrame:
    """One row per message sent, opened, clicked or bounced, as the sending system exports them."""
    return generated(spark, settings, contact_batch, CONTACT_SCHEMA).select(
        texts.numbered("E", "event_number", 13).alias("event_id"),
        texts.numbered("M", "message_number", 13).alias("message_id"),
        texts.numbered("K", "campaign", 4).alias("campaign_id"),
        texts.account_id("account").alias("account_id"),
        texts.listed(CHANNELS, F.col("channel")).alias("channel"),
        texts.listed(CONTACT_KINDS, F.col("kind")).alias("kind"),
        F.col("contacted_at").cast("string").alias("happened_at"),
        texts.utc_text("exported_at").alias("exported_at"),
    )


def coupons(spark: SparkSession, settings: WorldSettings) -> DataFrame:
    """One row per coupon handed out, redeemed or expired, as the shop exports them."""
    return generated(spark, settings, coupon_batch, COUPON_SCHEMA).select(
        texts.numbered("U", "event_number", 13).alias("event_id"),
        texts.numbered("Q", "coupon_number", 13).alias("coupon_id"),
        texts.numbered("K", "campaign", 4).alias("campaign_id"),
        texts.account_id("account").alias("account_id"),
        texts.order_id("is_online", "order_number").alias("order_id"),
        texts.listed(COUPON_EVENTS, F.col("kind")).alias("event"),
        F.col("happened_at").cast("string").alias("happened_at"),
        F.col("expires_at").cast("string").alias("expires_at"),
        F.col("ratio").cast("decimal(4,2)").cast("string").alias("discount"),
        texts.utc_text("exported_at").alias("exported_at"),
    )
