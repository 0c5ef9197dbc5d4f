"""Marks on events: each rule with one that bears it, one that nearly does, and a person who is only eager."""

import datetime as dt
import random
import re
from collections.abc import Iterator
from typing import Any

import pytest
from pyspark.sql import SparkSession

from jobs.ingest.bots import SIGNS
from jobs.ingest.flag_events import as_event_flags
from jobs.lakehouse.cleaning_settings import CleaningSettings
from tests.rows import SHANGHAI, Row, event, frame_of, local, local_date

SETTINGS = CleaningSettings()
TEN = local("2025-03-10 10:00")
PHONE = "Mozilla/5.0 (Linux; Android 13; CUBOT NOTE 40) AppleWebKit/537.36 Chrome/116.0 Mobile Safari/537.36"


def viewed(device: str, seconds: float, product: str | None = "p", **overrides: Any) -> Row:
    """An event of a device, so many seconds after ten; it arrives a minute later."""
    at = TEN + dt.timedelta(milliseconds=round(1000 * seconds))
    fixed = {
        "event_id": f"{device} {seconds} {product}",
        "event_name": "Product Viewed",
        "device_token": device,
        "product_id": product,
        "user_agent": PHONE,
        "event_at": at,
        "event_date": local_date(at),
        "arrived_at": at + dt.timedelta(minutes=1),
    }
    return event(**{**fixed, **overrides})


def bought(device: str, seconds: float) -> Row:
    return viewed(device, seconds, None, event_name="Order Completed", order_id=f"order {device} {seconds}")


def flags(spark: SparkSession, *events: Row, settings: CleaningSettings = SETTINGS) -> dict[str, Row]:
    """The marks by event."""
    rows = as_event_flags(frame_of(spark, "silver.events", *events), settings, SHANGHAI).collect()
    assert len(rows) == len({row["event_id"] for row in rows}), "an event has two rows of marks"
    return {row["event_id"]: row.asDict() for row in rows}


def every(count: int, gap_seconds: float, device: str) -> Iterator[Row]:
    """Views of one product after the other, evenly spaced."""
    return (viewed(device, number * gap_seconds, f"p{number}") for number in range(count))


@pytest.fixture(scope="module")
def found(spark: SparkSession) -> dict[str, Row]:
    """The marks on a day on which each device is a case of its own."""
    return flags(
        spark,
        # Repeated clicks.
        viewed("nervous", 0),
        viewed("nervous", 0.4),
        viewed("nervous", 1.2),
        viewed("slow", 0),
        viewed("slow", 1.001),
        viewed("two products", 0, "p1"),
        viewed("two products", 0.2, "p2"),
        viewed("view and buy", 0),
        viewed("view and buy", 0.2, event_name="Product Added"),
        viewed("same instant", 5, event_id="same instant b"),
        viewed("same instant", 5, event_id="same instant a"),
        viewed("one", 0, event_id="of one device"),
        viewed("other", 0.1, event_id="of another device"),
        viewed("late first", 0, arrived_at=TEN + dt.timedelta(days=2)),
        viewed("late first", 0.5),
        # Pages that load and log-ins are no clicks.
        *(viewed("loads", number / 10, "p", event_type="page") for number in range(3)),
        *(viewed("logs in", number / 10, None, event_type="identify", event_name=None) for number in range(3)),
        # Bots.
        *every(40, 1.4, "forty a minute"),
        *every(39, 1.4, "thirty-nine a minute"),
        *every(20, 10 / 19, "twenty products in ten seconds"),
        *every(20, 10.1 / 19, "twenty products in more"),
        # The clock of a phone that stood still, pages opened together, two persons with one device: no program.
        *every(19, 0.0, "one instant"),
        # Four tabs at a time, all evening, and reading in between.
        *(viewed("tabs", 12 * number + 0.4 * tab, f"p{4 * number + tab}") for number in range(40) for tab in range(4)),
        *(viewed("zapping", number * 0.4, f"p{number % 2}") for number in range(6)),
        viewed("crawler", 0, user_agent="Mozilla/5.0 (compatible; ShopCrawler/1.0; bot)"),
        viewed("crawler", 60, user_agent=PHONE),
        viewed("crawler", 3 * 86_400, user_agent=PHONE),
        viewed("script", 0, user_agent="python-requests/2.31.0"),
        viewed("unknown agent", 0, user_agent=None),
        bought("buys unseen", 0),
        viewed("buys seen", -900),
        bought("buys seen", 0),
        viewed(None, 0, event_id="no device 1"),  # type: ignore[arg-type]
        viewed(None, 0.1, event_id="no device 2"),  # type: ignore[arg-type]
        # A family's tablet: many views all evening, some a few seconds apart.
        *every(180, 20, "family"),
    )


