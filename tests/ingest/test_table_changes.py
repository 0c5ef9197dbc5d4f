"""What a load finds by comparing keys and cursors, and what it asks the database for that."""

import pytest
from pyspark.sql import SparkSession

from jobs.ingest.table_changes import CURSOR, WITHIN_CURSOR, Counts, count_changes, count_repeated
from jobs.ingest.table_queries import keys_query, since
from jobs.lakehouse.sources import DELETED, DatabaseTable

Held = tuple[str, str | None, bool]  # key, cursor and whether it was deleted
There = tuple[str, str | None, bool]  # key, cursor and whether a load by the cursor reads the row
MEMBERS = DatabaseTable(name="public.members", key=("member_no",), cursor="change_no")


def counted(spark: SparkSession, held: list[Held], there: list[There]) -> Counts:
    known = spark.createDataFrame(held, f"member_no string, change_no string, {DELETED.name} boolean")
    keys = spark.createDataFrame(there, f"member_no string, {CURSOR} string, {WITHIN_CURSOR} boolean")
    return count_changes(known, keys, MEMBERS.key, MEMBERS.cursor)


HELD: list[Held] = [("1", "50", False), ("2", "101", False), ("3", None, False), ("gone before", "7", True)]
THERE: list[There] = [("1", "50", False), ("2", "101", True), ("3", None, True)]


@pytest.mark.parametrize(
    ("there", "gone", "missed"),
    [
        (THERE, 0, 0),
        (THERE[1:], 1, 0),
        ([("1", "100", False), *THERE[1:]], 0, 1),
        ([("1", "102", True), *THERE[1:]], 0, 0),
        ([("1", "49", False), *THERE[1:]], 0, 1),
        ([*THERE[:2], ("3", "60", False)], 0, 1),
        ([*THERE, ("new", "60", False)], 0, 1),
        ([*THERE, ("gone before", "7", False)], 0, 1),
    ],
    ids=[
        "nothing new",
        "deleted",
        "changed by a number that was committed late",
        "changed, and read by its cursor",
        "changed to an older number",
        "given a number that it lacked",
        "new with an old number",
        "back as it was",
    ],
)
def test_a_row_is_missed_where_its_cursor_is_not_the_one_held(
    spark: SparkSession, there: list[There], gone: int, missed: int
) -> None:
    assert counted(spark, HELD, there) == Counts(3, gone, missed)


def test_rows_that_are_held_already_are_counted_and_those_that_are_lost_are_not(spark: SparkSession) -> None:
    held = spark.createDataFrame(HELD, f"member_no string, change_no string, {DELETED.name} boolean")
    keys = spark.createDataFrame([("1",), ("2",), ("gone before",), ("lost",)], "member_no string")
    written = spark.createDataFrame([("2",)], "member_no string")
    assert count_repeated(held, keys, written, MEMBERS.key) == 1


@pytest.mark.parametrize(
    ("cursor_type", "told"),
    [
        ("bigint", 'CAST("change_no" AS text)'),
        ("timestamp with time zone", "CAST(\"change_no\" AT TIME ZONE 'UTC' AS text)"),
    ],
)
def test_keys_come_with_their_cursors_in_the_words_of_bronze(cursor_type: str, told: str) -> None:
    types = {"member_no": "integer", "change_no": cursor_type}
    query = keys_query(MEMBERS, types, since(MEMBERS, cursor_type, "101"))
    assert query.startswith(f'SELECT CAST("member_no" AS text) AS "member_no", {told} AS "{CURSOR}", coalesce(')
