"""What is seen with accounts: when, how often, who told first; nothing for nulls, blanks and strangers' payments."""

import datetime as dt
from functools import reduce

from pyspark.sql import DataFrame, SparkSession

from jobs.ingest.collect_identifiers import (
    as_identifiers,
    seen_with_accounts,
    seen_with_deliveries,
    seen_with_events,
    seen_with_payments,
)
from tests.rows import NOON, account, event, frame_of, row_of

DAY = dt.timedelta(days=1)


def test_identifiers_are_told_once_with_when_and_how_often(spark: SparkSession) -> None:
    blank = {"phone_token": None, "email_token": " ", "open_id_token": "", "union_id_token": None}
    accounts = [
        account(
            account_id="a", **{**blank, "phone_token": "p1"}, registered_at=NOON, arrived_at=NOON + DAY, source="web"
        ),
        account(
            account_id="a", revision=2, **{**blank, "phone_token": "p1"}, registered_at=NOON, arrived_at=NOON + 2 * DAY
        ),
        account(
            account_id="a",
            revision=3,
            **{**blank, "phone_token": "p1"},
            registered_at=NOON,
            arrived_at=NOON + 9 * DAY,
            superseded_at=NOON + 9 * DAY,
        ),
        account(account_id=" ", **{**blank, "open_id_token": "o1"}),
    ]
    events = [
        event(event_id="1", account_id="a", device_token="d1", event_at=NOON + DAY, arrived_at=NOON + 3 * DAY),
        event(event_id="2", account_id="a", device_token="d1", event_at=NOON, arrived_at=NOON + 4 * DAY),
        event(event_id="3", account_id=None, device_token="d2"),
        event(event_id="4", account_id="a", device_token=None),
        event(
            event_id="5", account_id="a", device_token="d1", cookie_token="k1", event_at=NOON, arrived_at=NOON + 3 * DAY
        ),
        event(event_id="6", account_id="a", device_token="k2", cookie_token="k2", event_at=NOON, arrived_at=NOON + DAY),
        event(
            event_id="7", account_id="a", device_token="d1", cookie_token=" ", event_at=NOON, arrived_at=NOON + 5 * DAY
        ),
        event(event_id="8", account_id=None, device_token="d3", cookie_token="k3"),
    ]
    orders = [
        row_of("silver.orders", order_id="o1", account_id="a"),
        row_of("silver.orders", order_id="o2", account_id=None),
    ]
    payments = [
        row_of("silver.payments", order_id=order_id, payer_token=payer, paid_at=NOON, arrived_at=NOON)
        for order_id, payer in (("o1", "w1"), ("o1", "w1"), ("o1", None), ("o2", "w2"), ("o3", "w3"))
    ]
    lines = [
        row_of("silver.order_lines", order_line_id=f"{order_id}:{number}", order_id=order_id, account_id=account_id,
               delivery_address_token=address, ordered_at=NOON, arrived_at=NOON + DAY)
        for number, (order_id, account_id, address) in enumerate(
            [("o1", "a", "h1"), ("o1", "a", "h1"), ("o2", "a", "h1"), ("o3", "a", None), ("o4", None, "h2")]
        )
    ]  # fmt: skip
    evidence = [
        seen_with_accounts(frame_of(spark, "silver.accounts", *accounts)),
        seen_with_events(frame_of(spark, "silver.events", *events)),
        seen_with_payments(frame_of(spark, "silver.payments", *payments), frame_of(spark, "silver.orders", *orders)),
        seen_with_deliveries(frame_of(spark, "silver.order_lines", *lines)),
    ]
    rows = as_identifiers(reduce(DataFrame.unionByName, evidence)).collect()
    assert {
        (row["identifier_kind"], row["identifier_value"]): (
            row["account_id"], row["first_seen_at"], row["last_seen_at"], row["seen_count"], row["arrived_at"]
        )
        for row in rows
    } == {
        ("phone", "p1"): ("a", NOON, NOON + 2 * DAY, 2, NOON + DAY),
        ("device", "d1"): ("a", NOON, NOON + DAY, 4, NOON + 3 * DAY),
        ("cookie", "k1"): ("a", NOON, NOON, 1, NOON + 3 * DAY),
        # Where no device is told the cookie stands for it, and is a cookie none the less.
        ("device", "k2"): ("a", NOON, NOON, 1, NOON + DAY),
        ("cookie", "k2"): ("a", NOON, NOON, 1, NOON + DAY),
        ("payer", "w1"): ("a", NOON, NOON, 2, NOON),
        ("address", "h1"): ("a", NOON, NOON, 2, NOON + DAY),
    }  # fmt: skip
    assert next(row["source"] for row in rows if row["identifier_kind"] == "phone") == "web"
