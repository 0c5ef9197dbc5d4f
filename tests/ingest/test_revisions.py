"""Revisions: whatever the order, the split and the repetition of deliveries, silver says the same."""

import datetime as dt
import random
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.ingest.mapping import as_mapped
from jobs.ingest.revisions import TELLER, as_first_arrivals, as_revisions, current
from jobs.lakehouse.quality import DUPLICATE, REASONS, RECORD
from jobs.lakehouse.sources import DELETED, Source
from tests.ingest.bazaar import csv_text, deliver, feed, line
from tests.lakes import conf_with, run_job, settings_in, table
from tests.rows import contract_of

Told = tuple[str, int, int, bool]  # key, price, day of arrival, whether a rule refuses it
DAY = dt.datetime(2025, 1, 1)
PRICES = ("abc", "1.00", "2.00", "3.00")
SCHEMA = (
    "line_id string, price int, arrived_at timestamp, _record_id string, _reject_reasons array<string>, _record string"
)


def frame(spark: SparkSession, told: list[Told], seed: int) -> DataFrame:
    """The rows as they would be mapped, in an order and with record ids that follow from the seed."""
    shuffled = random.Random(seed).sample(told, len(told))
    rows = [
        (
            key,
            price,
            DAY + dt.timedelta(day),
            f"{random.Random(f'{seed} {place}').random()}",
            ["bad"] if bad else [],
            f"{key} {price} {bad}",
        )
        for place, (key, price, day, bad) in enumerate(shuffled)
    ]
    return spark.createDataFrame(rows, SCHEMA).coalesce(1)


def expected(told: list[Told]) -> list[tuple[str, int, int, int | None]]:
    """Key, revision, price and day of supersession of the valid revisions, worked out without Spark."""
    arrivals: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for key, price, day, bad in told:
        if not bad:
            arrivals[key].append((day, price))
    found = []
    for key, history in arrivals.items():
        kept: list[tuple[int, int]] = []
        for day, price in sorted(history):
            if not kept or kept[-1][1] != price:
                kept.append((day, price))
        for number, (_, price) in enumerate(kept, start=1):
            found.append((key, number, price, kept[number][0] if number < len(kept) else None))
    return sorted(found, key=str)


def revisions(spark: SparkSession, told: list[Told], seed: int) -> list[Any]:
    made = as_revisions(frame(spark, told, seed), ("line_id",)).where(f"not {DUPLICATE} and size({REASONS}) = 0")
    chosen = made.select("line_id", "revision", "price", F.datediff("superseded_at", F.lit(DAY)).alias("day"))
    return sorted((tuple(row) for row in chosen.collect()), key=str)


lines = st.lists(
    st.tuples(st.sampled_from("ab"), st.integers(1, 3), st.integers(0, 4), st.just(False) | st.booleans()),
    min_size=1,
    max_size=9,
    # Which of two corrections of one arrival is the later, nobody can tell; see the test below.
    unique_by=lambda told: (told[0], told[2], told[3]),
)


@examples(max_examples=12)
@given(told=lines, repeated=st.integers(0, 3), seed=st.integers(0, 99))
def test_order_and_repetition_change_nothing(spark: SparkSession, told: list[Told], repeated: int, seed: int) -> None:
    assert revisions(spark, told + told[:repeated], seed) == expected(told)


def test_corrections_that_arrive_at_one_time_are_ordered_alike_however_they_are_delivered(spark: SparkSession) -> None:
    told = [("a", price, 0, False) for price in (1, 2, 3)]
    found = {
        tuple(revisions(spark, told + told[:repeated], seed)) for seed, repeated in ((1, 0), (2, 3), (3, 2), (4, 1))
    }
    assert len(found) == 1, f"the same three rows gave {found}"


def test_corrections_that_arrive_at_one_time_are_ordered_alike_by_file_and_from_a_table(spark: SparkSession) -> None:
    told = [(key, price, 0, False) for key in "abcdef" for price in (1, 2, 3)]
    by_file = frame(spark, told, 1)
    from_a_table = by_file.withColumns({DELETED.name: F.lit(False), TELLER: F.concat("line_id", "price")})
    one, other = (
        as_revisions(rows, ("line_id",)).select("line_id", "revision", "price", "superseded_at")
        for rows in (by_file, from_a_table)
    )
    assert sorted(one.collect(), key=str) == sorted(other.collect(), key=str)


