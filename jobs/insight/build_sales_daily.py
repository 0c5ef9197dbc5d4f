"""Build daily sales by store and product: pieces and amounts sold and returned, exact to the penny."""

import sys

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.lakehouse.job import Job
from jobs.lakehouse.run import Run

TABLE = "gold.sales_daily"
JOB = Job(reads=("silver.order_lines",), writes=(TABLE,))


def as_daily_sales(lines: DataFrame) -> DataFrame:
    """One row per business day, store, product, kind of line and currency, from the current order lines.

    Sums are taken over exact decimals and rounded once, half up, to the penny.
    """
    is_return = F.col("is_return")
    return (
        lines.where("superseded_at is null")
        .groupBy(F.col("ordered_date").alias("sales_date"), "store_id", "product_id", "line_kind", "currency_code")
        .agg(
            F.count_distinct(F.when(~is_return, F.col("order_id"))).alias("order_count"),
            F.sum(F.when(is_return, 0).otherwise(F.col("quantity"))).alias("sold_piece_count"),
            F.sum(F.when(is_return, -F.col("quantity")).otherwise(0)).alias("returned_piece_count"),
            F.sum(F.when(is_return, 0).otherwise(F.col("line_amount"))).alias("gross_amount"),
            F.sum(F.when(is_return, F.col("line_amount")).otherwise(0)).alias("return_amount"),
            F.sum("line_amount").alias("net_amount"),
        )
    )


def build(run: Run) -> None:
    run.publish(TABLE, as_daily_sales(run.read("silver.order_lines")))


if __name__ == "__main__":
    sys.exit(JOB.main(__doc__, build))