def device_of(event_id: str) -> str:
    return re.split(r" -?[\d.]+ ", event_id)[0]


def test_a_click_within_a_second_of_the_same_is_a_repeated_one(found: dict[str, Row]) -> None:
    repeated = {event_id for event_id, row in found.items() if row["is_repeated_click"]}
    repeated -= {event_id for event_id in repeated if device_of(event_id) == "zapping"}  # to and fro within a second
    assert repeated == {"nervous 0.4 p", "nervous 1.2 p", "same instant b", "late first 0.5 p"}
    assert found["nervous 0.4 p"]["reasons"] == ["repeated_click"]


def test_a_repeated_click_is_known_when_both_have_arrived(found: dict[str, Row]) -> None:
    assert found["late first 0.5 p"]["arrived_at"] == TEN + dt.timedelta(days=2)
    assert found["nervous 0.4 p"]["arrived_at"] == TEN + dt.timedelta(minutes=1, milliseconds=400)


def test_devices_that_no_person_holds_are_bots(found: dict[str, Row]) -> None:
    assert {device_of(event_id) for event_id, row in found.items() if row["is_bot"]} == {
        "forty a minute",
        "twenty products in ten seconds",
        "crawler",
        "script",
    }


def test_all_events_of_a_bots_day_are_its_and_none_of_another_day(found: dict[str, Row]) -> None:
    assert sum(row["is_bot"] for name, row in found.items() if name.startswith("forty")) == 40
    assert {name for name in found if name.startswith("crawler")} == {"crawler 0 p", "crawler 60 p"}


def test_a_mark_arrives_with_the_event_that_completes_the_evidence(found: dict[str, Row]) -> None:
    fortieth = TEN + dt.timedelta(minutes=1, seconds=39 * 1.4)
    first, last = (
        found[f"forty a minute {seconds} {product}"] for seconds, product in ((0.0, "p0"), (39 * 1.4, "p39"))
    )
    assert (first["arrived_at"], last["arrived_at"]) == (fortieth, fortieth)
    assert found["crawler 60 p"]["arrived_at"] == TEN + dt.timedelta(minutes=2)
    assert (first["confidence"], first["reasons"]) == (pytest.approx(0.95), ["event_rate"])
    twentieth = TEN + dt.timedelta(minutes=1, seconds=10)
    assert found["twenty products in ten seconds 0.0 p0"]["arrived_at"] == twentieth


def test_weak_signs_make_a_bot_together_and_not_alone(spark: SparkSession) -> None:
    """Awake at twenty hours of the day, far busier than all others, and buying unseen: each alone is a person's right."""
    settings = CleaningSettings(bot_busy_day_events=60)
    ordinary = [viewed(f"person {number}", 60 * view) for number in range(30) for view in range(2)]

    def hours(device: str, count: int, per_hour: int) -> list[Row]:
        midnight = 60 - 10 * 3600
        return [
            viewed(device, midnight + 3600 * hour + 60 * view, f"p{view}") for hour in range(count) for view in range(per_hour)
        ]  # fmt: skip

    found = flags(
        spark,
        *ordinary,
        *hours("awake", 20, 1),
        *hours("awake and busy", 20, 4),
        bought("all three", -10 * 3600 - 30),
        *hours("all three", 20, 4),
        *hours("busy", 12, 6),
        settings=settings,
    )
    marked = {device_of(event_id) for event_id in found}
    # A purchase before midnight belongs to the day before.
    assert marked == set()
    bought_first = [bought("all three", -10 * 3600), *hours("all three", 20, 4)]
    found = flags(spark, *ordinary, *bought_first, settings=settings)
    assert {tuple(row["reasons"]) for row in found.values()} == {
        ("round_the_clock", "busy_day", "purchase_without_view")
    }
    assert {row["arrived_at"] for row in found.values()} == {max(row["arrived_at"] for row in bought_first)}
    assert len(found) == 81


