"""Marks on orders and lines: each rule with one that bears it, one that nearly does, and honest people who come close."""

import datetime as dt
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any

import pytest
from pyspark.sql import Column, SparkSession
from pyspark.sql import functions as F

from jobs.ingest.brushing import (
    as_brushed_orders,
    as_candidates,
    as_crowds,
    as_shared_keys,
    as_viewers,
    same_product_pairs,
    same_product_share,
    squared_counts,
    with_bound,
    with_unbrowsed,
)
from jobs.ingest.flag_orders import as_order_flags, as_order_heads, as_repeated_orders
from jobs.ingest.line_marks import as_line_flags
from jobs.ingest.unusual_returns import as_abnormal_returns, wilson_lower
from jobs.lakehouse.cleaning_settings import CleaningSettings
from jobs.lakehouse.tables import conform
from tests.rows import Row, contract_of, event, frame_of, order_line, row_of

SETTINGS = CleaningSettings()
START = dt.datetime(2025, 3, 3, 12)
DAY = dt.timedelta(days=1)
MINUTE = dt.timedelta(minutes=1)


def sold(order: str, at: dt.datetime = START, number: int = 1, **overrides: Any) -> Row:
    """A line of an order that arrives the same hour."""
    fixed = {
        "order_line_id": f"{order}:{number}",
        "order_id": order,
        "account_id": f"account of {order}",
        "ordered_at": at,
        "arrived_at": at + dt.timedelta(hours=1),
        "unit_price_amount": Decimal(10),
    }
    return order_line(**{**fixed, **overrides})


def orders_at(
    address: str, accounts: int, each: int, products: Sequence[str], days: float = 20, **overrides: Any
) -> list[Row]:
    """Orders of one line to one address, by some accounts in turn, evenly over the days."""
    count = accounts * each
    return [
        sold(
            f"{address} {number}",
            START + number * days * DAY / count,
            account_id=f"{address} account {number % accounts}",
            product_id=products[number % len(products)],
            delivery_address_token=address,
            **overrides,
        )
        for number in range(count)
    ]


def told_by_events(orders: list[Row], device: str, *, looks_first: bool) -> list[Row]:
    """The completion of each order, and a view some minutes before where the buyer looks first."""
    told = []
    for line in orders:
        fixed = {"account_id": line["account_id"], "device_token": device}
        told.append(
            event(
                event_id=f"done {line['order_id']}", event_name="Order Completed", event_at=line["ordered_at"],
                arrived_at=line["ordered_at"], order_id=line["order_id"], **fixed,
            )
        )  # fmt: skip
        if looks_first:
            at = line["ordered_at"] - 5 * MINUTE
            seen = {"event_name": "Product Viewed", "event_at": at, "arrived_at": at, "product_id": line["product_id"]}
            told.append(event(event_id=f"seen {line['order_id']}", **seen, **fixed))
    return told


def returns_of(orders: list[Row], after: dt.timedelta) -> list[Row]:
    """The orders brought back some days later."""
    return [
        {
            **sold(f"R{line['order_id']}", line["ordered_at"] + after, account_id=line["account_id"], quantity=-1),
            "product_id": line["product_id"],
            "delivery_address_token": line["delivery_address_token"],
        }
        for line in orders
    ]


def brushed(
    spark: SparkSession, lines: list[Row], events: list[Row], payments: list[Row] | None = None
) -> dict[str, Row]:
    """The brushed orders, by order."""
    told = frame_of(spark, "silver.events", *events)
    orders = as_order_heads(frame_of(spark, "silver.order_lines", *lines))
    keys = as_shared_keys(orders, told, frame_of(spark, "silver.payments", *(payments or [])))
    crowds = as_crowds(orders, keys)
    sharing = as_candidates(orders, keys, crowds, SETTINGS)
    candidates = with_bound(
        with_unbrowsed(sharing, as_viewers(sharing, told), told, SETTINGS), sharing, keys, crowds, SETTINGS
    )
    rows = as_brushed_orders(candidates, SETTINGS).collect()
    assert len(rows) == len({row["order_id"] for row in rows}), "an order is brushed twice"
    return {row["order_id"]: row.asDict() for row in rows}


