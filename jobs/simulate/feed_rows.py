"""The truth about rows: which come, under which id, how often, and which are spoilt; by it cleaning is judged row by row."""

from functools import partial, reduce

import numpy as np
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.lakehouse.settings import WorldSettings
from jobs.simulate import texts
from jobs.simulate.batches import generated
from jobs.simulate.contacts import NONE
from jobs.simulate.draws import Columns, Integers
from jobs.simulate.events import event_batch
from jobs.simulate.sales import NEAR_COPY_KINDS, order_id, sale_batch

FEEDS = ("web_orders", "pos_receipts", "app_events")
LINE_COLUMNS = ("order_number", "is_return", "line_no", "copies", "near_copy", "spoilt")
LINE_SCHEMA = "order_number long, is_return boolean, line_no long, copies long, near_copy long, spoilt long"
EVENT_SCHEMA = "message long, received_at timestamp_ntz, copies long, bad_event long"
SPOILT_FIELDS = ("ordered_at", "unit_price")


def line_batch(is_online: bool, settings: WorldSettings, persons: Integers) -> Columns:
    """One row per true line of one channel's orders by these persons; `spoilt` is a place in SPOILT_FIELDS."""
    lines = sale_batch(is_online, settings, persons)
    spoilt = np.where(lines["bad_date"] >= 0, 0, np.where(lines["bad_price"] >= 0, 1, NONE))
    return {name: (lines | {"spoilt": spoilt})[name] for name in LINE_COLUMNS}


def event_rows(settings: WorldSettings, persons: Integers) -> Columns:
    """One row per true event told of with these persons."""
    seen = event_batch(settings, persons)
    return {name: seen[name] for name in ("message", "received_at", "copies", "bad_event")}


def feed_rows(spark: SparkSession, settings: WorldSettings) -> DataFrame:
    """One row per true row of a transactional feed: how often it comes again, to the letter or nearly, and its spoilt field.

    A row's id is what silver makes its own of: the order and the line, or the message. An event that lost its message's id is
    known by when it was received.
    """
    near_copy = texts.listed(NEAR_COPY_KINDS, F.col("near_copy"))
    channels = {"web_orders": (True, "W"), "pos_receipts": (False, "T")}
    lines = [
        generated(spark, settings, partial(line_batch, is_online), LINE_SCHEMA).select(
            F.lit(feed).alias("feed"),
            F.concat_ws(":", order_id(prefix), "line_no").alias("row_id"),
            F.col("copies").cast("int").alias("copies"),
            near_copy.alias("near_copy"),
            texts.listed(SPOILT_FIELDS, F.col("spoilt")).alias("spoilt_field"),
        )
        for feed, (is_online, prefix) in channels.items()
    ]
    spoilt_field = texts.listed([field for field, _ in texts.BAD_EVENTS], F.col("bad_event"))
    received = F.concat(F.lit("received at "), texts.utc_text_with_millis("received_at"))
    events = generated(spark, settings, event_rows, EVENT_SCHEMA).select(
        F.lit("app_events").alias("feed"),
        F.when(spoilt_field == "messageId", received).otherwise(texts.message_id("message")).alias("row_id"),
        F.col("copies").cast("int").alias("copies"),
        F.lit(None).cast("string").alias("near_copy"),
        spoilt_field.alias("spoilt_field"),
    )
    return reduce(DataFrame.unionByName, [*lines, events])


def feeds(rows: DataFrame) -> DataFrame:
    """One row per transactional feed: its distinct true rows, the copies and near copies of them, and the rows spoilt."""
    return (
        rows.groupBy("feed")
        .agg(
            F.count("*").alias("true_rows"),
            F.sum("copies").alias("duplicate_rows"),
            F.count("near_copy").alias("near_duplicate_rows"),
            F.count("spoilt_field").alias("bad_rows"),
        )
        .coalesce(1)
    )
