"""Write what is true of the world and no source tells: persons, identifiers, season, expected demand, rows per feed."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.lakehouse.local_rows import local_rows
from jobs.lakehouse.settings import WorldSettings
from jobs.simulate import texts
from jobs.simulate.assortment import assortment, product_ids, store_ids
from jobs.simulate.bad_actors import BAD_ACTOR_TABLES
from jobs.simulate.batches import generated
from jobs.simulate.contacts import contacts, partners
from jobs.simulate.draws import Columns, Integers
from jobs.simulate.expectation import EXPECTED_LINES_SCHEMA, expected_lines, expected_units
from jobs.simulate.feasts import feast_factor
from jobs.simulate.feed_rows import feed_rows, feeds
from jobs.simulate.folders import FileSystem, world_facts, written_once
from jobs.simulate.holes import holes
from jobs.simulate.local_time import HOUR_SECONDS, second_of_day
from jobs.simulate.market import CATEGORIES, competitor_season
from jobs.simulate.outreach import CHANNELS, preferred_channels
from jobs.simulate.people import SHOWS_CARD_SHARE, people
from jobs.simulate.responses import RESPONSE_TABLES
from jobs.simulate.seasons import DAYS_OF_A_WEEK, season_factors
from jobs.simulate.tastes import DROPOUT_CAUSES, lines_per_order, tastes

PERSON_SCHEMA = (
    "person_id long, joined_day int, dropout_day int, order_rate_per_day double, dropout_rate_per_day double,"
    " visit_rate_per_day double, lines_per_order double, online_share double, online_identified_share double,"
    " store_identified_share double, home_store int, household_id long, category int, favourite_hour int,"
    " price_sensitivity double, is_return_abuser boolean, cause int, contact_channel int"
)
UNIT_SCHEMA = (
    "product int, store int, week int, expected_units double, units_if_in_stock double, is_stocked_out boolean,"
    " price_factor double"
)
CONTACT_SCHEMA = (
    "person_id long, surname long, given_name long, account long, second_account long, card long, phone long,"
    " later_phone long, partner_phone long, lends_phone boolean, email long, second_email long, device long,"
    " second_device long, partner_device long, lends_device boolean"
)


def person_batch(settings: WorldSettings, persons: Integers) -> Columns:
    """One row per person: the parameters, days counted from the world's first."""
    crowd, liked = people(settings, persons), tastes(settings, persons)
    return {
        "person_id": persons,
        "joined_day": crowd.joined_day,
        "dropout_day": np.floor(crowd.active_until).astype(np.int64),
        "order_rate_per_day": crowd.order_rate,
        "dropout_rate_per_day": crowd.dropout_rate,
        "visit_rate_per_day": crowd.visit_rate,
        "lines_per_order": lines_per_order(settings, persons),
        "online_share": crowd.online_share,
        "online_identified_share": np.ones(len(persons)),
        "store_identified_share": np.where(crowd.has_card, SHOWS_CARD_SHARE, 0.0),
        "home_store": crowd.home_store,
        "household_id": np.minimum(persons, partners(settings, persons)),
        "category": assortment(settings).categories_at(liked.category_place),
        "favourite_hour": second_of_day(liked.hour_place) // HOUR_SECONDS,
        "price_sensitivity": liked.price_sensitivity,
        "is_return_abuser": liked.is_return_abuser,
        "cause": liked.dropout_cause,
        "contact_channel": preferred_channels(settings, persons),
    }


def contact_batch(settings: WorldSettings, persons: Integers) -> Columns:
    """One row per person: all identifiers, as numbers."""
    known = vars(contacts(settings, people(settings, persons)))
    names = [part.split()[0] for part in CONTACT_SCHEMA.split(",")]
    return {"person_id": persons} | {name: known[name] for name in names if name != "person_id"}


def persons(spark: SparkSession, settings: WorldSettings) -> DataFrame:
    """One row per person: when they joined and drop out (maybe long after the world's end), rates, tastes, household."""
    first_day = F.lit(settings.start_date)
    return generated(spark, settings, person_batch, PERSON_SCHEMA).select(
        "person_id",
        F.date_add(first_day, F.col("joined_day")).alias("joined_on"),
        F.date_add(first_day, F.col("dropout_day")).alias("dropped_out_on"),
        *("order_rate_per_day", "dropout_rate_per_day", "visit_rate_per_day", "lines_per_order", "online_share"),
        *("online_identified_share", "store_identified_share"),
        texts.listed(store_ids(settings), F.col("home_store")).alias("home_store_id"),
        "household_id",
        texts.listed(CATEGORIES, F.col("category")).alias("favourite_category"),
        *("favourite_hour", "price_sensitivity", "is_return_abuser"),
        texts.listed(DROPOUT_CAUSES, F.col("cause")).alias("dropout_cause"),
        texts.listed(CHANNELS, F.col("contact_channel")).alias("preferred_contact_channel"),
    )


