"""Customer features against a brute-force reading of the same rows, and the business's own midnight."""

import datetime as dt
import random
from collections import defaultdict
from decimal import Decimal
from typing import Any

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs.features.build_customer_features import customer_features, with_untouched
from jobs.features.visibility import as_known, as_of_dates, touched_customers, with_customer
from jobs.identity.clusters import Rules
from jobs.identity.replay import Told, replayed
from jobs.ingest.clean_order_lines import with_line_facts
from jobs.insight.build_sales_daily import as_daily_sales
from jobs.lakehouse.days import end_of_day
from tests.rows import SHANGHAI, Row, customer_id, event, frame_of, local, local_date, random_order_lines

EPOCH = dt.datetime(1970, 1, 1)
WINDOWS = (7, 30, 90, 365)
FIRST_DAY, DAYS = dt.date(2024, 1, 1), 430
DATES = [dt.date(2024, 6, 30), dt.date(2025, 1, 12), dt.date(2025, 3, 9)]


def random_ids(draw: random.Random) -> list[Row]:
    """A history of 14 accounts and 8 devices that come to be known as fewer customers over the days."""
    start = dt.datetime.combine(FIRST_DAY, dt.time())
    story: list[Told] = []

    def tell(account: str, rule: str, value: str, at: dt.datetime) -> None:
        micros = int((at - EPOCH) / dt.timedelta(microseconds=1))
        story.append(Told(micros, account, account, rule, rule, value, "", value, "", 1.0))

    for number in range(14):
        known_at = start + dt.timedelta(hours=draw.randrange(DAYS * 12))
        tell(f"a{number}", "", "", known_at)
        tell(f"a{number}", "phone", f"{number // 3}", known_at + dt.timedelta(hours=draw.randrange(DAYS * 12)))
    for number in range(8):
        known_at = start + dt.timedelta(hours=draw.randrange(DAYS * 24))
        tell(f"a{draw.randrange(14)}", "device", f"d{number}", known_at)
    spans, _ = replayed(sorted(story), Rules({}, {}))
    return [
        customer_id(
            identifier_kind=span.node[0],
            identifier_value=span.node[1],
            customer_id=span.customer_id,
            valid_from=EPOCH + dt.timedelta(microseconds=span.since),
            valid_to=None if span.until is None else EPOCH + dt.timedelta(microseconds=span.until),
        )
        for span in spans
    ]


def random_events(draw: random.Random, count: int) -> list[Row]:
    made = []
    for number in range(count):
        at = dt.datetime.combine(FIRST_DAY, dt.time()) + dt.timedelta(seconds=draw.randrange(DAYS * 86_400))
        account = draw.choice([None, f"a{draw.randrange(14)}"])
        made.append(
            event(
                event_id=f"event {number}",
                event_at=at,
                event_date=local_date(at),
                account_id=account,
                device_token=draw.choice([None, f"d{draw.randrange(8)}"]),
                arrived_at=at + dt.timedelta(hours=draw.choice([0, 0, 5, 60])),
            )
        )
    return made


@pytest.fixture(scope="module")
def world() -> tuple[list[Row], list[Row], list[Row]]:
    draw = random.Random(7)
    lines = random_order_lines(11, 400, FIRST_DAY, DAYS)
    order_of: dict[str, tuple[str | None, str]] = {}
    for line in lines:
        # An order is one account's, in one channel, and a return is an order of its own.
        order_id = f"{line['order_id']} {line['is_return']} {line['ordered_date']:%Y}"
        account, channel = order_of.setdefault(
            order_id, (draw.choice([None, *[f"a{n}" for n in range(14)]]), draw.choice(["online", "store"]))
        )
        line |= {"order_id": order_id, "account_id": account, "channel": channel}
    return lines, random_events(draw, 300), random_ids(draw)


def known_at(rows: list[Row], happened: str, instant: dt.datetime) -> list[Row]:
    return [
        row
        for row in rows
        if row[happened] < instant
        and row["arrived_at"] < instant
        and (row.get("superseded_at") is None or row["superseded_at"] >= instant)
    ]


