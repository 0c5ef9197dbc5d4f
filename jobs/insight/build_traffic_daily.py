"""Build daily traffic by feed and campaign source: visitors, views and orders, with and without bots and repeated clicks."""

import sys

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.lakehouse.cleaning_settings import CleaningSettings
from jobs.lakehouse.event_kinds import is_product_view
from jobs.lakehouse.job import Job
from jobs.lakehouse.run import Run

TABLE = "gold.traffic_daily"
JOB = Job(reads=("silver.events", "silver.event_flags"), writes=(TABLE,), settings=(CleaningSettings,))
DAY = ("event_date", "source", "campaign_source")
NO_CAMPAIGN = "none"


def with_is_clean(events: DataFrame, flags: DataFrame) -> DataFrame:
    """The events with `is_clean`: whether neither a bot did them nor a click was repeated."""
    marked = flags.select("event_id", F.lit(False).alias("is_clean"))
    judged = events.join(marked, on="event_id", how="left")
    return judged.withColumn("is_clean", F.coalesce("is_clean", F.lit(True)))


def of_visitor(counts: Column, purchase_events: tuple[str, ...], suffix: str) -> list[Column]:
    """What one visitor did on a day, of the events for which a condition holds."""
    named = {
        "event_count": F.count_if(counts),
        "product_view_count": F.count_if(counts & is_product_view(purchase_events)),
        "order_count": F.size(F.collect_set(F.when(counts, F.col("order_id")))),
        "is_signed_in": F.bool_or(counts & F.col("account_id").isNotNull()),
    }
    return [measure.alias(f"{name}{suffix}") for name, measure in named.items()]


def of_day(suffix: str) -> list[Column]:
    """The measures of a day over its visitors."""
    is_visitor = F.col("device_token").isNotNull() & (F.col(f"event_count{suffix}") > 0)
    named = {
        "event_count": F.sum(f"event_count{suffix}"),
        "visitor_count": F.count_if(is_visitor),
        "signed_in_visitor_count": F.count_if(is_visitor & F.col(f"is_signed_in{suffix}")),
        "product_view_count": F.sum(f"product_view_count{suffix}"),
        "order_count": F.sum(f"order_count{suffix}"),
    }
    return [measure.cast("bigint").alias(f"{name}{suffix}") for name, measure in named.items()]


def as_daily_traffic(events: DataFrame, purchase_events: tuple[str, ...]) -> DataFrame:
    """One row per business day, feed and campaign source.

    A visitor is a device or cookie, and counts on each day and for each campaign source that brought it; events that tell no
    device count as events alone. An order that a visitor tells of twice on a day is one.

    Args:
        events: with `is_clean`.
        purchase_events: the names of events that tell of an order and are no view.
    """
    told = events.withColumn("campaign_source", F.coalesce("campaign_source", F.lit(NO_CAMPAIGN)))
    visitors = told.groupBy(*DAY, "device_token").agg(
        *of_visitor(F.lit(True), purchase_events, ""), *of_visitor(F.col("is_clean"), purchase_events, "_clean")
    )
    return visitors.groupBy(*DAY).agg(*of_day(""), *of_day("_clean"))


def build(run: Run) -> None:
    events = with_is_clean(run.read("silver.events"), run.read("silver.event_flags"))
    run.publish(TABLE, as_daily_traffic(events, tuple(run.part(CleaningSettings).purchase_events)))


if __name__ == "__main__":
    sys.exit(JOB.main(__doc__, build))
