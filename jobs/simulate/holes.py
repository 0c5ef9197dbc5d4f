"""Holes: values that a source should tell and doesn't, and what is true there."""

from collections.abc import Sequence
from functools import reduce

import numpy as np
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.lakehouse.local_rows import local_rows
from jobs.lakehouse.settings import WorldSettings
from jobs.simulate.assortment import product_rows
from jobs.simulate.draws import Stream, uniform
from jobs.simulate.outside import footfall_rows
from jobs.simulate.registrations import web_accounts

# Product lists are short and kept by hand; few of their lines would be hit otherwise.
PRODUCTS_MORE_OFTEN = 3
PRODUCT_COLUMNS = ("category", "brand")
HOLE_SCHEMA = "table_name string, row_key string, column_name string, true_value string, is_number boolean"
CENTS = 10_000


def lacking(settings: WorldSettings, count: int, part: int, times: int = 1) -> list[bool]:
    """Which of so many rows lack a value; each part of the world draws its own."""
    draws = uniform(settings.seed, Stream.MISSING, np.arange(count), part)
    return [bool(flag) for flag in draws < times * settings.missing_value_share]


def lacks_city(settings: WorldSettings, account_id: Column) -> Column:
    """Whether an account was opened without telling a city."""
    return F.pmod(F.xxhash64(account_id, F.lit(settings.seed)), F.lit(CENTS)) < settings.missing_value_share * CENTS


def web_accounts_as_told(spark: SparkSession, settings: WorldSettings) -> DataFrame:
    """One row per telling of a web account; some never tell of a city."""
    told = web_accounts(spark, settings)
    is_told = ~lacks_city(settings, F.col("account_id"))
    return told.withColumn("city", F.when(is_told, F.col("city")))


def product_rows_as_told(settings: WorldSettings) -> list[dict[str, str]]:
    """One row per product; some lack a category or a brand."""
    rows = product_rows(settings)
    for part, column in enumerate(PRODUCT_COLUMNS):
        _empty(rows, column, lacking(settings, len(rows), part, PRODUCTS_MORE_OFTEN))
    return rows


def footfall_rows_as_told(settings: WorldSettings) -> list[dict[str, str]]:
    """One row per store and open hour; in some the counter said nothing."""
    rows = footfall_rows(settings)
    _empty(rows, "visitors", lacking(settings, len(rows), len(PRODUCT_COLUMNS)))
    return rows


def _empty(rows: list[dict[str, str]], column: str, is_lacking: Sequence[bool]) -> None:
    for row, lacks in zip(rows, is_lacking, strict=True):
        if lacks:
            row[column] = ""


def holes(spark: SparkSession, settings: WorldSettings) -> DataFrame:
    """One row per missing value, named as silver names it, with what is true."""
    accounts = web_accounts(spark, settings).where(lacks_city(settings, F.col("account_id")))
    cities = accounts.select(
        F.lit("accounts").alias("table_name"),
        F.concat(F.lit("web_accounts:"), F.col("account_id")).alias("row_key"),
        F.lit("city").alias("column_name"),
        F.col("city").alias("true_value"),
        F.lit(False).alias("is_number"),
    ).distinct()
    found: list[tuple[str, str, str, str, bool]] = []
    told = product_rows_as_told(settings)
    for true, row in zip(product_rows(settings), told, strict=True):
        found += [
            ("products", row["product_id"], column, true[column], False)
            for column in PRODUCT_COLUMNS
            if row[column] != true[column]
        ]
    rows = footfall_rows(settings)
    is_lacking = lacking(settings, len(rows), len(PRODUCT_COLUMNS))
    # Hours are told in local time, and silver names them in UTC.
    hours = [
        (row["store_id"], row["hour"], row["visitors"]) for row, lacks in zip(rows, is_lacking, strict=True) if lacks
    ]
    local = local_rows(spark, hours, "store_id string, hour string, true_value string")
    counted_at = F.to_utc_timestamp(F.to_timestamp("hour"), settings.time_zone)
    visitors = local.select(
        F.lit("footfall").alias("table_name"),
        F.concat_ws("|", "store_id", F.date_format(counted_at, "yyyy-MM-dd HH:mm:ss"), F.lit("footfall")).alias(
            "row_key"
        ),
        F.lit("visitor_count").alias("column_name"),
        "true_value",
        F.lit(True).alias("is_number"),
    )
    return reduce(DataFrame.unionByName, [cities, local_rows(spark, found, HOLE_SCHEMA), visitors])
