"""Score every customer of the churn population as of the run date with the champion, each with its three strongest reasons."""

import datetime as dt
import sys
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.lakehouse.boosters import with_prediction, with_reasons
from jobs.lakehouse.job import Job
from jobs.lakehouse.run import Run
from jobs.lakehouse.settings import ChurnSettings
from jobs.lakehouse.tables import date_slices

TABLE = "gold.churn_scores"
JOB = Job(reads=("gold.customer_features", "models.churn"), writes=(TABLE,), settings=(ChurnSettings,), is_dated=True)
DECILES = 10


def with_decile(scores: DataFrame) -> DataFrame:
    """The scores with their tenth, 1 the most likely to churn, by nine cut points instead of one sort of all customers.

    Customers of the same probability share a tenth.
    """
    cuts = scores.approxQuantile("churn_probability", [1 - step / DECILES for step in range(1, DECILES)], 0.001)
    below = [F.when(F.col("churn_probability") < F.lit(cut), 1).otherwise(0) for cut in cuts]
    return scores.withColumn("churn_decile", reduce(Column.__add__, below, F.lit(1)).cast("int"))


def build(run: Run) -> None:
    churn, champion = run.part(ChurnSettings), run.tracking.champion("churn")
    names = list(champion.feature_names)
    features = run.read("gold.customer_features").where(F.col("as_of_date") == F.lit(run.run_date))
    population = features.where(F.col("days_since_last_order") < churn.population_days)
    numbers = population.select(
        "as_of_date", "customer_id", *[F.col(name).cast("double").alias(name) for name in names]
    )
    scored = with_reasons(
        with_prediction(numbers, champion.booster, names, "churn_probability"), champion.booster, names
    )
    first = run.run_date + dt.timedelta(days=churn.gap_days + 1)
    last = run.run_date + dt.timedelta(days=churn.gap_days + churn.window_days)
    told = with_decile(scored.persist()).select(
        "as_of_date",
        "customer_id",
        "churn_probability",
        "churn_decile",
        "reason_1",
        "reason_2",
        "reason_3",
        F.lit(f"{champion.model}/{champion.version}").alias("model_version"),
        F.lit(first).alias("expected_from_date"),
        F.lit(last).alias("expected_to_date"),
    )
    run.publish(TABLE, told, date_slices("as_of_date", [run.run_date]))
    scored.unpersist()


if __name__ == "__main__":
    sys.exit(JOB.main(__doc__, build))
