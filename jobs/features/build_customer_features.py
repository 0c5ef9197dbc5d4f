"""Build customer features as of the run date and the dates of the churn panel: only what had happened, arrived and was linked by then."""

import datetime as dt
import sys

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.features.currency import refuse_other_currencies
from jobs.features.panel import panel_dates
from jobs.features.visibility import (
    as_known,
    as_of_dates,
    touched_customers,
    until_excluded,
    until_lines_excluded,
    with_customer,
)
from jobs.lakehouse.basis import changed_inputs, read_before
from jobs.lakehouse.caching import cached
from jobs.lakehouse.job import Job
from jobs.lakehouse.run import Run
from jobs.lakehouse.settings import ChurnSettings, FeatureSettings
from jobs.lakehouse.tables import date_slices

TABLE, LINES, IDS = "gold.customer_features", "silver.order_lines", "silver.customer_ids"
JOB = Job(
    reads=(
        LINES,
        "silver.events",
        IDS,
        "silver.order_flags",
        "silver.order_line_flags",
        "silver.event_flags",
    ),
    writes=(TABLE,),
    settings=(FeatureSettings, ChurnSettings),
    is_dated=True,
)
KEYS = ("as_of_date", "customer_id")


def as_known_orders(lines: DataFrame) -> DataFrame:
    """One row per as-of date, customer and order or return, from the product lines known by then."""
    return lines.groupBy(*KEYS, "order_id").agg(
        F.max("as_of").alias("as_of"),
        F.min("ordered_date").alias("ordered_date"),
        F.sum("line_amount").alias("order_amount"),
        F.sum("quantity").alias("piece_count"),
        F.every("is_return").alias("is_return"),
        F.first("channel").alias("channel"),
    )


def within(days: int) -> Column:
    """Whether a row's day lies among the last days up to the as-of date, that one included."""
    return F.col("days_ago") < days


def order_features(orders: DataFrame, windows_days: tuple[int, ...]) -> DataFrame:
    """One row per as-of date and customer who had ordered: counts, amounts, recency and rhythm of orders."""
    dated = orders.withColumn("days_ago", F.date_diff("as_of_date", "ordered_date"))
    is_order, is_online = ~F.col("is_return"), F.col("channel") == "online"
    day = F.when(is_order, F.col("ordered_date"))
    measures = [
        F.min(day).alias("first_order_date"),
        F.date_diff(F.first("as_of_date"), F.max(day)).alias("days_since_last_order"),
        F.date_diff(F.first("as_of_date"), F.max(F.when(~is_order, F.col("ordered_date")))).alias(
            "days_since_last_return"
        ),
        F.count_if(is_order).alias("order_count"),
        F.count_distinct(day).alias("_order_days"),
        F.max(day).alias("_last_order_date"),
    ]
    for days in windows_days:
        recent = within(days)
        measures += [
            F.count_if(is_order & recent).alias(f"order_count_{days}d"),
            F.sum(F.when(recent, F.col("order_amount")).otherwise(0)).alias(f"order_amount_sum_{days}d"),
            F.sum(F.when(is_order & recent, F.col("piece_count")).otherwise(0)).alias(f"piece_count_{days}d"),
            F.count_if(~is_order & recent).alias(f"return_count_{days}d"),
            F.count_if(is_order & is_online & recent).alias(f"online_order_count_{days}d"),
        ]
    measures.append(F.avg(F.when(is_order & within(365), F.col("order_amount"))).alias("order_amount_mean_365d"))
    return with_rhythm(dated.groupBy(*KEYS).agg(*measures).where("first_order_date is not null"))


def with_rhythm(features: DataFrame) -> DataFrame:
    """The features with tenure, the mean interval between order days, and how overdue the next order is."""
    interval = F.date_diff("_last_order_date", "first_order_date") / (F.col("_order_days") - 1)
    return (
        features.withColumns(
            {
                "tenure_days": F.date_diff("as_of_date", "first_order_date"),
                "order_interval_days": F.when(F.col("_order_days") > 1, interval),
            }
        )
        .withColumn("recency_to_interval_ratio", F.try_divide("days_since_last_order", "order_interval_days"))
        .drop("_order_days", "_last_order_date")
    )


def event_features(events: DataFrame, windows_days: tuple[int, ...]) -> DataFrame:
    """One row per as-of date and customer with events: how many, on how many days, and how long ago the last."""
    dated = events.withColumn("days_ago", F.date_diff("as_of_date", "event_date"))
    measures = [F.date_diff(F.first("as_of_date"), F.max("event_date")).alias("days_since_last_event")]
    for days in windows_days:
        measures += [
            F.count_if(within(days)).alias(f"event_count_{days}d"),
            F.count_distinct(F.when(within(days), F.col("event_date"))).alias(f"active_day_count_{days}d"),
        ]
    return dated.groupBy(*KEYS).agg(*measures)