def group_of(orders: Sequence[str]) -> set[str]:
    return {order.rsplit(" ", 1)[0] for order in orders}


MANY = [f"p{number}" for number in range(12)]


def test_rings_are_found_and_families_offices_and_pick_up_points_are_not(spark: SparkSession) -> None:
    ring = orders_at("ring", 6, 3, ["p1", "p2"])
    office = orders_at("office", 10, 3, MANY)
    crowd = orders_at("fans of one product", 10, 2, ["p1"])
    slow = orders_at("slow", 6, 3, ["p1", "p2"], days=400)
    family = orders_at("family", 4, 6, ["p1", "p2"])
    five = orders_at("five accounts", 5, 2, ["p1", "p2"])
    few_orders = orders_at("seven orders", 7, 1, ["p1", "p2"])
    heavy = orders_at("heavy buyer", 1, 25, ["p1"])
    pick_up = orders_at("pick-up point", 201, 1, ["p1"])
    bringing_back = orders_at("bringing back", 6, 3, ["p1", "p2"])
    back = returns_of(bringing_back[:9], 4 * DAY)
    honest = [*office, *crowd]
    lines = [*ring, *honest, *slow, *family, *five, *few_orders, *heavy, *pick_up, *bringing_back, *back]
    events = [
        *told_by_events(ring, "ring device", looks_first=False),
        *(told for line in honest for told in told_by_events([line], f"d {line['account_id']}", looks_first=True)),
        *(
            told
            for orders in (slow, family, five, few_orders, heavy, pick_up)
            for line in orders
            for told in told_by_events([line], f"d {line['account_id']}", looks_first=False)
        ),
        *told_by_events(bringing_back, "another device", looks_first=True),
    ]
    found = brushed(spark, lines, events)
    assert group_of(list(found)) == {"ring", "five accounts", "bringing back", "Rbringing back"}
    assert len([order for order in found if order.startswith("ring")]) == len(ring), "all orders of a ring are its own"
    rings = {order: row["ring_id"] for order, row in found.items()}
    assert len(set(rings.values())) == 3, "the ring with its device and address is one, the others are two more"
    assert rings["ring 0"].startswith("ring-")
    assert "ring device" not in rings["ring 0"]


@pytest.mark.long
def test_orders_before_the_evidence_are_known_with_it_and_orders_after_at_once(spark: SparkSession) -> None:
    ring = orders_at("ring", 6, 3, ["p1", "p2"])
    later = sold("straggler", START + 45 * DAY, account_id="ring account 1", delivery_address_token="ring")
    a_year_on = sold("year on", START + 365 * DAY, account_id="ring account 1", delivery_address_token="ring")
    events = told_by_events([*ring, later], "d", looks_first=False)
    found = brushed(spark, [*ring, later, a_year_on], events)
    assert "year on" not in found
    evidence = ring[7]["arrived_at"]  # the eighth order; six accounts had ordered by then
    assert [found[line["order_id"]]["known_at"] for line in ring[:8]] == [evidence] * 8
    assert found["ring 9"]["known_at"] == ring[9]["arrived_at"]
    assert found["straggler"]["known_at"] == later["arrived_at"]
    # What arrives later changes nothing of what was known then.
    so_far = brushed(spark, ring[:8], events)
    assert {order: row["known_at"] for order, row in so_far.items()} == {
        line["order_id"]: evidence for line in ring[:8]
    }
    assert brushed(spark, ring[:7], events) == {}


