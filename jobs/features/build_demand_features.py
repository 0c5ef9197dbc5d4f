"""Build demand features: what was known of each product and store at the close of a week, for each week of the horizon."""

import sys

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from jobs.features.covariates import YEAR_WEEKS, Outside, with_covariates
from jobs.lakehouse.job import Job
from jobs.lakehouse.optional_inputs import read_or_nothing
from jobs.lakehouse.repaired import with_repaired
from jobs.lakehouse.run import Run
from jobs.lakehouse.settings import DemandSettings

TABLE = "gold.demand_features"
REPAIRS = "silver.repairs"
OUTSIDE = ("silver.promotions", "silver.holidays", "silver.trends")
JOB = Job(
    reads=("gold.demand_history", "silver.products", REPAIRS, *OUTSIDE),
    writes=(TABLE,),
    settings=(DemandSettings,),
    can_lack=(REPAIRS, *OUTSIDE),
)
SERIES = ("product_id", "store_id")
MEAN_WEEKS = (4, 13, 26, 52)
OVER_LEVEL = ("lag_0", "mean_4", "mean_52", "last_year", "last_year_mean_3")


def last_weeks(weeks: int) -> Column:
    """The window of the last weeks of a series, the current one included."""
    return Window.partitionBy(*SERIES).orderBy("week_start_date").rowsBetween(1 - weeks, 0)  # type: ignore[return-value]


def at_origins(history: DataFrame) -> DataFrame:
    """One row per product, store and week with what its close made known: lags, means, spread, price and promotion."""
    series = Window.partitionBy(*SERIES).orderBy("week_start_date")
    units = F.col("gross_units").cast("double")
    columns = {f"lag_{weeks}_units": F.lag(units, weeks).over(series) for weeks in (1, 2, 3)}
    columns |= {f"mean_{weeks}_units": F.avg(units).over(last_weeks(weeks)) for weeks in MEAN_WEEKS}  # type: ignore[arg-type]
    last_13 = last_weeks(13)
    columns |= {
        "lag_0_units": units,
        "std_13_units": F.stddev_pop(units).over(last_13),  # type: ignore[arg-type]
        "max_13_units": F.max(units).over(last_13),  # type: ignore[arg-type]
        "zero_ratio_13": F.avg((units == 0).cast("double")).over(last_13),  # type: ignore[arg-type]
        "sum_26_units": F.sum(units).over(last_weeks(26)),  # type: ignore[arg-type]
        "history_weeks": F.row_number().over(series),
        "price_ratio": F.try_divide("price_amount", "list_price_amount").cast("double"),
        "promotion_mean_13": F.avg("promotion_ratio").over(last_13),  # type: ignore[arg-type]
    }
    return history.withColumns(columns).withColumnRenamed("week_start_date", "origin_week")


def with_level(origins: DataFrame) -> DataFrame:
    """The origins with `level_units`, the exposure that a forecast scales: the 13-week mean, kept off zero."""
    weeks = F.least("history_weeks", F.lit(13))
    return origins.withColumn("level_units", (F.col("mean_13_units") * weeks + 1) / (weeks + 1))


def only_wanted_origins(origins: DataFrame, settings: DemandSettings) -> DataFrame:
    """The newest weeks, of the series that were active at each: enough history, and sold lately."""
    last = F.broadcast(origins.agg(F.max("origin_week").alias("_last_week")))
    age_weeks = F.date_diff("_last_week", "origin_week") / 7
    is_active = (F.col("sum_26_units") >= settings.min_units) & (F.col("history_weeks") >= settings.min_history_weeks)
    return origins.crossJoin(last).where(is_active & (age_weeks < settings.origins)).drop("_last_week")


