"""Measure the promises on later dates than models learned from, in the simulated world also against its truth, into the scoreboard."""

import dataclasses
import datetime as dt
import sys
from collections.abc import Callable, Mapping

import numpy as np
from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from jobs.evaluate.best_possible import moved_by_store, with_silence_probability
from jobs.evaluate.scoreboard import Score, score_rows, scored
from jobs.evaluate.true_customers import account_persons, customer_persons, identity_scores
from jobs.evaluate.true_households import household_scores
from jobs.evaluate.true_marks import (
    bot_devices,
    bot_scores,
    click_scores,
    copy_scores,
    outlier_scores,
    repair_scores,
    return_scores,
    ring_scores,
)
from jobs.evaluate.true_rows import scores_of_rows
from jobs.lakehouse.boosters import with_interval, with_prediction
from jobs.lakehouse.caching import cached
from jobs.lakehouse.cleaning_settings import CleaningSettings
from jobs.lakehouse.days import end_of_day
from jobs.lakehouse.files import folder_exists
from jobs.lakehouse.job import Job
from jobs.lakehouse.measures import accuracy_at, auc_of, bootstrap_sums
from jobs.lakehouse.run import Run
from jobs.lakehouse.settings import ChurnSettings, DemandSettings, PrivacySettings
from jobs.lakehouse.tables import date_slices

TABLE = "gold.scoreboard"
JOB = Job(
    reads=(
        "truth.*", "silver.order_lines", "silver.events", "silver.customer_ids", "gold.customer_features",
        "gold.churn_labels", "gold.demand_features", "models.churn", "models.demand",
        "silver.event_flags", "silver.order_flags", "silver.order_line_flags", "silver.repairs",
        "silver.households",
    ),
    writes=(TABLE,),
    settings=(ChurnSettings, CleaningSettings, DemandSettings, PrivacySettings),
    is_dated=True,
)  # fmt: skip
CONTACTED_SHARE = 0.1
LEVELS = {"SKU × store × week": ["product_id", "store_id"], "category × store × week": ["category", "store_id"]}


def truth(run: Run, name: str) -> DataFrame:
    """A part of the world's truth."""
    return run.spark.read.parquet(f"{run.settings.path('truth')}/{name}")


def cleaning_scores(run: Run, accounts: DataFrame) -> list[Score]:
    """How well rows, marks, removed duplicates and repairs follow the truth, of the parts that this world's truth tells of."""
    lines, events = (run.keep(cached(run.read(table))) for table in ("silver.order_lines", "silver.events"))
    order_flags, line_flags = run.read("silver.order_flags"), run.read("silver.order_line_flags")
    event_flags = run.read("silver.event_flags")

    def known(name: str) -> DataFrame:
        return truth(run, name)

    parts: dict[tuple[str, ...], Callable[[], list[Score]]] = {
        ("bots",): lambda: bot_scores(
            bot_devices(known("bots"), run.keys(), run.settings.calendar.phone_region), events, event_flags
        ),
        ("repeated_clicks",): lambda: click_scores(known("repeated_clicks"), events, event_flags),
        ("brushing_rings", "brushed_orders"): lambda: ring_scores(
            known("brushing_rings"), known("brushed_orders"), lines, order_flags
        ),
        ("near_duplicates",): lambda: copy_scores(known("near_duplicates"), lines, line_flags),
        ("feed_rows", "near_duplicates"): lambda: scores_of_rows(
            known("feed_rows"),
            known("near_duplicates"),
            events,
            lines,
            run.lake,
            [name for name, source in run.sources.items() if source.table],
        ),
        ("outliers",): lambda: outlier_scores(known("outliers"), lines, line_flags),
        ("persons", "brushing_rings"): lambda: return_scores(
            known("persons"),
            accounts,
            known("brushing_rings"),
            lines,
            order_flags,
            run.part(CleaningSettings).abnormal_return_lines,
        ),
        ("holes",): lambda: repair_scores(known("holes"), run.read("silver.repairs")),
    }
    folder = run.settings.path("truth")
    told = [names for names in parts if all(folder_exists(run.spark, f"{folder}/{name}") for name in names)]
    return [score for names in told for score in parts[names]()]


