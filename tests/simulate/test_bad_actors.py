"""Bots, brushing rings, repeated clicks, near duplicates and mistyped lines: they lie in the files as the truth tells."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.lakehouse.settings import WorldSettings
from jobs.simulate import raw_files, truth
from jobs.simulate.events import event_batch
from jobs.simulate.rings import MEMBER_SPAN, rings, rings_led_by
from jobs.simulate.sales import sale_batch
from jobs.simulate.visits import COMPLETED

pytestmark = pytest.mark.long

SETTINGS = WorldSettings(
    seed=11, customers=600, weeks=30, truth_weeks_ahead=2, persons_per_ring=200, persons_per_bot=300,
    near_duplicate_share=0.02, outlier_share=0.01,
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


def test_members_of_a_ring_share_device_address_and_payer(spark: SparkSession, world: Path) -> None:
    members = told(spark, world, "brushing_rings")
    by_ring = members.groupby("ring_id").agg(
        accounts=("account_id", "nunique"), devices=("device_id", "nunique"),
        addresses=("delivery_address", "nunique"), payers=("payer", "nunique"),
    )  # fmt: skip
    assert len(by_ring) == 3
    assert by_ring["accounts"].between(6, 14).all()
    assert (by_ring["devices"] <= 2).all()
    assert (by_ring[["addresses", "payers"]] == 1).all(axis=None)
    assert members["delivery_address"].nunique() == members["payer"].nunique() == len(by_ring)


def test_rings_order_in_the_web_shop_without_looking(spark: SparkSession, world: Path) -> None:
    members, orders = told(spark, world, "brushing_rings"), told(spark, world, "brushed_orders")
    assert orders["is_return"].mean() == pytest.approx(0.6 / 1.6, abs=0.12)
    placed = lines(spark, world, "web_orders").where(F.col("account_id").isin(list(members["account_id"])))
    assert {row[0] for row in placed.select("order_id").distinct().collect()} == set(orders["order_id"])
    assert placed.select("product_id").distinct().count() <= 2 * members["ring_id"].nunique()
    told_events = events(spark, world).where(F.col("userId").isin(list(members["account_id"]))).toPandas()
    assert set(told_events["event"]) == {"Order Completed"}
    assert set(told_events["context"].map(lambda context: context["device"]["id"])) <= set(members["device_id"])


def test_no_person_uses_what_a_ring_or_bot_is_known_by(spark: SparkSession, world: Path) -> None:
    persons = told(spark, world, "identifiers")
    rings_known, bots = told(spark, world, "brushing_rings"), told(spark, world, "bots")
    others = {*rings_known["account_id"], *rings_known["device_id"], *bots["device_id"]}
    assert not others & set(persons["value"])


def test_bots_are_fast_and_only_some_say_what_they_are(spark: SparkSession, world: Path) -> None:
    bots = told(spark, world, "bots")
    assert len(bots) == 2
    seen = events(spark, world).select(
        F.col("context.device.id").alias("device_id"), "context.userAgent", "context.ip", "event", "userId",
        F.unix_millis(F.to_timestamp("timestamp")).alias("at"),
    ).toPandas()  # fmt: skip
    of_bots = seen[seen["device_id"].isin(bots["device_id"])].sort_values("at")
    gaps = of_bots.groupby("device_id")["at"].diff().dropna()
    assert (gaps < 1000).mean() > 0.95
    assert of_bots["userId"].isna().all()
    said = of_bots.assign(told=of_bots["userAgent"].str.contains("example|requests|X11|bot"))
    declared = said.groupby("device_id")["told"].agg(["min", "max"])
    assert (declared["min"] == declared["max"]).all()
    assert set(declared.index[declared["max"]]) == set(bots.loc[bots["is_declared"], "device_id"])
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
