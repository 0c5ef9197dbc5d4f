"""Ids of records: the same for the same record, and no hash of a personal value that could be guessed."""

import hashlib
from collections.abc import Mapping

import pytest
from pyspark.sql import SparkSession

from jobs.ingest.records import with_record_id, with_tokens
from jobs.lakehouse.keys import Keys
from jobs.lakehouse.sources import Source

FEED = {
    "source": "tills",
    "description": "Tills.",
    "files": "*.csv",
    "arrival": "now",
    "tables": {},
    "fields": [
        {"name": "receipt_no", "description": "Number."},
        {"name": "phone", "personal": "phone", "description": "Phone."},
    ],
}
PLAIN_FEED = {**FEED, "fields": [{"name": "receipt_no", "description": "Number."}]}
KEYS, OTHER_KEYS = Keys("aaaaaaaa", b"1" * 32, b"2" * 32), Keys("bbbbbbbb", b"3" * 32, b"4" * 32)
RECORDS = [
    ("plain", "1", "13812345678", None),
    ("again", "1", "+86 138 1234 5678", None),
    ("other phone", "1", "13812345679", None),
    ("no phone", "1", None, None),
    ("torn", None, None, "1,13812345678,more"),
    ("torn otherwise", None, None, "1,13812345679,more"),
]


def ids(spark: SparkSession, feed: Mapping[str, object], keys: Keys) -> dict[str, str]:
    source = Source.model_validate(feed)
    rows = [(name, "delivery", *rest) for name, *rest in RECORDS]
    records = spark.createDataFrame(
        rows, "name string, _delivery_id string, receipt_no string, phone string, _raw_line string"
    )
    made = with_record_id(with_tokens(records, source, keys, "CN"), source)
    assert "_raw_line_digest" not in made.columns
    return {row["name"]: row["_record_id"] for row in made.collect()}


def test_a_record_has_the_same_id_each_time_and_others_have_others(spark: SparkSession) -> None:
    found = ids(spark, FEED, KEYS)
    assert ids(spark, FEED, KEYS) == found
    assert found["plain"] == found["again"], "two spellings of one value in one file"
    assert len({*found.values()}) == len(found) - 1


@pytest.mark.parametrize("guess", ["13812345678", "+8613812345678", "1,13812345678,more"])
def test_who_knows_all_but_the_key_cannot_test_a_guess(spark: SparkSession, guess: str) -> None:
    found, others = ids(spark, FEED, KEYS), ids(spark, FEED, OTHER_KEYS)
    for name in ("plain", "torn"):
        assert found[name] != others[name], "the key counts"
    known = [
        "\x1f".join(parts)
        for parts in (("delivery", "1", guess, ""), ("delivery", "1", guess), ("delivery", "\x00", "\x00", guess))
    ]
    assert {hashlib.md5(text.encode()).hexdigest() for text in known}.isdisjoint(found.values())


def test_a_feed_without_persons_needs_no_key(spark: SparkSession) -> None:
    found = ids(spark, PLAIN_FEED, KEYS)
    assert found == ids(spark, PLAIN_FEED, OTHER_KEYS)
    assert found["torn"] != found["torn otherwise"]
