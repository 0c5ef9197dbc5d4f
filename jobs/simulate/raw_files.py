"""Write the world as its sources would: a folder per feed, a file per month of delivery (more where they are large)."""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pyspark.sql import Column, DataFrame, DataFrameWriter, SparkSession
from pyspark.sql import functions as F

from jobs.lakehouse.settings import WorldSettings
from jobs.simulate.ads import ad_spend_rows
from jobs.simulate.assortment import store_rows
from jobs.simulate.bureaus import credit, demographics
from jobs.simulate.consents import consents
from jobs.simulate.coupons import coupons, messages
from jobs.simulate.events import app_events
from jobs.simulate.folders import FileSystem, world_facts, written_once
from jobs.simulate.holes import footfall_rows_as_told, product_rows_as_told, web_accounts_as_told
from jobs.simulate.merchandise import campaign_rows, price_rows, promotion_rows, stock_rows
from jobs.simulate.opinions import reviews, surveys
from jobs.simulate.outside import holiday_rows, kiosk_rows, trend_rows
from jobs.simulate.payments import payments
from jobs.simulate.points import points
from jobs.simulate.registrations import member_cards
from jobs.simulate.sales import pos_receipts, web_orders
from jobs.simulate.seasons import season_factors
from jobs.simulate.tickets import tickets

MONTH = "delivery_month"
CSV_OPTIONS = {
    "header": "true",
    "quote": '"',
    "escape": '"',
    "emptyValue": "",
    "ignoreLeadingWhiteSpace": "false",
    "ignoreTrailingWhiteSpace": "false",
}
# Feeds that are one delivery: as many files as the world has parts.
WHOLE_FEEDS: Mapping[str, Callable[[SparkSession, WorldSettings], DataFrame]] = {
    "payments": payments,
    "messages": messages,
    "coupons": coupons,
    "consents": consents,
    "points": points,
    "reviews": reviews,
    "surveys": surveys,
    "tickets": tickets,
    "credit": credit,
    "demographics": demographics,
}
# Feeds whose size follows the stores, products and days, not the customers.
SMALL_FEEDS: Mapping[str, Callable[[WorldSettings], list[dict[str, str]]]] = {
    "products": product_rows_as_told,
    "stores": store_rows,
    "prices": price_rows,
    "promotions": promotion_rows,
    "campaigns": campaign_rows,
    "ad_spend": ad_spend_rows,
    "footfall": footfall_rows_as_told,
    "kiosks": kiosk_rows,
    "trends": trend_rows,
    "holidays": holiday_rows,
}


def month_of(exported_at: Column) -> Column:
    """The month, like 2024-05, of a UTC time in text form."""
    return F.substring(exported_at, 1, 7)


def delivered_once(rows: DataFrame) -> DataFrame:
    """The rows with the month of their delivery, in the order of their export within each month."""
    return rows.withColumn(MONTH, month_of(F.col("exported_at"))).sortWithinPartitions(
        MONTH, "exported_at", rows.columns[0]
    )


def delivered_with_copies(rows: DataFrame) -> DataFrame:
    """One row per delivery of a row: most once, some twice, letter for letter, in the same or the next month's file."""
    deliveries = F.when(F.col("copies") > 0, F.array(F.lit(0).cast("long"), F.col("copy_months"))).otherwise(
        F.array(F.lit(0).cast("long"))
    )
    month = F.to_date(F.concat(month_of(F.col("exported_at")), F.lit("-01")))
    later = F.add_months(month, F.col("months_later").cast("int")).cast("string")
    return (
        rows.withColumn("months_later", F.explode(deliveries))
        .withColumn(MONTH, month_of(later))
        .drop("copies", "copy_months", "months_later")
        .sortWithinPartitions(MONTH, "exported_at", rows.columns[0])
    )


def collect_months(files: FileSystem, source: str, target: str, feed: str, suffix: str) -> None:
    """Move what Spark wrote to `<feed>-<month>.<suffix>`, with a part number where a month has several files."""
    files.make_folder(target)
    for folder in files.names(source):
        if not folder.startswith(f"{MONTH}="):
            continue
        month = folder.removeprefix(f"{MONTH}=")
        parts = [name for name in files.names(f"{source}/{folder}") if name.startswith("part-")]
        for number, part in enumerate(parts):
            numbered = f"{feed}-{month}.{suffix}" if len(parts) == 1 else f"{feed}-{month}-{number:04d}.{suffix}"
            files.rename(f"{source}/{folder}/{part}", f"{target}/{numbered}")
    files.remove(source)


