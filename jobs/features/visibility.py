"""What could be known when: rows with the time from which, and until which, they were visible as belonging to a customer."""

from __future__ import annotations

import datetime as dt

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.lakehouse.days import end_of_day
from jobs.lakehouse.differences import owners_that_differ
from jobs.lakehouse.local_rows import local_rows


def with_customer(rows: DataFrame, customer_ids: DataFrame, kind: str, column: str) -> DataFrame:
    """The rows of known customers, one per time in which they belonged to one: `customer_id`, `visible_from`, `visible_to`.

    A row is visible from the moment when it had happened, had arrived and was linked, until it was superseded or the
    link ended; each row has at most one customer at a time.

    Args:
        rows: with `happened_at`, `arrived_at`, and `superseded_at` where rows have revisions.
        customer_ids: the history of `silver.customer_ids`.
        kind: kind of the identifier that the rows carry.
        column: the rows' column that holds it.
    """
    owners = customer_ids.where(F.col("identifier_kind") == kind).select(
        F.col("identifier_value").alias(column), "customer_id", "valid_from", "valid_to"
    )
    superseded_at = F.col("superseded_at") if "superseded_at" in rows.columns else F.lit(None).cast("timestamp")
    spans = rows.join(owners, on=column, how="inner").withColumns(
        {
            "visible_from": F.greatest("happened_at", "arrived_at", "valid_from"),
            "visible_to": F.least("valid_to", superseded_at),
        }
    )
    return spans.where("visible_to is null or visible_from < visible_to").drop("valid_from", "valid_to")


def touched_customers(before: DataFrame, now: DataFrame) -> DataFrame:
    """One row per customer that gained or lost an account, an identifier or a time of one between two states of `silver.customer_ids`."""
    return owners_that_differ(
        before, now, "customer_id", "identifier_kind", "identifier_value", "valid_from", "valid_to"
    )


def until_excluded(rows: DataFrame, flags: DataFrame, *key: str) -> DataFrame:
    """The rows, each superseded at the latest when it was known that clean figures leave it out.

    So a row counts as of the dates before, and not as of those after: nobody knew then, and everybody knows now.

    Args:
        rows: with the key, and `superseded_at` where rows have revisions.
        flags: with the key and `excluded_at`, at most one row per key.
        key: what the two have in common.
    """
    known = flags.where("excluded_at is not null").select(*key, "excluded_at")
    superseded_at = F.col("superseded_at") if "superseded_at" in rows.columns else F.lit(None).cast("timestamp")
    joined = rows.join(known, on=list(key), how="left")
    return joined.withColumn("superseded_at", F.least(superseded_at, "excluded_at")).drop("excluded_at")


def until_lines_excluded(lines: DataFrame, order_flags: DataFrame, line_flags: DataFrame) -> DataFrame:
    """The order lines, each superseded at the latest when it, or its order as a whole, was known to be left out."""
    by_order = until_excluded(lines, order_flags, "order_id")
    return until_excluded(by_order, line_flags, "order_line_id", "revision")


def as_of_dates(spark: SparkSession, dates: list[dt.date], time_zone: str) -> DataFrame:
    """One row per as-of date with the instant at which that day ends."""
    rows = [(day, end_of_day(day, time_zone)) for day in dates]
    return F.broadcast(local_rows(spark, rows, "as_of_date date, as_of timestamp"))


def as_known(spans: DataFrame, dates: DataFrame) -> DataFrame:
    """One row per as-of date and row that was visible at its instant."""
    is_visible = (F.col("visible_from") < F.col("as_of")) & (
        F.col("visible_to").isNull() | (F.col("visible_to") >= F.col("as_of"))
    )
    return spans.join(dates, on=is_visible, how="inner").drop("visible_from", "visible_to")
