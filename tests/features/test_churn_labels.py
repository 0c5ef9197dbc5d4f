"""Churn labels: the window's edges, what counts as an order, and who inherits whose orders."""

import datetime as dt
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from pyspark.sql import SparkSession

from jobs.features.build_churn_labels import churn_labels, label_windows
from jobs.features.visibility import until_lines_excluded
from jobs.lakehouse.days import end_of_day
from jobs.lakehouse.settings import ChurnSettings
from tests.rows import SHANGHAI, Row, customer_id, frame_of, local, order_line, row_of

AS_OF = dt.date(2025, 3, 9)
CHURN = ChurnSettings()
KNOWN = end_of_day(AS_OF, SHANGHAI)
CLOSED = end_of_day(AS_OF + dt.timedelta(days=70), SHANGHAI)
SECOND = dt.timedelta(seconds=1)


def ordered(account: str, day: int, **overrides: Any) -> Callable[[], Row]:
    """What makes a line ordered at 23:30 local time, so many days after the as-of date; rows need a Spark session."""
    date = AS_OF + dt.timedelta(days=day)
    at = local(f"{date} 23:30")
    fixed = {
        "order_line_id": f"{account} {day}",
        "order_id": f"{account} {day}",
        "account_id": account,
        "ordered_at": at,
        "ordered_date": date,
        "arrived_at": at,
    }
    return partial(order_line, **{**fixed, **overrides})


def owned(
    account: str, customer: str, since: dt.datetime = KNOWN - 100 * dt.timedelta(days=1), **overrides: Any
) -> Row:
    return customer_id(identifier_value=account, customer_id=customer, valid_from=since, **overrides)


# By customer (whose account has the same name): the lines, and how many orders their label counts.
CASES: dict[str, tuple[list[Callable[[], Row]], int]] = {
    "orders nothing": ([], 0),
    "orders on the as-of date": ([ordered("orders on the as-of date", 0)], 0),
    "day 7": ([ordered("day 7", 7)], 0),
    "day 8": ([ordered("day 8", 8)], 1),
    "day 67": ([ordered("day 67", 67)], 1),
    "day 68": ([ordered("day 68", 68)], 0),
    "only returns": ([ordered("only returns", 20, quantity=-1)], 0),
    "only a service": ([ordered("only a service", 20, line_kind="service")], 0),
    "two lines, one order": (
        [ordered("two lines, one order", 20), ordered("two lines, one order", 20, order_line_id="second line")],
        1,
    ),
    "two orders": ([ordered("two orders", 20), ordered("two orders", 30)], 2),
    "arrives before the close": ([ordered("arrives before the close", 20, arrived_at=CLOSED - SECOND)], 1),
    "arrives at the close": ([ordered("arrives at the close", 20, arrived_at=CLOSED)], 0),
    "corrected before the close": (
        [
            ordered("corrected before the close", 20, superseded_at=CLOSED - SECOND),
            ordered("corrected before the close", 20, revision=2, arrived_at=CLOSED - SECOND, quantity=-1),
        ],
        0,
    ),
    "corrected after the close": (
        [
            ordered("corrected after the close", 20, superseded_at=CLOSED),
            ordered("corrected after the close", 20, revision=2, arrived_at=CLOSED, quantity=-1),
        ],
        1,
    ),
    # The account of the second is the first's by the close: both inherit its order.
    "merges": ([ordered("is merged into it", 20)], 1),
    "is merged into it": ([], 1),
    # Here the two are found to be one only after the close.
    "merges too late": ([ordered("is merged too late", 20)], 0),
    "is merged too late": ([], 1),
    # A second account, unknown at the as-of date, is linked before the close.
    "gets an account": ([ordered("its new account", 20)], 1),
    "gets an account too late": ([ordered("its late account", 20)], 0),
    # What a ring orders for show is no order, once that is known.
    "brushes": ([ordered("brushes", 20)], 0),
    "brushes and orders": ([ordered("brushes and orders", 20), ordered("brushes and orders", 30)], 1),
    "is found to brush after the close": ([ordered("is found to brush after the close", 20)], 1),
    "is copied": ([ordered("is copied", 20), ordered("is copied", 20, order_line_id="copied line")], 1),
    "is only a copy": ([ordered("is only a copy", 20, order_line_id="only a copied line")], 0),
    "brings back much": ([ordered("brings back much", 20)], 1),
}
MERGED = {"is merged into it": ("merges", CLOSED - SECOND), "is merged too late": ("merges too late", CLOSED)}
# By order and by line: when it was known that clean figures leave it out; None for a mark that leaves it in.
ORDERS_EXCLUDED = {
    "brushes 20": CLOSED - SECOND,
    "brushes and orders 30": KNOWN,
    "is found to brush after the close 20": CLOSED,
    "brings back much 20": None,
}
LINES_EXCLUDED = {"copied line": CLOSED - SECOND, "only a copied line": CLOSED - SECOND}
NEW_ACCOUNTS = {
    "its new account": ("gets an account", KNOWN + SECOND),
    "its late account": ("gets an account too late", CLOSED),
}