def churn_rows(run: Run, test_date: dt.date) -> DataFrame:
    """One row per customer of the test date, with the label, the champion's probability and the recency baseline."""
    champion = run.tracking.champion("churn")
    names = list(champion.feature_names)
    features = run.read("gold.customer_features").select(
        "as_of_date", "customer_id", *[F.col(name).cast("double").alias(name) for name in names]
    )
    labels = run.read("gold.churn_labels").select("as_of_date", "customer_id", "is_churned")
    rows = labels.join(features, on=["as_of_date", "customer_id"], how="inner")
    tested = rows.where(F.col("as_of_date") == F.lit(test_date))
    return with_prediction(tested, champion.booster, names, "model").withColumn(
        "recency", F.col("days_since_last_order")
    )


def churn_scores(rows: DataFrame, churn: ChurnSettings, measured_on: str, trained: Mapping[str, float]) -> list[Score]:
    """AUC, precision at the contacted share, and Brier score of the champion, each beside the better of its baselines.

    The recency rule is computed here; the logistic regression was judged on the same rows when the champion was trained.
    """
    replicates, seed = churn.bootstrap_replicates, churn.seed
    model = auc_of(rows, "customer_id", "model", "is_churned", replicates, seed)
    recency = auc_of(rows, "customer_id", "recency", "is_churned", replicates, seed)
    square = F.pow(F.col("model") - F.col("is_churned"), 2).alias("square")
    sums = bootstrap_sums(
        rows.select("customer_id", square, F.col("is_churned").cast("double").alias("churned"), F.lit(1.0).alias("one")),
        "customer_id", ["square", "churned", "one"], replicates, seed,
    )  # fmt: skip
    rate = float(sums[0, 1] / sums[0, 2])
    level = "customers, one date"
    best_auc = _better(float(recency.auc[0]), trained["auc_logistic"])
    best_precision = _better(float(recency.precision_at(CONTACTED_SHARE)[0]), trained["precision_top_decile_logistic"])
    top = f"precision at top {CONTACTED_SHARE:.0%}"
    base_rate = ("base rate", rate * (1 - rate))
    brier = sums[:, 0] / sums[:, 2]
    return [
        scored("22 churn", "AUC", level, model.auc, measured_on, baseline=best_auc, goal=0.85),
        scored("22 churn", top, level, model.precision_at(CONTACTED_SHARE), measured_on, baseline=best_precision),
        scored("22 churn", "Brier score (lower is better)", level, brier, measured_on, baseline=base_rate),
    ]


def _better(recency: float, logistic: float) -> tuple[str, float]:
    """The stronger of the two baselines, by name."""
    return max(("recency rule", recency), ("logistic regression", logistic), key=lambda baseline: baseline[1])


def weather_rows(run: Run, first: dt.date, last: dt.date) -> list[Row]:
    """One row per day and store of what rain does to orders; a truth from before it was told has none."""
    if not folder_exists(run.spark, f"{run.settings.path('truth')}/weather"):
        return []
    days = truth(run, "weather").where(F.col("date").between(F.lit(first), F.lit(last)))
    return days.orderBy("date").collect()


def churn_against_truth(run: Run, rows: DataFrame, test_date: dt.date, accounts: DataFrame) -> Score:
    """The champion's share of the best possible AUC, on the same rows."""
    churn = run.part(ChurnSettings)
    first, last = (
        test_date + dt.timedelta(days=churn.gap_days + 1),
        test_date + dt.timedelta(days=churn.gap_days + churn.window_days),
    )
    days = truth(run, "calendar").where(F.col("date").between(F.lit(first), F.lit(last))).orderBy("date")
    season = [float(row["season_factor"]) for row in days.select("season_factor").collect()]
    moved = moved_by_store(weather_rows(run, first, last))
    best = with_silence_probability(truth(run, "persons"), test_date, churn.gap_days, season, moved)
    persons = customer_persons(run.read("silver.customer_ids"), accounts, F.lit(end_of_day(test_date, run.time_zone)))
    known = rows.join(persons, on="customer_id", how="inner").join(best, on="person_id", how="inner")
    known = run.keep(cached(known))
    replicates, seed = churn.bootstrap_replicates, churn.seed
    model = auc_of(known, "customer_id", "model", "is_churned", replicates, seed).auc
    ceiling = auc_of(known, "customer_id", "best_probability", "is_churned", replicates, seed).auc
    return scored(
        "22 churn", "share of the best possible AUC", "customers, one date", (model - 0.5) / (ceiling - 0.5), "world",
        baseline=("best possible AUC", float(ceiling[0])), goal=0.97,
        note="the best possible knows who has dropped out and each person's rates; no observer does",
    )  # fmt: skip


