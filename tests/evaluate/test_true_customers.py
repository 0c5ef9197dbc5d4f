"""Identity against the truth: an example worked out by hand, and accounts found by the token of their contact."""

import datetime as dt

import numpy as np
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs.evaluate.scoreboard import counted, scored
from jobs.evaluate.true_customers import account_persons, customer_persons, identity_scores
from jobs.lakehouse.keys import load_keys
from jobs.lakehouse.personal import token_of
from jobs.lakehouse.settings import PrivacySettings
from tests.rows import NOON, Row, customer_id, frame_of

DAY = dt.timedelta(days=1)
# By person their accounts, and by account the customer that holds it.
PERSONS = {1: ["a1", "a2", "a3"], 2: ["b1", "b2", "b3"], 3: ["c1"], 4: ["d1"], 5: ["e1"]}
CUSTOMERS = {
    "pure": ["a1", "a2", "a3"],
    "one half": ["b1"],
    "other half": ["b2", "b3"],
    "two persons": ["c1", "d1"],
    "alone": ["e1"],
    "of no known person": ["x1"],
}


def held() -> list[Row]:
    now = [
        customer_id(customer_id=customer, identifier_value=account)
        for customer, accounts in CUSTOMERS.items()
        for account in accounts
    ]
    past = customer_id(customer_id="was another", identifier_value="a1", valid_from=NOON - DAY, valid_to=NOON)
    phone = customer_id(customer_id="alone", identifier_kind="phone", identifier_value="b1")
    return [*now, past, phone]


def test_consistency_precision_and_recall_of_an_example_worked_out_by_hand(spark: SparkSession) -> None:
    persons = spark.createDataFrame(
        [(account, person) for person, accounts in PERSONS.items() for account in accounts],
        "account_id string, person_id long",
    )
    scores = {
        score.metric: score
        for score in identity_scores(frame_of(spark, "silver.customer_ids", *held()), persons, "example")
    }
    # Persons 1 and 5 of five are one pure customer.
    assert scores["consistency"].value == pytest.approx(2 / 5)
    # Held together: 3 pairs of person 1, 1 of person 2, and 1 of two persons; true: 3 of person 1 and 3 of person 2.
    assert scores["pairwise precision"].value == pytest.approx(4 / 5)
    assert scores["pairwise recall"].value == pytest.approx(4 / 6)
    # Nine accounts: c1 and d1 share a customer with another person's; b1 is without two of its person's, b2 and b3 without one.
    assert scores["B-cubed precision"].value == pytest.approx((7 + 2 / 2) / 9)
    assert scores["B-cubed recall"].value == pytest.approx((6 + 1 / 3 + 2 * 2 / 3) / 9)
    assert scores["consistency"].is_met is False
    assert {score.measured_on for score in scores.values()} == {"example"}
    for score in scores.values():
        told = [figure for figure in (score.value_low, score.value, score.value_high) if figure is not None]
        assert len(told) == 3, f"{score.metric} has no interval"
        figures = [0.0, *told, 1.0]
        assert figures == sorted(figures), f"the interval of {score.metric} does not hold its value: {figures}"


def test_a_customer_is_the_person_behind_most_of_its_accounts_at_that_time(spark: SparkSession) -> None:
    persons = spark.createDataFrame(
        [("a", 2), ("b", 1), ("c", 1), ("d", 4), ("e", 3), ("f", 9)], "account_id string, person_id long"
    )
    ids = [
        *[customer_id(customer_id="three", identifier_value=name) for name in "abc"],
        # A tie goes to the smaller number.
        *[customer_id(customer_id="tie", identifier_value=name) for name in "de"],
        customer_id(customer_id="past", identifier_value="f", valid_to=NOON + DAY),
        customer_id(customer_id="later", identifier_value="f", valid_from=NOON + DAY),
    ]
    frame = frame_of(spark, "silver.customer_ids", *ids)

    def at(instant: dt.datetime) -> dict[str, int]:
        rows = customer_persons(frame, persons, F.lit(instant)).collect()
        return {row["customer_id"]: row["person_id"] for row in rows}

    assert at(NOON + DAY) == {"three": 1, "tie": 3, "past": 9}
    assert at(NOON + 2 * DAY) == {"three": 1, "tie": 3, "later": 9}
    assert at(NOON) == {}


def test_an_account_is_found_by_its_number_and_a_contact_by_the_token_of_its_email(spark: SparkSession) -> None:
    keys = load_keys(PrivacySettings(), "local")
    rows = [
        (1, "account", "W1", False),
        (1, "card", "M1", False),
        (1, "email", "Li.Wei@Example.com", False),
        (1, "phone", "+8613812345678", False),
        (2, "account", "W2", True),
        (2, "email", "ours@example.com", True),
        (3, "email", "ours@example.com", True),
        (3, "device", "d", False),
    ]
    identifiers = spark.createDataFrame(rows, "person_id long, kind string, value string, shared boolean")
    found = {row["account_id"]: row["person_id"] for row in account_persons(identifiers, keys, "CN").collect()}
    assert found == {
        "web_accounts:W1": 1,
        "member_cards:M1": 1,
        "web_accounts:W2": 2,
        f"contact:{token_of(keys, 'email', 'li.wei@example.com')}": 1,
    }


def test_a_promise_is_met_when_its_value_reaches_the_goal() -> None:
    values = np.array([0.85, 0.8, 0.9, 0.86])
    met = scored("22 churn", "AUC", "customers", values, "world", baseline=("recency rule", 0.7), goal=0.85)
    assert (met.value, met.is_met, met.baseline, met.baseline_value) == (0.85, True, "recency rule", 0.7)
    assert [met.value_low, met.value_high] == pytest.approx([0.803, 0.898])
    assert scored("22 churn", "AUC", "customers", values, "world", goal=0.86).is_met is False
    assert scored("22 churn", "AUC", "customers", values, "world").is_met is None
    count = counted("1 capture", "share", "events", 0.99, "world", 0.99, "all")
    assert (count.value, count.value_low, count.is_met) == (0.99, None, True)