def identifier(kind: str, value: Column, shared: Column | None = None) -> Column:
    """One identifier as a struct; the value is null where a person doesn't have it."""
    is_shared = F.lit(False) if shared is None else shared
    return F.struct(F.lit(kind).alias("kind"), value.alias("value"), is_shared.alias("shared"))


def identifiers(spark: SparkSession, settings: WorldSettings) -> DataFrame:
    """One row per person and identifier, normalised; `shared` where the household's other person uses it too."""
    listed = F.array(
        identifier("account", texts.account_id("account")),
        identifier("account", texts.account_id("second_account")),
        identifier("card", texts.card_no("card")),
        identifier("phone", texts.phone_e164("phone"), F.col("lends_phone")),
        identifier("phone", texts.phone_e164("later_phone")),
        identifier("phone", texts.phone_e164("partner_phone"), F.lit(True)),
        identifier("email", texts.email("surname", "given_name", "email")),
        identifier("email", texts.email("surname", "given_name", "second_email")),
        identifier("device", texts.device_id("device"), F.col("lends_device")),
        identifier("device", texts.device_id("second_device")),
        identifier("device", texts.device_id("partner_device"), F.lit(True)),
    )
    known = generated(spark, settings, contact_batch, CONTACT_SCHEMA)
    return known.select("person_id", F.inline(listed)).where(F.col("value").isNotNull())


def calendar(spark: SparkSession, settings: WorldSettings) -> DataFrame:
    """One row per day, through the last one that the truth foresees: the season factor that all customers share.

    `feast_factor` and `competitor_factor` are parts of it: what holidays, and a competitor's prices, do to all demand.
    """
    factors = season_factors(settings)
    of_competitor = competitor_season(settings, np.arange(len(factors)) // DAYS_OF_A_WEEK)
    days = [settings.start_date + timedelta(days=number) for number in range(len(factors))]
    rows = list(zip(days, factors.tolist(), map(feast_factor, days), of_competitor.tolist(), strict=True))
    schema = "date date, season_factor double, feast_factor double, competitor_factor double"
    return local_rows(spark, rows, schema).coalesce(1)


def demand(spark: SparkSession, settings: WorldSettings) -> DataFrame:
    """One row per product, store and week: the expected units sold, returns not taken off.

    What brushing rings buy and what is mistyped is not expected; `units_if_in_stock` leaves stock-outs aside.
    """

    def by_product(frames: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        for totals in frames:
            yield expected_units(settings, totals)

    partial_sums = generated(spark, settings, expected_lines, EXPECTED_LINES_SCHEMA)
    totals = partial_sums.groupBy("store", "week").agg(F.sum("expected_lines").alias("expected_lines"))
    units = totals.mapInPandas(by_product, UNIT_SCHEMA)
    return units.select(
        texts.listed(product_ids(settings), F.col("product")).alias("product_id"),
        texts.listed(store_ids(settings), F.col("store")).alias("store_id"),
        F.date_add(F.lit(settings.start_date), F.col("week") * 7).alias("week_start_date"),
        F.round("expected_units", 9).alias("expected_units"),
        F.round("units_if_in_stock", 9).alias("units_if_in_stock"),
        "is_stocked_out",
        F.round("price_factor", 9).alias("price_factor"),
    )


TABLES: Mapping[str, Callable[[SparkSession, WorldSettings], DataFrame]] = {
    "persons": persons,
    "identifiers": identifiers,
    "calendar": calendar,
    "demand": demand,
    "feed_rows": feed_rows,
    "holes": holes,
}


def write_tables(spark: SparkSession, settings: WorldSettings, folder: str) -> None:
    """Write all tables of the truth into the folder."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        written = [
            pool.submit(table(spark, settings).write.mode("overwrite").parquet, f"{folder}/{name}")
            for name, table in {**TABLES, **BAD_ACTOR_TABLES, **RESPONSE_TABLES}.items()
        ]
        for done in written:
            done.result()
    feeds(spark.read.parquet(f"{folder}/feed_rows")).write.mode("overwrite").parquet(f"{folder}/feeds")


def write_truth(spark: SparkSession, settings: WorldSettings, folder: str, actions: Sequence[Any] = ()) -> bool:
    """Whether the truth was written now; False where the folder already holds the same.

    Args:
        spark: the session.
        settings: the world.
        folder: where to; any path that Hadoop can write, apart from the raw files.
        actions: the log of what the retailer did to customers. The world doesn't answer to actions yet: it stays empty.

    Raises:
        WorldExistsError: the folder holds the truth of other settings, or something else.
        UnknownYearError: the world lasts into a year whose holidays nobody knows here.
    """
    season_factors(settings)  # an unknown year is refused before anything is written

    def write(_: FileSystem, target: str) -> None:
        write_tables(spark, settings, target)

    return written_once(spark, folder, world_facts("truth", settings, actions), write)
