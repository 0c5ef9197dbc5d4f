"""Bots, brushing rings, repeated clicks, near duplicates and mistyped lines: they lie in the files as the truth tells."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.lakehouse.settings import WorldSettings
from jobs.simulate import raw_files, truth
from jobs.simulate.addresses import (
    DORMITORY_SPAN,
    OFFICE_SHARE,
    delivery_addresses,
    gates,
    lives_there,
    works_there,
)
from jobs.simulate.bots import CRAWLER, EVENTS_PER_PROXY, KINDS, PATIENT, bot_batch, bot_events, bots_told_with
from jobs.simulate.events import event_batch
from jobs.simulate.payers import payers
from jobs.simulate.rings import MEMBER_SPAN, rings, rings_led_by
from jobs.simulate.sales import sale_batch
from jobs.simulate.visits import COMPLETED

pytestmark = pytest.mark.long

SETTINGS = WorldSettings(
    seed=11, customers=600, weeks=30, truth_weeks_ahead=2, persons_per_ring=100, persons_per_bot=100,
    near_duplicate_share=0.02, outlier_share=0.01, bad_event_share=0,
)  # fmt: skip
PERSONS = np.arange(SETTINGS.customers)


@pytest.fixture(scope="module")
def world(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bad_actors")
    assert raw_files.write_raw_files(spark, SETTINGS, f"{folder}/raw")
    assert truth.write_truth(spark, SETTINGS, f"{folder}/truth")
    return folder


def told(spark: SparkSession, world: Path, name: str) -> pd.DataFrame:
    return spark.read.parquet(f"{world}/truth/{name}").toPandas()


def lines(spark: SparkSession, world: Path, feed: str) -> DataFrame:
    return spark.read.options(header=True, multiLine=True, quote='"', escape='"').csv(f"{world}/raw/{feed}")


def events(spark: SparkSession, world: Path) -> DataFrame:
    return spark.read.json(f"{world}/raw/app_events").dropDuplicates(["messageId"])


def test_members_of_a_ring_share_device_address_and_payer_or_two_of_them(spark: SparkSession, world: Path) -> None:
    every = told(spark, world, "brushing_rings")
    members, hidden = every[~every["is_camouflaged"]], every[every["is_camouflaged"]]
    assert members["not_shared"].isna().all()
    own = {"address": "delivery_address", "payer": "payer", "device": "device_id"}
    for thing, column in own.items():
        counts = hidden.groupby(["ring_id", "not_shared"])[column].agg(["nunique", "size"]).reset_index()
        is_own = counts["not_shared"] == thing
        assert (counts.loc[is_own, "nunique"] == counts.loc[is_own, "size"]).all()
        assert (counts.loc[~is_own, "nunique"] <= 2).all()
    by_ring = members.groupby("ring_id").agg(
        accounts=("account_id", "nunique"), devices=("device_id", "nunique"),
        addresses=("delivery_address", "nunique"), payers=("payer", "nunique"),
    )  # fmt: skip
    assert every["ring_id"].nunique() == 6
    assert 0 < len(by_ring) < 6, "rings of both kinds"
    assert every.groupby("ring_id")["account_id"].nunique().between(6, 14).all()
    assert (by_ring["devices"] <= 2).all()
    assert (by_ring[["addresses", "payers"]] == 1).all(axis=None)
    assert members["delivery_address"].nunique() == members["payer"].nunique() == len(by_ring)


def test_rings_order_in_the_web_shop_and_only_those_that_hide_look_first(spark: SparkSession, world: Path) -> None:
    every, orders = told(spark, world, "brushing_rings"), told(spark, world, "brushed_orders")
    members, hidden = every[~every["is_camouflaged"]], every[every["is_camouflaged"]]
    is_hidden = orders["ring_id"].isin(hidden["ring_id"])
    orders = orders[~is_hidden]
    assert orders["is_return"].mean() == pytest.approx(0.6 / 1.6, abs=0.12)
    placed = lines(spark, world, "web_orders").where(F.col("account_id").isin(list(members["account_id"])))
    assert {row[0] for row in placed.select("order_id").distinct().collect()} == set(orders["order_id"])
    assert placed.select("product_id").distinct().count() <= 2 * members["ring_id"].nunique()
    told_events = events(spark, world).where(F.col("userId").isin(list(members["account_id"]))).toPandas()
    assert set(told_events["event"]) == {"Checkout Started", "Order Completed"}
    assert set(told_events["context"].map(lambda context: context["device"]["id"])) <= set(members["device_id"])
    of_hidden = events(spark, world).where(F.col("userId").isin(list(hidden["account_id"])))
    counts = {row["event"]: row["count"] for row in of_hidden.groupBy("event").count().collect()}
    assert 0.2 < counts["Product Viewed"] / counts["Order Completed"] < 0.95
    bought = lines(spark, world, "web_orders").where(F.col("account_id").isin(list(hidden["account_id"])))
    assert bought.select("product_id").distinct().count() > 2 * hidden["ring_id"].nunique()


def test_no_person_uses_what_a_ring_or_bot_is_known_by(spark: SparkSession, world: Path) -> None:
    persons = told(spark, world, "identifiers")
    rings_known, bots = told(spark, world, "brushing_rings"), told(spark, world, "bots")
    others = {*rings_known["account_id"], *rings_known["device_id"], *bots["device_id"]}
    assert not others & set(persons["value"])


def test_bots_but_the_patient_are_fast_and_only_crawlers_say_what_they_are(spark: SparkSession, world: Path) -> None:
    bots = told(spark, world, "bots")
    assert bots["bot_id"].nunique() == 6
    assert set(bots["kind"]) == set(KINDS)
    assert (bots["is_declared"] == (bots["kind"] == "crawler")).all()
    seen = events(spark, world).select(
        F.col("context.device.id").alias("device_id"), "context.userAgent", "context.ip", "event", "userId",
        F.unix_millis(F.to_timestamp("timestamp")).alias("at"),
    ).toPandas()  # fmt: skip
    of_bots = seen[seen["device_id"].isin(bots["device_id"])].sort_values("at")
    is_fast = of_bots["device_id"].isin(bots.loc[bots["kind"] != "patient", "device_id"])
    gaps = of_bots[is_fast].groupby("device_id")["at"].diff().dropna()
    assert (gaps < 1000).mean() > 0.95
    patient = of_bots[~is_fast].groupby("device_id")["at"].diff().dropna()
    assert patient.median() > 5000
    assert of_bots["userId"].isna().all()
    said = of_bots.assign(told=of_bots["userAgent"].str.contains("example|requests|X11|bot"))
    declared = said.groupby("device_id")["told"].agg(["min", "max"])
    assert (declared["min"] == declared["max"]).all()
    seen_devices = set(of_bots["device_id"])
    assert set(declared.index[declared["max"]]) == set(bots.loc[bots["is_declared"], "device_id"]) & seen_devices
    assert seen["ip"].str.fullmatch(r"(\d{1,3}\.){3}0").all()


def test_a_repeated_click_follows_the_first_within_a_second(spark: SparkSession, world: Path) -> None:
    repeated = told(spark, world, "repeated_clicks")
    seen = events(spark, world).select(
        "messageId", "event", F.col("context.device.id").alias("device"), F.col("properties.product_id").alias("product"),
        F.unix_millis(F.to_timestamp("timestamp")).alias("at"),
    ).toPandas().set_index("messageId")  # fmt: skip
    first, again = seen.loc[repeated["first_message_id"]], seen.loc[repeated["message_id"]]
    assert len(repeated) > 50
    assert (first[["event", "device", "product"]].to_numpy() == again[["event", "device", "product"]].to_numpy()).all()
    assert np.all(
        (again["at"].to_numpy() - first["at"].to_numpy() > 0) & (again["at"].to_numpy() - first["at"].to_numpy() < 1000)
    )


def test_near_duplicates_say_the_same_in_other_words(spark: SparkSession, world: Path) -> None:
    near = told(spark, world, "near_duplicates")
    assert set(near["kind"]) == {"told again", "numbered anew"}
    for feed, number, at in (("web_orders", "order_id", "ordered_at"), ("pos_receipts", "receipt_id", "sold_at")):
        rows = lines(spark, world, feed).dropDuplicates().toPandas().astype({"line_no": int})
        pairs = near[near["feed"] == feed].merge(rows, left_on=["order_id", "line_no"], right_on=[number, "line_no"])
        first = pairs.merge(
            rows, left_on=["order_id", "first_line_no"], right_on=[number, "line_no"], suffixes=("", "_1")
        )
        assert (
            len(first[first["kind"] == "numbered anew"])
            == (near[near["feed"] == feed]["kind"] == "numbered anew").sum()
            > 0
        )
        for column in ("product_id", "quantity", at):
            assert (first[column] == first[f"{column}_1"]).all()
        assert (first["unit_price"].astype(float) == first["unit_price_1"].astype(float)).all()


def test_mistyped_lines_are_far_from_the_true_ones(spark: SparkSession, world: Path) -> None:
    wrong = told(spark, world, "outliers")
    assert set(wrong["field"]) == {"quantity", "unit_price"}
    rows = lines(spark, world, "web_orders").dropDuplicates(["order_id", "line_no"]).toPandas().astype({"line_no": int})
    found = wrong[wrong["feed"] == "web_orders"].merge(rows, on=["order_id", "line_no"], how="left")
    assert len(found) > 5
    quantities = found[found["field"] == "quantity"]
    assert (quantities["quantity"].astype(int) >= 11 * quantities["true_quantity"]).all()
    prices = found[(found["field"] == "unit_price") & ~found["unit_price"].isin(["abc", "N/A"])]
    ratio = prices["unit_price"].astype(float) / prices["true_unit_price"].astype(float)
    assert np.allclose(ratio, 100)


def test_patient_bots_keep_the_hours_of_people_and_some_change_their_network() -> None:
    settings = WorldSettings(customers=4000, weeks=52, persons_per_bot=20)
    persons = np.arange(settings.customers)
    bots = pd.DataFrame(dict(bot_batch(settings, persons)))
    seen = pd.DataFrame(vars(bot_events(settings, bots_told_with(settings, persons)))).merge(bots, on="device")
    assert seen["key"].is_unique
    patient = seen[seen["kind"] == PATIENT]
    assert bots[bots["kind"] == PATIENT].groupby("bot").size().eq(2).all(), "two devices, in turn"
    hour = (patient["happened_ms"] // 3_600_000 + 8) % 24
    assert (hour < 6).mean() < 0.05
    assert (seen[seen["kind"] == CRAWLER]["happened_ms"] // 3_600_000 % 24 < 6).mean() > 0.15
    networks = seen.groupby(["kind", "bot"])["network"].nunique()
    assert networks.drop(PATIENT, level="kind").eq(1).all()
    rotating = networks.xs(PATIENT, level="kind").gt(1)
    assert rotating.mean() == pytest.approx(0.5, abs=0.15)
    per_network = patient[patient["bot"].isin(rotating.index[rotating])].groupby("network").size()
    assert per_network.max() <= 2 * EVENTS_PER_PROXY


def test_a_dormitory_has_one_address_and_an_office_one_wallet_too() -> None:
    settings = WorldSettings(customers=32_000, dormitory_share=0.1)
    persons = np.arange(settings.customers)
    homes = pd.DataFrame(
        {
            "address": delivery_addresses(settings, persons),
            "payer": payers(settings, persons, persons),
            "gate": gates(persons),
            "lives": lives_there(settings, persons),
            "works": works_there(settings, persons),
        }
    )
    places = homes[homes["lives"]].groupby("gate").agg(
        size=("address", "size"), addresses=("address", "nunique"), payers=("payer", "nunique"), works=("works", "all")
    )  # fmt: skip
    assert len(places) == pytest.approx(100, abs=30)
    assert (places["size"] == DORMITORY_SPAN).all()
    assert (places["addresses"] == 1).all()
    assert (places.loc[places["works"], "payers"] == 1).all()
    assert (places.loc[~places["works"], "payers"] > 20).all()
    assert places["works"].mean() == pytest.approx(OFFICE_SHARE, abs=0.15)
    others = homes[~homes["lives"]]
    assert others.groupby("address").size().max() == 2
    assert not set(others["address"]) & set(homes.loc[homes["lives"], "address"])


def test_bad_actors_are_few() -> None:
    settings = WorldSettings(customers=4000)
    everyone = np.arange(settings.customers)
    sold, seen = sale_batch(True, settings, everyone), event_batch(settings, everyone)
    assert (sold["ring"] >= 0).mean() < 0.01
    members = len(rings(settings, rings_led_by(settings, everyone)).member)
    assert 0.005 < members / settings.customers < 0.015
    assert (seen["agent"] >= 8).mean() < 0.05
    assert (seen["repeats"] != 0)[seen["name"] <= COMPLETED].mean() == pytest.approx(0.01, abs=0.003)
    assert len(np.unique(seen["message"])) == len(seen["message"])
    assert MEMBER_SPAN > 14