@pytest.fixture(scope="module")
def labels(spark: SparkSession) -> dict[str, Row]:
    ids = [owned(name, customer, since) for name, (customer, since) in NEW_ACCOUNTS.items()]
    for name in CASES:
        into, at = MERGED.get(name, (None, None))
        ids.append(owned(name, name, valid_to=at))
        if into and at:
            ids.append(owned(name, into, at))
    features = [
        row_of("gold.customer_features", as_of_date=AS_OF, customer_id=name, days_since_last_order=30) for name in CASES
    ]
    for name, days in (("364 days ago", 364), ("365 days ago", 365)):
        features.append(
            row_of("gold.customer_features", as_of_date=AS_OF, customer_id=name, days_since_last_order=days)
        )
    lines = frame_of(spark, "silver.order_lines", *[line() for lines, _ in CASES.values() for line in lines])
    order_flags = [
        row_of("silver.order_flags", order_id=order, excluded_at=at) for order, at in ORDERS_EXCLUDED.items()
    ]
    line_flags = [
        row_of("silver.order_line_flags", order_line_id=line, revision=1, excluded_at=at)
        for line, at in LINES_EXCLUDED.items()
    ]
    clean = until_lines_excluded(
        lines,
        frame_of(spark, "silver.order_flags", *order_flags),
        frame_of(spark, "silver.order_line_flags", *line_flags),
    )
    found = churn_labels(
        frame_of(spark, "gold.customer_features", *features),
        clean,
        frame_of(spark, "silver.customer_ids", *ids),
        label_windows(spark, [AS_OF], CHURN, SHANGHAI),
        CHURN.population_days,
    ).collect()
    assert len(found) == len({row["customer_id"] for row in found}), "a customer has two labels"
    return {row["customer_id"]: row.asDict() for row in found}


@pytest.mark.parametrize("name", CASES)
def test_the_label_counts_the_orders_of_the_window(labels: dict[str, Row], name: str) -> None:
    expected = CASES[name][1]
    assert labels[name]["window_order_count"] == expected
    assert labels[name]["is_churned"] == int(expected == 0)


def test_the_window_has_60_days_and_begins_7_days_after_the_as_of_date(labels: dict[str, Row]) -> None:
    spans = {(row["label_from_date"], row["label_to_date"]) for row in labels.values()}
    assert spans == {(dt.date(2025, 3, 17), dt.date(2025, 5, 15))}
    ((first, last),) = spans
    assert (last - first).days + 1 == 60


def test_the_population_is_who_ordered_within_365_days(labels: dict[str, Row]) -> None:
    assert "364 days ago" in labels
    assert "365 days ago" not in labels
    assert set(labels) == {*CASES, "364 days ago"}
