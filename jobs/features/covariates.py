"""Covariates of demand: what else than its own past told of a week to come, at the close of the week before it.

Only the first revision of what comes from outside is looked at, from the week on in which it had arrived.
"""

from __future__ import annotations

from typing import NamedTuple

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from jobs.lakehouse.days import week_of
from jobs.lakehouse.settings import DemandSettings

YEAR_WEEKS = 52
# A holiday's last one lies about a year back: a lunar one up to a month less or more.
YEAR_OF_HOLIDAYS_WEEKS = (44, 60)
# What a holiday moves: the weeks before it, and after.
NEAR_HOLIDAY_DAYS = 24
# Days of one name further apart are of two years.
OCCURRENCE_DAYS = 90
ALL_STORES = "ALL"
# The weeks that an outside series is held against; the last ones are what it tells ahead.
SERIES_WEEKS, SERIES_LEAD_WEEKS = 13, 2
TARGET = ("origin_week", "week_start_date")


class Outside(NamedTuple):
    """What is told beside the sales: silver.promotions, silver.holidays and silver.trends; any may be empty."""

    promotions: DataFrame
    holidays: DataFrame
    trends: DataFrame


def known_from_week(instant: Column, close_after_days: int, time_zone: str) -> Column:
    """The first week, by its Monday, at whose close something that arrived at an instant was known."""
    day = F.to_date(F.from_utc_timestamp(instant, time_zone))
    return week_of(F.date_sub(day, close_after_days))


def first_told(rows: DataFrame, settings: DemandSettings, time_zone: str) -> DataFrame:
    """The first revisions, with `known_from_week`."""
    known = known_from_week(F.col("arrived_at"), settings.close_after_days, time_zone)
    return rows.where("revision = 1").withColumn("known_from_week", known)


def by_product(promotions: DataFrame, products: DataFrame) -> DataFrame:
    """The promotions, each with a row for every product that it holds for: one, those of its category, or all of them.

    Args:
        promotions: rows of silver.promotions.
        products: `product_id` and `category`, each product once.
    """
    wide = promotions.where("product_id is null").drop("product_id").withColumnRenamed("category", "_category")
    is_of = F.col("_category").isNull() | (F.col("_category") == F.col("category"))
    named = promotions.where("product_id is not null").drop("category")
    return named.unionByName(wide.join(F.broadcast(products), on=is_of, how="inner").drop("_category", "category"))


def with_planned_promotions(rows: DataFrame, promotions: DataFrame) -> DataFrame:
    """The rows with `planned_promotion_ratio` and `planned_discount_ratio`: share of the target week's days, and the discount times it.

    0 where the plans that were known reached the week and named none; null where they did not reach it.

    Args:
        rows: one per product, store, origin and target week, with `category`.
        promotions: with `known_from_week`.
    """
    keys = ["product_id", "store_id", *TARGET]
    weeks = F.sequence(week_of("starts_on"), week_of("ends_on"), F.expr("interval 7 days"))
    products = rows.select("product_id", "category").distinct()
    plans = by_product(promotions, products).withColumn("week_start_date", F.explode(weeks))
    last_day, sunday = F.col("ends_on"), F.date_add("week_start_date", 6)
    days = F.date_diff(F.least(last_day, sunday), F.greatest("starts_on", "week_start_date")) + 1
    plans = plans.select(
        "product_id",
        F.col("store_id").alias("_store_id"),
        "week_start_date",
        "known_from_week",
        (days / 7).alias("_share"),
        (F.coalesce("discount_ratio", F.lit(0.0)) * days / 7).alias("_discount"),
    )
    planned = (
        rows.select(*keys)
        .join(plans, on=["product_id", "week_start_date"], how="inner")
        .where(F.col("known_from_week") <= F.col("origin_week"))
        .where((F.col("_store_id") == ALL_STORES) | (F.col("_store_id") == F.col("store_id")))
        .groupBy(*keys)
        .agg(F.max("_share").alias("_share"), F.max("_discount").alias("_discount"))
    )
    # How far the plans reached that were known at each origin.
    told = plans.groupBy("known_from_week").agg(F.max("week_start_date").alias("_last_week"))
    origins = rows.select("origin_week").distinct()
    reach = origins.join(F.broadcast(told), on=F.col("known_from_week") <= F.col("origin_week"), how="inner")
    reach = reach.groupBy("origin_week").agg(F.max("_last_week").alias("_last_week"))
    found = rows.join(planned, on=keys, how="left").join(F.broadcast(reach), on="origin_week", how="left")

    def or_none(value: str) -> Column:
        return F.when(F.col("week_start_date") <= F.col("_last_week"), F.coalesce(value, F.lit(0.0)))

    ratios = {"planned_promotion_ratio": or_none("_share"), "planned_discount_ratio": or_none("_discount")}
    return found.withColumns(ratios).drop("_share", "_discount", "_last_week")


