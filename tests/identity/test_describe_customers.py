"""What is known of each customer: counts of what it holds now, and the last known value of each attribute."""

import datetime as dt

from pyspark.sql import SparkSession

from jobs.identity.describe_customers import as_customers
from tests.rows import NOON, account, customer_id, frame_of

DAY = dt.timedelta(days=1)


def test_a_customer_has_the_last_known_value_of_each_attribute_over_all_its_accounts(spark: SparkSession) -> None:
    ids = [
        customer_id(customer_id="c", identifier_value="web"),
        customer_id(customer_id="c", identifier_value="card", valid_from=NOON + DAY),
        customer_id(customer_id="b", identifier_value="card", valid_to=NOON + DAY),
        customer_id(customer_id="c", identifier_kind="phone", identifier_value="1"),
        customer_id(customer_id="c", identifier_kind="phone", identifier_value="2"),
        customer_id(customer_id="c", identifier_kind="device", identifier_value="d"),
        customer_id(customer_id="other", identifier_value="alone"),
    ]
    accounts = [
        account(account_id="web", revision=1, city="Xi'an", phone_masked="138****0001", superseded_at=NOON + 2 * DAY),
        account(account_id="web", revision=2, city="Suzhou", arrived_at=NOON + 2 * DAY),
        account(account_id="card", city=None, name_masked="王*", email_masked="w***@x.cn", arrived_at=NOON + 3 * DAY),
        account(account_id="card", revision=2, email_masked="n***@x.cn", arrived_at=NOON + 4 * DAY),
        account(account_id="alone", arrived_at=NOON + 9 * DAY),
    ]
    customers = as_customers(
        frame_of(spark, "silver.customer_ids", *ids), frame_of(spark, "silver.accounts", *accounts)
    )
    found = {row["customer_id"]: row.asDict() for row in customers.collect()}
    assert set(found) == {"c", "other"}, "a customer that was merged into another is none any more"
    assert found["c"] == {
        "customer_id": "c",
        "first_seen_at": NOON,
        "account_count": 2,
        "phone_count": 2,
        "email_count": 0,
        "device_count": 1,
        "name_masked": "王*",
        "phone_masked": "138****0001",
        "email_masked": "n***@x.cn",
        "city": "Suzhou",
        "country": None,
    }
    assert found["other"]["city"] is None
    assert found["other"]["first_seen_at"] == NOON + 9 * DAY


def test_of_two_values_told_at_once_the_one_of_the_later_account_id_is_taken(spark: SparkSession) -> None:
    ids = [customer_id(customer_id="c", identifier_value=name) for name in ("a", "b")]
    accounts = [account(account_id=name, city=f"city of {name}") for name in ("b", "a")]
    customers = as_customers(
        frame_of(spark, "silver.customer_ids", *ids), frame_of(spark, "silver.accounts", *accounts)
    )
    assert [row["city"] for row in customers.collect()] == ["city of b"]
