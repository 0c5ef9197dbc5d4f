"""Build daily sales by store and product: pieces and amounts sold and returned, exact to the penny, with and without flagged orders."""

import sys

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.lakehouse.job import Job
from jobs.lakehouse.run import Run

TABLE = "gold.sales_daily"
JOB = Job(reads=("silver.order_lines", "silver.order_flags", "silver.order_line_flags"), writes=(TABLE,))


def with_is_clean(lines: DataFrame, order_flags: DataFrame, line_flags: DataFrame) -> DataFrame:
    """The lines with `is_clean`: whether neither the line nor its order bears a mark that clean figures leave out."""
    excluded = F.col("excluded_at").isNotNull()
    orders = order_flags.where(excluded).select("order_id", F.lit(True).alias("_order_is_out"))
    of_lines = line_flags.where(excluded).select("order_line_id", "revision", F.lit(True).alias("_line_is_out"))
    judged = lines.join(orders, on="order_id", how="left").join(of_lines, on=["order_line_id", "revision"], how="left")
    is_clean = F.col("_order_is_out").isNull() & F.col("_line_is_out").isNull()
    return judged.withColumn("is_clean", is_clean).drop("_order_is_out", "_line_is_out")


def measures(counts: Column, suffix: str) -> list[Column]:
    """The measures over the lines for which a condition holds; sums of nothing are zero."""
    is_sale, is_return = counts & ~F.col("is_return"), counts & F.col("is_return")

    def total(condition: Column, value: Column) -> Column:
        return F.sum(F.when(condition, value).otherwise(0))

    pieces, amount = F.col("quantity"), F.col("line_amount")
    named = {
        "order_count": F.count_distinct(F.when(is_sale, F.col("order_id"))),
        "sold_piece_count": total(is_sale, pieces),
        "returned_piece_count": total(is_return, -pieces),
        "gross_amount": total(is_sale, amount),
        "return_amount": total(is_return, amount),
        "net_amount": total(counts, amount),
    }
    return [measure.alias(f"{name}{suffix}") for name, measure in named.items()]


def as_daily_sales(lines: DataFrame) -> DataFrame:
    """One row per business day, store, product, kind of line and currency, from the current order lines.

    Sums are taken over exact decimals and rounded once, half up, to the penny.

    Args:
        lines: with `is_clean`.
    """
    return (
        lines.where("superseded_at is null")
        .groupBy(F.col("ordered_date").alias("sales_date"), "store_id", "product_id", "line_kind", "currency_code")
        .agg(*measures(F.lit(True), ""), *measures(F.col("is_clean"), "_clean"))
    )


def build(run: Run) -> None:
    lines, order_flags = run.read("silver.order_lines"), run.read("silver.order_flags")
    run.publish(TABLE, as_daily_sales(with_is_clean(lines, order_flags, run.read("silver.order_line_flags"))))


if __name__ == "__main__":
    sys.exit(JOB.main(__doc__, build))
