"""Collect the current order lines into silver orders, one row per order or till receipt."""

import sys

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.ingest.revisions import current
from jobs.lakehouse.job import Job
from jobs.lakehouse.quality import REASONS, with_reject_reasons
from jobs.lakehouse.run import Run

TABLE = "silver.orders"
JOB = Job(reads=("silver.order_lines",), writes=(TABLE,))
# Why an order is refused whose lines are in several currencies: their sum would be an amount of none. By its beginning it
# stands for the amount that is missing.
MIXED = "order_amount_currency_mixed"
# Why an order is refused whose lines come to more than an amount can hold.
TOO_LARGE = "order_amount_too_large"


def as_orders(lines: DataFrame) -> DataFrame:
    """One row per order; what should be the same in all its lines is taken from the first that arrived.

    An order in several currencies, or of more than an amount can hold, bears the reason why it is refused, and no amount.
    """
    first = [
        F.min_by(name, F.struct("arrived_at", "order_line_id")).alias(name)
        for name in ("account_id", "store_id", "channel", "currency_code")
    ]
    is_mixed = F.min("currency_code") != F.max("currency_code")
    amount = F.sum("line_amount").try_cast("decimal(18,4)")
    reason = F.when(is_mixed, MIXED).when(amount.isNull(), TOO_LARGE)
    return lines.groupBy("order_id").agg(
        *first,
        F.min("ordered_at").alias("ordered_at"),
        F.min("ordered_date").alias("ordered_date"),
        F.count("*").cast("int").alias("line_count"),
        F.sum("quantity").alias("piece_count"),
        F.when(~is_mixed, amount).alias("order_amount"),
        F.every("is_return").alias("is_return"),
        F.min("arrived_at").alias("arrived_at"),
        F.array_compact(F.array(reason)).alias(REASONS),
    )


def build(run: Run) -> None:
    orders = as_orders(current(run.read("silver.order_lines")))
    run.publish(TABLE, with_reject_reasons(orders, run.contract(TABLE)))


if __name__ == "__main__":
    sys.exit(JOB.main(__doc__, build))
