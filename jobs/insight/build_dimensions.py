"""Build the dimensions that BI joins to: customers (masked), products, stores and dates, each as it is now."""

import sys

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.lakehouse.days import week_of
from jobs.lakehouse.job import Job
from jobs.lakehouse.repaired import with_repaired
from jobs.lakehouse.run import Run

REPAIRS, ORDER_FLAGS, IDS = "silver.repairs", "silver.order_flags", "silver.customer_ids"
JOB = Job(
    reads=("silver.customers", IDS, "silver.products", "silver.stores", "silver.order_lines", ORDER_FLAGS, REPAIRS),
    can_lack=(REPAIRS,),
    writes=("gold.customers", "gold.products", "gold.stores", "gold.dates"),
)
# Forecasts reach this far past the last order.
DAYS_AHEAD = 26 * 7


def as_brushing_customers(lines: DataFrame, order_flags: DataFrame, customer_ids: DataFrame) -> DataFrame:
    """One row per customer of whose accounts, as they are known now, one placed an order that is marked as brushing."""
    flagged = order_flags.where("is_brushing").select("order_id")
    brushed = lines.where("superseded_at is null").join(flagged, on="order_id", how="left_semi").select("account_id")
    owners = customer_ids.where("identifier_kind = 'account' and valid_to is null").select(
        "customer_id", F.col("identifier_value").alias("account_id")
    )
    return owners.join(brushed, on="account_id", how="left_semi").select("customer_id").distinct()


def as_masked_customers(customers: DataFrame, brushing: DataFrame, time_zone: str) -> DataFrame:
    """One row per customer, with masks in place of personal values and no tokens.

    Args:
        customers: as silver describes them.
        brushing: the customers that brushed, by `customer_id`, each once.
        time_zone: the business's.
    """
    first_seen_date = F.to_date(F.from_utc_timestamp("first_seen_at", time_zone)).alias("first_seen_date")
    masked = ["name_masked", "phone_masked", "email_masked"]
    marked = customers.join(brushing.withColumn("is_brushing", F.lit(True)), on="customer_id", how="left")
    is_brushing = F.coalesce("is_brushing", F.lit(False)).alias("is_brushing")
    return marked.select("customer_id", first_seen_date, *masked, "city", "country", is_brushing, "account_count")


def as_products(products: DataFrame) -> DataFrame:
    """One row per product as it is now; of attributes that the newest revision lacks, the last known value."""
    attributes = ["product_name", "category", "brand", "list_price_amount", "currency_code", "launched_on"]
    newest = F.struct("arrived_at", "revision")
    last_known = [F.max_by(name, F.when(F.col(name).isNotNull(), newest)).alias(name) for name in attributes]
    return products.groupBy("product_id").agg(*last_known)


def as_stores(stores: DataFrame) -> DataFrame:
    """One row per store as it is now."""
    kept = stores.where("superseded_at is null")
    return kept.select("store_id", "store_name", "city", "region", "channel", "opened_on")


def as_dates(lines: DataFrame) -> DataFrame:
    """One row per calendar day from the first order to the end of the forecasts."""
    span = lines.agg(F.min("ordered_date").alias("first"), F.date_add(F.max("ordered_date"), DAYS_AHEAD).alias("last"))
    days = span.select(F.explode(F.sequence("first", "last")).alias("calendar_date"))
    week_start = week_of("calendar_date")
    thursday = F.date_add(week_start, 3)
    iso_day = F.weekday("calendar_date") + 1
    return days.select(
        "calendar_date",
        F.year("calendar_date").alias("year"),
        F.quarter("calendar_date").alias("quarter"),
        F.month("calendar_date").alias("month"),
        iso_day.alias("day_of_week"),
        F.date_format("calendar_date", "EEEE").alias("day_name"),
        F.year(thursday).alias("iso_year"),
        F.format_string("%d-W%02d", F.year(thursday), F.weekofyear("calendar_date")).alias("iso_week"),
        week_start.alias("week_start_date"),
        (iso_day > 5).alias("is_weekend"),
    )


def build(run: Run) -> None:
    lines = run.read("silver.order_lines")
    brushing = as_brushing_customers(lines, run.read(ORDER_FLAGS), run.read(IDS))
    run.publish("gold.customers", as_masked_customers(run.read("silver.customers"), brushing, run.time_zone))
    products, stores = run.read("silver.products"), run.read("silver.stores")
    if run.has(REPAIRS):
        repairs = run.read(REPAIRS)
        products = with_repaired(products, repairs, "products", "product_id", "category", "brand")
        stores = with_repaired(stores, repairs, "stores", "store_id", "region")
    run.publish("gold.products", as_products(products))
    run.publish("gold.stores", as_stores(stores))
    run.publish("gold.dates", as_dates(lines))


if __name__ == "__main__":
    sys.exit(JOB.main(__doc__, build))