def test_rejected_rows_are_counted_once_and_supersede_nothing(spark: SparkSession) -> None:
    told = [("a", 1, 0, False), ("a", 2, 1, True), ("a", 2, 2, True), ("a", 3, 1, True)]
    made = as_revisions(frame(spark, told, 1), ("line_id",))
    kept = made.where(f"not {DUPLICATE}")
    assert kept.where(f"size({REASONS}) > 0").count() == 2
    (held,) = current(kept.where(f"size({REASONS}) = 0")).collect()
    assert (held["price"], held["revision"]) == (1, 1)


def moved(spark: SparkSession, reasons: list[str]) -> DataFrame:
    """Two deliveries of one product, a day apart: what the first has for its category the second has for its brand."""
    schema = "product_id string, category string, brand string, arrived_at timestamp, _record_id string, _reject_reasons array<string>"
    rows = [
        ("a", "Shoes", None, DAY, "1", reasons),
        ("a", None, "Shoes", DAY + dt.timedelta(1), "2", reasons),
    ]
    return spark.createDataFrame(rows, schema).coalesce(1).withColumn(RECORD, F.struct("category", "brand"))


def test_a_correction_in_which_a_value_moves_to_another_column_is_no_duplicate(spark: SparkSession) -> None:
    made = as_revisions(moved(spark, []), ("product_id",))
    assert made.where(DUPLICATE).isEmpty()
    (held,) = current(made).collect()
    assert (held["category"], held["brand"], held["revision"]) == (None, "Shoes", 2)


def test_rejected_rows_in_which_a_value_moves_to_another_field_are_both_kept(spark: SparkSession) -> None:
    rejected = moved(spark, ["name_missing"])
    assert as_revisions(rejected, ("product_id",)).where(DUPLICATE).isEmpty()
    assert as_first_arrivals(rejected, ("product_id",)).where(DUPLICATE).isEmpty()


def test_of_an_event_the_first_arrival_stays(spark: SparkSession) -> None:
    told = [("a", 1, 3, False), ("a", 2, 1, False), ("b", 5, 2, False), ("b", 5, 2, True), ("b", 5, 4, True)]
    made = as_first_arrivals(frame(spark, told, 1), ("line_id",))
    kept = sorted((row["line_id"], row["price"], len(row[REASONS])) for row in made.where(f"not {DUPLICATE}").collect())
    assert kept == [("a", 2, 0), ("b", 5, 0), ("b", 5, 1)]


Heard = tuple[str | None, int, int]  # row of the database, price or GONE, and day of arrival
GONE = 0
SINCE_DELETION = f"{SCHEMA}, {DELETED.name} boolean, {TELLER} string"


def held_by_rows(spark: SparkSession, heard: list[Heard], seed: int = 1) -> list[tuple[int | None, ...]]:
    """Price, day of arrival and day of supersession of each revision of one line, told by so many rows of a database."""
    shuffled = random.Random(seed).sample(heard, len(heard))
    last_known: dict[str | None, int] = {}
    prices: dict[Heard, int] = {}
    for row, price, day in sorted(heard, key=lambda told: (told[2], told[1] == GONE)):
        prices[row, price, day] = last_known.get(row, 1) if price == GONE else price
        last_known[row] = prices[row, price, day]
    rows: list[tuple[Any, ...]] = [
        ("a", prices[told], DAY + dt.timedelta(told[2]), f"{place}", [], "a", told[1] == GONE, told[0])
        for place, told in enumerate(shuffled)
    ]
    made = as_revisions(spark.createDataFrame(rows, SINCE_DELETION).coalesce(1), ("line_id",))
    assert made.count() == len(heard), "no delivery gets lost"
    kept = made.where(f"not {DUPLICATE}").orderBy("revision")
    days = [F.datediff(name, F.lit(DAY)) for name in ("arrived_at", "superseded_at")]
    return [tuple(row) for row in kept.select("price", *days).collect()]


