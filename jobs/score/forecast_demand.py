"""Forecast the demand of each active product and store for the weeks to come with the champion, each with its interval."""

import datetime as dt
import sys

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.lakehouse.boosters import with_interval, with_prediction
from jobs.lakehouse.errors import DataError
from jobs.lakehouse.job import Job
from jobs.lakehouse.run import Run
from jobs.lakehouse.settings import DemandSettings
from jobs.lakehouse.tables import date_slices

TABLE = "gold.demand_forecasts"
JOB = Job(reads=("gold.demand_features", "models.demand"), writes=(TABLE,), settings=(DemandSettings,), is_dated=True)


def newest_origin(features: DataFrame, run_date: dt.date, close_after_days: int) -> DataFrame:
    """The feature rows of the newest origin week that was closed by the run date.

    Raises:
        DataError: no week was closed by then.
    """
    ended = features.where(F.date_add("origin_week", 6 + close_after_days) <= F.lit(run_date))
    newest = ended.agg(F.max("origin_week")).first()
    if newest is None or newest[0] is None:
        raise DataError(f"no week with active products was closed by {run_date}; nothing to forecast from")
    return ended.where(F.col("origin_week") == F.lit(newest[0]))


def build(run: Run) -> None:
    champion = run.tracking.champion("demand")
    names = list(champion.feature_names)
    rows = newest_origin(run.read("gold.demand_features"), run.run_date, run.part(DemandSettings).close_after_days)
    numbers = rows.select(
        *["product_id", "store_id", "week_start_date"], *[F.col(name).cast("double").alias(name) for name in names]
    )
    forecasts = with_prediction(numbers, champion.booster, names).withColumn(
        "forecast_units", F.col("prediction") * F.col("level_units")
    )
    told = with_interval(forecasts, "forecast_units", champion.metadata["interval_factors"]).select(
        F.lit(run.run_date).alias("as_of_date"),
        "product_id",
        "store_id",
        "week_start_date",
        F.col("horizon_weeks").cast("int").alias("horizon_weeks"),
        "forecast_units",
        "lower_units",
        "upper_units",
        F.lit(f"{champion.model}/{champion.version}").alias("model_version"),
    )
    run.publish(TABLE, told, date_slices("as_of_date", [run.run_date]))


if __name__ == "__main__":
    sys.exit(JOB.main(__doc__, build))