def test_a_ring_is_found_by_its_payer_alone_and_its_halves_joined_through_it(spark: SparkSession) -> None:
    here, there = orders_at("here", 5, 2, ["p1", "p2"]), orders_at("there", 5, 2, ["p1", "p2"])
    apart = orders_at("apart", 5, 2, ["p1"])
    payments = [
        row_of("silver.payments", order_id=line["order_id"], payer_token="wallet", arrived_at=line["arrived_at"])
        for line in [*here, *there]
    ]
    lines = [{**line, "delivery_address_token": None} for line in apart]
    events = told_by_events([*here, *there, *apart], "shared", looks_first=False)
    events = [{**told, "device_token": f"d {told['account_id']}"} for told in events]
    found = brushed(spark, [*here, *there, *lines], events, payments)
    assert group_of(list(found)) == {"here", "there"}, "what shares nothing is no ring"
    assert len({row["ring_id"] for row in found.values()}) == 1


@pytest.mark.long
def test_where_no_event_tells_of_orders_nobody_is_called_unseen(spark: SparkSession) -> None:
    crowd = orders_at("crowd", 8, 2, ["p1"])
    assert brushed(spark, crowd, []) == {}
    assert group_of(list(brushed(spark, [*crowd, *returns_of(crowd[:8], 2 * DAY)], []))) == {"crowd", "Rcrowd"}


DILUTED = ["p1", "p2", "p1", "p2", "p1", *MANY[2:6]]


def test_a_ring_that_hides_is_known_by_two_things_that_it_shares_and_two_signs(spark: SparkSession) -> None:
    """Other goods, looks before half of the orders, few returns: an office with the firm's wallet has no second sign."""

    def group(name: str, products: Sequence[str], looks: int, *, has_wallet: bool = True) -> tuple[list[Row], ...]:
        orders = orders_at(name, 6, 3, products)
        events = [
            told
            for number, line in enumerate(orders)
            for told in told_by_events([line], f"d {line['account_id']}", looks_first=number % 6 < looks)
        ]
        paid = {"payer_token": f"wallet of {name}"} if has_wallet else {}
        payments = [
            row_of("silver.payments", order_id=line["order_id"], arrived_at=line["arrived_at"], **paid)
            for line in orders
        ]
        return orders, events, payments

    groups = [
        group("ring", DILUTED, 3),
        group("office", MANY, 6),
        group("office in a hurry", MANY, 3),
        group("office with one taste", DILUTED, 6),
        group("dormitory", DILUTED, 3, has_wallet=False),
    ]
    lines, events, payments = ([row for part in groups for row in part[place]] for place in range(3))
    found = brushed(spark, lines, events, payments)
    assert group_of(list(found)) == {"ring"}
    assert len(found) == 18


def shares_of(
    spark: SparkSession, share: Callable[[Column, Column], Column], cases: Iterable[tuple[str, ...]]
) -> dict[tuple[str, ...], float]:
    rows = spark.createDataFrame([(list(products),) for products in cases], "products array<string>")
    told = rows.select("products", share(squared_counts(F.col("products")), F.size("products")).alias("share"))
    return {tuple(row["products"]): row["share"] for row in told.collect()}


def test_pairs_of_few_products_are_not_alike_by_their_number(spark: SparkSession) -> None:
    cases = {("a", "a"): 1.0, ("a", "b"): 0.0, ("a", "b", "a"): 1 / 3, ("a",): 0.0, (): 0.0}
    assert shares_of(spark, same_product_pairs, cases) == pytest.approx(cases)


def test_the_chance_that_two_are_the_same(spark: SparkSession) -> None:
    cases = {("a", "a", "a"): 1.0, ("a", "b"): 0.5, ("a", "a", "b", "a"): 10 / 16, (): 0.0}
    assert shares_of(spark, same_product_share, cases) == pytest.approx(cases)


# Lines.


def line_flags(spark: SparkSession, *lines: Row) -> dict[str, Row]:
    flags = conform(
        as_line_flags(frame_of(spark, "silver.order_lines", *lines), SETTINGS), contract_of("silver.order_line_flags")
    )
    return {row["order_line_id"]: row.asDict() for row in flags.collect()}


