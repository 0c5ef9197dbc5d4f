"""Tickets, chats, complaints and notes of guides: more of them where service drives customers away."""

import numpy as np
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.lakehouse.settings import WorldSettings
from jobs.simulate import phrases, texts
from jobs.simulate.assortment import store_ids
from jobs.simulate.batches import generated
from jobs.simulate.contacts import NONE, contacts
from jobs.simulate.draws import Columns, Integers, Stream, chosen, scrambled, uniform, weighted_choice
from jobs.simulate.local_time import DAY_SECONDS, as_moments, next_export, second_of_day, wall_seconds_of
from jobs.simulate.opinions import member, members_shown, ratings, satisfactions
from jobs.simulate.orders import orders
from jobs.simulate.people import people
from jobs.simulate.sales import ORDER_BITS
from jobs.simulate.seasons import day_count

TICKET_SHARES = (0.0, 0.35, 0.2, 0.05, 0.015, 0.01)  # by true rating of the order, of orders
TICKET_KINDS = ("ticket", "chat", "complaint", "crm_note")
KIND_SHARES = np.array([0.35, 0.4, 0.1, 0.15])
UNHAPPY_KIND_SHARES = np.array([0.3, 0.2, 0.45, 0.05])
UNHAPPY_UP_TO = 2  # stars
CHANNELS = ("phone", "chat", "email", "wechat", "store")
AGENTS = 12
OPENED_WITHIN_DAYS = 9
CLOSED_WITHIN_SECONDS = 4 * DAY_SECONDS
OPEN_SHARE = 0.08
TICKET_BITS = 46
TICKET_SCHEMA = (
    "ticket_number long, kind long, topic long, channel long, member long, order_number long, is_online boolean, store long,"
    " agent long, text long, is_open boolean, opened_at timestamp_ntz, closed_at timestamp_ntz, exported_at timestamp_ntz"
)


def ticket_batch(settings: WorldSettings, persons: Integers) -> Columns:
    """One row per ticket that follows an order of these persons."""
    seed, crowd = settings.seed, people(settings, persons)
    known, placed = contacts(settings, crowd), orders(settings, crowd)
    rating = ratings(satisfactions(settings, crowd, placed))
    shown = members_shown(settings, known, placed)
    in_world = placed.day + OPENED_WITHIN_DAYS + 6 < day_count(settings)
    calls = uniform(seed, Stream.TICKET, placed.key) < np.array(TICKET_SHARES)[rating]
    kept = np.flatnonzero(calls & in_world & (shown != NONE))
    key, kind_draw = placed.key[kept], uniform(seed, Stream.TICKET, placed.key[kept], 1)
    kind = np.where(
        rating[kept] <= UNHAPPY_UP_TO,
        weighted_choice(kind_draw, UNHAPPY_KIND_SHARES),
        weighted_choice(kind_draw, KIND_SHARES),
    )
    day = placed.day[kept] + 1 + chosen(seed, Stream.TICKET, key, OPENED_WITHIN_DAYS, 2)
    opened = wall_seconds_of(settings, day, second_of_day(uniform(seed, Stream.TICKET, key, 3)))
    return {
        "ticket_number": scrambled(seed, "tickets", key, TICKET_BITS),
        "kind": kind,
        "topic": chosen(seed, Stream.TICKET, key, len(phrases.TICKET_TOPICS), 4),
        "channel": chosen(seed, Stream.TICKET, key, len(CHANNELS), 5),
        "member": shown[kept],
        "order_number": scrambled(seed, "orders", key, ORDER_BITS),
        "is_online": placed.is_online[kept],
        "store": placed.store[kept],
        "agent": chosen(seed, Stream.TICKET, key, AGENTS, 6),
        "text": chosen(seed, Stream.TICKET, key, len(phrases.TICKET_TEXTS), 7),
        "is_open": uniform(seed, Stream.TICKET, key, 8) < OPEN_SHARE,
        "opened_at": as_moments(opened),
        "closed_at": as_moments(opened + 300 + chosen(seed, Stream.TICKET, key, CLOSED_WITHIN_SECONDS, 9)),
        "exported_at": as_moments(next_export(settings, day + 5)),
    }


def said() -> Column:
    """The words of a ticket, which name the order and so the person: personal."""
    words = texts.listed(phrases.TICKET_TEXTS, F.col("text"))
    return F.concat(words, F.lit(" ("), texts.order_id("is_online", "order_number"), F.lit(")"))


def tickets(spark: SparkSession, settings: WorldSettings) -> DataFrame:
    """One row per ticket, chat, complaint or note: its JSON text as `value`, and when it was exported."""
    told = generated(spark, settings, ticket_batch, TICKET_SCHEMA)
    message = F.struct(
        texts.numbered("H", "ticket_number", 14).alias("id"),
        texts.listed(TICKET_KINDS, F.col("kind")).alias("kind"),
        texts.listed(phrases.TICKET_TOPICS, F.col("topic")).alias("topic"),
        texts.listed(CHANNELS, F.col("channel")).alias("channel"),
        F.struct(
            member().alias("member"),
            texts.order_id("is_online", "order_number").alias("order"),
            texts.listed(store_ids(settings), F.col("store")).alias("store"),
        ).alias("about"),
        texts.numbered("G", "agent", 3).alias("agent"),
        said().alias("text"),
        F.when(F.col("is_open"), "open").otherwise("closed").alias("status"),
        texts.utc_text("opened_at_utc").alias("opened_at"),
        F.when(~F.col("is_open"), texts.utc_text("closed_at_utc")).alias("closed_at"),
        texts.utc_text("exported_at").alias("exported_at"),
    )
    zone = F.lit(settings.time_zone)
    in_utc = {
        f"{name}_utc": F.to_utc_timestamp(F.col(name).cast("timestamp"), zone).cast("timestamp_ntz")
        for name in ("opened_at", "closed_at")
    }
    return told.withColumns(in_utc).select(
        F.to_json(message).alias("value"), texts.utc_text("exported_at").alias("exported_at")
    )