def held_by_rows_in_python(heard: list[Heard]) -> list[tuple[int | None, ...]]:
    """The same, worked out without Spark: what holds is what the row said that was heard last of those still there."""
    saying: dict[str | None, tuple[int, int]] = {}
    found: list[list[int | None]] = []
    holds: int | None = None
    for place, (row, price, day) in enumerate(sorted(heard, key=lambda told: (told[2], told[1] == GONE))):
        purged = {other for other, told, at in heard if told == GONE and at == day} if price == GONE else set()
        if price == GONE:
            saying = {other: said for other, said in saying.items() if other not in purged}
            left = max(saying.values(), default=None)
            now = left[1] if left else GONE
        else:
            saying[row] = (place, price)
            now = price
        if now == holds:
            continue
        if found and found[-1][2] is None:
            found[-1][2] = day
        known = next((told for told in reversed(found) if told[0] is not None), [1])[0]
        found.append([known if now == GONE else now, day, day if now == GONE else None])
        holds = now
    return [tuple(row) for row in found]


def test_a_deleted_state_ends_nothing_while_another_row_tells_of_the_thing(spark: SparkSession) -> None:
    told: list[Heard] = [("t1", 1, 0), ("t2", 2, 1)]
    both = [(1, 0, 1), (2, 1, None)]
    assert held_by_rows(spark, [*told, ("t1", GONE, 5)]) == both, "the old state is purged"
    fallen_back = [(1, 0, 1), (2, 1, 5), (1, 5, None)]
    assert held_by_rows(spark, [*told, ("t2", GONE, 5)]) == fallen_back, "the older state is all that is left"
    assert held_by_rows(spark, [*told, ("t1", GONE, 5), ("t2", GONE, 6)]) == [(1, 0, 1), (2, 1, 6), (2, 6, 6)]
    # Which of the two the end repeats, nobody can tell.
    at_once = held_by_rows(spark, [*told, ("t1", GONE, 5), ("t2", GONE, 5)])[1:]
    assert [days for _, *days in at_once] == [[1, 5], [5, 5]], "at once"
    assert held_by_rows(spark, [*told, (None, 3, 2), ("t1", GONE, 5), ("t2", GONE, 5)])[-1] == (3, 2, None), "a file's"


histories = st.lists(
    st.tuples(st.sampled_from(["x", "y", "z"]), st.integers(GONE, 3), st.integers(0, 5)),
    min_size=1,
    max_size=9,
    # Of one row of the database one thing is heard at a time, and of two rows that are heard at once nobody knows which is newer.
    unique_by=(lambda told: (told[0], told[2]), lambda told: (told[2], told[0] if told[1] == GONE else None)),
)


@pytest.mark.long
@examples(max_examples=15)
@given(heard=histories, seed=st.integers(0, 99))
def test_what_holds_is_what_was_heard_last_of_the_rows_that_are_there(
    spark: SparkSession, heard: list[Heard], seed: int
) -> None:
    found, expected_rows = held_by_rows(spark, heard, seed), held_by_rows_in_python(heard)
    days = [[None if row[2] is not None and row[1] == row[2] else row[0], *row[1:]] for row in expected_rows]
    assert [[None if row[1] == row[2] else row[0], *row[1:]] for row in found] == days


ORDERS = Source.model_validate(
    {
        "source": "orders",
        "description": "Orders of guests.",
        "table": {"name": "orders", "key": ["order_no"], "cursor": "told_at"},
        "arrival": "told_at",
        "fields": [{"name": name, "description": name} for name in ("order_no", "guest", "city", "told_at")],
        "tables": {
            "accounts": {
                "columns": {"account_id": "guest", "account_kind": "'contact'", "city": "city"},
                "arrival": "told_at",
            }
        },
    }
)


def order_record(order: str, city: str, day: int, gone: int | None = None) -> tuple[str | bool | dt.datetime, ...]:
    """A record of a guest's order, or of its deletion on a day."""
    told_at = DAY + dt.timedelta(day)
    return order, "guest", city, f"{told_at}", told_at if gone is None else DAY + dt.timedelta(gone), gone is not None