def test_a_line_told_again_later_is_a_near_duplicate_and_a_thing_scanned_twice_is_not(spark: SparkSession) -> None:
    found = line_flags(
        spark,
        sold("again"),
        sold("again", number=51, arrived_at=START + DAY),
        sold("twice"),
        sold("twice", number=2),
        sold("other quantity"),
        sold("other quantity", number=51, quantity=2, arrived_at=START + DAY),
        sold("other price"),
        sold("other price", number=51, unit_price_amount=Decimal(9), arrived_at=START + DAY),
        sold("brought back in turn", quantity=-1),
        sold("brought back in turn", START + DAY, number=2, quantity=-1, arrived_at=START + 2 * DAY),
    )
    assert set(found) == {"again:51"}
    assert found["again:51"]["excluded_at"] == START + DAY
    assert (found["again:51"]["is_near_duplicate"], found["again:51"]["is_outlier"]) == (True, False)


def corrected(line: Row, **overrides: Any) -> tuple[Row, Row]:
    """A line as it came, and as it was corrected a day after its order."""
    after = {"revision": 2, "arrived_at": START + DAY, **overrides}
    return {**line, "superseded_at": START + DAY}, {**line, **after}


def test_a_line_that_was_corrected_came_when_it_came_first(spark: SparkSession) -> None:
    found = line_flags(
        spark,
        sold("scanned twice", unit_price_amount=Decimal(9)),
        *corrected(sold("scanned twice", number=2), unit_price_amount=Decimal(9)),
        *corrected(sold("told again")),
        sold("told again", number=51, arrived_at=START + DAY / 2),
        sold("copy corrected"),
        *corrected(sold("copy corrected", number=51, arrived_at=START + DAY / 2)),
    )
    assert set(found) == {"told again:51", "copy corrected:51"}
    assert found["copy corrected:51"]["revision"] == 2


def test_mistyped_quantities_and_prices_are_outliers_of_their_product(spark: SparkSession) -> None:
    usual = [sold(f"usual {n}", product_id="tea", unit_price_amount=Decimal(60 + n % 5)) for n in range(30)]
    # Bought in packs of every size: a pack of 48 is large and not unusual.
    bulk = [sold(f"bulk {n}", product_id="bulk", quantity=[1, 6, 12, 24, 48][n % 5]) for n in range(30)]
    rare = [sold(f"rare {n}", product_id="rare") for n in range(SETTINGS.least_sample - 2)]
    found = line_flags(
        spark,
        *usual,
        *bulk,
        *rare,
        sold("eleven", product_id="tea", quantity=11, unit_price_amount=Decimal(60)),
        sold("a party", product_id="tea", quantity=5, unit_price_amount=Decimal(60)),
        sold("no point", product_id="tea", unit_price_amount=Decimal(6200)),
        sold("point too far", product_id="tea", unit_price_amount=Decimal("0.62")),
        sold("half price", product_id="tea", unit_price_amount=Decimal(31)),
        sold("free", product_id="tea", unit_price_amount=Decimal(0)),
        sold("hundred of a rare thing", product_id="rare", quantity=100),
        sold("postage", product_id="tea", line_kind="service", unit_price_amount=Decimal(6200)),
    )
    assert {name: row["reasons"] for name, row in found.items()} == {
        "eleven:1": ["quantity_outlier"],
        "no point:1": ["price_outlier"],
        "point too far:1": ["price_outlier"],
    }
    assert all(0.5 <= row["score"] <= 1 for row in found.values())


# Orders told again.


