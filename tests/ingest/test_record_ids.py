"""Ids of records: the same for the same record, and no hash of a personal value that could be guessed."""

import hashlib
from collections.abc import Mapping

import pytest
from pyspark.sql import DataFrame, SparkSession

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


def made_of(records: DataFrame, feed: Mapping[str, object], keys: Keys) -> DataFrame:
    source = Source.model_validate(feed)
    made = with_record_id(with_tokens(records, source, keys, "CN"), source)
    assert not [name for name in made.columns if name.endswith("_digest")]
    return made


def ids(
    spark: SparkSession, feed: Mapping[str, object], keys: Keys, undeclared: Mapping[str, str | None] | None = None
) -> dict[str, str]:
    rows = [(name, "delivery", *rest) for name, *rest in RECORDS]
    records = spark.createDataFrame(
        rows, "name string, _delivery_id string, receipt_no string, phone string, _raw_line string"
    )
    if undeclared is not None:
        told = spark.createDataFrame([*undeclared.items()], "name string, _undeclared string")
        records = records.join(told, on="name", how="left")
    return {row["name"]: row["_record_id"] for row in made_of(records, feed, keys).collect()}


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


@pytest.mark.parametrize("feed", [FEED, PLAIN_FEED])
def test_what_was_loaded_with_a_record_changes_nothing_of_its_id(
    spark: SparkSession, feed: Mapping[str, object]
) -> None:
    alone = ids(spark, feed, KEYS)
    beside = ids(spark, feed, KEYS, {"plain": '{"contact":"13812345678"}'})
    assert {name for name in alone if alone[name] != beside[name]} == {"plain"}, "its fields are others"
    others = ids(spark, feed, OTHER_KEYS, {"plain": '{"contact":"13812345678"}'})
    assert others["plain"] != beside["plain"], "nobody has said that the field is not personal"


def test_a_feed_without_persons_and_strangers_runs_no_python(spark: SparkSession) -> None:
    record = "'d' as _delivery_id, '1' as receipt_no, '2' as phone, cast(null as string) as _raw_line"
    rows = spark.sql(f"select {record}")
    with_strangers = rows.withColumn("_undeclared", rows["phone"])

    def plan(records: DataFrame, feed: Mapping[str, object]) -> str:
        told: str = made_of(records, feed, KEYS)._jdf.queryExecution().executedPlan().toString()
        return told

    assert "Python" not in plan(rows, PLAIN_FEED)
    for records, feed in ((rows, FEED), (with_strangers, PLAIN_FEED), (with_strangers, FEED)):
        assert plan(records, feed).count("ArrowEvalPython") == 1
