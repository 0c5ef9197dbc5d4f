"""The truth about what doesn't belong: bots, brushing rings, repeated clicks, near duplicates and mistyped lines."""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.lakehouse.settings import WorldSettings
from jobs.simulate import texts
from jobs.simulate.addresses import member_addresses
from jobs.simulate.batches import generated
from jobs.simulate.bots import CRAWLER, KINDS, bot_batch
from jobs.simulate.draws import Columns, Integers
from jobs.simulate.events import NOT_REPEATED, event_batch
from jobs.simulate.funnel import drop_off_rows
from jobs.simulate.payers import member_payers
from jobs.simulate.rings import SHARED, is_camouflaged, rings, rings_led_by
from jobs.simulate.sales import NEAR_COPY_KINDS, OUTLIER_FIELDS, RENUMBERED_BY, order_id, sale_batch

MARKED_COLUMNS = [
    *("order_number", "is_return", "line_no", "near_copy", "outlier", "true_quantity", "true_unit_cents", "ring")
]
MARKED_SCHEMA = (
    "is_online boolean, order_number long, is_return boolean, line_no long, near_copy long, outlier long,"
    " true_quantity long, true_unit_cents long, ring long"
)
RING_SCHEMA = "ring_id long, account long, device long, address long, payer long, is_camouflaged boolean, unshared long"


def ring_batch(settings: WorldSettings, persons: Integers) -> Columns:
    """One row per member of the rings that are told of together with these persons."""
    crew = rings(settings, rings_led_by(settings, persons))
    return {
        "ring_id": crew.ring,
        "account": crew.account,
        "device": crew.device,
        "address": member_addresses(settings, crew),
        "payer": member_payers(settings, crew),
        "is_camouflaged": is_camouflaged(settings, crew.ring),
        "unshared": crew.unshared,
    }


def bots(spark: SparkSession, settings: WorldSettings) -> DataFrame:
    """One row per device of a bot: every event of the device is the bot's."""
    found = generated(spark, settings, bot_batch, "bot long, device long, kind long")
    return found.select(
        texts.device_id("device").alias("device_id"),
        F.col("bot").alias("bot_id"),
        texts.listed(KINDS, F.col("kind")).alias("kind"),
        (F.col("kind") == CRAWLER).alias("is_declared"),
    )


def brushing_rings(spark: SparkSession, settings: WorldSettings) -> DataFrame:
    """One row per account of a brushing ring, with what the ring's accounts share."""
    return generated(spark, settings, ring_batch, RING_SCHEMA).select(
        texts.account_id("account").alias("account_id"),
        "ring_id",
        texts.device_id("device").alias("device_id"),
        texts.delivery_address("address", F.lit(99)).alias("delivery_address"),
        texts.payer("payer").alias("payer"),
        "is_camouflaged",
        texts.listed(SHARED, F.col("unshared")).alias("not_shared"),
    )


def repeated_batch(settings: WorldSettings, persons: Integers) -> Columns:
    """One row per click that repeats another, among those told of with these persons."""
    seen = event_batch(settings, persons)
    kept = seen["repeats"] != NOT_REPEATED
    return {name: seen[name][kept] for name in ("message", "repeats")}


def repeated_clicks(spark: SparkSession, settings: WorldSettings) -> DataFrame:
    """One row per click that repeats another within a second: its message and that of the first."""
    return generated(spark, settings, repeated_batch, "message long, repeats long").select(
        texts.message_id("message").alias("message_id"), texts.message_id("repeats").alias("first_message_id")
    )


def marked_batch(mark: str, settings: WorldSettings, persons: Integers) -> Columns:
    """One row per line of both channels that has this mark: what it was, and in which channel."""
    parts = []
    for is_online in (True, False):
        lines = sale_batch(is_online, settings, persons)
        kept = lines[mark] >= 0
        told = {name: lines[name][kept] for name in MARKED_COLUMNS}
        parts.append(told | {"is_online": np.full(int(kept.sum()), is_online)})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def marked_lines(spark: SparkSession, settings: WorldSettings, mark: str) -> DataFrame:
    """The lines of both channels that have a mark, with their feed and order."""
    return generated(spark, settings, partial(marked_batch, mark), MARKED_SCHEMA).select(
        F.when(F.col("is_online"), "web_orders").otherwise("pos_receipts").alias("feed"),
        F.when(F.col("is_online"), order_id("W")).otherwise(order_id("T")).alias("order_id"),
        *MARKED_COLUMNS,
    )


def near_duplicates(spark: SparkSession, settings: WorldSettings) -> DataFrame:
    """One row per order line that was told again in other words, or under another line number."""
    line_no = F.col("line_no").cast("int")
    is_renumbered = F.col("near_copy") == NEAR_COPY_KINDS.index("numbered anew")
    return marked_lines(spark, settings, "near_copy").select(
        "feed",
        "order_id",
        F.when(is_renumbered, line_no + RENUMBERED_BY).otherwise(line_no).alias("line_no"),
        line_no.alias("first_line_no"),
        texts.listed(NEAR_COPY_KINDS, F.col("near_copy")).alias("kind"),
    )


def outliers(spark: SparkSession, settings: WorldSettings) -> DataFrame:
    """One row per order line whose quantity or price was mistyped, with the true ones."""
    return marked_lines(spark, settings, "outlier").select(
        "feed",
        "order_id",
        F.col("line_no").cast("int").alias("line_no"),
        texts.listed(OUTLIER_FIELDS, F.col("outlier")).alias("field"),
        F.col("true_quantity").cast("int").alias("true_quantity"),
        (F.col("true_unit_cents") / 100).cast("decimal(18,4)").alias("true_unit_price"),
    )


def brushed_orders(spark: SparkSession, settings: WorldSettings) -> DataFrame:
    """One row per order of a brushing ring, sold or brought back."""
    return marked_lines(spark, settings, "ring").select("order_id", F.col("ring").alias("ring_id"), "is_return")


BAD_ACTOR_TABLES: Mapping[str, Callable[[SparkSession, WorldSettings], DataFrame]] = {
    "bots": bots,
    "brushing_rings": brushing_rings,
    "brushed_orders": brushed_orders,
    "repeated_clicks": repeated_clicks,
    "near_duplicates": near_duplicates,
    "outliers": outliers,
    "drop_offs": drop_off_rows,
}
