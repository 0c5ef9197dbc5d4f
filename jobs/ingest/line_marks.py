"""Marks on order lines: a line told again under another number, and a quantity or price far from the product's."""

from __future__ import annotations

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from jobs.ingest.evidence import signs_that_hold, with_distance
from jobs.ingest.revisions import current
from jobs.lakehouse.cleaning_settings import CleaningSettings

CONTENT = ("order_id", "ordered_at", "product_id", "line_kind", "quantity", "unit_price_amount")


def as_current_lines(revisions: DataFrame) -> DataFrame:
    """One row per line as it is now, with `came_at`: when the line came first, whatever was corrected since."""
    corrected = revisions.where((F.col("revision") > 1) | F.col("superseded_at").isNotNull())
    came = corrected.groupBy("order_line_id").agg(F.min("arrived_at").alias("came_at"))
    lines = current(revisions).join(came, on="order_line_id", how="left")
    return lines.withColumn("came_at", F.coalesce("came_at", "arrived_at"))


def with_first_arrival(lines: DataFrame) -> DataFrame:
    """The lines with `first_came_at`: when a line of the same order that says the same came first.

    Two lines alike that came together are two lines: somebody scanned a thing twice. One that came later is a copy, unless it
    is of another time: two things alike of one order, each brought back on a day of its own.
    """
    return lines.withColumn("first_came_at", F.min("came_at").over(Window.partitionBy(*CONTENT)))


def with_outlier_signs(lines: DataFrame, settings: CleaningSettings) -> DataFrame:
    """The lines with `quantity_distance` and `price_distance` from their product's lines, in robust spreads of logarithms.

    A price paid is held against the product's usual one in its currency, so that a year's inflation or a promotion is near.
    """
    told = lines.withColumns({"pieces": F.abs("quantity"), "price": F.col("unit_price_amount")})
    spread, sample = settings.least_log_spread, settings.least_sample
    by_quantity = with_distance(told, ["product_id"], "pieces", spread, sample)
    return with_distance(by_quantity, ["product_id", "currency_code"], "price", spread, sample)


def as_line_flags(revisions: DataFrame, settings: CleaningSettings) -> DataFrame:
    """One row per current order line that bears a mark.

    The products' usual quantities and prices are taken from all lines there are: they say what is usual, not who.

    Args:
        revisions: rows of silver.order_lines, all revisions.
        settings: how far is far.
    """
    lines = as_current_lines(revisions).where("line_kind = 'product'")
    judged = with_first_arrival(with_outlier_signs(lines, settings))
    holds = {
        "quantity_outlier": F.col("pieces_distance") >= settings.robust_z,
        "price_outlier": F.abs("price_distance") >= settings.robust_z,
        "told_again": F.col("came_at") > F.col("first_came_at"),
    }
    holds = {sign: F.coalesce(condition, F.lit(False)) for sign, condition in holds.items()}
    is_outlier = holds["quantity_outlier"] | holds["price_outlier"]
    far = F.greatest("pieces_distance", F.abs("price_distance"))
    return judged.where(is_outlier | holds["told_again"]).select(
        "order_line_id",
        "revision",
        "order_id",
        is_outlier.alias("is_outlier"),
        holds["told_again"].alias("is_near_duplicate"),
        signs_that_hold(holds).alias("reasons"),
        F.greatest(F.when(holds["told_again"], 1.0), F.when(is_outlier, 1 - settings.robust_z / (2 * far))).alias(
            "score"
        ),
        "arrived_at",
        F.col("arrived_at").alias("excluded_at"),
    )
