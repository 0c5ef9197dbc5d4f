"""What is known of each customer: counts of what it holds now, and the last known value of each attribute."""

import datetime as dt
from pathlib import Path

import pytest
from pyspark.sql import DataFrame, SparkSession

from jobs.identity.describe_customers import as_customers, refuse_unknown_feeds, with_city_source
from jobs.lakehouse.errors import ConfigurationError
from jobs.lakehouse.identity_settings import Attribute, SurvivorSettings
from jobs.lakehouse.repaired import with_repaired
from tests.conftest import MakeSettings
from tests.lakes import conf_with
from tests.rows import NOON, Row, account, customer_id, frame_of, row_of

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
            registered_at=NOON - 2 * DAY,
            phone_masked="138****0001",
            superseded_at=NOON + 2 * DAY,
        ),
        account(account_id="web", source="web feed", revision=2, city="Suzhou", arrived_at=NOON + 2 * DAY),
        account(
            account_id="card",
            source="card feed",
            city=None,
            store_id="S1",
            registered_at=NOON - 3 * DAY,
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
        "birth_date_token": None,
        "birth_date_source": None,
        "store_id": "S1",
        "store_source": "card feed",
        "registered_at": NOON - 2 * DAY,
        "registered_source": "web feed",
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


def test_of_when_somebody_came_the_first_told_survives_and_of_a_birth_date_the_last(spark: SparkSession) -> None:
    ids = [customer_id(customer_id="c", identifier_value=name) for name in ("a", "b")]
    accounts = [
        account(account_id="a", source="web", birth_date_token="t1", registered_at=NOON, store_id="S1"),
        account(account_id="b", source="card", birth_date_token="t2", registered_at=NOON - DAY, store_id="S2", arrived_at=NOON + DAY),
    ]  # fmt: skip
    found = described(spark, ids, accounts).collect()[0]
    assert (found["registered_at"], found["registered_source"]) == (NOON, "web")
    assert (found["birth_date_token"], found["birth_date_source"], found["store_id"]) == ("t2", "card", "S2")
    rules: dict[Attribute, SurvivorSettings] = {
        "registered": SurvivorSettings(prefer="recency"),
        "store": SurvivorSettings(sources=("web",)),
    }
    found = described(spark, ids, accounts, rules).collect()[0]
    assert (found["registered_at"], found["store_id"], found["store_source"]) == (NOON - DAY, "S1", "web")


def test_a_repaired_city_is_no_feeds_word_and_gives_way_to_one(spark: SparkSession) -> None:
    repairs = [
        row_of("silver.repairs", table_name="accounts", row_key=name, column_name="city", repaired="guessed", method="lookup")
        for name in ("a", "b", "d")
    ]  # fmt: skip
    accounts = [
        account(account_id="a", source="web", arrived_at=NOON + DAY),
        account(account_id="b", source="web", arrived_at=NOON + DAY),
        account(account_id="c", source="card", city="told", arrived_at=NOON),
        account(account_id="d", source="web", city="told long ago", arrived_at=NOON - DAY),
        account(account_id="d", source="web", revision=2, arrived_at=NOON + DAY),
    ]
    ids = [customer_id(customer_id=owner, identifier_value=name) for owner, name in ("1a", "2b", "2c", "3d")]
    rows = with_city_source(frame_of(spark, "silver.accounts", *accounts))
    filled = with_repaired(rows, frame_of(spark, "silver.repairs", *repairs), "accounts", "account_id", "city")
    customer_ids = frame_of(spark, "silver.customer_ids", *ids)

    def cities(rules: dict[Attribute, SurvivorSettings]) -> dict[str, tuple[str, str]]:
        rows = as_customers(customer_ids, filled, rules).collect()
        return {row["customer_id"]: (row["city"], row["city_source"]) for row in rows}

    assert cities(NO_RULES) == {
        "1": ("guessed", "silver.repairs"), "2": ("told", "card"), "3": ("told long ago", "web"),
    }  # fmt: skip
    assert cities({"city": SurvivorSettings(sources=("silver.repairs",))})["2"] == ("guessed", "silver.repairs")


def test_a_dataset_declares_whom_it_trusts_and_may_trust_nobody_unknown(settings: MakeSettings, tmp_path: Path) -> None:
    declared = {"survivorship": {"city": {"sources": ["crm", "silver.repairs"]}, "store": {"prefer": "first"}}}
    made = settings("shop", conf_with(tmp_path, "shop", {}, identity=declared))
    rules = made.identity.survivorship
    assert (rules["city"].sources, rules["store"].prefer) == (("crm", "silver.repairs"), "first")
    refuse_unknown_feeds(rules, ["crm"])
    with pytest.raises(
        ConfigurationError, match=r"survivorship\.city\.sources names crm.* there are web, silver\.repairs"
    ):
        refuse_unknown_feeds(rules, ["web"])
