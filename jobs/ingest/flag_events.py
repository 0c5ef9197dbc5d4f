"""Flag the events of bots and the repeated clicks in silver event flags; the events themselves stay as they came."""

import sys

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from jobs.ingest.bots import as_device_days
from jobs.lakehouse.cleaning_settings import CleaningSettings
from jobs.lakehouse.event_kinds import is_tracked
from jobs.lakehouse.job import Job
from jobs.lakehouse.run import Run

TABLE = "silver.event_flags"
JOB = Job(reads=("silver.events",), writes=(TABLE,), settings=(CleaningSettings,))
WHAT_WAS_DONE = ("device_token", "event_type", "event_name", "product_id", "order_id")


def as_repeated_clicks(events: DataFrame, within_ms: int) -> DataFrame:
    """One row per event that says what its device had said at most so many milliseconds before: `event_id`, `known_at`.

    Of events at the very same time the one with the least id counts as the first. Pages that load and log-ins are no clicks.
    """
    timed = events.where(F.col("device_token").isNotNull() & is_tracked()).withColumn(
        "_micros", F.unix_micros("event_at")
    )
    in_order = Window.partitionBy(*WHAT_WAS_DONE).orderBy("_micros")
    before = F.min("arrived_at").over(in_order.rangeBetween(-1000 * within_ms, -1))
    first = F.min(F.struct("event_id", "arrived_at")).over(in_order.rangeBetween(0, 0))
    twin = F.when(first["event_id"] < F.col("event_id"), first["arrived_at"])
    told = timed.withColumn("_first_arrived_at", F.least(before, twin))
    known_at = F.greatest("arrived_at", "_first_arrived_at").alias("known_at")
    return told.where("_first_arrived_at is not null").select("event_id", known_at)


def as_event_flags(events: DataFrame, settings: CleaningSettings, time_zone: str) -> DataFrame:
    """One row per event that bears a mark; `arrived_at` is when the evidence of the first mark was complete."""
    clicks = as_repeated_clicks(events, settings.repeated_click_ms).withColumnRenamed("known_at", "repeat_known_at")
    days = as_device_days(events, settings, time_zone).where(F.col("confidence") >= settings.bot_confidence)
    of_event = F.greatest("arrived_at", "known_at").alias("bot_known_at")
    bots = events.join(days, on=["device_token", "event_date"], how="inner").select(
        "event_id", of_event, "confidence", "reasons"
    )
    is_bot, is_repeated = F.col("bot_known_at").isNotNull(), F.col("repeat_known_at").isNotNull()
    no_reasons = F.array().cast("array<string>")
    return bots.join(clicks, on="event_id", how="full").select(
        "event_id",
        is_bot.alias("is_bot"),
        is_repeated.alias("is_repeated_click"),
        F.concat(
            F.coalesce("reasons", no_reasons),
            F.when(is_repeated, F.array(F.lit("repeated_click"))).otherwise(no_reasons),
        ).alias("reasons"),
        F.greatest("confidence", F.when(is_repeated, 1.0)).alias("confidence"),
        F.least("bot_known_at", "repeat_known_at").alias("arrived_at"),
    )


def build(run: Run) -> None:
    run.publish(TABLE, as_event_flags(run.read("silver.events"), run.part(CleaningSettings), run.time_zone))


if __name__ == "__main__":
    sys.exit(JOB.main(__doc__, build))