def demand_rows(run: Run) -> DataFrame:
    """One row per test origin, series and week, with the champion's forecast, its interval and the 4-week mean."""
    champion = run.tracking.champion("demand")
    names = list(champion.feature_names)
    first, last = (champion.metadata[name] for name in ("first_test_origin", "last_test_origin"))
    tested = run.read("gold.demand_features").where(
        F.col("origin_week").between(F.lit(first).cast("date"), F.lit(last).cast("date"))
        & F.col("target_units").isNotNull()
    )
    numbers = tested.withColumns({name: F.col(name).cast("double") for name in names})
    forecasts = with_prediction(numbers, champion.booster, names).withColumn(
        "model", F.col("prediction") * F.col("level_units")
    )
    return with_interval(forecasts, "model", champion.metadata["interval_factors"])


def demand_scores(rows: DataFrame, demand: DemandSettings, measured_on: str, has_truth: bool) -> list[Score]:
    """1 − WAPE over the horizon at two levels, beside the 4-week mean and, in the world, the expected demand itself."""
    methods = ["model", "mean_4_units", *(["expected_units"] if has_truth else [])]
    found = []
    for level, keys in LEVELS.items():
        accuracy = accuracy_at(rows, keys, methods, demand.bootstrap_replicates, demand.seed)
        goal = 0.85 if level.startswith("category") else None
        note = f"{demand.horizon_weeks} weeks, {demand.test_origins} origins"
        found.append(
            scored(
                "25 demand", "1 − WAPE", level, accuracy["model"], measured_on,
                baseline=("4-week mean", float(accuracy["mean_4_units"][0])), goal=goal, note=note,
            )
        )  # fmt: skip
        if has_truth:
            best = accuracy["expected_units"]
            found.append(
                scored(
                    "25 demand", "share of the best possible 1 − WAPE", level, accuracy["model"] / best, measured_on,
                    baseline=("expected demand as forecast", float(best[0])), note=note,
                )
            )  # fmt: skip
    return [*found, coverage_score(rows, demand, measured_on)]


def coverage_score(rows: DataFrame, demand: DemandSettings, measured_on: str) -> Score:
    """Share of weeks that fall into their interval; met between two points below and above its nominal share."""
    is_covered = F.col("target_units").between(F.col("lower_units"), F.col("upper_units")).cast("double")
    units = rows.select(
        F.concat_ws("\x1f", "product_id", "store_id").alias("unit"),
        is_covered.alias("covered"),
        F.lit(1.0).alias("one"),
    )
    sums = bootstrap_sums(units, "unit", ["covered", "one"], demand.bootstrap_replicates, demand.seed)
    score = scored(
        "28 intervals", "coverage of the 80% interval", "SKU × store × week", sums[:, 0] / sums[:, 1], measured_on
    )
    is_met = bool(np.abs((score.value or 0) - demand.interval) <= 0.02)
    return dataclasses.replace(score, goal=demand.interval, is_met=is_met, note="met within 0.02 of the goal")


def build(run: Run) -> None:
    churn, demand = run.part(ChurnSettings), run.part(DemandSettings)
    champion = run.tracking.champion("churn")
    test_date = dt.date.fromisoformat(str(champion.metadata["test_date"]))
    measured_on = "world" if run.settings.simulated else run.dataset
    tested = run.keep(cached(churn_rows(run, test_date)))
    scores = churn_scores(tested, churn, measured_on, champion.metrics)
    weeks = demand_rows(run)
    if run.settings.simulated:
        told = account_persons(truth(run, "identifiers"), run.keys(), run.settings.calendar.phone_region)
        accounts = run.keep(cached(told))
        scores += cleaning_scores(run, accounts)
        customer_ids = run.read("silver.customer_ids")
        scores += identity_scores(customer_ids, accounts, measured_on)
        homes = run.read("silver.households")
        scores += household_scores(homes, customer_ids, accounts, truth(run, "persons"), measured_on)
        scores.append(churn_against_truth(run, tested, test_date, accounts))
        weeks = weeks.join(truth(run, "demand"), on=["product_id", "store_id", "week_start_date"], how="inner")
    scores += demand_scores(run.keep(cached(weeks)), demand, measured_on, run.settings.simulated)
    rows = score_rows(run.spark, scores, run.run_date, run.contract(TABLE))
    run.publish(TABLE, rows, date_slices("run_date", [run.run_date]))


if __name__ == "__main__":
    sys.exit(JOB.main(__doc__, build))
