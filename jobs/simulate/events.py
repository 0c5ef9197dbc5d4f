"""The feed of app and web events, as JSON lines in the Segment spec."""

import numpy as np
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.lakehouse.settings import WorldSettings
from jobs.simulate import texts
from jobs.simulate.assortment import product_ids
from jobs.simulate.batches import generated
from jobs.simulate.bots import bot_events, bots_told_with
from jobs.simulate.contacts import NONE, contacts
from jobs.simulate.draws import Columns, Integers, Stream, chosen, happens, scrambled
from jobs.simulate.funnel import all_events
from jobs.simulate.openings import login_events, login_traits, page_events, traits_of_last
from jobs.simulate.orders import only_channel, orders
from jobs.simulate.people import people
from jobs.simulate.rings import ring_events, ring_orders, rings, rings_led_by
from jobs.simulate.sales import ORDER_BITS, copies
from jobs.simulate.visits import (
    IDENTIFIED,
    PAGED,
    REPEATED_KEY,
    anonymous_ids,
    joined_events,
    message_ids,
    received_ms,
    visits,
)

NOT_REPEATED = 0

EVENT_SCHEMA = (
    "message long, name long, device long, anonymous long, account long, product long, order_number long,"
    " campaign long, agent long, network long, repeats long, surname long, given_name long, email long, phone long,"
    " happened_at timestamp_ntz, received_at timestamp_ntz, bad_event long, copies long, copy_months long"
)


def event_dirt(settings: WorldSettings, keys: Integers) -> Integers:
    """What is wrong with each event: NONE for nearly all, else a place in texts.BAD_EVENTS."""
    is_bad = happens(settings.seed, Stream.EVENT_DIRT, keys, settings.bad_event_share)
    return np.where(is_bad, chosen(settings.seed, Stream.EVENT_DIRT, keys, len(texts.BAD_EVENTS), 1), NONE)


def event_batch(settings: WorldSettings, persons: Integers) -> Columns:
    """One row per event of these persons, in numbers."""
    crowd = people(settings, persons)
    known = contacts(settings, crowd)
    crew = rings(settings, rings_led_by(settings, persons))
    come, placed = visits(settings, crowd, known), only_channel(orders(settings, crowd), is_online=True)
    events = joined_events(
        [
            all_events(settings, crowd, known, come, placed),
            ring_events(settings, crew, ring_orders(settings, crew)),
            bot_events(settings, bots_told_with(settings, persons)),
            page_events(settings, come),
            login_events(settings, come),
        ]
    )
    order_number = scrambled(settings.seed, "orders", events.order_key, ORDER_BITS)
    return {
        "message": message_ids(settings, events.key),
        "name": events.name,
        "device": events.device,
        "anonymous": anonymous_ids(settings, events.device),
        "account": events.account,
        "product": events.product,
        "order_number": np.where(events.order_key == NONE, NONE, order_number),
        "campaign": events.campaign,
        "agent": events.agent,
        "network": events.network,
        "repeats": np.where(events.key >= REPEATED_KEY, message_ids(settings, events.key % REPEATED_KEY), NOT_REPEATED),
        "happened_at": events.happened_ms.astype("datetime64[ms]").astype("datetime64[us]"),
        "received_at": received_ms(settings, events).astype("datetime64[ms]").astype("datetime64[us]"),
        "bad_event": event_dirt(settings, events.key),
        **traits_of_last(len(events.key), login_traits(settings, known, come)),
        **copies(settings, Stream.EVENT_COPY, events.key),
    }


def event_numbers(spark: SparkSession, settings: WorldSettings, partitions: int = 0) -> DataFrame:
    """One row per true event, in numbers; `copies` tells how often it is delivered again."""
    return generated(spark, settings, event_batch, EVENT_SCHEMA, partitions)


def campaign() -> Column:
    """Where the visitor came from; null for most."""
    tags = zip(("source", "medium", "name"), zip(*texts.CAMPAIGNS, strict=True), strict=True)
    named = F.struct(*[texts.listed(told, F.col("campaign")).alias(tag) for tag, told in tags])
    return F.when(F.col("campaign") >= 0, named)


def library() -> Column:
    """What collected the event, by which the channel is known; null where a crawler did without."""
    collected_by = texts.listed(texts.LIBRARIES, F.col("agent"))
    return F.when(collected_by.isNotNull(), F.struct(collected_by.alias("name")))


def page_name() -> Column:
    """The name of a page that is loaded; null of all that is no page."""
    landed = F.when(F.col("campaign") >= 0, F.lit("Landing Page")).otherwise(F.lit("Home"))
    return F.when(F.col("name") == PAGED, landed)


def traits() -> Column:
    """What a log-in tells of the person; null of all others."""
    told = F.struct(
        texts.email("surname", "given_name", "email").alias("email"), texts.phone_e164("phone").alias("phone")
    )
    return F.when(F.col("name") == IDENTIFIED, told)


def payload(settings: WorldSettings) -> Column:
    """The JSON text of an event; a field that an event lacks is absent."""
    context = F.struct(
        F.struct(texts.device_id("device").alias("id")).alias("device"),
        campaign().alias("campaign"),
        library().alias("library"),
        texts.listed((*texts.USER_AGENTS, *texts.BOT_AGENTS), F.col("agent")).alias("userAgent"),
        texts.network_address("network").alias("ip"),
    )
    properties = F.struct(
        texts.listed(product_ids(settings), F.col("product")).alias("product_id"),
        texts.numbered("W", "order_number", 14).alias("order_id"),
    )
    message = F.struct(
        texts.spoilt_in_event(texts.message_id("message"), "messageId", "bad_event").alias("messageId"),
        texts.spoilt_in_event(texts.listed(texts.EVENT_TYPES, F.col("name")), "type", "bad_event").alias("type"),
        texts.listed(texts.EVENT_NAMES, F.col("name")).alias("event"),
        page_name().alias("name"),
        F.concat(F.lit("n-"), texts.hexadecimal("anonymous")).alias("anonymousId"),
        texts.account_id("account").alias("userId"),
        traits().alias("traits"),
        context.alias("context"),
        properties.alias("properties"),
        texts.spoilt_in_event(texts.utc_text_with_millis("happened_at"), "timestamp", "bad_event").alias("timestamp"),
        texts.utc_text_with_millis("received_at").alias("receivedAt"),
    )
    return F.to_json(message)


def app_events(spark: SparkSession, settings: WorldSettings) -> DataFrame:
    """One row per event: its JSON text as `value`, and when it was received."""
    return event_numbers(spark, settings).select(
        payload(settings).alias("value"),
        texts.utc_text_with_millis("received_at").alias("exported_at"),
        F.col("copies"),
        F.col("copy_months"),
    )
