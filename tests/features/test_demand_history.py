"""Weekly demand: closed weeks only, zeros filled, late pieces apart, prices carried forward; and DuckDB's word on the same lines."""

import datetime as dt
from decimal import Decimal
from typing import Any

import duckdb
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs.features.build_demand_history import as_filled_weeks, as_weekly_sales, iso_week, last_closed_week
from tests.rows import SHANGHAI, Row, arrow_of, frame_of, local, order_line, random_order_lines

CLOSE_AFTER = 3
MONDAY = dt.date(2025, 3, 3)
# The week of 3 March ends on Sunday the 9th; three days later, at the end of Wednesday the 12th, it is closed.
CLOSE = local("2025-03-13 00:00")


def sold(product: str, day: str, quantity: int = 1, **overrides: Any) -> Row:
    at = local(f"{day} 12:00")
    fixed = {
        "order_line_id": f"{product} {day}",
        "product_id": product,
        "store_id": "s",
        "ordered_at": at,
        "ordered_date": dt.date.fromisoformat(day),
        "arrived_at": at,
        "quantity": quantity,
        "unit_price_amount": Decimal(10),
    }
    return order_line(**{**fixed, **overrides})


def history(spark: SparkSession, *lines: Row) -> dict[tuple[str, str], Row]:
    """The demand history of the lines, by product and Monday."""
    frame = frame_of(spark, "silver.order_lines", *lines)
    weeks = as_filled_weeks(
        as_weekly_sales(frame, CLOSE_AFTER, SHANGHAI), last_closed_week(frame, CLOSE_AFTER, SHANGHAI)
    )
    rows = weeks.collect()
    assert len(rows) == len({(row["product_id"], row["store_id"], row["week_start_date"]) for row in rows})
    return {(row["product_id"], str(row["week_start_date"])): row.asDict() for row in rows}


@pytest.fixture(scope="module")
def told(spark: SparkSession) -> dict[tuple[str, str], Row]:
    """One small history: each product is a case of its own."""
    return history(
        spark,
        sold("gaps", "2025-03-04", 3),
        sold("gaps", "2025-03-23", 2, unit_price_amount=Decimal(8), list_price_amount=Decimal(10)),
        sold("returned", "2025-03-04", 5),
        sold("returned", "2025-03-05", -4),
        sold("with postage", "2025-03-04", 5),
        sold("with postage", "2025-03-05", 1, line_kind="service"),
        sold("late", "2025-03-04", 5),
        sold("late", "2025-03-05", 7, arrived_at=CLOSE),
        sold("in time", "2025-03-05", 7, arrived_at=CLOSE - dt.timedelta(seconds=1)),
        sold("corrected early", "2025-03-05", 7, superseded_at=CLOSE - dt.timedelta(seconds=1)),
        sold("corrected early", "2025-03-05", 4, revision=2, arrived_at=CLOSE - dt.timedelta(seconds=1)),
        sold("corrected late", "2025-03-05", 7, superseded_at=CLOSE),
        sold("corrected late", "2025-03-05", 4, revision=2, arrived_at=CLOSE),
        sold("promoted", "2025-03-03", 3, unit_price_amount=Decimal("9.5"), list_price_amount=Decimal(10)),
        sold("promoted", "2025-03-09", 1, unit_price_amount=Decimal("9.6"), list_price_amount=Decimal(10)),
        # The data reach to Wednesday the 26th: the week of the 17th is the last closed one.
        sold("new", "2025-03-26", 9),
    )


def test_a_week_without_sales_is_zero_from_the_first_sale_to_the_last_closed_week(
    told: dict[tuple[str, str], Row],
) -> None:
    units = {week: row["gross_units"] for (product, week), row in told.items() if product == "gaps"}
    assert units == {"2025-03-03": 3, "2025-03-10": 0, "2025-03-17": 2}
    late = {week: row["late_units"] for (product, week), row in told.items() if product == "gaps"}
    assert set(late.values()) == {0}


def test_a_week_that_is_not_closed_has_no_row(told: dict[tuple[str, str], Row]) -> None:
    assert not [week for product, week in told if product == "new"]
    assert max(week for _, week in told) == "2025-03-17"


def test_the_last_known_price_is_carried_into_weeks_without_sales(told: dict[tuple[str, str], Row]) -> None:
    prices = {week: row["price_amount"] for (product, week), row in told.items() if product == "gaps"}
    assert prices == {"2025-03-03": 10, "2025-03-10": 10, "2025-03-17": 8}
    assert told["gaps", "2025-03-10"]["promotion_ratio"] == 0
    assert told["gaps", "2025-03-17"]["promotion_ratio"] == 1


def test_returns_and_services_are_no_demand(told: dict[tuple[str, str], Row]) -> None:
    assert told["returned", "2025-03-03"]["gross_units"] == 5
    assert told["with postage", "2025-03-03"]["gross_units"] == 5


@pytest.mark.parametrize(("product", "gross", "late"), [("late", 5, 7), ("in time", 7, 0), ("corrected early", 4, 0)])
def test_what_arrived_after_the_close_is_counted_apart(
    told: dict[tuple[str, str], Row], product: str, gross: int, late: int
) -> None:
    row = told[product, "2025-03-03"]
    assert (row["gross_units"], row["late_units"]) == (gross, late)