def accounts_of(spark: SparkSession, *records: tuple[str | bool | dt.datetime, ...]) -> list[tuple[Any, ...]]:
    """City, day of arrival and day of supersession of each revision of the guest's account."""
    schema = (
        f"order_no string, guest string, city string, told_at string, _arrived_at timestamp, {DELETED.name} boolean"
    )
    technical = {"_record_id": F.concat_ws(" ", "order_no", DELETED.name), "_is_unparseable": F.lit(False)}
    bronze = spark.createDataFrame(records, schema).withColumns(technical).coalesce(1)
    mapped = as_mapped(bronze, ORDERS, ORDERS.tables["accounts"][0], contract_of("silver.accounts"))
    kept = as_revisions(mapped, ("account_id",)).where(f"not {DUPLICATE}").orderBy("revision")
    days = [F.datediff(name, F.lit(DAY)) for name in ("arrived_at", "superseded_at")]
    return [tuple(row) for row in kept.select("city", *days).collect()]


def test_a_guest_stays_while_one_of_the_orders_is_there(spark: SparkSession) -> None:
    orders = [order_record("1", "Jinan", 0), order_record("2", "Wuhan", 1), order_record("3", "Wuhan", 2)]
    last_gone = order_record("3", "Wuhan", 2, gone=5)
    assert accounts_of(spark, *orders, last_gone) == [("Jinan", 0, 1), ("Wuhan", 1, None)], "the second says the same"
    second_gone = order_record("2", "Wuhan", 1, gone=6)
    fallen_back = [("Jinan", 0, 1), ("Wuhan", 1, 6), ("Jinan", 6, None)]
    assert accounts_of(spark, *orders, last_gone, second_gone) == fallen_back
    gone = [*orders, last_gone, second_gone, order_record("1", "Jinan", 0, gone=7)]
    assert accounts_of(spark, *gone) == [*fallen_back[:2], ("Jinan", 6, 7), ("Jinan", 7, 7)]


def deliveries(draw: random.Random, count: int) -> list[str]:
    """Files of few lines of few orders: corrections, repeated lines, late lines and bad ones."""
    drawn = [
        [
            (draw.randint(1, 9), draw.randint(1, 2), draw.randint(0, 3), draw.randint(2, 9))
            for _ in range(draw.randint(2, 9))
        ]
        for _ in range(count)
    ]
    # Of one line two prices never arrive at the same time: which of them holds would hang on the name of the feed.
    return [
        csv_text(
            *[
                line(
                    f"{order}", line_no=f"{place}", price=PRICES[price], exported_at=f"2025-01-{day:02d} 0{price}:00:00"
                )
                for order, place, price, day in told
            ]
        )
        for told in drawn
    ]


@pytest.mark.long
def test_deliveries_in_any_split_and_order_and_some_twice_give_the_same_silver(
    spark: SparkSession, tmp_path: Path
) -> None:
    """Two feeds of one lake get the same files: one all at once, the other in parts, in another order, two files twice."""
    seed = 23
    draw = random.Random(seed)
    feeds = {name: feed(name, "Asia/Shanghai", has_phones=False) for name in ("once", "split")}
    conf_dir = conf_with(tmp_path, "bazaar", feeds)
    settings = settings_in(tmp_path, "bazaar", conf_dir)
    files = deliveries(draw, 8)
    order = draw.sample(range(8), 8)
    for number, text in enumerate(files):
        deliver(tmp_path / "data", f"once/{number}.csv", text)
    for part in (order[:5], order[5:]):
        for number in part:
            deliver(tmp_path / "data", f"split/{number}.csv", files[number])
        deliver(tmp_path / "data", f"split/again {part[0]}.csv.gz", files[part[0]])
        run_job(spark, settings, "ingest.load_files")
    run_job(spark, settings, "ingest.clean_order_lines")

    silver = table(spark, settings, "silver.order_lines")
    told = [name for name in silver.columns if not name.startswith("_") and name != "source"]
    rows: dict[str, list[str]] = {"once": [], "split": []}
    for row in silver.select("source", *told).collect():
        rows[row["source"]].append(repr([str(value).replace(f"{row['source']}:", "") for value in row[1:]]))
    assert len(rows["once"]) > 20
    assert silver.where("source = 'once' and revision > 1").count() > 5, "there are corrections among them"
    lost, added = set(rows["once"]) - set(rows["split"]), set(rows["split"]) - set(rows["once"])
    assert not lost | added, f"seed {seed}, order {order}: lost {sorted(lost)}, added {sorted(added)}"
    assert sorted(rows["once"]) == sorted(rows["split"])
