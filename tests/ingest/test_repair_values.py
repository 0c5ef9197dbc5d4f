"""Repairs: values told from what else is known, and none where nothing tells; keys and money are never touched."""

import datetime as dt
from typing import Any

import pytest
from pyspark.sql import SparkSession

from jobs.ingest.repair_values import repaired_cities, repaired_product_words, repaired_regions, repaired_visitors
from jobs.lakehouse.quality import REASONS, with_reject_reasons
from jobs.lakehouse.repaired import with_repaired
from jobs.lakehouse.tables import conform
from tests.rows import SHANGHAI, Row, account, contract_of, frame_of, local, order_line, product, row_of, store


def web_account(name: str, **overrides: Any) -> Row:
    return account(**{"account_id": name, "account_kind": "account", **overrides})


def test_a_city_is_told_by_other_words_on_the_person(spark: SparkSession) -> None:
    accounts = [
        # Enough with a known city, that each kind of evidence earns its trust.
        *(web_account(f"known {n}", city="Wuhan", phone_token=f"phone {n}") for n in range(4)),
        *(account(account_id=f"card {n}", account_kind="card", phone_token=f"phone {n}") for n in range(4)),
        web_account("twice told", city="Beijing"),
        web_account("twice told", revision=2, arrived_at=dt.datetime(2025, 2, 1)),
        web_account("first", city="Chengdu", email_token="mail"),
        web_account("second", email_token="mail"),
        web_account("has a card", phone_token="p"),
        account(account_id="the card", account_kind="card", phone_token="p"),
        web_account("nobody knows"),
        *(
            account(account_id=f"issued {n}", account_kind="card", phone_token=f"phone {n}", store_id="wuhan 1")
            for n in range(4)
        ),
        web_account("never bought", phone_token="q"),
        account(account_id="unused card", account_kind="card", phone_token="q", store_id="hangzhou 1"),
        account(account_id="contact", account_kind="contact", phone_token="p"),
    ]
    lines = [order_line(order_id=f"{n}", account_id=f"card {n}", store_id="wuhan 1") for n in range(4)]
    lines += [order_line(order_id=f"x {n}", account_id="the card", store_id="hangzhou 1") for n in range(2)]
    lines += [order_line(order_id="away", account_id="the card", store_id="wuhan 1")]
    stores = [store(store_id=f"{city.lower()} 1", city=city) for city in ("Wuhan", "Hangzhou")]
    repairs = repaired_cities(
        frame_of(spark, "silver.accounts", *accounts),
        frame_of(spark, "silver.order_lines", *lines),
        frame_of(spark, "silver.stores", *stores, store(store_id="WEB")),
    )
    found = {row["row_key"]: row for row in conform(repairs, contract_of("silver.repairs")).collect()}
    assert {key: row["repaired"] for key, row in found.items()} == {
        "twice told": "Beijing",
        "second": "Chengdu",
        "has a card": "Hangzhou",
        "never bought": "Hangzhou",
    }
    assert found["has a card"]["confidence"] == pytest.approx(2 / 3)
    assert found["has a card"]["evidence"] == "stores where the person buys"
    assert {row["method"] for row in found.values()} == {"lookup"}
    assert {row["original"] for row in found.values()} == {None}


