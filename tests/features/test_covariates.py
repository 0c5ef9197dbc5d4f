"""Covariates of demand: what was told of a week to come, and had arrived when the week before it closed."""

import datetime as dt
from typing import Any

import pytest
from pyspark.sql import SparkSession

from jobs.features.build_demand_features import demand_features
from jobs.features.covariates import Outside
from jobs.lakehouse.settings import DemandSettings
from tests.rows import SHANGHAI, Row, contract_of, frame_of, product, row_of

SETTINGS = DemandSettings(
    horizon_weeks=3, origins=8, min_history_weeks=8, min_units=1,
    search_series="searched {category}", competitor_price_series="asked for {category}",
)  # fmt: skip
FIRST = dt.date(2023, 10, 2)
WEEKS = 75
LAST = FIRST + dt.timedelta(weeks=WEEKS - 1)
Told = dict[tuple[str, int, int], dict[str, Any]]


def weeks_after(number: int, day: int = 0) -> dt.date:
    """A day so many weeks after the last closed one, from its Monday on."""
    return LAST + dt.timedelta(weeks=number, days=day)


def told_at(day: dt.date) -> dt.datetime:
    """Noon of a day in Shanghai, in UTC."""
    return dt.datetime.combine(day, dt.time(4))


def history(units: dict[int, int] | None = None) -> list[Row]:
    """Two products in one store, that sell two pieces a week, and so many in weeks told by their number from the last."""
    return [
        row_of(
            "gold.demand_history",
            product_id=sku,
            store_id="s1",
            week_start_date=weeks_after(number),
            gross_units=(units or {}).get(number, 2) if sku == "p1" else 2,
        )
        for sku in ("p1", "p2")
        for number in range(1 - WEEKS, 1)
    ]


def promotion(starts: dt.date, days: int, told: dt.date, **overrides: Any) -> Row:
    fixed = {
        "promotion_id": f"{starts} {overrides.get('product_id')} {told}",
        "promotion_kind": "price_off",
        "product_id": "p1",
        "store_id": "ALL",
        "starts_on": starts,
        "ends_on": starts + dt.timedelta(days=days - 1),
        "discount_ratio": 0.3,
        "arrived_at": told_at(told),
    }
    return row_of("silver.promotions", **{**fixed, **overrides})


def holiday(name: str, first: dt.date, days: int = 1, **overrides: Any) -> list[Row]:
    fixed = {"holiday_name": name, "arrived_at": told_at(FIRST), "region": None}
    return [
        row_of("silver.holidays", holiday_date=first + dt.timedelta(days=day), **{**fixed, **overrides})
        for day in range(days)
    ]


def searched(number: int, value: float, told: dt.date | None = None, **overrides: Any) -> Row:
    """How much was searched in the week of a number, told on the Monday after."""
    fixed = {
        "series_name": "searched tea",
        "period_start_date": weeks_after(number),
        "period_kind": "week",
        "value": value,
        "arrived_at": told_at(told or weeks_after(number + 1)),
    }
    return row_of("silver.trends", **{**fixed, **overrides})


