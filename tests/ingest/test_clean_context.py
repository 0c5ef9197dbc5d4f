"""Credit as it was known: a correction of an older quarter leaves a newer score what it is."""

import datetime as dt
import random

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.ingest.cleaning import in_order_of_arrival
from jobs.lakehouse.quality import DUPLICATE, RECORD, with_reject_reasons
from tests.rows import Row, contract_of, frame_of, row_of

FIRST, SECOND = dt.datetime(2024, 3, 31), dt.datetime(2024, 6, 30)


def told(score: int, scored_at: dt.datetime | None, arrived: str, **overrides: object) -> Row:
    arrived_at = dt.datetime.fromisoformat(arrived)
    of_whom = {"account_id": "a", "bureau": "sesame", "_record_id": f"{score} {arrived}", **overrides}
    return row_of("silver.credit", credit_score=score, scored_at=scored_at, arrived_at=arrived_at, **of_whom)


def cleaned(spark: SparkSession, *rows: Row) -> DataFrame:
    """The rows as silver.credit has them, rejected ones and duplicates with their marks."""
    contract = contract_of("silver.credit")
    mapped = frame_of(spark, contract, *rows).drop("revision", "superseded_at").withColumn(RECORD, F.col("_record_id"))
    return in_order_of_arrival(with_reject_reasons(mapped, contract), contract)


def known(credit: DataFrame, day: str) -> tuple[int, dt.datetime]:
    """The score and the time of it that were known at a day's beginning, read as the contract says."""
    as_of = F.lit(dt.datetime.fromisoformat(day))
    held = credit.where((F.col("arrived_at") <= as_of) & (F.isnull("superseded_at") | (F.col("superseded_at") > as_of)))
    newest = held.groupBy("account_id").agg(F.max_by(F.struct("credit_score", "scored_at"), "scored_at").alias("known"))
    (row,) = newest.collect()
    return row["known"]["credit_score"], row["known"]["scored_at"]


@pytest.mark.parametrize("seed", range(3))
def test_a_correction_of_an_older_quarter_does_not_hide_a_newer_score(spark: SparkSession, seed: int) -> None:
    rows = [
        told(600, FIRST, "2024-05-15"),
        told(650, SECOND, "2024-08-14"),
        told(590, FIRST, "2024-09-08"),
        told(590, FIRST, "2024-09-09"),
        told(640, SECOND, "2024-09-20"),
    ]
    credit = cleaned(spark, *random.Random(seed).sample(rows, len(rows))).where(f"not {DUPLICATE}").cache()
    assert known(credit, "2024-08-01") == (600, FIRST)
    assert known(credit, "2024-09-01") == (650, SECOND)
    assert known(credit, "2024-09-10") == (650, SECOND), (
        "the correction of the first quarter came after the second's score"
    )
    assert known(credit, "2024-10-01") == (640, SECOND)
    now = {
        (row["scored_at"], row["credit_score"]): row["revision"]
        for row in credit.where("superseded_at is null").collect()
    }
    assert now == {(FIRST, 590): 2, (SECOND, 640): 2}, "each quarter has its own revisions"
    assert credit.count() == 4, "what is told again alike is a duplicate"
    credit.unpersist()


def test_a_score_of_no_time_is_refused(spark: SparkSession) -> None:
    (row,) = cleaned(spark, told(600, None, "2024-05-15")).collect()
    assert row["_reject_reasons"] == ["scored_at_missing"]
