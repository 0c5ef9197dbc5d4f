"""The truth about what moves persons: messages, advertisement, a competitor, trends and the weather; and what people think."""

from collections.abc import Callable, Mapping
from datetime import timedelta

import numpy as np
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.lakehouse.local_rows import local_rows
from jobs.lakehouse.settings import WorldSettings
from jobs.simulate import texts
from jobs.simulate.ads import AD_CHANNELS, ad_lifts
from jobs.simulate.assortment import store_ids
from jobs.simulate.batches import generated
from jobs.simulate.contacts import contacts
from jobs.simulate.draws import Columns, Integers
from jobs.simulate.market import CATEGORIES, competitor_factors, interest
from jobs.simulate.opinions import true_opinions
from jobs.simulate.outreach import WORKING_DAYS, outreach
from jobs.simulate.people import people
from jobs.simulate.seasons import DAYS_OF_A_WEEK
from jobs.simulate.weather import moved_online

EFFECT_SCHEMA = "person_id long, account long, campaign long, is_held_out boolean, effect double, orders int"


def effect_batch(settings: WorldSettings, persons: Integers) -> Columns:
    """One row per person whom a campaign chose."""
    crowd = people(settings, persons)
    reached = outreach(settings, crowd)
    return {
        "person_id": persons[reached.owner],
        "account": contacts(settings, crowd).account[reached.owner],
        "campaign": reached.campaign,
        "is_held_out": reached.is_held_out,
        "effect": reached.effect * reached.days_left / WORKING_DAYS,
        "orders": np.asarray(reached.order_day >= 0, dtype=np.int64),
    }


def contact_effects(spark: SparkSession, settings: WorldSettings) -> DataFrame:
    """One row per account that a campaign chose, held out or not: the orders that its message was worth.

    `expected_orders` is known before chance, `orders_brought` is what came of it; both are 0 for who was held out.
    """
    return generated(spark, settings, effect_batch, EFFECT_SCHEMA).select(
        "person_id",
        texts.account_id("account").alias("account_id"),
        texts.numbered("K", "campaign", 4).alias("campaign_id"),
        "is_held_out",
        F.col("effect").alias("expected_orders"),
        F.col("orders").alias("orders_brought"),
    )


def ad_effects(spark: SparkSession, settings: WorldSettings) -> DataFrame:
    """One row per day and channel: the share by which its advertisement lifts all orders, through the last day foreseen."""
    lifts = ad_lifts(settings)
    rows = [
        (settings.start_date + timedelta(days=day), name, float(lifts[day, channel]))
        for day in range(len(lifts))
        for channel, name in enumerate(AD_CHANNELS)
    ]
    return local_rows(spark, rows, "date date, channel string, lift double").coalesce(1)


def category_trends(spark: SparkSession, settings: WorldSettings) -> DataFrame:
    """One row per week and category, through the last one foreseen: `interest` and `competitor_factor`.

    A category is chosen with a weight that is the product of both, and of its products' own.
    """
    weeks = np.arange(settings.weeks + settings.truth_weeks_ahead)
    wanted, left = interest(settings, weeks), competitor_factors(settings, weeks)
    rows = [
        (settings.start_date + timedelta(days=DAYS_OF_A_WEEK * week), name, *map(float, told))
        for week in weeks.tolist()
        for name, *told in zip(CATEGORIES, wanted[week], left[week], strict=True)
    ]
    schema = "week_start_date date, category string, interest double, competitor_factor double"
    return local_rows(spark, rows, schema).coalesce(1)


def weather(spark: SparkSession, settings: WorldSettings) -> DataFrame:
    """One row per day and store, through the last day foreseen: the share of its orders that rain moves to the web shop."""
    moved = moved_online(settings)
    rows = [
        (settings.start_date + timedelta(days=day), store_id, float(moved[store, day]))
        for day in range(moved.shape[1])
        for store, store_id in enumerate(store_ids(settings)[:-1])
    ]
    return local_rows(spark, rows, "date date, store_id string, moved_online_share double").coalesce(1)


RESPONSE_TABLES: Mapping[str, Callable[[SparkSession, WorldSettings], DataFrame]] = {
    "contact_effects": contact_effects,
    "ad_effects": ad_effects,
    "category_trends": category_trends,
    "weather": weather,
    "surveys": true_opinions,
}