def occurrences(holidays: DataFrame) -> DataFrame:
    """One row per holiday of a year: first day, days, when it was known, and `year_weeks` since the last one."""
    by_day = Window.partitionBy("holiday_name").orderBy("holiday_date")
    begins = F.coalesce(
        F.date_diff("holiday_date", F.lag("holiday_date").over(by_day)) > OCCURRENCE_DAYS, F.lit(True)
    ).cast("int")
    days = holidays.withColumn("_begins", begins)
    found = (
        days.withColumn("_occurrence", F.sum("_begins").over(by_day))
        .groupBy("holiday_name", "_occurrence")
        .agg(
            F.min("holiday_date").alias("first_date"),
            F.count("*").alias("days"),
            F.max("known_from_week").alias("known_from_week"),
        )
    )
    by_year = Window.partitionBy("holiday_name").orderBy("first_date")
    weeks = F.round(F.date_diff("first_date", F.lag("first_date").over(by_year)) / 7).cast("int")
    return found.withColumn("year_weeks", weeks)


def with_year_before(targets: DataFrame, holidays: DataFrame) -> DataFrame:
    """The targets with `year_weeks`, the weeks back to the same place in the year before, and `holiday_days` in the week.

    The place is told by the longest holiday near the week, of those the nearest, and is 52 weeks back where there is none: the
    weeks around the Spring Festival are compared with those around the last one. `holiday_days` is null where no later
    holiday is known.

    Args:
        targets: one row per origin and target week.
        holidays: with `known_from_week`.
    """
    holidays = holidays.where("region is null")
    one_year = F.col("year_weeks").between(*YEAR_OF_HOLIDAYS_WEEKS)
    middle = F.date_add("first_date", (F.col("days") / 2).cast("int"))
    distance = F.abs(F.date_diff(middle, F.date_add("week_start_date", 3)))
    near = (
        targets.join(
            F.broadcast(occurrences(holidays).where(one_year)),
            on=(F.col("known_from_week") <= F.col("origin_week")) & (distance <= NEAR_HOLIDAY_DAYS),
            how="inner",
        )
        .groupBy(*TARGET)
        .agg(F.max_by("year_weeks", F.struct("days", -distance, "holiday_name")).alias("year_weeks"))
    )
    known = holidays.select("holiday_date", F.col("known_from_week").alias("_known"))
    is_known = (F.col("_known") <= F.col("origin_week")) & (F.col("holiday_date") >= F.col("week_start_date"))
    is_within = F.col("holiday_date") <= F.date_add("week_start_date", 6)
    within = targets.join(F.broadcast(known), on=is_known, how="inner").groupBy(*TARGET)
    counted = within.agg(
        F.count_distinct(F.when(is_within, F.col("holiday_date"))).cast("double").alias("holiday_days")
    )
    found = targets.join(near, on=list(TARGET), how="left").join(counted, on=list(TARGET), how="left")
    return found.withColumn("year_weeks", F.coalesce("year_weeks", F.lit(YEAR_WEEKS)))


