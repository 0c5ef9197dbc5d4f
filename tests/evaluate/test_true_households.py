"""Households against the truth: an example worked out by hand."""

import pytest
from pyspark.sql import SparkSession

from jobs.evaluate.true_households import household_scores
from tests.rows import customer_id, frame_of, row_of

# By household found, its customers; by customer, the persons of its accounts; by true household, its persons.
FOUND = {
    "h-1": ["anna", "ben"],
    "h-2": ["anna too", "ben too"],
    "h-3": ["carl", "dora"],
    "h-4": ["emil"],
    "h-5": ["fay"],
}
ACCOUNTS = {
    "anna": [1],
    "anna too": [1],
    "ben": [2],
    "ben too": [2],
    "carl": [3],
    "dora": [5],
    "emil": [4],
    "fay": [6, 6],
}
TRUE = {1: [1, 2], 3: [3, 4], 5: [5, 6], 7: [7, 8]}


def test_pairs_of_persons_in_one_household(spark: SparkSession) -> None:
    named = [
        (f"{customer}:{place}", customer, person)
        for customer, persons in ACCOUNTS.items()
        for place, person in enumerate(persons)
    ]
    ids = [customer_id(customer_id=customer, identifier_value=account) for account, customer, _ in named]
    homes = [
        row_of("silver.households", household_id=home, customer_id=customer)
        for home, customers in FOUND.items()
        for customer in customers
    ]
    scores = household_scores(
        frame_of(spark, "silver.households", *homes),
        frame_of(spark, "silver.customer_ids", *ids),
        spark.createDataFrame([(account, person) for account, _, person in named], "account_id string, person_id long"),
        spark.createDataFrame(
            [(person, home) for home, persons in TRUE.items() for person in persons],
            "person_id long, household_id long",
        ),
        "example",
    )
    told = {score.metric: score for score in scores}
    # Found: persons 1 and 2 (twice, counted once), and 3 with 5. True and known by an account: 1 and 2, 3 and 4, 5 and 6.
    assert told["precision"].value == pytest.approx(1 / 2)
    assert told["recall"].value == pytest.approx(1 / 3)
    assert "of 2 pairs" in (told["precision"].note or "")
    assert told["recall"].value_low is not None
