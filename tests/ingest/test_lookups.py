"""Lookups: what a record takes from another feed, and when the two are known together."""

import datetime as dt
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from jobs.ingest.lookups import with_looked_up
from jobs.lakehouse.errors import ConfigurationError, DataError
from jobs.lakehouse.sources import Lookup
from tests.ingest.bazaar import deliver
from tests.lakes import conf_with, run_job, settings_in, table

DAY = dt.datetime(2025, 1, 1)
HEADERS = Lookup(
    source="orders", by={"order_no": "number"}, fields={"person": "upper(buyer)"}, where="status <> 'draft'"
)


def lines(spark: SparkSession, *told: tuple[str | None, int | None]) -> DataFrame:
    """Bronze records of order lines: the number of the order, and the day of arrival, which the feed may not tell."""
    rows = [(order_no, None if day is None else DAY + dt.timedelta(day)) for order_no, day in told]
    return spark.createDataFrame(rows, "order_no string, _arrived_at timestamp")


def headers(spark: SparkSession, *told: tuple[str | None, str, int, str]) -> DataFrame:
    """Bronze records of order headers: number, buyer, day of arrival, status (`broken` for one that did not parse)."""
    rows = [(number, buyer, status, DAY + dt.timedelta(day), status == "broken") for number, buyer, day, status in told]
    schema = "number string, buyer string, status string, _arrived_at timestamp, _is_unparseable boolean"
    return spark.createDataFrame(rows, schema)


def found(joined: DataFrame) -> list[tuple[Any, ...]]:
    rows = joined.select("order_no", "person", "_arrived_at").collect()
    return sorted([(row[0], row[1], None if row[2] is None else (row[2] - DAY).days) for row in rows], key=str)


@pytest.mark.parametrize(
    ("line_day", "person", "arrives"),
    [
        pytest.param(0, "ANN", 1, id="before any header: the first, when that arrives"),
        pytest.param(1, "ANN", 1, id="with the first"),
        pytest.param(4, "ANN", 4, id="between the two: the one known then"),
        pytest.param(5, "BOB", 5, id="with the correction"),
        pytest.param(9, "BOB", 9, id="after both: the newest"),
        pytest.param(None, "ANN", 1, id="without a time of its own: with the first"),
    ],
)
def test_a_record_takes_what_was_known_when_it_arrived(
    spark: SparkSession, line_day: int | None, person: str, arrives: int
) -> None:
    known = headers(spark, ("1", "bob", 5, "sent"), ("1", "ann", 1, "new"), ("1", "ann", 1, "new"))
    joined = with_looked_up(lines(spark, ("1", line_day)), known, HEADERS, tells_time=line_day is not None)
    assert found(joined) == [("1", person, arrives)]


def test_a_record_that_lost_its_own_time_gets_none_from_elsewhere(spark: SparkSession) -> None:
    known = headers(spark, ("1", "ann", 1, "new"))
    assert found(with_looked_up(lines(spark, ("1", None)), known, HEADERS, tells_time=True)) == [("1", "ANN", None)]


def test_every_record_stays_once_whatever_the_other_feed_holds(spark: SparkSession) -> None:
    records = lines(spark, ("1", 3), ("1", 3), ("2", 3), (None, 3), ("3", None))
    known = headers(
        spark, ("1", "ann", 1, "new"), ("1", "bob", 2, "new"), ("2", "eve", 1, "draft"), (None, "x", 1, "new"),
        ("3", "y", 1, "broken"),
    )  # fmt: skip
    joined = with_looked_up(records, known, HEADERS, tells_time=True)
    assert joined.columns == ["order_no", "person", "_arrived_at"]
    assert found(joined) == [("1", "BOB", 3), ("1", "BOB", 3), ("2", None, 3), ("3", None, None), (None, None, 3)]


@pytest.mark.long
def test_lines_wait_in_quarantine_until_their_headers_arrive(spark: SparkSession, tmp_path: Any) -> None:
    """A line whose header is late is refused at first, and valid once the header is there."""
    conf_dir = conf_with(tmp_path, "split", SPLIT)
    settings = settings_in(tmp_path, "split", conf_dir)
    deliver(tmp_path / "data", "lines/1.csv", "no,sku,price\n1,P1,2.50\n2,P1,3.00\n")
    deliver(tmp_path / "data", "heads/1.csv", "no,at\n1,2025-01-05 08:00:00\n")
    for job in ("ingest.load_files", "ingest.clean_order_lines"):
        run_job(spark, settings, job)
    (row,) = table(spark, settings, "silver.order_lines").collect()
    assert (row["order_id"], row["arrived_at"]) == ("1", dt.datetime(2025, 1, 5, 8))
    (refused,) = table(spark, settings, "silver.order_lines_rejected").collect()
    assert "ordered_at_missing" in refused["reasons"]
    assert '"no":"2"' in refused["record"]
    assert '"at"' not in refused["record"], "the record is kept as it came, without what was looked up"

    deliver(tmp_path / "data", "heads/2.csv", "no,at\n2,2025-01-06 08:00:00\n")
    for job in ("ingest.load_files", "ingest.clean_order_lines"):
        run_job(spark, settings, job)
    assert {row["order_id"] for row in table(spark, settings, "silver.order_lines").collect()} == {"1", "2"}


def test_a_lookup_of_a_feed_that_is_not_there_says_so(spark: SparkSession, tmp_path: Any) -> None:
    lost = {**SPLIT["lines"], "lookups": [{"source": "headz", "by": {"no": "no"}, "fields": {"at": "at"}}]}
    conf_dir = conf_with(tmp_path, "lost", {"lines": lost})
    with pytest.raises(ConfigurationError, match="source lines looks up headz, which is no source of dataset lost"):
        run_job(spark, settings_in(tmp_path, "lost", conf_dir), "ingest.load_files")


@pytest.mark.long
def test_nothing_is_cleaned_before_the_other_feed_has_arrived(spark: SparkSession, tmp_path: Any) -> None:
    settings = settings_in(tmp_path, "split", conf_with(tmp_path, "split", SPLIT))
    deliver(tmp_path / "data", "lines/1.csv", "no,sku,price\n1,P1,2.50\n")
    deliver(tmp_path / "data", "heads/1.csv", "wrong\n1\n")
    deliver(tmp_path / "data", "lines/2.csv", "no,sku,price\n1,P2,2.50\n")
    run_job(spark, settings, "ingest.load_files")
    with pytest.raises(DataError, match="feed lines looks up feed heads, of which nothing has arrived"):
        run_job(spark, settings, "ingest.clean_order_lines")


def fields(*names: str) -> list[dict[str, str]]:
    return [{"name": name, "description": f"{name}."} for name in names]


SPLIT: dict[str, dict[str, Any]] = {
    "heads": {"files": "heads/*.csv", "arrival": "try_to_timestamp(at)", "fields": fields("no", "at"), "tables": {}},
    "lines": {
        "files": "lines/*.csv",
        "arrival": "looked_up",
        "fields": fields("no", "sku", "price"),
        "lookups": [{"source": "heads", "by": {"no": "no"}, "fields": {"at": "at"}}],
        "tables": {
            "order_lines": {
                "columns": {
                    "order_line_id": "concat_ws(':', no, sku)",
                    "order_id": "no",
                    "store_id": "'WEB'",
                    "channel": "'online'",
                    "product_id": "sku",
                    "ordered_at": {"local": "at"},
                    "line_kind": "'product'",
                    "quantity": "1",
                    "unit_price_amount": "price",
                    "currency_code": "'EUR'",
                }
            }
        },
    },
}
