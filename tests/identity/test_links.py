"""The fate of each link by itself: what a setting of its kind lets join, and what not."""

import datetime as dt

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs.identity.links import judged
from jobs.lakehouse.identity_settings import LinkSettings
from tests.rows import NOON, Row, frame_of, identifier

NO_BLOCKED = "rule string, identifier_value string"


def seen(account_id: str, value: str, hours: int, kind: str = "email") -> Row:
    arrived_at = NOON + dt.timedelta(hours=hours)
    return identifier(
        account_id=account_id, identifier_kind=kind, identifier_value=value, arrived_at=arrived_at,
        source="told", first_seen_at=arrived_at, last_seen_at=arrived_at,
    )  # fmt: skip


def fates(spark: SparkSession, rows: list[Row], links: dict[str, LinkSettings]) -> dict[tuple[str, str], str | None]:
    """The refusal reason of each account and value."""
    told = frame_of(spark, "silver.identifiers", *rows).withColumns(
        {
            "rule": F.col("identifier_kind"),
            "account_origin": F.col("account_id"),
            "identifier_origin": F.col("identifier_value"),
        }
    )
    judged_rows = judged(told, links, spark.createDataFrame([], NO_BLOCKED)).collect()
    return {(row["account_id"], row["identifier_value"]): row["refusal_reason"] for row in judged_rows}


def test_of_an_account_with_too_many_values_the_first_to_arrive_join(spark: SparkSession) -> None:
    links = {"email": LinkSettings(priority=1, max_per_account=2), "phone": LinkSettings(priority=2)}
    rows = [seen("a", f"a{hour}@x", hour) for hour in (3, 1, 2)]
    rows += [seen("b", "b@x", 9), *[seen("a", f"phone {hour}", hour, "phone") for hour in range(3)]]
    found = fates(spark, rows, links)
    assert {key for key, fate in found.items() if fate == "too_many_values"} == {("a", "a3@x")}
    assert {fate for key, fate in found.items() if key != ("a", "a3@x")} == {None}, "no other account, no other kind"


def test_values_that_arrive_at_once_are_kept_by_their_origin(spark: SparkSession) -> None:
    links = {"email": LinkSettings(priority=1, max_per_account=1)}
    found = fates(spark, [seen("a", value, 0) for value in ("b@x", "a@x")], links)
    assert found == {("a", "a@x"): None, ("a", "b@x"): "too_many_values"}


def test_a_value_of_too_many_accounts_is_told_before_an_account_of_too_many_values(spark: SparkSession) -> None:
    links = {"email": LinkSettings(priority=1, max_accounts=1, max_per_account=1)}
    rows = [seen("a", "own@x", 0), seen("b", "shop@x", 1), seen("a", "shop@x", 2), seen("a", "more@x", 3)]
    found = fates(spark, rows, links)
    assert found == {
        ("a", "own@x"): None,
        ("b", "shop@x"): None,
        ("a", "shop@x"): "too_many_accounts",
        ("a", "more@x"): "too_many_values",
    }


def test_a_kind_that_is_less_sure_than_it_must_be_joins_nobody(spark: SparkSession) -> None:
    links = {
        "phone": LinkSettings(priority=1, confidence=0.95, min_confidence=0.96),
        "email": LinkSettings(priority=2, confidence=0.95, min_confidence=0.95),
    }
    rows = [seen("a", "p", 0, "phone"), seen("b", "p", 1, "phone"), seen("a", "e", 0)]
    found = fates(spark, rows, links)
    assert found == {("a", "p"): "low_confidence", ("b", "p"): "low_confidence", ("a", "e"): None}
