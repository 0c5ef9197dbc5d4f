"""Daily traffic is what SQL in DuckDB says of the same events."""

import datetime as dt
import random

import duckdb
from pyspark.sql import DataFrame, SparkSession

from jobs.insight.build_traffic_daily import as_daily_traffic, with_is_clean
from jobs.lakehouse.tables import conform
from tests.rows import NOON, Row, arrow_of, contract_of, frame_of, row_of

PURCHASES = ("Order Completed",)
MEASURES = """
count(*) filter ({counts}),
count(distinct device_token) filter ({counts}),
count(distinct device_token) filter ({counts} and account_id is not null),
count(*) filter ({counts} and event_type = 'track' and product_id is not null and event_name is distinct from 'Order Completed'),
count(distinct (coalesce(device_token, ''), order_id)) filter ({counts} and order_id is not null)
"""
QUERY = """
select event_date, source, coalesce(campaign_source, 'none'), {measures}, {clean_measures} from events group by all
"""
# In the random events: those whose number ends in 3 bear a mark.
IS_CLEAN = "not event_id like '%3'"


def event(number: int, **overrides: object) -> Row:
    return row_of("silver.events", event_id=f"m{number}", event_type="track", event_name="Product Viewed", **overrides)


def random_events(seed: int, count: int) -> list[Row]:
    draw = random.Random(seed)
    return [
        event(number) | {
            "source": draw.choice(("web", "app")),
            "event_type": draw.choice(("track", "track", "page", "identify")),
            "event_name": draw.choice(("Product Viewed", "Order Completed", None)),
            "account_id": draw.choice((None, None, "a1", "a2")),
            "device_token": draw.choice((None, *(f"d{place}" for place in range(12)))),
            "product_id": draw.choice((None, "p1")),
            "order_id": draw.choice((None, None, None, "o1", "o2")),
            "campaign_source": draw.choice((None, "baidu", "wechat")),
            "event_date": dt.date(2025, 1, draw.randint(1, 4)),
        }
        for number in range(count)
    ]  # fmt: skip


def traffic(spark: SparkSession, events: list[Row], marked: list[str]) -> DataFrame:
    flags = [row_of("silver.event_flags", event_id=name, arrived_at=NOON) for name in marked]
    judged = with_is_clean(frame_of(spark, "silver.events", *events), frame_of(spark, "silver.event_flags", *flags))
    return conform(as_daily_traffic(judged, PURCHASES), contract_of("gold.traffic_daily"))


def test_daily_traffic_of_random_events_is_that_of_duckdb(spark: SparkSession) -> None:
    events = random_events(3, 900)
    with duckdb.connect() as engine:
        engine.register("events", arrow_of("silver.events", *events))
        measures = [MEASURES.format(counts=counts) for counts in ("true", IS_CLEAN)]
        query = QUERY.format(measures=measures[0], clean_measures=measures[1])
        expected = {row[:3]: row[3:] for row in engine.execute(query).fetchall()}
    marked = [told["event_id"] for told in events if told["event_id"].endswith("3")]
    found = {tuple(row)[:3]: tuple(row)[3:] for row in traffic(spark, events, marked).collect()}
    assert found == expected
    assert any(row[1] > row[6] > 0 for row in found.values()), (
        "no day has a visitor who is a bot, and another who is none"
    )


def test_a_day_of_bots_alone_is_there_with_nothing_clean(spark: SparkSession) -> None:
    rows = traffic(spark, [event(1, device_token="d", order_id="o"), event(2, device_token="d")], ["m1", "m2"])
    (row,) = rows.collect()
    assert (row["event_count"], row["visitor_count"], row["order_count"]) == (2, 1, 1)
    assert (row["event_count_clean"], row["visitor_count_clean"], row["order_count_clean"]) == (0, 0, 0)
