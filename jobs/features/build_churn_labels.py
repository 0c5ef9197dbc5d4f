"""Build churn labels for the panel dates whose windows are closed: did a customer, as known then, order in the days that followed?"""

import datetime as dt
import sys

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.features.panel import panel_dates
from jobs.features.visibility import until_lines_excluded
from jobs.lakehouse.days import end_of_day
from jobs.lakehouse.job import Job
from jobs.lakehouse.local_rows import local_rows
from jobs.lakehouse.run import Run
from jobs.lakehouse.settings import ChurnSettings, FeatureSettings
from jobs.lakehouse.tables import date_slices

TABLE = "gold.churn_labels"
JOB = Job(
    reads=(
        "gold.customer_features",
        "silver.order_lines",
        "silver.customer_ids",
        "silver.order_flags",
        "silver.order_line_flags",
    ),
    writes=(TABLE,),
    settings=(FeatureSettings, ChurnSettings),
    is_dated=True,
)


def label_windows(spark: SparkSession, days: list[dt.date], churn: ChurnSettings, time_zone: str) -> DataFrame:
    """One row per as-of date: the days of its label window, the instant of the date and the one at which the label closed."""
    rows = [
        (
            day,
            end_of_day(day, time_zone),
            day + dt.timedelta(days=churn.gap_days + 1),
            day + dt.timedelta(days=churn.gap_days + churn.window_days),
            end_of_day(day + dt.timedelta(days=churn.label_days), time_zone),
        )
        for day in days
    ]
    schema = "as_of_date date, as_of timestamp, label_from_date date, label_to_date date, closed_at timestamp"
    return F.broadcast(local_rows(spark, rows, schema))


def heirs(customer_ids: DataFrame, windows: DataFrame) -> DataFrame:
    """One row per as-of date, customer as known then, and account that was theirs when the label closed.

    Who was two customers at the as-of date and is known to be one by the close has both histories in the label.
    """
    accounts = customer_ids.where("identifier_kind = 'account'").withColumnRenamed("identifier_value", "account_id")

    def held_at(instant: str) -> DataFrame:
        is_held = (F.col("valid_from") < F.col(instant)) & (
            F.col("valid_to").isNull() | (F.col("valid_to") >= F.col(instant))
        )
        return accounts.join(windows, on=is_held, how="inner").select("as_of_date", "account_id", "customer_id")

    at_close = held_at("closed_at").withColumnRenamed("customer_id", "heir_id")
    then = held_at("as_of").join(at_close, on=["as_of_date", "account_id"], how="inner")
    inherited = then.select("as_of_date", "customer_id", "heir_id").distinct()
    return inherited.join(at_close, on=["as_of_date", "heir_id"], how="inner").select(
        "as_of_date", "customer_id", "account_id"
    )


def churn_labels(
    features: DataFrame, lines: DataFrame, customer_ids: DataFrame, windows: DataFrame, population_days: int
) -> DataFrame:
    """One row per as-of date and customer of the churn population, with whether they ordered in the label window.

    Orders count that had arrived when the label closed, and were not known by then to be none, such as those of a
    brushing ring; what arrives or is found out later does not change a closed label.
    """
    is_in_window = F.col("ordered_date").between(F.col("label_from_date"), F.col("label_to_date"))
    was_known = (F.col("arrived_at") < F.col("closed_at")) & (
        F.col("superseded_at").isNull() | (F.col("superseded_at") >= F.col("closed_at"))
    )
    sold = lines.where("account_id is not null and line_kind = 'product' and not is_return")
    in_window = sold.join(windows, on=is_in_window & was_known, how="inner").select(
        "as_of_date", "account_id", "order_id"
    )
    ordered = (
        heirs(customer_ids, windows)
        .join(in_window, on=["as_of_date", "account_id"], how="inner")
        .groupBy("as_of_date", "customer_id")
        .agg(F.count_distinct("order_id").alias("window_order_count"))
    )
    population = features.where(F.col("days_since_last_order") < population_days).select("as_of_date", "customer_id")
    labelled = population.join(ordered, on=["as_of_date", "customer_id"], how="left").fillna(0, ["window_order_count"])
    return labelled.join(windows, on="as_of_date", how="inner").select(
        "as_of_date",
        "customer_id",
        (F.col("window_order_count") == 0).cast("int").alias("is_churned"),
        "window_order_count",
        "label_from_date",
        "label_to_date",
    )


def build(run: Run) -> None:
    churn, settings = run.part(ChurnSettings), run.part(FeatureSettings)
    days = panel_dates(run.run_date, settings, churn)
    lines = run.read("silver.order_lines")
    if settings.exclude_flagged:
        lines = until_lines_excluded(lines, run.read("silver.order_flags"), run.read("silver.order_line_flags"))
    labels = churn_labels(
        run.read("gold.customer_features").where(F.col("as_of_date").isin(days)),
        lines,
        run.read("silver.customer_ids"),
        label_windows(run.spark, days, churn, run.time_zone),
        churn.population_days,
    )
    run.publish(TABLE, labels, date_slices("as_of_date", days))


if __name__ == "__main__":
    sys.exit(JOB.main(__doc__, build))