def account_features(customer_ids: DataFrame, dates: DataFrame) -> DataFrame:
    """One row per as-of date and customer: how many accounts were known to be theirs."""
    spans = customer_ids.where("identifier_kind = 'account'").select(
        "customer_id", F.col("valid_from").alias("visible_from"), F.col("valid_to").alias("visible_to")
    )
    return as_known(spans, dates).groupBy(*KEYS).agg(F.count("*").cast("int").alias("account_count"))


def customer_features(
    lines: DataFrame, events: DataFrame, customer_ids: DataFrame, dates: DataFrame, windows_days: tuple[int, ...]
) -> DataFrame:
    """One row per as-of date and customer who had ordered by then."""
    sold = lines.where("account_id is not null and line_kind = 'product'").withColumn(
        "happened_at", F.col("ordered_at")
    )
    known_lines = as_known(with_customer(sold, customer_ids, "account", "account_id"), dates)
    happened = events.withColumn("happened_at", F.col("event_at"))
    by_account = with_customer(happened.where("account_id is not null"), customer_ids, "account", "account_id")
    by_device = with_customer(happened.where("account_id is null"), customer_ids, "device", "device_token")
    columns = ["customer_id", "event_date", "visible_from", "visible_to"]
    known_events = as_known(by_account.select(*columns).unionByName(by_device.select(*columns)), dates)
    products = known_lines.where((F.date_diff("as_of_date", "ordered_date") < 365) & ~F.col("is_return"))
    variety = products.groupBy(*KEYS).agg(F.count_distinct("product_id").alias("product_count_365d"))
    features = order_features(as_known_orders(known_lines), windows_days)
    for part in (event_features(known_events, windows_days), variety, account_features(customer_ids, dates)):
        features = features.join(part, on=list(KEYS), how="left")
    counts = [name for name in features.columns if "_count" in name]
    return features.fillna(0, subset=counts).withColumn(
        "online_order_ratio_365d", F.try_divide("online_order_count_365d", "order_count_365d")
    )


def wanted_dates(run_date: dt.date, features: FeatureSettings, churn: ChurnSettings) -> list[dt.date]:
    """The run date and the dates of the panel."""
    return sorted({run_date, *panel_dates(run_date, features, churn)})


def clean_rows(run: Run, is_wanted: bool) -> tuple[DataFrame, DataFrame]:
    """The order lines and events; where wanted, each only until it was known that clean figures leave it out.

    Raises:
        DataError: some lines are in another currency than the dataset's.
    """
    lines, events = run.read(LINES), run.read("silver.events")
    refuse_other_currencies(lines, LINES, run.settings.calendar.currency_code)
    if not is_wanted:
        return lines, events
    lines = until_lines_excluded(lines, run.read("silver.order_flags"), run.read("silver.order_line_flags"))
    event_flags = run.read("silver.event_flags").withColumnRenamed("arrived_at", "excluded_at")
    return lines, until_excluded(events, event_flags, "event_id")


def touched_since(run: Run, customer_ids: DataFrame) -> DataFrame | None:
    """One row per customer whose features have to be worked out anew, where identity alone has changed; None where it is all of them."""
    is_alone = changed_inputs(run) == frozenset({IDS})
    before = read_before(run, IDS) if is_alone else None
    if before is None:
        return None
    touched = run.keep(cached(touched_customers(before, customer_ids)))
    run.facts["features"] = f"of {touched.count():,} customers anew, for of the inputs identity alone has changed"
    return touched


def with_untouched(anew: DataFrame, published: DataFrame | None, touched: DataFrame) -> DataFrame:
    """The features of the touched customers, and of all others those that were published."""
    others = None if published is None else published.join(touched, on="customer_id", how="left_anti")
    return anew if others is None else anew.unionByName(others)


def build(run: Run) -> None:
    settings, churn = run.part(FeatureSettings), run.part(ChurnSettings)
    days = wanted_dates(run.run_date, settings, churn)
    lines, events = clean_rows(run, settings.exclude_flagged)
    customer_ids = run.read(IDS)
    touched = touched_since(run, customer_ids)
    if touched is not None:
        customer_ids = customer_ids.join(touched, on="customer_id", how="left_semi")
    dates = as_of_dates(run.spark, days, run.time_zone)
    features = customer_features(lines, events, customer_ids, dates, settings.windows_days)
    priced = features.withColumn("currency_code", F.lit(run.settings.calendar.currency_code))
    if touched is not None:
        published = run.previous(TABLE)
        of_days = None if published is None else published.where(F.col("as_of_date").isin(days))
        priced = with_untouched(priced, of_days, touched)
    run.publish(TABLE, priced, date_slices("as_of_date", days))


if __name__ == "__main__":
    sys.exit(JOB.main(__doc__, build))