def collect_whole(files: FileSystem, source: str, target: str, feed: str, suffix: str) -> None:
    """Move what Spark wrote to `<feed>.<suffix>`, with a part number where there are several files."""
    files.make_folder(target)
    parts = [name for name in files.names(source) if name.startswith("part-")]
    for number, part in enumerate(parts):
        numbered = f"{feed}.{suffix}" if len(parts) == 1 else f"{feed}-{number:04d}.{suffix}"
        files.rename(f"{source}/{part}", f"{target}/{numbered}")
    files.remove(source)


def write_single_file(files: FileSystem, folder: str, feed: str, rows: list[dict[str, str]]) -> None:
    """Write a small feed as one CSV file; an empty one where the world is too short for any row."""
    text = io.StringIO()
    if rows:
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    files.make_folder(f"{folder}/{feed}")
    files.write_text(f"{folder}/{feed}/{feed}.csv", text.getvalue())


def write_months(files: FileSystem, folder: str, feed: str, deliveries: DataFrame) -> None:
    """Write a large feed month by month."""
    unfinished = f"{folder}/_{feed}"
    suffix = write_rows(deliveries.write.mode("overwrite").partitionBy(MONTH), deliveries, unfinished)
    collect_months(files, unfinished, f"{folder}/{feed}", feed, suffix)


def write_whole(files: FileSystem, folder: str, feed: str, rows: DataFrame) -> None:
    """Write a feed that is delivered at once, in the order of its exports."""
    unfinished = f"{folder}/_{feed}"
    ordered = rows.sortWithinPartitions("exported_at", rows.columns[0])
    kept = ordered.select("value") if "value" in rows.columns else ordered
    suffix = write_rows(kept.write.mode("overwrite"), kept, unfinished)
    collect_whole(files, unfinished, f"{folder}/{feed}", feed, suffix)


def write_rows(writer: DataFrameWriter, rows: DataFrame, folder: str) -> str:
    """Write a feed whose only column is `value` as lines of JSON, any other as CSV; tells the files' suffix."""
    if "value" in rows.columns:
        writer.text(folder)
        return "json"
    writer.options(**CSV_OPTIONS).csv(folder)
    return "csv"


def write_feeds(spark: SparkSession, settings: WorldSettings, files: FileSystem, folder: str) -> None:
    """Write all feeds into the folder, two large ones at a time: a small world alone doesn't fill a machine."""
    monthly = {
        "app_events": delivered_with_copies(app_events(spark, settings)).select("value", MONTH),
        "web_orders": delivered_with_copies(web_orders(spark, settings)),
        "pos_receipts": delivered_with_copies(pos_receipts(spark, settings)),
        "web_accounts": delivered_once(web_accounts_as_told(spark, settings)),
        "member_cards": delivered_once(member_cards(spark, settings)),
    }
    with ThreadPoolExecutor(max_workers=2) as pool:
        written = [pool.submit(write_months, files, folder, feed, rows) for feed, rows in monthly.items()]
        written += [
            pool.submit(write_whole, files, folder, feed, rows(spark, settings)) for feed, rows in WHOLE_FEEDS.items()
        ]
        for name, small_rows in SMALL_FEEDS.items():
            write_single_file(files, folder, name, small_rows(settings))
        write_single_file(files, folder, "stock", stock_rows(spark, settings))
        for done in written:
            done.result()


def write_raw_files(spark: SparkSession, settings: WorldSettings, folder: str, actions: Sequence[Any] = ()) -> bool:
    """Whether the raw files were written now; False where the folder already holds the same world.

    Args:
        spark: the session.
        settings: the world.
        folder: where to; any path that Hadoop can write.
        actions: the log of what the retailer did to customers. The world doesn't answer to actions yet: it stays empty.

    Raises:
        WorldExistsError: the folder holds a world of other settings, or something else.
        UnknownYearError: the world lasts into a year whose holidays nobody knows here.
    """
    season_factors(settings)  # an unknown year is refused before anything is written
    facts = world_facts("raw files", settings, actions)
    return written_once(spark, folder, facts, lambda files, target: write_feeds(spark, settings, files, target))
