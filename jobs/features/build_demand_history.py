"""Build the weekly demand of each product and store: closed ISO weeks only, zeros filled, with price and promotion."""

import sys

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from jobs.features.currency import refuse_other_currencies
from jobs.features.visibility import until_lines_excluded
from jobs.lakehouse.days import week_of
from jobs.lakehouse.job import Job
from jobs.lakehouse.run import Run
from jobs.lakehouse.settings import DemandSettings, FeatureSettings

TABLE = "gold.demand_history"
JOB = Job(
    reads=("silver.order_lines", "silver.order_flags", "silver.order_line_flags"),
    writes=(TABLE,),
    settings=(DemandSettings, FeatureSettings),
)
SERIES = ("product_id", "store_id")
# A price this far below list counts as a promotion.
PROMOTION_DISCOUNT = 0.05


def closed_at(week_start_date: Column, close_after_days: int, time_zone: str) -> Column:
    """The instant at which a week is closed: days after its Sunday ends, in the business's time zone."""
    day = F.date_add(week_start_date, 7 + close_after_days).cast("timestamp")
    return F.to_utc_timestamp(day, time_zone)


def as_weekly_sales(lines: DataFrame, close_after_days: int, time_zone: str) -> DataFrame:
    """One row per product, store and week with sales; pieces that arrived after the close are counted apart.

    A line's amount and quantity are those that were known at the close.
    """
    dated = lines.where("line_kind = 'product' and not is_return").withColumn(
        "week_start_date", week_of("ordered_date")
    )
    close = closed_at(F.col("week_start_date"), close_after_days, time_zone)
    superseded_before = F.col("superseded_at").isNotNull() & (F.col("superseded_at") < close)
    is_on_time = F.col("arrived_at") < close
    counted = dated.where(~superseded_before & (is_on_time | F.col("superseded_at").isNull()))
    on_time = F.when(is_on_time, F.col("quantity")).otherwise(0)
    list_price = F.coalesce("list_price_amount", "unit_price_amount")
    is_promoted = F.col("unit_price_amount") <= list_price * (1 - PROMOTION_DISCOUNT)
    return counted.groupBy(*SERIES, "week_start_date").agg(
        F.sum(on_time).alias("gross_units"),
        F.sum(F.when(is_on_time, 0).otherwise(F.col("quantity"))).alias("late_units"),
        F.try_divide(F.sum(on_time * F.col("unit_price_amount")), F.sum(on_time)).alias("price_amount"),
        F.try_divide(F.sum(on_time * list_price), F.sum(on_time)).alias("list_price_amount"),
        F.coalesce(F.try_divide(F.sum(F.when(is_promoted, on_time).otherwise(0)), F.sum(on_time)), F.lit(0.0))
        .cast("double")
        .alias("promotion_ratio"),
    )


def last_closed_week(lines: DataFrame, close_after_days: int, time_zone: str) -> DataFrame:
    """One row: the Monday of the newest week that the data reach beyond the close of.

    Data reach as far as the newest ordered day whose line has arrived: a function of the rows, not of the clock.
    """
    reached = F.max(F.to_date(F.from_utc_timestamp(F.least("arrived_at", "ordered_at"), time_zone)))
    ended = lines.agg(reached.alias("reached_date")).select(
        F.date_add("reached_date", 1 - close_after_days).alias("day")
    )
    return ended.select(F.date_add(week_of("day"), -7).alias("last_week"))


def as_filled_weeks(sales: DataFrame, last_week: DataFrame) -> DataFrame:
    """One row per product, store and week from the pair's first sale to the last closed week; no sale is zero."""
    spans = sales.groupBy(*SERIES).agg(F.min("week_start_date").alias("first_week"))
    weeks = (
        spans.crossJoin(F.broadcast(last_week))
        .where("first_week <= last_week")
        .select(
            *SERIES,
            F.explode(F.sequence("first_week", "last_week", F.expr("interval 7 days"))).alias("week_start_date"),
        )
    )
    filled = weeks.join(sales, on=[*SERIES, "week_start_date"], how="left").fillna(
        0, ["gross_units", "late_units", "promotion_ratio"]
    )
    so_far = Window.partitionBy(*SERIES).orderBy("week_start_date").rowsBetween(Window.unboundedPreceding, 0)
    return filled.withColumns(
        {name: F.last(name, ignorenulls=True).over(so_far) for name in ("price_amount", "list_price_amount")}
    )


def iso_week(day: Column) -> Column:
    """The ISO week of a day, like 2025-W07; its year is that of the week's Thursday."""
    thursday = F.date_add(week_of(day), 3)
    return F.format_string("%d-W%02d", F.year(thursday), F.weekofyear(day))


def build(run: Run) -> None:
    lines, close_after_days = run.read("silver.order_lines"), run.part(DemandSettings).close_after_days
    currency_code = run.settings.calendar.currency_code
    refuse_other_currencies(lines, "silver.order_lines", currency_code)
    clean = lines
    if run.part(FeatureSettings).exclude_flagged:
        clean = until_lines_excluded(clean, run.read("silver.order_flags"), run.read("silver.order_line_flags"))
    sales = as_weekly_sales(clean, close_after_days, run.time_zone)
    history = as_filled_weeks(sales, last_closed_week(lines, close_after_days, run.time_zone))
    described = history.withColumns(
        {"iso_week": iso_week(F.col("week_start_date")), "currency_code": F.lit(currency_code)}
    )
    run.publish(TABLE, described)


if __name__ == "__main__":
    sys.exit(JOB.main(__doc__, build))
