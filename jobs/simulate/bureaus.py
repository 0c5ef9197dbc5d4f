"""What others know of customers: a bureau's credit scores, told late and revised at times, and households' demographics."""

import numpy as np
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.lakehouse.settings import WorldSettings
from jobs.simulate import texts
from jobs.simulate.batches import generated
from jobs.simulate.contacts import NONE, contacts, partners
from jobs.simulate.draws import Columns, Integers, Stream, chosen, happens, uniform
from jobs.simulate.local_time import as_moments, next_export, wall_seconds_of
from jobs.simulate.papers import AGE_BANDS, age_bands, check_places, national_id, national_ids
from jobs.simulate.people import people
from jobs.simulate.seasons import day_count

BUREAU = "sesame"
SCORED_SHARE = 0.4
QUARTER_DAYS = 91
TOLD_AFTER_DAYS = 45  # what a quarter's end was like is known so much later
REVISED_AFTER_DAYS = 70
REVISED_SHARE = 0.1
LEAST_SCORE, SCORE_RANGE, STEP = 350, 600, 25
DEMOGRAPHICS_SHARE = 0.4
TOLD_OF_HOUSEHOLD_AFTER_DAYS = 14
INCOME_BANDS = ("<50", "50-100", "100-200", "200-400", "400+")
CREDIT_SCHEMA = (
    "account long, national_id long, id_check long, score long, scored_at timestamp_ntz, exported_at timestamp_ntz"
)
DEMOGRAPHICS_SCHEMA = "account long, age long, income long, household_size long, exported_at timestamp_ntz"


def credit_batch(settings: WorldSettings, persons: Integers) -> Columns:
    """One row per account, quarter and telling of its score; a revision is told later of the same quarter."""
    seed, crowd = settings.seed, people(settings, persons)
    account = contacts(settings, crowd).account
    quarter_ends = np.arange(QUARTER_DAYS - 1, day_count(settings), QUARTER_DAYS)
    is_scored = (account != NONE) & happens(seed, Stream.CREDIT, persons, SCORED_SHARE)
    owner, quarter = np.nonzero(is_scored[:, None] & (crowd.joined_day[:, None] <= quarter_ends[None, :]))
    base = LEAST_SCORE + SCORE_RANGE * uniform(seed, Stream.CREDIT, persons, 1)[owner]
    drift = STEP * (uniform(seed, Stream.CREDIT, persons[owner], 10 + quarter) - 0.5)
    first = np.round(base + drift).astype(np.int64)
    revised = uniform(seed, Stream.CREDIT, persons[owner], 1000 + quarter) < REVISED_SHARE
    change = 5 + chosen(seed, Stream.CREDIT, persons[owner], STEP, 2000 + quarter)
    ids, parts = national_ids(settings, persons), []
    for is_kept, score, after in (
        (np.ones(len(owner), dtype=np.bool_), first, TOLD_AFTER_DAYS),
        (revised, first - change, REVISED_AFTER_DAYS),
    ):
        told_day = quarter_ends[quarter] + after
        kept = np.flatnonzero(is_kept & (told_day < day_count(settings)))
        parts.append(
            {
                "account": account[owner[kept]],
                "national_id": ids[owner[kept]],
                "id_check": check_places(ids[owner[kept]]),
                "score": score[kept],
                "scored_at": as_moments(wall_seconds_of(settings, quarter_ends[quarter[kept]], 0)),
                "exported_at": as_moments(next_export(settings, told_day[kept])),
            }
        )
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def demographics_batch(settings: WorldSettings, persons: Integers) -> Columns:
    """One row per account of whose household something is known; who looks at prices has less."""
    seed, crowd = settings.seed, people(settings, persons)
    account = contacts(settings, crowd).account
    told_day = np.maximum(crowd.joined_day, 0) + TOLD_OF_HOUSEHOLD_AFTER_DAYS
    is_known = (account != NONE) & happens(seed, Stream.DEMOGRAPHICS, persons, DEMOGRAPHICS_SHARE)
    kept = np.flatnonzero(is_known & (told_day < day_count(settings)))
    who = persons[kept]
    wealth = 0.5 * uniform(seed, Stream.DEMOGRAPHICS, who, 1) + 0.5 * (1 - uniform(seed, Stream.PRICE_SENSITIVITY, who))
    return {
        "account": account[kept],
        "age": age_bands(settings, who),
        "income": np.minimum(wealth * len(INCOME_BANDS), len(INCOME_BANDS) - 1).astype(np.int64),
        "household_size": 1 + (partners(settings, who) != who) + chosen(seed, Stream.DEMOGRAPHICS, who // 2, 3, 3),
        "exported_at": as_moments(next_export(settings, told_day[kept])),
    }


def credit(spark: SparkSession, settings: WorldSettings) -> DataFrame:
    """One row per account and telling of its credit score, as the bureau delivers them."""
    return generated(spark, settings, credit_batch, CREDIT_SCHEMA).select(
        texts.account_id("account").alias("account_id"),
        national_id("national_id", "id_check").alias("national_id"),
        F.lit(BUREAU).alias("bureau"),
        F.col("score").cast("string").alias("score"),
        F.col("scored_at").cast("string").alias("scored_at"),
        texts.utc_text("exported_at").alias("exported_at"),
    )


def demographics(spark: SparkSession, settings: WorldSettings) -> DataFrame:
    """One row per account of whose household something is known, as it is bought in."""
    return generated(spark, settings, demographics_batch, DEMOGRAPHICS_SCHEMA).select(
        texts.account_id("account").alias("account_id"),
        texts.listed(AGE_BANDS, F.col("age")).alias("age_band"),
        texts.listed(INCOME_BANDS, F.col("income")).alias("income_band"),
        F.col("household_size").cast("string").alias("household_size"),
        texts.utc_text("exported_at").alias("exported_at"),
    )
