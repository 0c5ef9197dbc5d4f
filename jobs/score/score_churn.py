"""Score every customer of the churn population as of the run date with the champion, each with its three strongest reasons."""

import datetime as dt
import sys
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.lakehouse.basis import changed_inputs, read_before
from jobs.lakehouse.boosters import with_prediction, with_reasons
from jobs.lakehouse.caching import cached
from jobs.lakehouse.differences import owners_that_differ
from jobs.lakehouse.job import Job
from jobs.lakehouse.run import Run
from jobs.lakehouse.settings import ChurnSettings
from jobs.lakehouse.tables import date_slices
from jobs.lakehouse.tracking import Champion

TABLE, FEATURES = "gold.churn_scores", "gold.customer_features"
KEY, RECENCY = ("as_of_date", "customer_id"), "days_since_last_order"
SCORED = ("churn_probability", "reason_1", "reason_2", "reason_3")
JOB = Job(reads=(FEATURES, "models.churn"), writes=(TABLE,), settings=(ChurnSettings,), is_dated=True)
DECILES = 10


def with_decile(scores: DataFrame) -> DataFrame:
    """The scores with their tenth, 1 the most likely to churn, by nine cut points instead of one sort of all customers.

    Customers of the same probability share a tenth.
    """
    cuts = scores.approxQuantile("churn_probability", [1 - step / DECILES for step in range(1, DECILES)], 0.001)
    below = [F.when(F.col("churn_probability") < F.lit(cut), 1).otherwise(0) for cut in cuts]
    return scores.withColumn("churn_decile", reduce(Column.__add__, below, F.lit(1)).cast("int"))


def scored(population: DataFrame, champion: Champion) -> DataFrame:
    """One row per customer of the population: how likely it is to churn, and the three strongest reasons."""
    names = list(champion.feature_names)
    numbers = population.select(*KEY, *[F.col(name).cast("double").alias(name) for name in names])
    predicted = with_prediction(numbers, champion.booster, names, "churn_probability")
    return with_reasons(predicted, champion.booster, names).select(*KEY, *SCORED)


def touched_since(run: Run, features: DataFrame, columns: list[str]) -> DataFrame | None:
    """One row per customer whose features have changed since the last scoring, and nothing else has; None where all are scored."""
    is_alone = changed_inputs(run) == frozenset({FEATURES})
    before = read_before(run, FEATURES) if is_alone else None
    if before is None:
        return None
    before = before.where(F.col("as_of_date") == F.lit(run.run_date))
    touched = run.keep(cached(owners_that_differ(before, features, "customer_id", *KEY, *columns)))
    run.facts["scores"] = f"{touched.count():,} customers anew, for the features of no other have changed"
    return touched


def build(run: Run) -> None:
    churn, champion = run.part(ChurnSettings), run.tracking.champion("churn")
    features = run.read(FEATURES).where(F.col("as_of_date") == F.lit(run.run_date))
    touched = touched_since(run, features, sorted({*champion.feature_names, RECENCY}))
    published = run.previous(TABLE)
    population = features.where(F.col(RECENCY) < churn.population_days)
    if touched is None or published is None:
        scores = scored(population, champion)
    else:
        of_day = published.where(F.col("as_of_date") == F.lit(run.run_date))
        others = of_day.join(touched, on="customer_id", how="left_anti").select(*KEY, *SCORED)
        anew = population.join(touched, on="customer_id", how="left_semi")
        scores = scored(anew, champion).unionByName(others)
    first = run.run_date + dt.timedelta(days=churn.gap_days + 1)
    last = run.run_date + dt.timedelta(days=churn.gap_days + churn.window_days)
    # Tenths are of all customers, whoever was scored anew.
    told = with_decile(run.keep(cached(scores))).select(
        *KEY,
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


if __name__ == "__main__":
    sys.exit(JOB.main(__doc__, build))
