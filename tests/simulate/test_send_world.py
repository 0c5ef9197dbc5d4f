"""What is sent of the world: each record once, in the order of its arrival, whatever was sent before."""

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from jobs.lakehouse.errors import DataError
from jobs.lakehouse.sources import read_sources
from jobs.simulate.send_world import as_messages, as_unsent, raw_records, refuse_what_was_not_sent
from tests.rows import CONF_DIR

FEEDS = read_sources(CONF_DIR, "world-by-wire")
DAY = dt.datetime(2025, 1, 1)


def line(number: int, hour: int) -> str:
    return json.dumps({"messageId": f"m{number}", "receivedAt": f"2025-01-01T{hour:02d}:00:00.000Z", "other": "kept"})


LINES = [line(number, number * 7 % 24) for number in range(24)] + [
    line(3, 21),
    line(3, 21),
    '{"messageId": "m99"}',
    "torn",
]


def unsent(spark: SparkSession, sent: dict[int, int], until: dt.datetime) -> dict[int, list[str]]:
    """By partition, the messages that are still to be sent, in their order."""
    raw = spark.createDataFrame([(value,) for value in LINES], "value string").repartition(3)
    found: dict[int, list[str]] = {number: [] for number in sent}
    for row in as_unsent(as_messages(raw, FEEDS["app_events"], until), sent).collect():
        found[row["partition"]].append(row["value"])
    return found


def test_every_line_is_sent_as_it_is_and_in_the_order_of_arrival(spark: SparkSession) -> None:
    whole = unsent(spark, {0: 0, 1: 0}, DAY + dt.timedelta(1))
    assert sorted(whole[0] + whole[1]) == sorted(LINES)
    for values in whole.values():
        times = [json.loads(value).get("receivedAt", "") for value in values if value != "torn"]
        assert times == sorted(times)
        assert len(times) > 5
        assert "torn" not in values[2:], "what tells no time comes first"


def test_parts_by_run_date_and_after_a_kill_make_the_whole(spark: SparkSession) -> None:
    whole = unsent(spark, {0: 0, 1: 0}, DAY + dt.timedelta(1))
    held: dict[int, list[str]] = {0: [], 1: []}
    for hour, cut in ((6, 99), (11, 2), (11, 99), (8, 99), (24, 3), (24, 99)):
        news = unsent(spark, {number: len(values) for number, values in held.items()}, DAY + dt.timedelta(hours=hour))
        for number, values in news.items():
            held[number] += values[:cut]
    assert held == whole


def test_a_row_of_csv_becomes_an_object_with_all_its_columns(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "footfall").mkdir()
    told = 'store_id,hour,visitors,exported_at\nS1,"2025-01-01 10:00:00",,2025-01-01T20:00:00Z\n'
    (tmp_path / "footfall/footfall.csv").write_text(told, "utf-8")
    raw = raw_records(spark, FEEDS["footfall"], str(tmp_path))

    def sent(until: dt.datetime) -> list[Any]:
        return [json.loads(row["value"]) for row in as_messages(raw, FEEDS["footfall"], until).collect()]

    assert sent(DAY) == []
    assert sent(DAY + dt.timedelta(1)) == [
        {"store_id": "S1", "hour": "2025-01-01 10:00:00", "visitors": None, "exported_at": "2025-01-01T20:00:00Z"}
    ]


def test_a_feed_without_raw_files_is_told(spark: SparkSession, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"points holds no files of the world; run simulate.write_world first"):
        raw_records(spark, FEEDS["points"], str(tmp_path))


def test_a_topic_that_others_send_to_is_refused_and_one_that_is_ahead_is_not() -> None:
    refuse_what_was_not_sent("clicks", {0: 2, 1: 9}, {0: 5, 1: 9}, {0: 5, 1: 7})
    with pytest.raises(DataError, match=r"topic clicks .*: 6 in partition 0 where 5 are due\. .*remove the topic"):
        refuse_what_was_not_sent("clicks", {0: 2, 1: 9}, {0: 6, 1: 9}, {0: 5, 1: 7})
