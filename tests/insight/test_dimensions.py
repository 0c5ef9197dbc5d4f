"""Dimensions: the calendar against Python's, customers without tokens, products and stores as they are now."""

import datetime as dt
from decimal import Decimal

from pyspark.sql import SparkSession

from jobs.insight.build_dimensions import (
    DAYS_AHEAD,
    as_brushing_customers,
    as_dates,
    as_masked_customers,
    as_products,
    as_stores,
)
from tests.rows import (
    NOON,
    SHANGHAI,
    contract_of,
    customer,
    customer_id,
    frame_of,
    local,
    order_line,
    product,
    row_of,
    store,
)

DAY = dt.timedelta(days=1)


def test_the_calendar_of_six_years_is_pythons(spark: SparkSession) -> None:
    lines = [order_line(ordered_at=dt.datetime(2020, 1, 1, 5)), order_line(ordered_at=dt.datetime(2025, 12, 31))]
    rows = as_dates(frame_of(spark, "silver.order_lines", *lines)).collect()
    days = [row["calendar_date"] for row in rows]
    assert sorted(days) == [dt.date(2020, 1, 1) + n * DAY for n in range(2192 + DAYS_AHEAD)]
    for row in rows:
        day = row["calendar_date"]
        year, week, weekday = day.isocalendar()
        assert row.asDict() == {
            "calendar_date": day,
            "year": day.year,
            "quarter": (day.month + 2) // 3,
            "month": day.month,
            "day_of_week": weekday,
            "day_name": f"{day:%A}",
            "iso_year": year,
            "iso_week": f"{year}-W{week:02}",
            "week_start_date": day - (weekday - 1) * DAY,
            "is_weekend": weekday > 5,
        }


def test_masked_customers_carry_masks_and_no_token(spark: SparkSession) -> None:
    known = customer(first_seen_at=local("2025-03-11 00:30"), phone_masked="138****5678", name_masked="王*")
    nobody = spark.createDataFrame([], "customer_id string")
    customers = as_masked_customers(frame_of(spark, "silver.customers", known), nobody, SHANGHAI)
    assert set(customers.columns) == set(contract_of("gold.customers").column_names)
    assert not [name for name in customers.columns if "token" in name or "identifier" in name]
    (row,) = customers.collect()
    assert (row["phone_masked"], row["name_masked"]) == ("138****5678", "王*")
    assert row["first_seen_date"] == dt.date(2025, 3, 11), "the business's day, not the one of UTC"
    assert row["is_brushing"] is False


def test_a_customer_of_whose_accounts_one_brushed_is_marked_once_and_the_others_are_not(spark: SparkSession) -> None:
    orders = {"brushed": "a", "brushed again": "b", "honest": "c", "copied": "d", "guest": None, "moved": "e"}
    lines = [
        order_line(order_line_id=f"{name} {number}", order_id=name, account_id=account)
        for name, account in orders.items()
        for number in (1, 2)
    ]
    marks = [
        *[
            row_of("silver.order_flags", order_id=name, is_brushing=True)
            for name in ("brushed", "brushed again", "guest", "moved")
        ],
        row_of("silver.order_flags", order_id="copied", is_near_duplicate=True, is_brushing=False),
    ]
    owners = {"a": "ring", "b": "ring", "c": "honest", "d": "copied", "z": "ring", "e": "new"}
    ids = [customer_id(identifier_value=account, customer_id=owner) for account, owner in owners.items()]
    ids += [
        customer_id(identifier_value="e", customer_id="old", valid_to=NOON + DAY),
        customer_id(identifier_kind="device", identifier_value="a", customer_id="honest"),
    ]
    brushing = as_brushing_customers(
        frame_of(spark, "silver.order_lines", *lines),
        frame_of(spark, "silver.order_flags", *marks),
        frame_of(spark, "silver.customer_ids", *ids),
    )
    assert sorted(row["customer_id"] for row in brushing.collect()) == ["new", "ring"]
    known = [customer(customer_id=name) for name in ("ring", "honest", "copied", "new")]
    customers = as_masked_customers(frame_of(spark, "silver.customers", *known), brushing, SHANGHAI).collect()
    found = {row["customer_id"]: row["is_brushing"] for row in customers}
    assert found == {"ring": True, "honest": False, "copied": False, "new": True}
    assert len(customers) == 4


def test_no_gold_table_has_a_token_or_a_raw_personal_column() -> None:
    for table in ("customers", "customer_features", "churn_scores", "sales_daily"):
        columns = contract_of(f"gold.{table}").column_names
        assert not [name for name in columns if name.endswith("_token") or name in ("name", "phone", "email")], table


def test_a_product_keeps_the_last_known_value_of_what_its_newest_revision_lacks(spark: SparkSession) -> None:
    revisions = [
        product(product_id="p", revision=1, product_name="Tea", category="drinks", superseded_at=NOON + DAY),
        product(
            product_id="p", revision=2, product_name="Green tea", arrived_at=NOON + DAY, list_price_amount=Decimal(5)
        ),
        product(product_id="q", revision=1),
    ]
    found = {row["product_id"]: row for row in as_products(frame_of(spark, "silver.products", *revisions)).collect()}
    assert set(found) == {"p", "q"}
    assert (found["p"]["product_name"], found["p"]["category"]) == ("Green tea", "drinks")
    assert found["p"]["list_price_amount"] == 5


def test_a_store_is_its_current_revision(spark: SparkSession) -> None:
    revisions = [
        store(store_id="s", revision=1, city="Xi'an", superseded_at=NOON + DAY),
        store(store_id="s", revision=2, city="Suzhou", arrived_at=NOON + DAY),
    ]
    rows = as_stores(frame_of(spark, "silver.stores", *revisions)).collect()
    assert [(row["store_id"], row["city"]) for row in rows] == [("s", "Suzhou")]
