"""Rows against the truth, id by id: a copy that stays and a row that goes are both seen, even where the totals agree."""

import json
from pathlib import Path

import pytest
from pyspark.sql import DataFrame, SparkSession

from jobs.evaluate.scoreboard import Score
from jobs.evaluate.true_rows import as_held_rows, as_true_rows, refused_rows, row_scores
from tests.rows import event, frame_of, order_line

FEED_ROWS = "feed string, row_id string, copies int, near_copy string, spoilt_field string"
NEAR = "feed string, order_id string, line_no int, kind string"
SHARE = "share valid of true rows"


def true_rows(spark: SparkSession, *rows: tuple[object, ...], anew: tuple[tuple[object, ...], ...] = ()) -> DataFrame:
    return as_true_rows(spark.createDataFrame(list(rows), FEED_ROWS), spark.createDataFrame(list(anew), NEAR))


def held_rows(
    spark: SparkSession, events: list[str], lines: list[tuple[str, int]], refused: list[dict[str, str]] | None = None
) -> DataFrame:
    """What silver holds: events by id, lines by id and revision, and records that it refused."""
    records = [json.dumps(record) for record in refused or []]
    of_events = [(record,) for record in records if "receivedAt" in record]
    of_lines = [(record,) for record in records if "receivedAt" not in record]
    return as_held_rows(
        frame_of(spark, "silver.events", *[event(event_id=name) for name in events]),
        frame_of(
            spark, "silver.order_lines", *[order_line(order_line_id=name, revision=number) for name, number in lines]
        ),
        spark.createDataFrame(of_events, "record string"),
        spark.createDataFrame(of_lines, "record string"),
    )


def values(scores: list[Score], level: str) -> dict[str, float | None]:
    return {score.metric: score.value for score in scores if score.level == level}


def test_events_are_judged_one_by_one(spark: SparkSession) -> None:
    received = "2025-01-01T00:00:01.234Z"
    told = true_rows(
        spark,
        ("app_events", "good", 0, None, None),
        ("app_events", "copied", 1, None, None),
        ("app_events", "kept twice", 1, None, None),
        ("app_events", "taken for a copy", 0, None, None),
        ("app_events", "doubled", 0, None, None),
        ("app_events", "spoilt", 1, None, "timestamp"),
        ("app_events", f"received at {received}", 0, None, "messageId"),
        ("app_events", "not refused", 0, None, "type"),
        ("app_events", "refused wrongly", 0, None, None),
    )
    held = held_rows(
        spark,
        ["good", "copied", "kept twice", "kept twice", "not refused", "never told", "doubled", "doubled"],
        [],
        [
            {"messageId": "spoilt", "receivedAt": "2025"},
            {"messageId": " ", "receivedAt": received},
            {"messageId": "refused wrongly", "receivedAt": "2025"},
        ],
    )
    scores = row_scores(told, held)
    assert values(scores, "events") == {
        SHARE: 4 / 9,
        "share told of rows held": 9 / 11,
        "spoilt rows refused: precision": 2 / 3,
        "spoilt rows refused: recall": 2 / 3,
        # Removed: the copies of two, and the one that was none; one copy stayed. The totals alone are right.
        "duplicates: precision": 2 / 3,
        "duplicates: recall": 2 / 3,
    }
    (share,) = [score for score in scores if score.metric == SHARE]
    assert share.note is not None
    assert "2 are missing" in share.note


def test_order_lines_are_judged_one_by_one(spark: SparkSession) -> None:
    told = true_rows(
        spark,
        ("web_orders", "W1:1", 0, None, None),
        ("web_orders", "W2:1", 1, "told again", None),
        ("pos_receipts", "T1:1", 0, "told again", None),
        ("pos_receipts", "T2:1", 0, "numbered anew", None),
        ("pos_receipts", "T3:1", 1, None, "unit_price"),
        ("web_orders", "T1:1", 0, None, "ordered_at"),
        anew=(("pos_receipts", "T2", 51, "numbered anew"), ("pos_receipts", "T1", 1, "told again")),
    )
    held = held_rows(
        spark,
        [],
        # Of T1 the words were taken for another state of it; of T2 the line under the new number for a copy.
        [
            *(("web_orders:W1:1", 1), ("web_orders:W2:1", 1), ("pos_receipts:T2:1", 1)),
            *(("pos_receipts:T1:1", 1), ("pos_receipts:T1:1", 2)),
        ],
        [{"receipt_id": "T3", "line_no": "1"}, {"order_id": "T1", "line_no": "1"}],
    )
    assert values(row_scores(told, held), "order lines") == {
        SHARE: 4 / 6,
        "share told of rows held": 1,
        "spoilt rows refused: precision": 1,
        "spoilt rows refused: recall": 1,
        "duplicates: precision": 3 / 4,
        "duplicates: recall": 3 / 4,
    }


def test_copies_that_a_table_of_a_database_made_one_row_are_nobodys_to_remove(spark: SparkSession) -> None:
    rows = spark.createDataFrame(
        [("web_orders", "W1:1", 1, None, None), ("pos_receipts", "T1:1", 1, None, None)], FEED_ROWS
    )
    told = as_true_rows(rows, spark.createDataFrame([], NEAR), keyed=["web_orders"]).collect()
    assert {row["id"]: row["copies"] for row in told} == {"web_orders:W1:1": 0, "pos_receipts:T1:1": 1}


def test_a_table_that_never_refused_a_row_has_none(spark: SparkSession, tmp_path: Path) -> None:
    assert refused_rows(frame_of(spark, "silver.events", event(event_id="a")), f"{tmp_path}/none").isEmpty()


@pytest.mark.parametrize("lost", [0, 1])
def test_what_is_lost_before_silver_counts_as_removed(spark: SparkSession, lost: int) -> None:
    told = true_rows(
        spark, *[("app_events", str(number), 0, None, None) for number in range(3)], ("app_events", "c", 1, None, None)
    )
    held = held_rows(spark, [str(number) for number in range(lost, 3)] + ["c"], [])
    found = values(row_scores(told, held), "events")
    assert found[SHARE] == (4 - lost) / 4
    assert found["duplicates: precision"] == 1 / (1 + lost)