def test_who_changes_the_network_in_the_midst_of_looking_is_no_person(spark: SparkSession) -> None:
    """A phone that leaves the house has another network; one that has a new one each minute is many proxies."""

    def looks(device: str, networks: str, gap_seconds: float = 60) -> list[Row]:
        return [
            viewed(device, number * gap_seconds, f"p{number % 3}", network=None if name == "-" else name)
            for number, name in enumerate(networks)
        ]

    found = flags(
        spark,
        *looks("rotates", "abcdef"),
        *looks("four times", "abcde"),
        *looks("at home and out", "aaabbbaaabbb"),
        *looks("now and then", "abcdef", gap_seconds=601),
        *looks("not told", "a-b-c-d-e-f-"),
        *looks("two tabs", "abababababab"),
        # Two persons at one kiosk, each with a phone's network of their own.
        *[{**row, "account_id": f"account {n % 2}"} for n, row in enumerate(looks("kiosk", "abababab"))],
    )
    assert {device_of(name) for name in found} == {"rotates"}
    assert {tuple(row["reasons"]) for row in found.values()} == {("network_hops",)}
    fifth_change = TEN + dt.timedelta(minutes=6)
    assert {row["arrived_at"] for row in found.values()} == {fifth_change}


def test_who_only_ever_looks_is_a_bot_until_it_does_something_else(spark: SparkSession) -> None:
    settings = CleaningSettings(bot_looks_alone=20)
    day = 86_400

    def looks(device: str, count: int, day_number: int = 0, **overrides: Any) -> list[Row]:
        return [viewed(device, day_number * day + 70 * n, f"p{n % 7}", **overrides) for n in range(count)]

    def does(device: str, day_number: float, **overrides: Any) -> Row:
        return viewed(device, day_number * day, None, **{"event_name": "Checkout Started", **overrides})

    found = flags(
        spark,
        *looks("patient", 12), *looks("patient", 12, 3),
        *looks("too few", 19),
        *looks("shopper", 30), does("shopper", 0.01),
        *looks("logs in later", 25), *looks("logs in later", 5, 4),
        does("logs in later", 3, event_type="identify", event_name=None),
        *looks("another shop", 30, source="clicks only"),
        settings=settings,
    )  # fmt: skip
    assert {device_of(name) for name in found} == {"patient", "logs in later"}
    assert {tuple(row["reasons"]) for row in found.values()} == {("looks_alone",)}
    assert sum(name.startswith("patient") for name in found) == 24, "what it did before is its as well"
    twentieth = TEN + dt.timedelta(days=3, seconds=7 * 70 + 60)
    assert found["patient 0 p0"]["arrived_at"] == twentieth
    late = [row for name, row in found.items() if name.startswith("logs in later")]
    assert len(late) == 25, "not the days after it had done something else"


def test_every_sign_has_a_weight() -> None:
    assert set(SETTINGS.bot_weights) == set(SIGNS)


def test_no_events_bear_no_marks(spark: SparkSession) -> None:
    assert flags(spark) == {}


def test_what_arrives_later_changes_no_mark_that_was_known(spark: SparkSession) -> None:
    """Events that arrive in the order in which they happened: the marks known at a time are those of the events there were."""
    draw = random.Random(3)
    seconds = sorted(draw.uniform(0, 600) for _ in range(400))
    events = [
        viewed(draw.choice(["a", "b", "c"]), second, draw.choice("pqr"), event_id=f"{number}")
        for number, second in enumerate(seconds)
    ]
    settings = CleaningSettings(bot_events_per_minute=15, bot_fast_products=3, bot_fast_seconds=2, bot_looks_alone=30)
    other = {"source": "a feed that tells of pages, too"}
    events += [viewed("alone", 15 * number, "q", event_id=f"alone {number}", **other) for number in range(35)]
    events.append(viewed("alone", 560, None, event_id="else", event_type="page", event_name="Home", **other))
    late = flags(spark, *events, settings=settings)
    assert any("looks_alone" in row["reasons"] for row in late.values())
    assert {len(row["reasons"]) for row in late.values()} == {1, 2, 3}, "the events are too poor to tell anything"
    for cut in (TEN + dt.timedelta(minutes=minutes) for minutes in (2, 5, 8)):
        then = flags(spark, *[row for row in events if row["arrived_at"] <= cut], settings=settings)
        assert {name: row["arrived_at"] for name, row in then.items()} == {
            name: row["arrived_at"] for name, row in late.items() if row["arrived_at"] <= cut
        }