def test_a_category_and_a_brand_are_told_by_the_words_of_the_name(spark: SparkSession) -> None:
    products = [
        product(product_id="1", product_name="Yunshan Oolong, No. 1", category="Tea", brand="Yunshan"),
        product(product_id="2", product_name="Haiyue Oolong, No. 2", category="Tea", brand="Haiyue"),
        product(product_id="3", product_name="Haiyue Rucksack, No. 3", category="Outdoor", brand="Haiyue"),
        product(product_id="4", product_name="Haiyue Oolong, No. 4"),
        product(product_id="5", product_name="Qinghe Lamp, No. 5", brand="Qinghe"),
        product(product_id="6", product_name="Tent", category="Outdoor"),
        product(product_id="6", product_name="Tent", revision=2, arrived_at=dt.datetime(2025, 2, 1)),
        product(product_id="7", product_name=None),
    ]
    frame = frame_of(spark, "silver.products", *products)
    categories = {row["row_key"]: row for row in repaired_product_words(frame, "category").collect()}
    assert (categories["4"]["repaired"], categories["4"]["evidence"]) == ("Tea", "names with the word oolong")
    assert categories["4"]["confidence"] == 1
    assert (categories["6"]["repaired"], categories["6"]["evidence"]) == ("Outdoor", "the product's other revisions")
    assert "7" not in categories
    brands = {row["row_key"]: row["repaired"] for row in repaired_product_words(frame, "brand").collect()}
    assert brands["4"] == "Haiyue"
    filled = with_repaired(
        frame, repaired_product_words(frame, "category"), "products", "product_id", "category", "brand"
    )
    assert filled.columns == frame.columns
    told = {(row["product_id"], row["revision"]): (row["category"], row["brand"]) for row in filled.collect()}
    assert told["4", 1] == ("Tea", None), "only what was repaired is filled"
    assert told["1", 1] == ("Tea", "Yunshan"), "what was there stays"
    assert told["6", 2] == ("Outdoor", None)


def test_a_region_is_that_of_the_other_stores_of_the_city(spark: SparkSession) -> None:
    stores = [
        store(store_id="1", city="Wuhan", region="Centre"),
        store(store_id="2", city="Wuhan", region="Centre"),
        store(store_id="3", city="Wuhan", region="West"),
        store(store_id="4", city="Wuhan"),
        store(store_id="5", city="Beijing"),
        store(store_id="WEB"),
    ]
    (row,) = repaired_regions(frame_of(spark, "silver.stores", *stores)).collect()
    assert (row["row_key"], row["repaired"], row["confidence"]) == ("4", "Centre", pytest.approx(2 / 3))


def counted(day: int, hour: int, visitors: int | None, counter: str = "footfall") -> Row:
    return row_of(
        "silver.footfall",
        store_id="s",
        counter_id=counter,
        counted_at=local(f"2025-03-{day:02} {hour:02}:00"),
        visitor_count=visitors,
    )


def test_a_silent_counter_is_told_by_the_weekday_the_hour_and_the_day(spark: SparkSession) -> None:
    """Five Mondays; ten o'clock sees 10, eleven 20, twelve 30, thirteen 40. The fourth is half as busy again."""
    hours = {10: 10, 11: 20, 12: 30, 13: 40}
    usual = [counted(day, hour, count) for day in (3, 10, 17) for hour, count in hours.items()]
    busy = [counted(24, hour, None if hour == 13 else count * 3 // 2) for hour, count in hours.items()]
    silent = [counted(31, hour, None if hour != 10 else 10) for hour in hours]
    # The store's kiosk counts otherwise, and is silent once.
    kiosk = [counted(day, 10, 2 if day < 31 else None, "kiosks:s-K1") for day in (3, 10, 17, 24, 31)]
    repairs = repaired_visitors(frame_of(spark, "silver.footfall", *usual, *busy, *silent, *kiosk), SHANGHAI)
    found = {row["row_key"]: (row["repaired"], row["method"]) for row in repairs.collect()}
    assert found == {
        "s|2025-03-24 05:00:00|footfall": ("60", "regression"),
        "s|2025-03-31 03:00:00|footfall": ("20", "median_by_group"),
        "s|2025-03-31 04:00:00|footfall": ("30", "median_by_group"),
        "s|2025-03-31 05:00:00|footfall": ("40", "median_by_group"),
        "s|2025-03-31 02:00:00|kiosks:s-K1": ("2", "median_by_group"),
    }
    assert {row["confidence"] > 0.9 for row in repairs.collect()} == {True}


@pytest.mark.parametrize("column", ["list_price_amount", "store_id"])
def test_money_and_keys_are_refused(spark: SparkSession, column: str) -> None:
    contract = contract_of("silver.repairs")
    row = row_of(contract, column_name=column, method="lookup")
    (judged,) = with_reject_reasons(frame_of(spark, contract, row), contract).collect()
    assert judged[REASONS] == ["no_keys_no_money"]
