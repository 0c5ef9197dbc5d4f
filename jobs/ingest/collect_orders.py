"""Collect the current order lines into silver orders, one row per order or till receipt."""

import sys

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.ingest.revisions import current
from jobs.lakehouse.job import Job
from jobs.lakehouse.run import Run

JOB = Job(reads=("silver.order_lines",), writes=("silver.orders",))


def as_orders(lines: DataFrame) -> DataFrame:
    """One row per order; what should be the same in all its lines is taken from the first that arrived."""
    first = [
        F.min_by(name, F.struct("arrived_at", "order_line_id")).alias(name)
        for name in ("account_id", "store_id", "channel", "currency_code")
    ]
    orders = lines.groupBy("order_id").agg(
        *first,
        F.min("ordered_at").alias("ordered_at"),
        F.min("ordered_date").alias("ordered_date"),
        F.count("*").cast("int").alias("line_count"),
        F.sum("quantity").alias("piece_count"),
        F.sum("line_amount").alias("order_amount"),
        F.every("is_return").alias("is_return"),
        F.min("arrived_at").alias("arrived_at"),
    )
    return orders.withColumn("order_amount", F.col("order_amount").cast("decimal(18,4)"))


def build(run: Run) -> None:
    run.publish("silver.orders", as_orders(current(run.read("silver.order_lines"))))


if __name__ == "__main__":
    sys.exit(JOB.main(__doc__, build))
