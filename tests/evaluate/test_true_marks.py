"""Marks against the truth: small cases counted by hand."""

import pytest
from pyspark.sql import SparkSession

from jobs.evaluate.scoreboard import Score, shared
from jobs.evaluate.true_marks import (
    bot_devices,
    bot_scores,
    click_scores,
    copy_scores,
    mark_scores,
    outlier_scores,
    repair_scores,
    return_scores,
    ring_scores,
)
from jobs.lakehouse.keys import load_keys
from jobs.lakehouse.personal import token_of
from jobs.lakehouse.settings import PrivacySettings
from tests.rows import Row, event, frame_of, order_line, row_of


def values(scores: list[Score]) -> dict[tuple[str, str], float | None]:
    return {(score.metric, score.level): score.value for score in scores}


def test_a_share_has_the_interval_of_wilson() -> None:
    score = shared("3 cleaning", "precision", "events", 5, 10, "world", goal=0.5, note="")
    assert (score.value, score.is_met) == (0.5, True)
    assert [score.value_low, score.value_high] == pytest.approx([0.2366, 0.7634], abs=1e-4)
    all_of_them = shared("3 cleaning", "precision", "events", 20, 20, "world", goal=0.97, note="")
    assert (all_of_them.value, all_of_them.value_high) == (1, 1)
    assert all_of_them.value_low == pytest.approx(0.8389, abs=1e-4)
    assert shared("3 cleaning", "precision", "events", 0, 0, "world", goal=0.97, note="").value is None


def test_bots_and_clicks(spark: SparkSession) -> None:
    keys = load_keys(PrivacySettings(), "local")
    tokens = {device: token_of(keys, "device_id", f"d-{device}") for device in ("b", "c", "d")}
    events = [event(event_id=f"{name}{n}", device_token=token) for name, token in tokens.items() for n in range(4)]
    marked = [row_of("silver.event_flags", event_id=name, is_bot=True) for name in ("b0", "b1", "d0")]
    marked.append(row_of("silver.event_flags", event_id="d3", is_bot=False, is_repeated_click=True))
    told, flags = frame_of(spark, "silver.events", *events), frame_of(spark, "silver.event_flags", *marked)
    bots = spark.createDataFrame([(" d-b", True), ("d-c", False)], "device_id string, is_declared boolean")
    bots = bot_devices(bots, keys, "CN")
    assert values(bot_scores(bots, told, flags)) == {
        ("bots: precision", "devices"): 1 / 2,
        ("bots: recall", "devices"): 1 / 2,
        ("bots: precision", "events"): 2 / 3,
        ("bots: recall", "events"): 2 / 8,
    }
    clicks = spark.createDataFrame([("d3", "d2"), ("d1", "d0"), ("lost", "d0")], "message_id string, first string")
    assert values(click_scores(clicks, told, flags)) == {
        ("repeated clicks: precision", "events"): 1,
        ("repeated clicks: recall", "events"): 1 / 2,
    }


def sold(order: str, line: int = 1, account: str = "a", **overrides: object) -> Row:
    return order_line(
        order_line_id=f"web_orders:{order}:{line}", order_id=f"web_orders:{order}", account_id=f"web_accounts:{account}",
        **overrides,
    )  # fmt: skip


def test_rings(spark: SparkSession) -> None:
    lines = [sold("1", account="x"), sold("2", account="y"), sold("3", account="honest")]
    marked = [row_of("silver.order_flags", order_id=f"web_orders:{n}", is_brushing=True) for n in (1, 3)]
    members = spark.createDataFrame([("x", 1), ("y", 1), ("never ordered", 2)], "account_id string, ring_id long")
    orders = spark.createDataFrame([("1", 1), ("2", 1), ("rejected", 2)], "order_id string, ring_id long")
    scores = ring_scores(
        members, orders, frame_of(spark, "silver.order_lines", *lines), frame_of(spark, "silver.order_flags", *marked)
    )
    assert set(values(scores).values()) == {1 / 2}
    assert {score.goal for score in scores} == {0.97}


def test_what_stands_or_falls_together_makes_a_wider_interval(spark: SparkSession) -> None:
    def recall(clusters: list[str]) -> Score:
        true = spark.createDataFrame(list(zip("abcdefgh", clusters, strict=True)), "id string, cluster string")
        return mark_scores(true, true.where("id <> 'a'"), "bots", "events", 0.95, "")[1]

    alone, together = recall(list("abcdefgh")), recall(list("11112222"))
    assert alone.value == together.value == 7 / 8
    assert (alone.value_low, together.value_low) == pytest.approx((0.5291, 0.2641), abs=1e-4)