def told_of(
    spark: SparkSession,
    promotions: list[Row] | None = None,
    holidays: list[Row] | None = None,
    trends: list[Row] | None = None,
    units: dict[int, int] | None = None,
) -> Told:
    """The features by product, origin as its number from the last, and horizon."""
    products = [product(product_id="p1", category="tea"), product(product_id="p2", category="salt")]
    outside = Outside(
        frame_of(spark, "silver.promotions", *promotions or []),
        frame_of(spark, "silver.holidays", *holidays or []),
        frame_of(spark, "silver.trends", *trends or []),
    )
    found = demand_features(
        frame_of(spark, "gold.demand_history", *history(units)),
        frame_of(spark, "silver.products", *products),
        outside,
        SETTINGS,
        SHANGHAI,
    )
    rows = found.select(*contract_of("gold.demand_features").column_names).collect()
    made = {
        (row["product_id"], (row["origin_week"] - LAST).days // 7, row["horizon_weeks"]): row.asDict() for row in rows
    }
    assert len(made) == len(rows) == 2 * 8 * 3
    return made


def test_a_promotion_is_planned_from_the_close_before_which_it_was_told(spark: SparkSession) -> None:
    """Weeks close on Thursday at midnight: what comes on Wednesday was known, what comes on Thursday was not."""
    wednesday, thursday = weeks_after(1, 2), weeks_after(1, 3)
    told = told_of(
        spark,
        [
            promotion(weeks_after(1, 5), 4, wednesday),
            promotion(weeks_after(2), 7, wednesday, product_id="p2", store_id="s2"),
            promotion(weeks_after(3), 7, thursday),
            promotion(weeks_after(-1), 7, weeks_after(-2), product_id="p2", discount_ratio=None),
        ],
    )

    def planned(sku: str, origin: int, horizon: int) -> tuple[float | None, float | None]:
        row = told[sku, origin, horizon]
        return row["planned_promotion_ratio"], row["planned_discount_ratio"]

    assert planned("p1", 0, 1) == pytest.approx((2 / 7, 0.3 * 2 / 7)), "its Saturday and Sunday"
    assert planned("p1", 0, 2) == pytest.approx((2 / 7, 0.3 * 2 / 7)), "its Monday and Tuesday"
    assert planned("p2", 0, 2) == (0.0, 0.0), "planned for another store"
    assert planned("p1", 0, 3) == (None, None), "the plan for this week came after the close"
    assert planned("p1", -1, 2) == (None, None), "nothing was known then"
    assert planned("p2", -3, 2) == (1.0, 0.0), "no discount is told"
    assert planned("p1", -3, 2) == (0.0, 0.0), "the plans reached that week, and named another product"
    assert planned("p2", -4, 3) == (None, None), "told a week later"


def test_a_year_is_as_long_as_between_two_long_holidays_near_the_week(spark: SparkSession) -> None:
    """Ten pieces in the week of the moving feast a year before, whenever that was; elsewhere a year has 52 weeks."""
    feast, before = weeks_after(2, 1), weeks_after(-45, 1)
    moving = holiday("moving feast", feast, 3) + holiday("moving feast", before, 3)
    near = holiday("fixed day", weeks_after(2)) + holiday("fixed day", weeks_after(-50))
    told = told_of(spark, holidays=moving + near, units={-45: 10})
    of_feast = told["p1", 0, 2]
    assert of_feast["holiday_days"] == 4.0, "three of the one, and one of the other"
    assert of_feast["category_growth_ratio"] == pytest.approx(10 / 2), "47 weeks back, whose origin had sold two a week"
    assert told["p1", 0, 1]["category_growth_ratio"] == pytest.approx(1.0), "the week before the feast, too"
    risen = told_of(spark, holidays=moving, units={-45: 10, 0: 15})["p1", 0, 2]
    assert risen["category_year_ratio"] == pytest.approx(10 / 3), "over the level of now"
    assert risen["category_growth_ratio"] == pytest.approx(10 / 2), "over the level of then"
    assert told["p1", -7, 1]["category_growth_ratio"] == pytest.approx(1.0)
    assert told["p1", -7, 1]["holiday_days"] == 0.0
    assert told["p2", 0, 2]["category_growth_ratio"] == pytest.approx(1.0), "of another category"
    alone = told_of(spark, holidays=holiday("fixed day", weeks_after(0)), units={-50: 50})
    assert alone["p1", 0, 2]["category_growth_ratio"] == pytest.approx(25.0), "52 weeks back"
    assert alone["p1", 0, 2]["holiday_days"] is None, "the calendar ends"


def test_a_promotion_may_hold_for_a_category_or_for_everything(spark: SparkSession) -> None:
    told = told_of(
        spark,
        [
            promotion(weeks_after(1), 7, weeks_after(0), product_id=None, category="tea", discount_ratio=0.2),
            promotion(weeks_after(2), 7, weeks_after(0), product_id=None, discount_ratio=0.1),
            promotion(weeks_after(3), 7, weeks_after(0), product_id="p1", category="salt"),
        ],
    )
    planned = {
        (sku, horizon): told[sku, 0, horizon]["planned_discount_ratio"] for sku in ("p1", "p2") for horizon in (1, 2, 3)
    }
    expected = {("p1", 1): 0.2, ("p2", 1): 0.0, ("p1", 2): 0.1, ("p2", 2): 0.1, ("p1", 3): 0.3, ("p2", 3): 0.0}
    assert planned == pytest.approx(expected)


@pytest.mark.parametrize("case", ["regional", "told later"])
def test_what_not_everybody_keeps_or_nobody_had_told_is_no_holiday(spark: SparkSession, case: str) -> None:
    is_regional = case == "regional"
    overrides = {"region": "CA"} if is_regional else {"arrived_at": told_at(weeks_after(1, 3))}
    days = holiday("feast", weeks_after(2), 3, **overrides) + holiday("feast", weeks_after(-45), 3, **overrides)
    row = told_of(spark, holidays=days, units={-45: 10})["p1", 0, 2]
    assert (row["holiday_days"], row["category_growth_ratio"]) == (None, 1.0)


def test_a_series_is_held_against_the_weeks_before_as_it_was_known(spark: SparkSession) -> None:
    values = dict.fromkeys(range(-30, -1), 10.0)
    late = weeks_after(2)
    told = told_of(
        spark,
        trends=[
            *(searched(number, value) for number, value in values.items()),
            searched(-1, 20.0),
            searched(0, 30.0),
            searched(-1, 500.0, late, revision=2),
            searched(1, 900.0),
            *(searched(number, 1.0, series_name="searched salt") for number in range(-30, -2)),
            searched(-2, 7.0, weeks_after(1, 2), series_name="searched salt"),
        ],
    )
    newest, before = told["p1", 0, 1], told["p1", -1, 3]
    assert (newest["search_ratio"], newest["search_before_ratio"]) == (pytest.approx(3.0), pytest.approx(2.0))
    assert (before["search_ratio"], before["search_before_ratio"]) == (pytest.approx(2.0), pytest.approx(1.0))
    assert told["p2", -3, 1]["search_ratio"] == pytest.approx(1.0)
    assert told["p2", -2, 1]["search_ratio"] is None, "the week's value came two weeks later"
    assert told["p2", 0, 1]["search_ratio"] == pytest.approx(7.0), "and counts from then on"
    assert {row["competitor_price_ratio"] for row in told.values()} == {None}, "no such series"


@pytest.mark.long
def test_what_arrives_after_the_close_changes_no_feature(spark: SparkSession) -> None:
    early: dict[str, list[Row]] = {
        "promotions": [promotion(weeks_after(1), 7, weeks_after(0))],
        "holidays": holiday("feast", weeks_after(1), 3) + holiday("feast", weeks_after(-50), 3),
        "trends": [
            searched(number, 10.0 + number % 3, series_name=name)
            for name in ("searched tea", "asked for tea")
            for number in range(-30, 0 if name == "asked for tea" else 1)
        ],
    }
    day = weeks_after(1, 3)
    late: dict[str, list[Row]] = {
        "promotions": [promotion(weeks_after(1), 7, day, product_id="p2"), promotion(weeks_after(3), 7, day)],
        "holidays": [
            row
            for first in (weeks_after(3), weeks_after(-47))
            for row in holiday("other feast", first, 9, arrived_at=told_at(day))
        ],
        "trends": [searched(0, 99.0, day, series_name="asked for tea"), searched(1, 99.0)],
    }

    def told(rows: dict[str, list[Row]]) -> Told:
        return told_of(spark, rows["promotions"], rows["holidays"], rows["trends"], units={-47: 9, -50: 5})

    alone = told(early)
    both = {name: [*rows, *late[name]] for name, rows in early.items()}
    assert told(both) == alone
    sooner = {name: [{**row, "arrived_at": told_at(weeks_after(1))} for row in rows] for name, rows in late.items()}
    moved = {name: [*rows, *sooner[name]] for name, rows in early.items()}
    changed = told(moved)
    names = ("planned_promotion_ratio", "category_growth_ratio", "holiday_days", "competitor_price_ratio")
    for name in names:
        assert any(row[name] != alone[key][name] for key, row in changed.items()), name