def growth_ratios(weekly: DataFrame, targets: DataFrame) -> DataFrame:
    """One row per category, origin and target week: the category's units in the target week's week a year before, over two levels.

    `category_growth_ratio` is over the mean of the 13 weeks up to that year's origin, `category_year_ratio` over that of the 13
    up to the origin; null where they are not known.

    Args:
        weekly: one row per category and week, with `units`.
        targets: one row per origin and target week, with `year_weeks`.
    """
    by_week = Window.partitionBy("category").orderBy("week_start_date").rowsBetween(-12, 0)
    back = -7 * F.col("year_weeks")
    then = weekly.select("category", F.col("week_start_date").alias("_target"), "units")
    levels = weekly.select(
        "category", F.col("week_start_date").alias("_week"), F.avg("units").over(by_week).alias("_mean")
    )
    then_level = levels.withColumnsRenamed({"_week": "_origin", "_mean": "_then_mean"})
    level = levels.withColumnRenamed("_week", "origin_week")
    placed = targets.withColumns(
        {"_target": F.date_add("week_start_date", back), "_origin": F.date_add("origin_week", back)}
    )
    found = (
        placed.join(then, on="_target", how="inner")
        .join(level, on=["category", "origin_week"], how="inner")
        .join(then_level, on=["category", "_origin"], how="left")
    )
    return found.select(
        "category",
        *TARGET,
        F.try_divide("units", "_then_mean").alias("category_growth_ratio"),
        F.try_divide("units", "_mean").alias("category_year_ratio"),
    )


def series_ratios(trends: DataFrame, categories: DataFrame, pattern: str, name: str) -> DataFrame:
    """One row per category and week: the last value that was known of its outside series, and the one before, over what was usual.

    `<name>_ratio` and `<name>_before_ratio`; usual is the mean of the 13 weeks that end two weeks before.

    Args:
        trends: with `known_from_week`; days are averaged to weeks.
        categories: one row per category.
        pattern: the series' name, with {category} for the category; empty for none.
        name: what the ratios are called by.
    """
    head, _, tail = pattern.partition("{category}")
    series = F.concat(F.lit(head), F.col("category"), F.lit(tail))
    wanted = categories.where(F.lit(bool(pattern))).select("category", series.alias("series_name"))
    weekly = (
        trends.where("period_kind in ('day', 'week')")
        .join(F.broadcast(wanted), on="series_name", how="inner")
        .groupBy("category", week_of("period_start_date").alias("_period"))
        .agg(F.avg("value").alias("value"), F.max("known_from_week").alias("_known"))
        # A value that is told late stands for the week in which it came to be known.
        .groupBy("category", F.greatest("_period", "_known").alias("origin_week"))
        .agg(F.max_by("value", "_period").alias("value"))
    )
    order = Window.partitionBy("category").orderBy(F.unix_date("origin_week"))
    usual = F.avg("value").over(order.rangeBetween(-7 * (SERIES_LEAD_WEEKS + SERIES_WEEKS - 1), -7 * SERIES_LEAD_WEEKS))
    before = F.max("value").over(order.rangeBetween(-7, -7))
    return weekly.select(
        "category",
        "origin_week",
        F.try_divide("value", usual).alias(f"{name}_ratio"),
        F.try_divide(before, usual).alias(f"{name}_before_ratio"),
    )


def with_covariates(
    rows: DataFrame, weekly: DataFrame, outside: Outside, settings: DemandSettings, time_zone: str
) -> DataFrame:
    """The rows with all that is told from outside.

    Args:
        rows: one per product, store, origin and target week, with `category`.
        weekly: one row per category and week, with `units`.
        outside: promotions, holidays and series.
        settings: when a week is closed, and what the series are called.
        time_zone: the business's.
    """
    promotions, holidays, trends = (first_told(told, settings, time_zone) for told in outside)
    targets = with_year_before(rows.select(*TARGET).distinct(), holidays)
    planned = with_planned_promotions(rows, promotions)
    grown = planned.join(F.broadcast(targets.select(*TARGET, "holiday_days")), on=list(TARGET), how="left").join(
        growth_ratios(weekly, targets), on=["category", *TARGET], how="left"
    )
    categories = weekly.select("category").distinct()
    for pattern, name in ((settings.search_series, "search"), (settings.competitor_price_series, "competitor_price")):
        ratios = series_ratios(trends, categories, pattern, name)
        grown = grown.join(F.broadcast(ratios), on=["category", "origin_week"], how="left")
    return grown
