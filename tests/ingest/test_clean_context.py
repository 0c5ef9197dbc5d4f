"""Credit as it was known: a correction of an older quarter leaves a newer score what it is. Counters of one store count by themselves."""

import datetime as dt
import random

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.ingest.cleaning import in_order_of_arrival
from jobs.ingest.mapping import as_mapped
from jobs.lakehouse.quality import DUPLICATE, RECORD, with_reject_reasons
from jobs.lakehouse.sources import read_sources
from tests.rows import CONF_DIR, Row, contract_of, frame_of, row_of

KIOSKS = read_sources(CONF_DIR, "world")["kiosks"]
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


def kiosk_hour(kiosk: str, users: str, sent_at: str) -> Row:
    """A record of bronze: what a kiosk counted in one hour."""
    told = {"kiosk": kiosk, "hour": "2025-03-01 10:00:00", "users": users, "sent_at": sent_at}
    arrived_at = dt.datetime.fromisoformat(sent_at)
    return row_of(KIOSKS.bronze_contract, **told, _arrived_at=arrived_at, _is_unparseable=False)


def test_two_kiosks_of_a_store_count_beside_each_other_and_each_is_corrected_by_itself(spark: SparkSession) -> None:
    contract, (mapping,) = contract_of("silver.footfall"), KIOSKS.tables["footfall"]
    hours = [
        kiosk_hour("S001-K1", "7", "2025-03-01 11:00:00"),
        kiosk_hour("S001-K2", "3", "2025-03-01 11:05:00"),
        kiosk_hour("S001-K1", "8", "2025-03-02 11:00:00"),
    ]
    rows = as_mapped(frame_of(spark, KIOSKS.bronze_contract, *hours), KIOSKS, mapping, contract)
    counted = in_order_of_arrival(with_reject_reasons(rows, contract), contract).where("superseded_at is null")
    found = {(row["store_id"], row["counter_id"]): row["visitor_count"] for row in counted.collect()}
    assert found == {("S001", "kiosks:S001-K1"): 8, ("S001", "kiosks:S001-K2"): 3}