def test_copies_and_outliers(spark: SparkSession) -> None:
    lines = [
        sold("1"),
        sold("1", 51),
        sold("2"),
        sold("3"),
        sold("3", revision=2),
        sold("4"),
    ]
    marked = [
        row_of("silver.order_line_flags", order_line_id="web_orders:1:51", is_near_duplicate=True, is_outlier=True),
        row_of("silver.order_line_flags", order_line_id="web_orders:4:1", is_near_duplicate=True),
    ]
    near = [
        ("web_orders", "1", 51, "numbered anew"),
        ("web_orders", "2", 1, "told again"),
        ("web_orders", "3", 1, "told again"),
    ]
    schema = "feed string, order_id string, line_no int, kind string"
    told, truth = frame_of(spark, "silver.order_lines", *lines), spark.createDataFrame(near, schema)
    flags = frame_of(spark, "silver.order_line_flags", *marked)
    assert values(copy_scores(truth, told, flags)) == {
        ("near duplicates: precision", "order lines"): 1 / 2,
        ("near duplicates: recall", "order lines"): 1,
        ("near duplicates: told again", "order lines"): 1 / 2,
    }
    assert set(values(outlier_scores(truth.where("line_no = 51"), told, flags)).values()) == {1}


def test_returns_of_accounts_with_enough_lines(spark: SparkSession) -> None:
    def history(account: str, bought: int) -> list[Row]:
        return [sold(f"{account} {n}", account=account) for n in range(bought)] + [
            sold(f"R{account}", account=account, quantity=-1)
        ]

    enough = 6
    lines = [
        *history("abuser", enough), *history("missed", enough), *history("honest", enough),
        *history("too few", enough - 1), *history("missed of two", 2), *history("ring", enough),
    ]  # fmt: skip
    marked = [
        row_of("silver.order_flags", order_id=f"web_orders:R{name}", is_abnormal_return=True)
        for name in ("abuser", "too few", "ring")
    ]
    names = ["abuser", "missed", "honest", "too few", "missed of two", "ring"]
    people = [(n, name in ("abuser", "missed", "missed of two")) for n, name in enumerate(names)]
    persons = spark.createDataFrame(people, "person_id long, is_return_abuser boolean")
    owners = [(f"web_accounts:{name}", n) for n, name in enumerate(names)]
    accounts = spark.createDataFrame(owners, "account_id string, person_id long")
    scores = return_scores(
        persons,
        accounts,
        spark.createDataFrame([("ring",)], "account_id string"),
        frame_of(spark, "silver.order_lines", *lines),
        frame_of(spark, "silver.order_flags", *marked),
        enough,
    )
    assert values(scores) == {
        ("abnormal returns: precision", "accounts"): 1,
        ("abnormal returns: recall", "accounts"): 1 / 2,
        ("abnormal returns: recall", "all accounts"): 1 / 3,
    }


def test_repairs(spark: SparkSession) -> None:
    holes = spark.createDataFrame(
        [
            ("accounts", "1", "city", "Wuhan", False),
            ("accounts", "2", "city", "Wuhan", False),
            ("accounts", "3", "city", "Wuhan", False),
            ("footfall", "1", "visitor_count", "100", True),
            ("footfall", "2", "visitor_count", "20", True),
        ],
        "table_name string, row_key string, column_name string, true_value string, is_number boolean",
    )
    made = [("accounts", "1", "city", "Wuhan"), ("accounts", "2", "city", "Beijing")]
    made += [("footfall", "1", "visitor_count", "90"), ("footfall", "2", "visitor_count", "22")]
    names = ("table_name", "row_key", "column_name", "repaired")
    repairs = frame_of(
        spark, "silver.repairs", *[row_of("silver.repairs", **dict(zip(names, row, strict=True))) for row in made]
    )
    assert values(repair_scores(holes, repairs)) == {
        ("repair: share repaired", "all columns"): 4 / 5,
        ("repair: share repaired", "accounts.city"): 2 / 3,
        ("repair: share right", "accounts.city"): 1 / 2,
        ("repair: share repaired", "footfall.visitor_count"): 1,
        ("repair: error", "footfall.visitor_count"): pytest.approx(12 / 120),
    }
