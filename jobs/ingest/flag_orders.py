"""Flag brushing, abnormal returns, outliers and near duplicates in silver order flags and order line flags."""

import sys
from functools import reduce

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from jobs.ingest.brushing import (
    as_brushed_orders,
    as_candidates,
    as_crowds,
    as_shared_keys,
    as_viewers,
    with_bound,
    with_unbrowsed,
)
from jobs.ingest.evidence import signs_that_hold
from jobs.ingest.line_marks import as_line_flags
from jobs.ingest.revisions import current
from jobs.ingest.unusual_returns import as_abnormal_returns
from jobs.lakehouse.caching import cached, few
from jobs.lakehouse.cleaning_settings import CleaningSettings
from jobs.lakehouse.job import Job
from jobs.lakehouse.optional_inputs import read_or_nothing
from jobs.lakehouse.run import Run

ORDER_FLAGS, LINE_FLAGS = "silver.order_flags", "silver.order_line_flags"
JOB = Job(
    reads=("silver.order_lines", "silver.events", "silver.payments"),
    writes=(LINE_FLAGS, ORDER_FLAGS),
    settings=(CleaningSettings,),
    can_lack=("silver.payments",),
)
PAYMENTS = "silver.payments"
MARKS = ("brushing", "abnormal_return", "outlier", "near_duplicate")
# Marks that keep an order out of clean figures as a whole; of an outlier only the line stays out, and a return is a return.
EXCLUDING = ("brushing", "near_duplicate")


def as_order_heads(lines: DataFrame) -> DataFrame:
    """One row per order with who ordered, when, where to, its products, and what it says in all."""
    product_line = F.struct("product_id", "quantity", "unit_price_amount")
    content = F.to_json(F.sort_array(F.collect_list(product_line)))
    first = [
        F.min_by(name, F.struct("arrived_at", "order_line_id")).alias(name)
        for name in ("account_id", "store_id", "delivery_address_token")
    ]
    return lines.groupBy("order_id").agg(
        *first,
        F.min("ordered_at").alias("ordered_at"),
        F.every("is_return").alias("is_return"),
        F.max("arrived_at").alias("arrived_at"),
        F.collect_list(F.when(F.col("line_kind") == "product", F.col("product_id"))).alias("products"),
        F.xxhash64(content).alias("content"),
    )


def as_repeated_orders(orders: DataFrame, within_minutes: int) -> DataFrame:
    """One row per order that its account had placed in the same words minutes before: `order_id`, `known_at`, `score`."""
    alike = Window.partitionBy("account_id", "store_id", "content").orderBy("ordered_at", "order_id")
    told = orders.where("account_id is not null and not is_return").withColumns(
        {
            "_seconds": F.unix_seconds("ordered_at") - F.unix_seconds(F.lag("ordered_at").over(alike)),
            "known_at": F.greatest("arrived_at", F.lag("arrived_at").over(alike)),
        }
    )
    return told.where(F.col("_seconds") <= 60 * within_minutes).select(
        "order_id", "known_at", F.lit(1.0).alias("score")
    )


def as_order_flags(marked: dict[str, DataFrame]) -> DataFrame:
    """One row per order that bears a mark.

    Args:
        marked: for each of the marks, one row per order with `order_id`, `known_at`, `score`, and `ring_id` with brushing.
    """
    nothing = F.lit(None).cast("string")
    told = reduce(
        DataFrame.unionByName,
        [
            orders.select(
                "order_id",
                F.lit(mark).alias("mark"),
                "known_at",
                "score",
                (F.col("ring_id") if mark == "brushing" else nothing).alias("ring_id"),
            )
            for mark, orders in marked.items()
        ],
    )
    holds = {mark: F.bool_or(F.col("mark") == mark) for mark in MARKS}
    return told.groupBy("order_id").agg(
        F.max("ring_id").alias("ring_id"),
        *[condition.alias(f"is_{mark}") for mark, condition in holds.items()],
        signs_that_hold(holds).alias("reasons"),
        F.max("score").alias("score"),
        F.min("known_at").alias("arrived_at"),
        F.min(F.when(F.col("mark").isin(*EXCLUDING), F.col("known_at"))).alias("excluded_at"),
    )


def build(run: Run) -> None:
    settings = run.part(CleaningSettings)
    revisions, events = run.read("silver.order_lines"), run.read("silver.events")
    lines = current(revisions)
    # Few rows, from many: worked out once for all that is made of them.
    line_flags = run.keep(cached(as_line_flags(revisions, settings)))
    run.publish(LINE_FLAGS, line_flags)
    orders = run.keep(cached(as_order_heads(lines)))
    # Who shares a wallet can't be told without payments; devices and addresses are left.
    payments = read_or_nothing(run, PAYMENTS)
    keys = run.keep(cached(as_shared_keys(orders, events, current(payments))))
    crowds = run.keep(cached(as_crowds(orders, keys)))
    sharing = run.keep(cached(as_candidates(orders, keys, crowds, settings)))
    viewers = few(run.keep(cached(as_viewers(sharing, events))))
    browsed = with_unbrowsed(sharing, viewers, events, settings)
    candidates = run.keep(cached(with_bound(browsed, sharing, keys, crowds, settings)))
    outliers = (
        line_flags.where("is_outlier")
        .groupBy("order_id")
        .agg(F.min("arrived_at").alias("known_at"), F.max("score").alias("score"))
    )
    marked = {
        "brushing": as_brushed_orders(candidates, settings),
        "abnormal_return": as_abnormal_returns(lines, settings),
        "outlier": outliers,
        "near_duplicate": as_repeated_orders(orders, settings.near_duplicate_minutes),
    }
    run.publish(ORDER_FLAGS, as_order_flags(marked))


if __name__ == "__main__":
    sys.exit(JOB.main(__doc__, build))