def test_the_same_order_again_within_minutes_is_a_near_duplicate(spark: SparkSession) -> None:
    def basket(name: str, at: dt.datetime, account: str | None, *products: str, quantity: int = 1) -> list[Row]:
        return [
            sold(name, at, number, account_id=account, product_id=product, quantity=quantity)
            for number, product in enumerate(products)
        ]

    lines = [
        *basket("first", START, "a", "p", "q"),
        *basket("again", START + 9 * MINUTE, "a", "q", "p"),
        *basket("later", START + 20 * MINUTE, "a", "p", "q"),
        *basket("more", START, "b", "p", "q"),
        *basket("more again", START + MINUTE, "b", "p"),
        *basket("by another", START + MINUTE, "c", "p", "q"),
        *basket("guest", START, None, "p"),
        *basket("guest again", START + MINUTE, None, "p"),
        *basket("back", START, "d", "p", quantity=-1),
        *basket("back again", START + MINUTE, "d", "p", quantity=-1),
    ]
    orders = as_order_heads(frame_of(spark, "silver.order_lines", *lines))
    found = {row["order_id"]: row["known_at"] for row in as_repeated_orders(orders, 10).collect()}
    assert found == {"again": START + 9 * MINUTE + dt.timedelta(hours=1)}


# Returns.


def history(account: str, bought: int, returned: int) -> list[Row]:
    """Lines of an account, one a day; the last of them brought back some days later, one a day."""
    fixed: Row = {"account_id": account}
    lines = [sold(f"{account} {number}", START + number * DAY, **fixed) for number in range(bought)]
    back = [sold(f"R{account} {n}", START + (bought + n) * DAY, quantity=-1, **fixed) for n in range(returned)]
    return [*lines, *back]


def test_accounts_far_above_the_ordinary_share_are_found_and_unlucky_ones_are_not(spark: SparkSession) -> None:
    ordinary = [line for number in range(40) for line in history(f"ordinary {number}", 10, 1 if number % 3 == 0 else 0)]
    lines = [
        *ordinary,
        *history("abuser", 15, 9),
        *history("two of two", 2, 2),
        *history("unlucky", 10, 2),
        *history("family", 60, 5),
    ]
    rows = as_abnormal_returns(frame_of(spark, "silver.order_lines", *lines), SETTINGS).collect()
    assert {row["order_id"].rsplit(" ", 1)[0] for row in rows} == {"Rabuser"}
    assert len(rows) == 9
    known = {row["order_id"]: row["known_at"] for row in rows}
    arrived = {line["order_id"]: line["arrived_at"] for line in lines}
    first_sure = min(known.values())
    assert first_sure > arrived["Rabuser 0"], "one return proves nothing"
    assert all(known[order] == max(first_sure, arrived[order]) for order in known)


def test_the_lower_end_of_the_wilson_interval(spark: SparkSession) -> None:
    """5 of 10 at 95%: 0.2366, as in the tables of Newcombe 1998's method 3."""
    rows = spark.createDataFrame([(5.0, 10.0)], "hits double, trials double")
    (row,) = rows.select(wilson_lower(rows["hits"], rows["trials"], 1.959964).alias("low")).collect()
    assert row["low"] == pytest.approx(0.2366, abs=1e-4)


# All together.


def test_an_order_with_several_marks_has_one_row(spark: SparkSession) -> None:
    schema = "order_id string, known_at timestamp, score double"
    marked = {
        "brushing": spark.createDataFrame([("a", START + DAY, 0.7, "ring-1")], f"{schema}, ring_id string"),
        "abnormal_return": spark.createDataFrame([("a", START, 0.4), ("b", START, 0.5)], schema),
        "outlier": spark.createDataFrame([("a", START + 2 * DAY, 0.9)], schema),
        "near_duplicate": spark.createDataFrame([("c", START, 1.0)], schema),
    }
    flags = conform(as_order_flags(marked), contract_of("silver.order_flags"))
    found = {row["order_id"]: row for row in flags.collect()}
    assert set(found) == {"a", "b", "c"}
    assert found["a"]["reasons"] == ["brushing", "abnormal_return", "outlier"]
    assert (found["a"]["ring_id"], found["a"]["score"]) == ("ring-1", 0.9)
    assert (found["a"]["arrived_at"], found["a"]["excluded_at"]) == (START, START + DAY)
    assert (found["b"]["excluded_at"], found["c"]["excluded_at"]) == (None, START)