def test_a_correction_after_the_close_leaves_the_week_as_it_was_known(told: dict[tuple[str, str], Row]) -> None:
    assert told["corrected late", "2025-03-03"]["gross_units"] == 7


def test_pieces_at_least_5_percent_below_list_price_are_on_promotion(told: dict[tuple[str, str], Row]) -> None:
    row = told["promoted", "2025-03-03"]
    assert row["promotion_ratio"] == pytest.approx(3 / 4)
    assert row["price_amount"] == pytest.approx(Decimal("9.525"))
    assert row["list_price_amount"] == 10


def test_a_week_is_closed_by_the_third_day_after_its_sunday(spark: SparkSession) -> None:
    reached = {
        day: last_closed_week(frame_of(spark, "silver.order_lines", sold("p", day)), CLOSE_AFTER, SHANGHAI).collect()
        for day in ("2025-03-11", "2025-03-12")
    }
    assert {day: rows[0][0] for day, rows in reached.items()} == {
        "2025-03-11": MONDAY - dt.timedelta(days=7),
        "2025-03-12": MONDAY,
    }


def test_the_iso_week_is_pythons_through_eleven_turns_of_the_year(spark: SparkSession) -> None:
    days = [dt.date(year, 1, 1) + dt.timedelta(days=n) for year in range(2016, 2027) for n in range(-9, 10)]
    frame = spark.createDataFrame([(day,) for day in days], "day date")
    found = {row["day"]: row["week"] for row in frame.select("day", iso_week(F.col("day")).alias("week")).collect()}
    assert found == {day: "{}-W{:02}".format(*day.isocalendar()[:2]) for day in days}
    assert found[dt.date(2024, 12, 30)] == "2025-W01"
    assert found[dt.date(2021, 1, 3)] == "2020-W53"


QUERY = """
with dated as (
    select *, cast(date_trunc('week', ordered_date) as date) as week,
           -- three days after Sunday, at midnight in Shanghai, which is eight hours ahead all year
           date_trunc('week', ordered_date)::timestamp + interval 10 day - interval 8 hour as closed_at
    from lines where line_kind = 'product' and quantity > 0
),
counted as (
    select product_id, store_id, week,
           case when arrived_at < closed_at then quantity else 0 end as units,
           case when arrived_at >= closed_at then quantity else 0 end as late,
           unit_price_amount as price, coalesce(list_price_amount, unit_price_amount) as list_price
    from dated where superseded_at is null or (arrived_at < closed_at and superseded_at >= closed_at)
),
weekly as (
    select product_id, store_id, week, sum(units) as units, sum(late) as late,
           sum(units * price) / nullif(sum(units), 0) as price,
           sum(units) filter (price <= list_price * 0.95) / nullif(sum(units), 0) as promoted
    from counted group by all
),
spans as (select product_id, store_id, min(week) as first_week from weekly group by all),
filled as (
    select product_id, store_id, cast(unnest(generate_series(first_week, date '2025-03-17', interval 7 day)) as date) as week
    from spans where first_week <= date '2025-03-17'
)
select product_id, store_id, week, coalesce(units, 0), coalesce(late, 0),
       last_value(price ignore nulls) over (partition by product_id, store_id order by week),
       coalesce(promoted, 0)
from filled left join weekly using (product_id, store_id, week)
"""


def test_the_history_of_random_lines_is_the_one_that_duckdb_finds(spark: SparkSession) -> None:
    # Sparse, so that weeks without sales, weeks with late pieces only and short series come up.
    lines = random_order_lines(3, 150, dt.date(2024, 11, 18), 122)
    lines.append(sold("p1", "2025-03-26", store_id="s1", line_kind="service"))
    with duckdb.connect() as engine:
        engine.register("lines", arrow_of("silver.order_lines", *lines))
        expected = {(*row[:2], str(row[2])): row[3:] for row in engine.execute(QUERY).fetchall()}
    frame = frame_of(spark, "silver.order_lines", *lines)
    rows = as_filled_weeks(
        as_weekly_sales(frame, CLOSE_AFTER, SHANGHAI), last_closed_week(frame, CLOSE_AFTER, SHANGHAI)
    ).collect()
    found = {
        (row["product_id"], row["store_id"], str(row["week_start_date"])): (
            row["gross_units"],
            row["late_units"],
            row["price_amount"],
            row["promotion_ratio"],
        )
        for row in rows
    }
    assert set(found) == set(expected)
    assert sum(row[0] == 0 for row in found.values()) > 20, "too few weeks without sales to tell anything"
    assert sum(row[1] > 0 for row in found.values()) > 3, "too few late pieces to tell anything"
    for key, (units, late, price, promoted) in expected.items():
        assert found[key][:2] == (units, late), f"units of {key}"
        assert float(found[key][3]) == pytest.approx(float(promoted)), f"promotion of {key}"
        told = found[key][2]
        assert (told is None) == (price is None), f"price of {key}: {told} for {price}"
        assert price is None or float(told) == pytest.approx(float(price)), f"price of {key}"
