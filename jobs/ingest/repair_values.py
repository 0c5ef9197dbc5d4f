"""Repair missing cities, categories, brands, regions and visitor counts into silver repairs, each with its method and confidence."""

import sys
from functools import reduce

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from jobs.ingest.repairs import LOOKUP, as_repairs, repaired_counts, share_right, with_looked_up
from jobs.ingest.revisions import current
from jobs.lakehouse.job import Job
from jobs.lakehouse.local_rows import empty_rows
from jobs.lakehouse.run import Run

TABLE = "silver.repairs"
ACCOUNTS, LINES, PRODUCTS = "silver.accounts", "silver.order_lines", "silver.products"
STORES, FOOTFALL = "silver.stores", "silver.footfall"
INPUTS = (ACCOUNTS, LINES, PRODUCTS, STORES, FOOTFALL)
JOB = Job(reads=INPUTS, writes=(TABLE,), can_lack=INPUTS)
# A phone or e-mail that more accounts have is nobody's own, such as a shop's.
MOST_SHARERS = 10
# What evidence is trusted with that no account with a known city can be held against.
UNTRIED = 0.5
# A word tells a category or brand if at least so large a share of the names with it agree; below that it is a guess.
LEAST_AGREEMENT = 0.7
# Known hours of a store's day from which the day's slope is drawn.
FEWEST_HOURS = 3


def accounts_of_one(accounts: DataFrame) -> DataFrame:
    """One row per two accounts, or one and itself, that share a phone or an e-mail: `account_id`, `other_id`."""
    told = F.explode(F.array_compact(F.array("phone_token", "email_token"))).alias("token")
    tokens = accounts.select("account_id", told).distinct()
    is_personal = F.count("*").over(Window.partitionBy("token")) <= MOST_SHARERS
    tokens = tokens.withColumn("_is_personal", is_personal).where("_is_personal").drop("_is_personal")
    others = tokens.withColumnRenamed("account_id", "other_id")
    return tokens.join(others, on="token", how="inner").select("account_id", "other_id").distinct()


def city_evidence(accounts: DataFrame, lines: DataFrame, stores: DataFrame) -> dict[str, DataFrame]:
    """By kind of evidence, one row per time that it tells an account's city: `account_id`, `city`."""
    pairs = accounts_of_one(accounts)
    other_id = F.col("account_id").alias("other_id")
    places = stores.where("city is not null").select("store_id", "city")
    cities = accounts.where("city is not null").select(other_id, "city").distinct()
    cards = accounts.drop("city").join(places, on="store_id", how="inner").select(other_id, "city").distinct()
    visits = lines.join(places, on="store_id", how="inner").select(other_id, "city")
    others = pairs.where("account_id <> other_id")
    return {
        "the account's other revisions": accounts.select("account_id", "city"),
        "accounts with the same phone or e-mail": others.join(cities, on="other_id", how="inner"),
        "the store that gave the person a card": pairs.join(cards, on="other_id", how="inner"),
        "stores where the person buys": pairs.join(visits, on="other_id", how="inner"),
    }


def repaired_cities(accounts: DataFrame, lines: DataFrame, stores: DataFrame) -> DataFrame:
    """Cities of web accounts, each by the kind of evidence that is most trusted of those that tell it.

    A kind is trusted as often as it is right for the accounts whose city is known.
    """
    told = accounts.where("account_kind = 'account'")
    wanted = told.groupBy("account_id").agg(F.max_by("city", F.struct("arrived_at", "revision")).alias("city"))
    found = []
    for rank, (kind, evidence) in enumerate(city_evidence(accounts, lines, stores).items()):
        judged = with_looked_up(wanted, evidence.select("account_id", "city"), ["account_id"], "city")
        trusted = judged.crossJoin(F.broadcast(share_right(judged, "city")))
        found.append(
            trusted.where("city is null and city_found is not null").select(
                F.col("account_id").alias("row_key"),
                F.col("city_found").alias("repaired"),
                (F.coalesce("right_share", F.lit(UNTRIED)) * F.col("city_agreement")).alias("confidence"),
                F.lit(kind).alias("evidence"),
                F.lit(rank).alias("rank"),
            )
        )
    best = Window.partitionBy("row_key").orderBy(F.desc("confidence"), "rank")
    ranked = reduce(DataFrame.unionByName, found).withColumn("_place", F.row_number().over(best))
    return as_repairs(ranked.where("_place = 1"), "accounts", "city", F.lit(LOOKUP), F.col("evidence"))


