"""Skeletons: a line of JSON for a thousand, with the same fields of the same kinds as Spark's own variants tell, and no value."""

import json

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.ingest.skeletons import LINES_AT_ONCE, skeleton_of, thinned

PHONE = "+8613800001234"
KEYS = st.sampled_from(["id", "user", "a.b", "", "价格", "amount"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("2025-01-01T00:00:00Z"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)
RECORDS = st.lists(st.dictionaries(KEYS, VALUES, max_size=4), min_size=1, max_size=6)


@pytest.mark.parametrize(
    ("lines", "skeleton"),
    [
        (['{"id": "a", "at": "2025-01-01"}', '{"n": 1.5}'], {"id": "", "at": "", "n": 0}),
        (['{"n": 1, "is": true, "none": null}', '{"n": 2.5}'], {"n": 0, "is": False, "none": None}),
        (['{"user": {"name": "u"}}', '{"user": {"age": 3}, "tags": [{"x": 1}]}'], {"user": {"name": "", "age": 0}, "tags": []}),
        (["{}"], {}),
    ],
)  # fmt: skip
def test_a_skeleton_has_all_fields_and_no_value(lines: list[str], skeleton: dict[str, object]) -> None:
    told = skeleton_of(pa.array(lines))
    assert told is not None
    assert json.loads(told) == skeleton


@pytest.mark.parametrize(
    "lines",
    [
        ['{"n": 1}', '{"n": "one"}'],  # mixed
        ['{"n": 1, "n": 2}'],  # a key twice
        ['{"n": 1}{"m": 2}'],
        ['{"n": 1}{"m": 2}', '{"k":', '{"l": 1}}'],  # as many objects as lines, but not one in each
        ['{"n": NaN}'],
        ['{"n": 1} x'],
        ["{'n': 1}"],
        [json.dumps({f"{PHONE}{number}": 1 for number in range(300)})],  # keys that are values
    ],
)
def test_what_pyarrow_can_not_tell_as_spark_does_is_left_to_spark(lines: list[str]) -> None:
    assert skeleton_of(pa.array(lines)) is None


def test_bytes_that_are_no_text_are_left_to_spark() -> None:
    values = pa.Array.from_buffers(pa.string(), 1, pa.array([b'{"n": "\xff"}'], pa.binary()).buffers())
    assert skeleton_of(values) is None


def shape(lines: DataFrame) -> str | None:
    """What Spark makes of all lines that are objects."""
    objects = lines.withColumn("record", F.try_parse_json("value")).where("record is not null")
    row = objects.agg(F.schema_of_variant_agg("record").alias("shape")).first()
    return row["shape"] if row else None


def test_lines_and_their_skeletons_have_one_shape(spark: SparkSession) -> None:
    texts = [
        *[json.dumps({"id": number, "user": {"phone": PHONE}}) for number in range(2 * LINES_AT_ONCE)],
        *['{"id": "x"}', '{"id": {"y": []}}', '{"id": 1} x', '{"n": NaN}'],
    ]
    files = [("one", text) for text in texts] + [("two", text) for text in texts[: LINES_AT_ONCE + 1]]
    lines = spark.createDataFrame(files, "file string, value string").coalesce(1)
    few = thinned(lines)
    assert few.groupBy("file").count().sort("file").collect() == [("one", 2 + 4), ("two", 2)]
    for file in ("one", "two"):
        assert shape(few.where(F.col("file") == file)) == shape(lines.where(F.col("file") == file))
    assert few.where(F.col("value").contains(PHONE)).isEmpty()


@given(RECORDS)
def test_a_skeleton_loses_no_field_and_invents_none(records: list[dict[str, object]]) -> None:
    lines = [json.dumps(record) for record in records]
    told = skeleton_of(pa.array(lines))
    if told is not None:
        fields = set().union(*(record.keys() for record in records))
        assert json.loads(told).keys() == fields
