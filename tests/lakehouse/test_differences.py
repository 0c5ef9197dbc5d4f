"""Differences between two states of rows: by row and by owner, held against multisets of Python."""

from collections import Counter

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession

from jobs.lakehouse.differences import differing, digest, owners_that_differ
from jobs.lakehouse.local_rows import local_rows

SCHEMA = "owner string, one string, other string, amount double"
Row = tuple[str | None, str | None, str | None, float | None]
VALUES = st.sampled_from([None, "", "a", "b"])
ROWS = st.lists(
    st.tuples(st.sampled_from(["x", "y", None]), VALUES, VALUES, st.sampled_from([None, 0.0, 1.5])), max_size=5
)


def rows_of(spark: SparkSession, rows: list[Row]) -> DataFrame:
    return local_rows(spark, rows, SCHEMA)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=ROWS, now=ROWS)
def test_rows_and_owners_that_differ_are_those_of_multisets(
    spark: SparkSession, before: list[Row], now: list[Row]
) -> None:
    counts = {row: Counter(now)[row] - Counter(before)[row] for row in {*before, *now}}
    expected = {row for row, count in counts.items() if count}
    states, columns = (rows_of(spark, before), rows_of(spark, now)), ("owner", "one", "other", "amount")
    assert {tuple(row) for row in differing(*states, *columns).collect()} == expected
    owners = [row["owner"] for row in owners_that_differ(*states, "owner", "one", "other", "amount").collect()]
    assert sorted(map(str, owners)) == sorted(map(str, {row[0] for row in expected})), "and each once"


def test_a_null_is_told_by_its_place(spark: SparkSession) -> None:
    before, now = rows_of(spark, [("x", None, "a", 1.0)]), rows_of(spark, [("x", "a", None, 1.0)])
    assert [row["owner"] for row in owners_that_differ(before, now, "owner", "one", "other").collect()] == ["x"]


def test_rows_that_change_owners_make_both_differ(spark: SparkSession) -> None:
    before, now = rows_of(spark, [("x", "a", None, 1.0)]), rows_of(spark, [("y", "a", None, 1.0)])
    assert {row["owner"] for row in owners_that_differ(before, now, "owner", "one").collect()} == {"x", "y"}


def test_a_null_within_a_struct_is_told_by_its_place(spark: SparkSession) -> None:
    rows = local_rows(spark, [(("a", None),), ((None, "a"),)], "record struct<one string, other string>")
    assert rows.select(digest(rows, "record")).distinct().count() == 2
