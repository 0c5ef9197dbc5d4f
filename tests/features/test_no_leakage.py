"""Nothing that happened, arrived or was linked after `as_of` changes a feature; the same rows change it a day later."""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from functools import partial

import pytest
from pyspark.sql import SparkSession

from jobs.features.build_customer_features import customer_features
from jobs.features.visibility import as_of_dates
from jobs.lakehouse.days import end_of_day
from tests.rows import SHANGHAI, Row, customer_id, event, frame_of, local_date, order_line

DAY = dt.date(2025, 3, 10)
NEXT_DAY = DAY + dt.timedelta(days=1)
AS_OF = end_of_day(DAY, SHANGHAI)
WINDOWS = (7, 30, 90, 365)


@dataclass
class World:
    """Rows of silver.order_lines, silver.events and silver.customer_ids."""

    lines: list[Row]
    events: list[Row]
    ids: list[Row]


def days_before(days: float) -> dt.datetime:
    return AS_OF - dt.timedelta(days=days)


def sold(name: str, account: str, ordered_at: dt.datetime, **overrides: object) -> Row:
    fixed = {
        "order_line_id": name,
        "order_id": f"order of {name}",
        "account_id": account,
        "ordered_at": ordered_at,
        "ordered_date": local_date(ordered_at),
        "arrived_at": ordered_at,
        "unit_price_amount": Decimal(10),
    }
    return order_line(**{**fixed, **overrides})


def happened(name: str, event_at: dt.datetime, **overrides: object) -> Row:
    fixed = {"event_id": name, "event_at": event_at, "event_date": local_date(event_at), "arrived_at": event_at}
    return event(**{**fixed, **overrides})


def small_world(name: str) -> World:
    """Two customers: one with an account and a device, who orders, returns and visits, and one with an account."""
    since = days_before(300)
    return World(
        lines=[
            sold(f"{name} first", f"{name} a", days_before(200)),
            sold(f"{name} second", f"{name} a", days_before(20), channel="store"),
            sold(f"{name} back", f"{name} a", days_before(10), quantity=-1),
            sold(f"{name} other", f"{name} b", days_before(50)),
        ],
        events=[
            happened(f"{name} visit", days_before(5), device_token=f"{name} d"),
            happened(f"{name} login", days_before(6), account_id=f"{name} a"),
        ],
        ids=[
            customer_id(identifier_value=f"{name} a", customer_id=f"{name} 1", valid_from=since),
            customer_id(identifier_value=f"{name} b", customer_id=f"{name} 2", valid_from=since),
            customer_id(
                identifier_kind="device", identifier_value=f"{name} d", customer_id=f"{name} 1", valid_from=since
            ),
        ],
    )


def order_placed(world: World, name: str, at: dt.datetime) -> None:
    world.lines.append(sold(f"{name} x", f"{name} a", at, quantity=10**6))


def order_arrived(world: World, name: str, at: dt.datetime) -> None:
    world.lines.append(sold(f"{name} x", f"{name} a", days_before(3), arrived_at=at, quantity=10**6))


def return_arrived(world: World, name: str, at: dt.datetime) -> None:
    world.lines.append(sold(f"{name} x", f"{name} a", days_before(3), arrived_at=at, quantity=-(10**6)))


def line_corrected(world: World, name: str, at: dt.datetime) -> None:
    world.lines[1]["superseded_at"] = at
    corrected = sold(f"{name} second", f"{name} a", days_before(1), arrived_at=at, revision=2, quantity=10**6)
    world.lines.append(corrected)


def line_moved_away(world: World, name: str, at: dt.datetime) -> None:
    world.lines[1]["superseded_at"] = at
    world.lines.append(sold(f"{name} second", f"{name} b", days_before(20), arrived_at=at, revision=2))


def event_happened(world: World, name: str, at: dt.datetime) -> None:
    world.events.append(happened(f"{name} x", at, device_token=f"{name} d"))


def event_arrived(world: World, name: str, at: dt.datetime) -> None:
    world.events.append(happened(f"{name} x", days_before(2), arrived_at=at, account_id=f"{name} b"))


def account_linked(world: World, name: str, at: dt.datetime) -> None:
    world.lines.append(sold(f"{name} x", f"{name} new", days_before(3), quantity=10**6))
    world.ids.append(customer_id(identifier_value=f"{name} new", customer_id=f"{name} 2", valid_from=at))


def device_linked(world: World, name: str, at: dt.datetime) -> None:
    world.events += [happened(f"{name} {n}", days_before(2), device_token=f"{name} new") for n in range(50)]
    world.ids.append(
        customer_id(identifier_kind="device", identifier_value=f"{name} new", customer_id=f"{name} 1", valid_from=at)
    )


def customers_merged(world: World, name: str, at: dt.datetime) -> None:
    world.ids[1]["valid_to"] = at
    world.ids.append(customer_id(identifier_value=f"{name} b", customer_id=f"{name} 1", valid_from=at))


def stranger_came(world: World, name: str, at: dt.datetime) -> None:
    world.lines.append(sold(f"{name} x", f"{name} new", at))
    world.ids.append(customer_id(identifier_value=f"{name} new", customer_id=f"{name} 3", valid_from=at))


KINDS: list[Callable[..., None]] = [
    order_placed, order_arrived, return_arrived, line_corrected, line_moved_away, event_happened, event_arrived,
    account_linked, device_linked, customers_merged, stranger_came,
]  # fmt: skip
# The very instant at which the day ends, and some hours after it.
LATER = {"at the end of the day": dt.timedelta(0), "hours later": dt.timedelta(hours=5)}
CASES = {f"{kind.__name__} {when}": partial(kind, at=AS_OF + later) for kind in KINDS for when, later in LATER.items()}
Features = dict[tuple[dt.date, str], str]


def features_of(spark: SparkSession, worlds: list[World]) -> Features:
    """Each row of features, written out to the last digit, by as-of date and customer."""
    found = customer_features(
        frame_of(spark, "silver.order_lines", *[row for world in worlds for row in world.lines]),
        frame_of(spark, "silver.events", *[row for world in worlds for row in world.events]),
        frame_of(spark, "silver.customer_ids", *[row for world in worlds for row in world.ids]),
        as_of_dates(spark, [DAY, NEXT_DAY], SHANGHAI),
        WINDOWS,
    )
    return {(row["as_of_date"], row["customer_id"]): repr(row) for row in found.collect()}


@pytest.fixture(scope="module")
def before_and_after(spark: SparkSession) -> tuple[Features, Features]:
    """Features without the rows that come later, and with them; each case has customers of its own."""
    without, later = [small_world(name) for name in CASES], [small_world(name) for name in CASES]
    for world, (name, change) in zip(later, CASES.items(), strict=True):
        change(world, name)
    return features_of(spark, without), features_of(spark, later)


def of_case(features: Features, day: dt.date, name: str) -> Features:
    return {key: row for key, row in features.items() if key[0] == day and key[1].startswith(name)}


@pytest.mark.parametrize("name", CASES)
def test_what_comes_after_as_of_changes_no_feature(before_and_after: tuple[Features, Features], name: str) -> None:
    without, later = (of_case(features, DAY, name) for features in before_and_after)
    assert {customer for _, customer in without} == {f"{name} 1", f"{name} 2"}
    assert later == without


@pytest.mark.parametrize("name", CASES)
def test_the_same_rows_change_a_feature_the_day_after(before_and_after: tuple[Features, Features], name: str) -> None:
    without, later = (of_case(features, NEXT_DAY, name) for features in before_and_after)
    assert without
    assert later != without, "nothing moved: the test of leakage could not have failed"
