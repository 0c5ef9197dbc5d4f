"""Households: who shares an address or a phone, and what joins nobody because too many share it."""

import pytest
from pyspark.sql import SparkSession

from jobs.identity.group_households import as_households, brushing_accounts, shared_things
from jobs.lakehouse.identity_settings import IdentitySettings
from tests.rows import NOON, Row, customer_id, frame_of, identifier, order_line, row_of

SETTINGS = IdentitySettings(household_max_customers=3)


@pytest.fixture(autouse=True)
def checkpoints(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> None:
    spark.sparkContext.setCheckpointDir(str(tmp_path_factory.mktemp("checkpoints")))


def found(
    spark: SparkSession,
    customers: list[str],
    identifiers: list[Row],
    edges: tuple[Row, ...] = (),
    brushing: tuple[str, ...] = (),
) -> dict[str, Row]:
    """The household of each customer; a customer's account has the customer's name, and its order too."""
    ids = [customer_id(customer_id=f"c-{name}", identifier_value=name, valid_from=NOON) for name in customers]
    ids.append(customer_id(customer_id="c-gone", identifier_value=customers[0], valid_from=NOON, valid_to=NOON))
    held = frame_of(spark, "silver.customer_ids", *ids)
    told = {"silver.identifiers": identifiers, "silver.identity_edges": edges}
    lines = [order_line(order_id=name, order_line_id=name, account_id=name) for name in customers]
    marks = [row_of("silver.order_flags", order_id=name, is_brushing=True) for name in brushing]
    rings = brushing_accounts(
        frame_of(spark, "silver.order_lines", *lines), frame_of(spark, "silver.order_flags", *marks)
    )
    seen, refused = (frame_of(spark, name, *rows) for name, rows in told.items())
    things = shared_things(held, seen, refused, rings)
    rows = as_households(held, things, SETTINGS).collect()
    assert len(rows) == len(customers)
    return {row["customer_id"].removeprefix("c-"): row.asDict() for row in rows}


def test_customers_who_share_an_address_or_a_phone_are_one_household(spark: SparkSession) -> None:
    seen = [identifier(account_id=name, identifier_kind="address", identifier_value="home") for name in ("a", "b")]
    seen += [identifier(account_id=name) for name in ("b", "c")]
    households = found(spark, ["a", "b", "c", "alone"], seen)
    together = {
        name: (row["household_id"], row["customer_count"], row["joined_by"]) for name, row in households.items()
    }
    assert together["a"] == together["b"] == together["c"] == ("h-a", 3, "address, phone")
    assert together["alone"] == ("h-alone", 1, None)


def test_what_too_many_share_joins_nobody(spark: SparkSession) -> None:
    names = ["a", "b", "c", "d"]
    seen = [identifier(account_id=name, identifier_kind="address", identifier_value="forwarder") for name in names]
    assert {row["customer_count"] for row in found(spark, names, seen).values()} == {1}


def test_a_value_that_the_settings_block_is_nobodys_home(spark: SparkSession) -> None:
    seen = [identifier(account_id=name, identifier_value="hotline") for name in ("a", "b")]
    edge = {"account_id": "a", "identifier_kind": "phone", "identifier_value": "hotline"}
    blocked = row_of("silver.identity_edges", **edge, refusal_reason="blocked_value")
    refused = row_of("silver.identity_edges", **edge, refusal_reason="contradicts")
    assert {row["customer_count"] for row in found(spark, ["a", "b"], seen, (blocked,)).values()} == {1}
    assert {row["customer_count"] for row in found(spark, ["a", "b"], seen, (refused,)).values()} == {2}


def test_a_chain_of_things_makes_no_larger_household_than_one_thing_may(spark: SparkSession) -> None:
    names = ["a", "b", "c", "d"]
    pairs = [("a", "b"), ("b", "c"), ("c", "d")]
    phones = [identifier(account_id=one, identifier_value=f"{pair}") for pair in pairs for one in pair]
    assert {row["customer_count"] for row in found(spark, names, phones).values()} == {1}


def test_what_a_brushing_ring_shares_is_no_home(spark: SparkSession) -> None:
    """Its accounts are households of one, and an address that they borrow is the home of those who live there."""
    wallet = [identifier(account_id=name, identifier_kind="payer", identifier_value="w") for name in ("r1", "r2")]
    home = [identifier(account_id=name, identifier_kind="address", identifier_value="h") for name in ("r1", "a", "b")]
    names = ["r1", "r2", "a", "b"]
    assert {row["customer_count"] for row in found(spark, names[:2], wallet).values()} == {2}, "nobody marked them"
    marked = found(spark, names, wallet + home, brushing=("r1", "r2"))
    told = {name: (row["household_id"], row["customer_count"]) for name, row in marked.items()}
    assert told == {"r1": ("h-r1", 1), "r2": ("h-r2", 1), "a": ("h-a", 2), "b": ("h-a", 2)}
