"""Bots: the signs that a program, and no person, is behind the events of a device on a day."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from jobs.ingest.evidence import complete_at, joint_confidence, signs_that_hold, with_distance
from jobs.lakehouse.cleaning_settings import CleaningSettings
from jobs.lakehouse.event_kinds import is_product_view, is_purchase

SECOND = 1_000_000  # in microseconds
MINUTE = 60 * SECOND
HOUR = 3600 * SECOND
# A network among so many events before is not a new one.
EVENTS_BACK = 12
# The signs, each with the time at which it was known in a column of its own; null where it does not hold.
SIGNS = (
    "declared_agent",
    "event_rate",
    "fast_products",
    "round_the_clock",
    "busy_day",
    "purchase_without_view",
    "network_hops",
    "looks_alone",
)


def declares_itself(user_agent: Column, patterns: tuple[str, ...]) -> Column:
    """Whether a user agent says that it is a program."""
    return F.coalesce(user_agent.rlike("(?i)(" + "|".join(patterns) + ")"), F.lit(False))


def within(rows_back: int, microseconds: int) -> Column:
    """When an event completes so many within a time on its device: the arrival of the last of them; null else."""
    in_order = Window.partitionBy("device_token").orderBy("_micros", "event_id")
    first = F.lag("_micros", rows_back - 1).over(in_order)
    arrived = F.max("arrived_at").over(in_order.rowsBetween(1 - rows_back, 0))
    return F.when(F.col("_micros") - first <= microseconds, arrived)


def nth_least(time: str, number: int) -> Column:
    """Over the rows of a group, the time at which so many of them were known; null where they are fewer."""
    return F.try_element_at(F.sort_array(F.collect_list(time)), F.lit(number))


def with_event_signs(events: DataFrame, settings: CleaningSettings) -> DataFrame:
    """The events of known devices with the times at which signs in the single event, or the run of events up to it, were known."""
    in_order = Window.partitionBy("device_token").orderBy("_micros", "event_id")
    # A growing window: a sliding one is counted anew at each row, which a device with a million events would feel.
    so_far = Window.partitionBy("device_token").orderBy("_micros").rangeBetween(Window.unboundedPreceding, 0)
    last_view = F.max(F.when(is_product_view(settings.purchase_events), F.col("_micros"))).over(so_far)
    has_looked = F.coalesce(F.col("_micros") - last_view <= settings.browse_hours * HOUR, F.lit(False))
    # Two tabs, or the house and the street, take turns between two networks; proxies are ever new ones.
    lately = F.collect_set("network").over(in_order.rowsBetween(-EVENTS_BACK, -1))
    # Several persons at one device each have a network of their own.
    is_another = F.coalesce(F.col("account_id") != F.lag("account_id").over(in_order), F.lit(False))
    is_hop = (
        (F.col("network") != F.lag("network").over(in_order))
        & ~F.array_contains(lately, F.col("network"))
        & (F.col("_micros") - F.lag("_micros").over(in_order) <= settings.bot_hop_minutes * MINUTE)
        & ~is_another
    )
    products = settings.bot_fast_products
    last_products = F.collect_set("product_id").over(in_order.rowsBetween(1 - products, 0))
    fast = within(products, settings.bot_fast_seconds * SECOND)
    timed = events.where("device_token is not null").withColumn("_micros", F.unix_micros("event_at"))
    declared = declares_itself(F.col("user_agent"), settings.bot_agents)
    return timed.withColumns(
        {
            "declared_agent": F.when(declared, F.col("arrived_at")),
            "event_rate": within(settings.bot_events_per_minute, MINUTE),
            "network_hops": F.when(is_hop, F.col("arrived_at")),
            "fast_products": F.when(F.size(last_products) == products, fast),
            "purchase_without_view": F.when(is_purchase(settings.purchase_events) & ~has_looked, F.col("arrived_at")),
        }
    )


def only_looking(events: DataFrame, settings: CleaningSettings) -> DataFrame:
    """One row per device that looked at so many products and had done nothing else: `looks_alone_at`, `did_else_at`.

    A person loads a page, logs in, puts something into the cart or buys sooner or later; `did_else_at` is when the device
    was first known to have done so after all, null where it never was. It is asked only of devices whose feeds tell such
    things of anybody.
    """
    is_look = is_product_view(settings.purchase_events)
    known = events.where("device_token is not null").withColumn("_is_look", is_look)
    tells_else = known.where("not _is_look").select("source").distinct()
    told = known.join(F.broadcast(tells_else), on="source", how="left_semi")
    often = told.groupBy("device_token").agg(F.count_if("_is_look").alias("_looks"))
    often = often.where(F.col("_looks") >= settings.bot_looks_alone).select("device_token")
    so_far = Window.partitionBy("device_token").orderBy("arrived_at").rangeBetween(Window.unboundedPreceding, 0)
    counted = told.join(often, on="device_token", how="left_semi").withColumns(
        {"_looks": F.count_if("_is_look").over(so_far), "_others": F.count_if(~F.col("_is_look")).over(so_far)}
    )
    is_alone = (F.col("_looks") >= settings.bot_looks_alone) & (F.col("_others") == 0)
    return (
        counted.groupBy("device_token")
        .agg(
            F.min(F.when(is_alone, F.col("arrived_at"))).alias("looks_alone_at"),
            F.min(F.when(~F.col("_is_look"), F.col("arrived_at"))).alias("did_else_at"),
        )
        .where("looks_alone_at is not null")
    )


def as_device_days(events: DataFrame, settings: CleaningSettings, time_zone: str) -> DataFrame:
    """One row per device and business day with any sign of a bot: `known_at`, `confidence`, `reasons`.

    A busy day is one far above what devices do on a day, and above a floor that no person reaches. Many products must
    follow one another without a pause: a few at a time are tabs that somebody opens before reading them, a clock that
    stood still while its events were stamped, or two persons with one device, however often that comes on a day; a
    program goes on. Who only ever looks is a bot on all days of which anything had arrived before it did something else.
    """
    hour = F.hour(F.from_utc_timestamp("event_at", time_zone))
    single = ("declared_agent", "event_rate", "fast_products", "purchase_without_view")
    from_events = [F.min(sign).alias(sign) for sign in single]
    from_events.append(nth_least("network_hops", settings.bot_network_hops).alias("network_hops"))
    days = (
        with_event_signs(events, settings)
        .groupBy("device_token", "event_date")
        .agg(
            *from_events,
            F.count("*").alias("event_count"),
            F.count_distinct(hour).alias("hours"),
            F.min("arrived_at").alias("first_arrived_at"),
            F.max("arrived_at").alias("last_arrived_at"),
        )
    )
    did_else = F.coalesce(F.col("did_else_at") <= F.col("first_arrived_at"), F.lit(False))
    spread, sample = settings.least_log_spread, settings.least_sample
    placed = with_distance(days, [], "event_count", spread, sample)
    far = placed.join(only_looking(events, settings), on="device_token", how="left").withColumns(
        {
            "round_the_clock": F.when(F.col("hours") >= settings.bot_active_hours, F.col("last_arrived_at")),
            "looks_alone": F.when(~did_else, F.col("looks_alone_at")),
            "busy_day": F.when(
                (F.col("event_count") >= settings.bot_busy_day_events)
                & (F.col("event_count_distance") >= settings.robust_z),
                F.col("last_arrived_at"),
            ),
        }
    )
    holds = {sign: F.col(sign).isNotNull() for sign in SIGNS}
    known_at = {sign: F.col(sign) for sign in SIGNS}
    return far.select(
        "device_token",
        "event_date",
        joint_confidence(settings.bot_weights, holds).alias("confidence"),
        complete_at(settings.bot_weights, known_at, settings.bot_confidence).alias("known_at"),
        signs_that_hold(holds).alias("reasons"),
    ).where("known_at is not null")
