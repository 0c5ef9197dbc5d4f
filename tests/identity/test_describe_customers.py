"""What is known of each customer: counts of what it holds now, and the last known value of each attribute."""

import datetime as dt

from pyspark.sql import DataFrame, SparkSession

from jobs.identity.describe_customers import as_customers
from jobs.lakehouse.identity_settings import Attribute, SurvivorSettings
from tests.rows import NOON, Row, account, customer_id, frame_of

NO_RULES: dict[Attribute, SurvivorSettings] = {}
DAY = dt.timedelta(days=1)


def described(
    spark: SparkSession, ids: list[Row], accounts: list[Row], rules: dict[Attribute, SurvivorSettings] = NO_RULES
) -> DataFrame:
    return as_customers(
        frame_of(spark, "silver.customer_ids", *ids), frame_of(spark, "silver.accounts", *accounts), rules
    )


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
        account(
            account_id="web",
            source="web feed",
            revision=1,
            city="Xi'an",
            phone_masked="138****0001",
            superseded_at=NOON + 2 * DAY,
        ),
        account(account_id="web", source="web feed", revision=2, city="Suzhou", arrived_at=NOON + 2 * DAY),
        account(
            account_id="card",
            source="card feed",
            city=None,
            name_masked="王*",
            email_masked="w***@x.cn",
            arrived_at=NOON + 3 * DAY,
        ),
        account(account_id="card", source="card feed", revision=2, email_masked="n***@x.cn", arrived_at=NOON + 4 * DAY),
        account(account_id="alone", arrived_at=NOON + 9 * DAY),
    ]
    customers = described(spark, ids, accounts)
    found = {row["customer_id"]: row.asDict() for row in customers.collect()}
    assert set(found) == {"c", "other"}, "a customer that was merged into another is none any more"
    assert found["c"] == {
        "customer_id": "c",
        "first_seen_at": NOON,
        "account_count": 2,
        "phone_count": 2,
        "email_count": 0,
        "device_count": 1,
        "open_id_count": 0,
        "union_id_count": 0,
        "payer_count": 0,
        "name_masked": "王*",
        "phone_masked": "138****0001",
        "email_masked": "n***@x.cn",
        "city": "Suzhou",
        "country": None,
        "name_source": "card feed",
        "phone_source": "web feed",
        "email_source": "card feed",
        "city_source": "web feed",
        "country_source": None,
    }
    assert found["other"]["city"] is None
    assert found["other"]["first_seen_at"] == NOON + 9 * DAY


def test_of_two_values_told_at_once_the_one_of_the_later_account_id_is_taken(spark: SparkSession) -> None:
    ids = [customer_id(customer_id="c", identifier_value=name) for name in ("a", "b")]
    accounts = [account(account_id=name, city=f"city of {name}") for name in ("b", "a")]
    customers = described(spark, ids, accounts)
    assert [row["city"] for row in customers.collect()] == ["city of b"]


def test_what_a_deletion_repeats_does_not_survive(spark: SparkSession) -> None:
    ids = [customer_id(customer_id="c", identifier_value=name) for name in ("a", "b")]
    gone = NOON + 9 * DAY
    accounts = [
        account(account_id="a", city="old", country="CN", superseded_at=gone),
        account(account_id="a", revision=2, city="old", country="CN", arrived_at=gone, superseded_at=gone),
        account(account_id="b", city="new", arrived_at=NOON + DAY),
    ]
    found = described(spark, ids, accounts).collect()[0]
    assert (found["city"], found["country"]) == ("new", "CN"), "what nobody else tells is still the last known"
    assert found["account_count"] == 2


def test_values_survive_by_source_then_completeness_then_recency(spark: SparkSession) -> None:
    ids = [customer_id(customer_id="c", identifier_value=name) for name in ("a", "b", "d")]
    accounts = [
        account(account_id="a", source="crm", city="by crm", country="CN", arrived_at=NOON),
        account(account_id="b", source="web", city="by web", country="SG", name_masked="n", arrived_at=NOON + DAY),
        account(account_id="d", source="web", city="by web later", country="MY", arrived_at=NOON + 2 * DAY),
    ]
    rules: dict[Attribute, SurvivorSettings] = {
        "city": SurvivorSettings(sources=("crm", "web")),
        "country": SurvivorSettings(prefer="completeness"),
    }
    found = described(spark, ids, accounts, rules).collect()[0]
    assert (found["city"], found["city_source"]) == ("by crm", "crm")
    assert (found["country"], found["country_source"]) == ("SG", "web"), "b tells a name too"
    without = described(spark, ids, accounts).collect()[0]
    assert (without["city"], without["country"]) == ("by web later", "MY")