def with_horizons(origins: DataFrame, history: DataFrame, horizon_weeks: int) -> DataFrame:
    """One row per origin and horizon, with the target week's units (null while it isn't closed) and last year's around it."""
    horizons = origins.withColumn("horizon_weeks", F.explode(F.sequence(F.lit(1), F.lit(horizon_weeks))))
    horizons = horizons.withColumn("week_start_date", F.expr("date_add(origin_week, 7 * horizon_weeks)"))
    weeks = history.select(*SERIES, "week_start_date", F.col("gross_units").cast("double").alias("target_units"))
    around = Window.partitionBy(*SERIES).orderBy("week_start_date").rowsBetween(-1, 1)
    last_year = weeks.select(
        *SERIES,
        F.date_add("week_start_date", 7 * YEAR_WEEKS).alias("week_start_date"),
        F.col("target_units").alias("last_year_units"),
        # The week after may lie past the origin only for horizons beyond a year, which there are none of.
        F.avg("target_units").over(around).alias("last_year_mean_3_units"),
    )
    keys = [*SERIES, "week_start_date"]
    return horizons.join(weeks, on=keys, how="left").join(last_year, on=keys, how="left")


def category_weeks(history: DataFrame, categories: DataFrame) -> DataFrame:
    """One row per category and week, with its pieces in all stores: `units`; what has no category is in the empty one."""
    return (
        history.join(categories, on="product_id", how="left")
        .groupBy(F.coalesce("category", F.lit("")).alias("category"), "week_start_date")
        .agg(F.sum("gross_units").cast("double").alias("units"))
    )


def season_ratios(weekly: DataFrame) -> DataFrame:
    """One row per category and target week: its units a year before, over the mean of the year up to then.

    What a short series can't tell of the season, its category can.
    """
    by_week = Window.partitionBy("category").orderBy("week_start_date")
    return weekly.select(
        "category",
        F.date_add("week_start_date", 7 * YEAR_WEEKS).alias("week_start_date"),
        F.try_divide(
            F.avg("units").over(by_week.rowsBetween(-1, 1)), F.avg("units").over(by_week.rowsBetween(-12, 0))
        ).alias("category_season_ratio"),
    )


def demand_features(
    history: DataFrame, products: DataFrame, outside: Outside, settings: DemandSettings, time_zone: str
) -> DataFrame:
    """One row per product, store, origin week and horizon.

    Args:
        history: gold.demand_history.
        products: all revisions; the current ones tell the category.
        outside: what is told beside the sales.
        settings: which origins, how far ahead, and when a week is closed.
        time_zone: the business's.
    """
    origins = only_wanted_origins(with_level(at_origins(history)), settings)
    rows = with_horizons(origins, history, settings.horizon_weeks)
    categories = products.where("superseded_at is null").select("product_id", "category").dropDuplicates(["product_id"])
    weekly = category_weeks(history, categories)
    seasoned = rows.join(categories, on="product_id", how="left").withColumn(
        "category", F.coalesce("category", F.lit(""))
    )
    seasoned = seasoned.join(season_ratios(weekly), on=["category", "week_start_date"], how="left")
    angle = 2 * F.pi() * F.weekofyear("week_start_date") / YEAR_WEEKS
    placed = seasoned.withColumns({"season_sin": F.sin(angle), "season_cos": F.cos(angle)})
    # Trees tell no quotient from its parts, and what they learn is a multiple of the level.
    placed = placed.withColumns({f"{name}_ratio": F.col(f"{name}_units") / F.col("level_units") for name in OVER_LEVEL})
    return with_covariates(placed, weekly, outside, settings, time_zone)


def build(run: Run) -> None:
    settings = run.part(DemandSettings)
    products = run.read("silver.products")
    if run.has(REPAIRS):
        products = with_repaired(products, run.read(REPAIRS), "products", "product_id", "category")
    # What a retailer doesn't tell is unknown.
    outside = Outside(*(read_or_nothing(run, name) for name in OUTSIDE))
    features = demand_features(run.read("gold.demand_history"), products, outside, settings, run.time_zone)
    run.publish(TABLE, features.select(*run.contract(TABLE).column_names))


if __name__ == "__main__":
    sys.exit(JOB.main(__doc__, build))