def repaired_product_words(products: DataFrame, column: str) -> DataFrame:
    """A product's category or brand: of another of its revisions, else of the products with whose names its name shares a word.

    Of the words that other names have as well, the one that tells most surely decides; a word of one product alone says nothing.
    """
    newest = F.struct("arrived_at", "revision")
    known = products.groupBy("product_id").agg(
        F.max_by("product_name", newest).alias("product_name"),
        F.max_by(column, newest).alias(column),
        F.max_by(column, F.when(F.col(column).isNotNull(), newest)).alias("last_known"),
    )
    words = known.select(
        "product_id", column, F.explode(F.array_distinct(F.split(F.lower("product_name"), r"[^\p{L}\p{N}]+"))).alias("word")
    ).where("length(word) > 1")  # fmt: skip
    votes = words.where(F.col(column).isNotNull())
    told = with_looked_up(words.drop(column), votes.select("word", column), ["word"], column)
    counts = votes.groupBy("word").agg(F.count("*").alias("names"))
    surest = Window.partitionBy("product_id").orderBy(F.desc(f"{column}_agreement"), F.desc("names"), "word")
    best = (
        told.where(F.col(f"{column}_found").isNotNull() & (F.col(f"{column}_agreement") >= LEAST_AGREEMENT))
        .join(counts.where("names > 1"), on="word", how="inner")
        .withColumn("_place", F.row_number().over(surest))
        .where("_place = 1")
    )
    missing = known.where(F.col(column).isNull()).join(best, on="product_id", how="left")
    judged = missing.select(
        F.col("product_id").alias("row_key"),
        F.coalesce("last_known", f"{column}_found").alias("repaired"),
        F.when(F.col("last_known").isNotNull(), 1.0).otherwise(F.col(f"{column}_agreement")).alias("confidence"),
        F.when(F.col("last_known").isNotNull(), F.lit("the product's other revisions"))
        .otherwise(F.concat(F.lit("names with the word "), F.col("word")))
        .alias("evidence"),
    )
    return as_repairs(judged, "products", column, F.lit(LOOKUP), F.col("evidence"))


def repaired_regions(stores: DataFrame) -> DataFrame:
    """A store's region: that of the other stores of its city."""
    missing = stores.where("region is null and city is not null").select(F.col("store_id").alias("row_key"), "city")
    judged = with_looked_up(missing, stores.select("city", "region"), ["city"], "region")
    rows = judged.select(
        "row_key", F.col("region_found").alias("repaired"), F.col("region_agreement").alias("confidence")
    )
    return as_repairs(rows, "stores", "region", F.lit(LOOKUP), F.lit("stores of the same city"))


def repaired_visitors(footfall: DataFrame, time_zone: str) -> DataFrame:
    """Visitors of hours in which a counter of a store said nothing: as that hour of that weekday is, on a day like this one."""
    local = F.from_utc_timestamp("counted_at", time_zone)
    counts = footfall.select(
        "store_id",
        "counter_id",
        "counted_at",
        F.weekday(local).alias("weekday"),
        F.hour(local).alias("hour"),
        F.to_date(local).alias("day"),
        F.col("visitor_count").cast("double").alias("value"),
    )
    found = repaired_counts(
        counts,
        ["store_id", "counter_id", "counted_at"],
        ["store_id", "counter_id", "weekday", "hour"],
        ["store_id", "counter_id", "day"],
        FEWEST_HOURS,
    )
    hour_key = F.concat_ws("|", "store_id", F.date_format("counted_at", "yyyy-MM-dd HH:mm:ss"), "counter_id")
    evidence = F.lit("the store's same hour on the same weekday, and the day's other hours")
    return as_repairs(found.withColumn("row_key", hour_key), "footfall", "visitor_count", F.col("method"), evidence)


def build(run: Run) -> None:
    # What a dataset lacks can't be repaired, nor help to.
    held = {table: run.read(table) for table in INPUTS if run.has(table)}
    repaired = [empty_rows(run.spark, run.contract(TABLE))]
    if {ACCOUNTS, LINES, STORES} <= set(held):
        repaired.append(repaired_cities(held[ACCOUNTS], current(held[LINES]), current(held[STORES])))
    if PRODUCTS in held:
        repaired += [repaired_product_words(held[PRODUCTS], column) for column in ("category", "brand")]
    if STORES in held:
        repaired.append(repaired_regions(current(held[STORES])))
    if FOOTFALL in held:
        repaired.append(repaired_visitors(current(held[FOOTFALL]), run.time_zone))
    run.publish(TABLE, reduce(DataFrame.unionByName, repaired))


if __name__ == "__main__":
    sys.exit(JOB.main(__doc__, build))