def expected_features(lines: list[Row], events: list[Row], ids: list[Row], day: dt.date) -> dict[str, dict[str, Any]]:
    """The features of each customer as of a day, by reading every row and asking whether it was known."""
    instant = end_of_day(day, SHANGHAI)
    owner = {
        (row["identifier_kind"], row["identifier_value"]): row["customer_id"]
        for row in ids
        if row["valid_from"] < instant and (row["valid_to"] is None or row["valid_to"] >= instant)
    }
    orders: dict[str, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for line in known_at(lines, "ordered_at", instant):
        customer = owner.get(("account", line["account_id"]))
        if customer and line["line_kind"] == "product":
            orders[customer][line["order_id"]].append(line)
    visits: dict[str, list[dt.date]] = defaultdict(list)
    for seen in known_at(events, "event_at", instant):
        kind = "account" if seen["account_id"] else "device"
        customer = owner.get((kind, seen["account_id"] or seen["device_token"]))
        if customer:
            visits[customer].append(seen["event_date"])
    found = {}
    for customer, by_order in orders.items():
        made = [
            {
                "day": min(line["ordered_date"] for line in order),
                "amount": sum(line["line_amount"] for line in order),
                "pieces": sum(line["quantity"] for line in order),
                "is_return": all(line["is_return"] for line in order),
                "channel": order[0]["channel"],
                "products": {line["product_id"] for line in order if not line["is_return"]},
            }
            for order in by_order.values()
        ]
        bought, back = [o for o in made if not o["is_return"]], [o for o in made if o["is_return"]]
        if not bought:
            continue
        days = sorted({order["day"] for order in bought})
        interval = (days[-1] - days[0]).days / (len(days) - 1) if len(days) > 1 else None
        recency = (day - days[-1]).days
        row: dict[str, Any] = {
            "first_order_date": days[0],
            "tenure_days": (day - days[0]).days,
            "days_since_last_order": recency,
            "days_since_last_return": min(((day - order["day"]).days for order in back), default=None),
            "days_since_last_event": min(((day - visit).days for visit in visits[customer]), default=None),
            "order_count": len(bought),
            "order_interval_days": interval,
            "recency_to_interval_ratio": recency / interval if interval else None,
            "account_count": sum(1 for key, value in owner.items() if key[0] == "account" and value == customer),
        }
        for window in WINDOWS:
            recent = [order for order in bought if (day - order["day"]).days < window]
            returned = [order for order in back if (day - order["day"]).days < window]
            seen_days = [visit for visit in visits[customer] if (day - visit).days < window]
            row |= {
                f"order_count_{window}d": len(recent),
                f"order_amount_sum_{window}d": sum(order["amount"] for order in [*recent, *returned]),
                f"piece_count_{window}d": sum(order["pieces"] for order in recent),
                f"return_count_{window}d": len(returned),
                f"online_order_count_{window}d": sum(order["channel"] == "online" for order in recent),
                f"event_count_{window}d": len(seen_days),
                f"active_day_count_{window}d": len(set(seen_days)),
            }
        recent = [order for order in bought if (day - order["day"]).days < 365]
        row["product_count_365d"] = len(set().union(*[order["products"] for order in recent]))
        row["order_amount_mean_365d"] = sum(o["amount"] for o in recent) / len(recent) if recent else None
        row["online_order_ratio_365d"] = row["online_order_count_365d"] / len(recent) if recent else None
        found[customer] = row
    return found


def test_features_equal_a_brute_force_reading_of_what_was_known(
    spark: SparkSession, world: tuple[list[Row], list[Row], list[Row]]
) -> None:
    lines, events, ids = world
    rows = customer_features(
        frame_of(spark, "silver.order_lines", *lines),
        frame_of(spark, "silver.events", *events),
        frame_of(spark, "silver.customer_ids", *ids),
        as_of_dates(spark, DATES, SHANGHAI),
        WINDOWS,
    ).collect()
    for day in DATES:
        expected = expected_features(lines, events, ids, day)
        found = {row["customer_id"]: row.asDict() for row in rows if row["as_of_date"] == day}
        assert set(found) == set(expected), f"customers as of {day}"
        assert len(expected) >= 5, "the random world is too poor to tell anything"
        for customer, features in expected.items():
            assert set(features) == set(found[customer]) - {"as_of_date", "customer_id"}
            for name, value in features.items():
                # A mean of decimals is rounded to eight digits by Spark, to 28 by Python.
                close = pytest.approx(value, rel=1e-6) if isinstance(value, float | Decimal) else value
                assert found[customer][name] == close, f"{name} of {customer} as of {day}"


@pytest.mark.long
def test_features_of_touched_customers_beside_those_of_all_others_are_the_features_of_all(
    spark: SparkSession, world: tuple[list[Row], list[Row], list[Row]]
) -> None:
    """An account is taken out of its customer, half-way through its time, and becomes one of its own."""
    lines, events, ids = world
    moved = next(row for row in ids if row["identifier_kind"] == "account" and row["valid_to"] is None)
    since = max(moved["valid_from"], dt.datetime(2024, 12, 1))
    apart = [row for row in ids if row is not moved] + [
        {**moved, "valid_to": since},
        {**moved, "valid_from": since, "customer_id": "c-apart"},
    ]
    sold, seen = frame_of(spark, "silver.order_lines", *lines), frame_of(spark, "silver.events", *events)
    before, now = (frame_of(spark, "silver.customer_ids", *rows) for rows in (ids, apart))
    dates = as_of_dates(spark, DATES, SHANGHAI)
    published, expected = (customer_features(sold, seen, known, dates, WINDOWS) for known in (before, now))
    touched = touched_customers(before, now)
    assert {row["customer_id"] for row in touched.collect()} == {moved["customer_id"], "c-apart"}
    own = now.join(touched, on="customer_id", how="left_semi")
    made = with_untouched(customer_features(sold, seen, own, dates, WINDOWS), published, touched)
    assert sorted(map(repr, made.collect())) == sorted(map(repr, expected.collect()))
    assert sorted(map(repr, made.collect())) != sorted(map(repr, published.collect()))


def test_a_row_is_one_customers_at_a_time_through_every_merge(
    spark: SparkSession, world: tuple[list[Row], list[Row], list[Row]]
) -> None:
    lines, _, ids = world
    happened = frame_of(spark, "silver.order_lines", *lines).withColumnRenamed("ordered_at", "happened_at")
    spans = with_customer(happened, frame_of(spark, "silver.customer_ids", *ids), "account", "account_id")
    months = [FIRST_DAY + dt.timedelta(days=7 * week) for week in range(DAYS // 7 + 4)]
    known = as_known(spans, as_of_dates(spark, months, SHANGHAI))
    keys = ["as_of_date", "order_line_id"]
    twice = known.groupBy(keys).count().where("count > 1").collect()
    assert not twice, f"{len(twice)} lines count for two customers or in two revisions, such as {twice[0]}"
    owners = known.groupBy("order_line_id").agg({"customer_id": "approx_count_distinct"})
    assert owners.where("`approx_count_distinct(customer_id)` > 1").count() > 0, "no line ever changed hands"


def test_an_order_before_and_one_after_local_midnight_fall_on_two_days(spark: SparkSession) -> None:
    evening, night = local("2025-03-10 23:30"), local("2025-03-11 00:30")
    assert evening.date() == night.date(), "both are the same day in UTC, or the test would prove nothing"
    raw = [
        {"order_line_id": f"line {n}", "order_id": f"order {n}", "account_id": "a", "ordered_at": at, "arrived_at": at}
        for n, at in enumerate((evening, night))
    ]
    made = [{**random_order_lines(1, 1, FIRST_DAY, 1)[0], **row, "line_kind": "product", "quantity": 2} for row in raw]
    lines = with_line_facts(frame_of(spark, "silver.order_lines", *made), SHANGHAI)
    sales = as_daily_sales(lines.withColumn("is_clean", F.lit(True))).select("sales_date", "sold_piece_count").collect()
    assert sorted(map(tuple, sales)) == [(dt.date(2025, 3, 10), 2), (dt.date(2025, 3, 11), 2)]
    ids = frame_of(
        spark, "silver.customer_ids", customer_id(identifier_value="a", valid_from=local("2025-01-01 00:00"))
    )
    days = [dt.date(2025, 3, 9), dt.date(2025, 3, 10), dt.date(2025, 3, 11), dt.date(2025, 3, 17)]
    features = customer_features(
        lines, frame_of(spark, "silver.events"), ids, as_of_dates(spark, days, SHANGHAI), WINDOWS
    ).collect()
    found = {row["as_of_date"].day: (row["order_count_7d"], row["days_since_last_order"]) for row in features}
    assert found == {10: (1, 0), 11: (2, 0), 17: (1, 6)}
