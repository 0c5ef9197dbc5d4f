"""The simulated world: pure in its seed, whole in its files, and true to its own truth."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.lakehouse.settings import WorldSettings
from jobs.simulate import draws, folders, raw_files, truth
from jobs.simulate.assortment import assortment
from jobs.simulate.contacts import contacts, phones
from jobs.simulate.events import event_batch
from jobs.simulate.local_time import utc_seconds
from jobs.simulate.orders import orders, organic_orders
from jobs.simulate.people import people
from jobs.simulate.registrations import account_batch, card_batch
from jobs.simulate.sales import sale_batch, sales
from jobs.simulate.seasons import day_count, season_factors, season_until

BATCHES = [
    pytest.param(lambda s, p: sale_batch(True, s, p), id="web_orders"),
    pytest.param(lambda s, p: sale_batch(False, s, p), id="pos_receipts"),
    pytest.param(event_batch, id="app_events"),
]
Batch = Callable[[WorldSettings, draws.Integers], draws.Columns]
SMALL = WorldSettings(seed=7, customers=300, weeks=30, truth_weeks_ahead=4, duplicate_share=0.05, bad_date_share=0.02)


def frame(columns: draws.Columns) -> pd.DataFrame:
    rows = pd.DataFrame(dict(columns))
    return rows.sort_values(list(rows.columns)).reset_index(drop=True)


def digests(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith("."))
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def world(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    assert raw_files.write_raw_files(spark, SMALL, f"{folder}/raw")
    assert truth.write_truth(spark, SMALL, f"{folder}/truth")
    return folder


def read_feed(spark: SparkSession, world: Path, feed: str) -> DataFrame:
    if feed == "app_events":
        return spark.read.text(f"{world}/raw/{feed}")
    return spark.read.options(header=True, multiLine=True, quote='"', escape='"').csv(f"{world}/raw/{feed}")


@pytest.mark.parametrize("batch", BATCHES)
def test_rows_of_a_person_do_not_depend_on_who_comes_along(batch: Batch) -> None:
    whole = frame(batch(SMALL, np.arange(60)))
    parts = [pd.DataFrame(dict(batch(SMALL, persons))) for persons in (np.arange(41, 60), np.arange(41))]
    together = pd.concat(parts).sort_values(list(whole.columns)).reset_index(drop=True)
    pd.testing.assert_frame_equal(whole, together)


@pytest.mark.parametrize("batch", BATCHES)
def test_another_seed_is_another_world(batch: Batch) -> None:
    one, other = (frame(batch(SMALL.model_copy(update={"seed": seed}), np.arange(60))) for seed in (7, 8))
    assert not one.equals(other)


def test_the_first_and_the_last_of_ten_million_persons_have_ids_of_their_own() -> None:
    """The numbers behind the ids are pieced together from persons, visits and places: wide enough for the largest world."""
    large = WorldSettings(customers=10_000_000)
    some = [np.arange(first, first + 1000) for first in (0, 5_000_000, large.customers - 1000)]
    told = {
        "message": [event_batch(large, persons)["message"] for persons in some],
        "account": [account_batch(large, persons)["number"] for persons in some],
        "card": [card_batch(large, persons)["number"] for persons in some],
        "order": [
            np.concatenate([sale_batch(is_online, large, persons)["order_number"] for is_online in (True, False)])
            for persons in some
        ],
    }
    for name, parts in told.items():
        ids = [set(part.tolist()) for part in parts]
        assert len(set.union(*ids)) == sum(map(len, ids)) > 0, f"{name}: somebody far away has the same"
    assert len(set(told["message"][-1].tolist())) == len(told["message"][-1])
    assert len(set(told["card"][-1].tolist())) == len(told["card"][-1])


def test_rows_do_not_depend_on_partitions(spark: SparkSession) -> None:
    one, seven = (sales(spark, SMALL, is_online=True, partitions=count) for count in (1, 7))
    assert one.exceptAll(seven).isEmpty()
    assert one.count() == seven.count() > 0


@pytest.mark.long
def test_the_same_seed_writes_the_same_files(spark: SparkSession, world: Path, tmp_path: Path) -> None:
    assert raw_files.write_raw_files(spark, SMALL, f"{tmp_path}/again")
    again, before = digests(tmp_path / "again"), digests(world / "raw")
    assert again == before
    assert {"web_orders/web_orders-2024-02.csv", "app_events/app_events-2024-02.json", "stores/stores.csv"} <= set(
        again
    )
    assert not [name for name in again if "/_" in name]


def test_a_world_is_written_once(spark: SparkSession, world: Path) -> None:
    assert not raw_files.write_raw_files(spark, SMALL, f"{world}/raw")
    with pytest.raises(folders.WorldExistsError, match="seed"):
        raw_files.write_raw_files(spark, SMALL.model_copy(update={"seed": 8}), f"{world}/raw")
    with pytest.raises(folders.WorldExistsError, match="not empty"):
        truth.write_truth(spark, SMALL, f"{world}/raw/stores")


@pytest.mark.parametrize("feed", ["web_orders", "pos_receipts", "app_events"])
def test_the_files_hold_as_many_rows_and_copies_as_the_truth_says(spark: SparkSession, world: Path, feed: str) -> None:
    rows = read_feed(spark, world, feed)
    told = spark.read.parquet(f"{world}/truth/feeds").where(F.col("feed") == feed).first()
    assert told is not None
    distinct = rows.distinct().count()
    assert (distinct - told.near_duplicate_rows, rows.count() - distinct) == (told.true_rows, told.duplicate_rows)
    assert told.duplicate_rows > 0
    if feed != "app_events":
        at = "ordered_at" if feed == "web_orders" else "sold_at"
        is_bad = F.expr(
            f"try_to_timestamp({at}, 'yyyy-MM-dd HH:mm:ss') IS NULL OR try_cast(unit_price AS double) IS NULL"
        )
        assert rows.distinct().where(is_bad).count() == told.bad_rows > 0


def test_every_identifier_in_the_files_is_known_to_the_truth(spark: SparkSession, world: Path) -> None:
    known = {row.value for row in spark.read.parquet(f"{world}/truth/identifiers").collect()}
    known |= {row.account_id for row in spark.read.parquet(f"{world}/truth/brushing_rings").collect()}
    orders_told, cards = read_feed(spark, world, "web_orders"), read_feed(spark, world, "member_cards")
    emails = {row[0] for row in orders_told.select(F.lower(F.trim("guest_email"))).distinct().collect()}
    accounts = {row[0] for row in orders_told.select("account_id").distinct().collect()}
    numbers = {row[0] for row in cards.select("card_no").distinct().collect()}
    digits = F.right(
        F.regexp_replace(F.translate("phone", "０１２３４５６７８９", "0123456789"), "[^0-9]", ""), F.lit(11)
    )
    phones_told = {f"+86{row[0]}" for row in cards.where("phone IS NOT NULL").select(digits).collect()}
    assert (emails | accounts | numbers) - {None} <= known
    assert phones_told <= known


def test_who_dropped_out_orders_no_more() -> None:
    settings = WorldSettings(customers=3000)
    crowd = people(settings, np.arange(settings.customers))
    placed = orders(settings, crowd)
    assert (placed.day <= crowd.active_until[placed.owner]).all()
    assert (placed.day >= crowd.active_from[placed.owner]).all()
    assert (placed.day < day_count(settings)).all()


def test_order_counts_are_poisson_around_their_expectation() -> None:
    settings = WorldSettings(customers=3000)
    crowd = people(settings, np.arange(settings.customers))
    span = [
        season_until(settings, np.clip(at, 0, day_count(settings))) for at in (crowd.active_from, crowd.active_until)
    ]
    mean = crowd.order_rate * (span[1] - span[0])
    counts = np.bincount(organic_orders(settings, crowd).owner, minlength=settings.customers)
    assert abs(counts.sum() - mean.sum()) < 4 * np.sqrt(mean.sum())
    alive = mean > 0.05
    dispersion = ((counts - mean)[alive] ** 2 / mean[alive]).mean()
    assert dispersion == pytest.approx(1, abs=0.25)


def test_expected_demand_is_what_is_sold(spark: SparkSession) -> None:
    settings = WorldSettings(customers=3000, truth_weeks_ahead=4)
    expected = truth.demand(spark, settings).toPandas()
    inside = expected[pd.to_datetime(expected["week_start_date"]).dt.date <= settings.last_day]
    for is_online, stores in ((True, ["WEB"]), (False, [f"S{n:03d}" for n in range(1, 6)])):
        sold = pd.DataFrame(dict(sale_batch(is_online, settings, np.arange(settings.customers))))
        honest = sold[~sold["is_return"] & (sold["ring"] < 0)]
        units = honest.groupby("product")["true_quantity"].sum()
        wanted = inside[inside["store_id"].isin(stores)].groupby("product_id")["expected_units"].sum()
        scores = (units.to_numpy() - wanted.to_numpy()) / np.sqrt(wanted.to_numpy() * 1.3)
        assert np.abs(scores).max() < 5
        assert abs(units.sum() / wanted.sum() - 1) < 0.03


def test_demand_is_told_for_each_product_store_and_week_ahead(spark: SparkSession, world: Path) -> None:
    told = spark.read.parquet(f"{world}/truth/demand")
    assert told.count() == SMALL.products * (SMALL.stores + 1) * (SMALL.weeks + SMALL.truth_weeks_ahead)
    assert told.where("weekday(week_start_date) <> 0 OR expected_units < 0").isEmpty()
    assert spark.read.parquet(f"{world}/truth/persons").count() == SMALL.customers
    assert spark.read.parquet(f"{world}/truth/calendar").count() == 7 * (SMALL.weeks + SMALL.truth_weeks_ahead)


def test_phones_are_never_shared_by_construction() -> None:
    persons = np.arange(200_000)
    numbers = np.concatenate([phones(SMALL, persons, which) for which in (0, 1)])
    assert len(np.unique(numbers)) == len(numbers)
    assert ((numbers > 13 * 10**9) & (numbers < 19 * 10**9)).all()


def test_a_lent_phone_stands_on_the_partner_card() -> None:
    settings = WorldSettings(customers=3001)
    known = contacts(settings, people(settings, np.arange(settings.customers)))
    borrowers = np.flatnonzero(known.partner_phone >= 0)
    assert len(borrowers) > 30
    assert known.lends_phone[borrowers ^ 1].all()
    assert known.lends_phone.sum() == len(borrowers)
    assert (known.card_phone[borrowers] == known.phone[borrowers ^ 1]).all()


def test_choice_is_a_distribution_and_drawn_as_such() -> None:
    goods = assortment(SMALL)
    assert np.allclose(goods.choice.sum(axis=2), 1)
    draw = (np.arange(100_000) + 0.5) / 100_000
    found = goods.chosen_products(draw, np.full(100_000, 2), np.full(100_000, 5))
    assert np.allclose(np.bincount(found, minlength=SMALL.products) / 100_000, goods.choice[2, 5], atol=1e-4)


def test_the_season_is_one_on_average_and_peaks_on_singles_day() -> None:
    factors = season_factors(WorldSettings())
    assert factors[:364].mean() == pytest.approx(1)
    assert factors[:364].argmax() == 315  # 2024-11-11


def test_poisson_quantiles_are_scipys() -> None:
    from scipy import stats

    shares = draws.uniform(1, draws.Stream.LATE, np.arange(2000))
    means = draws.uniform(1, draws.Stream.LATE, np.arange(2000), 1) * 50
    assert (draws.poisson_quantile(shares, means) == stats.poisson.ppf(shares, means)).all()


@pytest.mark.parametrize(
    ("zone", "wall", "utc"),
    [
        ("Asia/Shanghai", "2024-05-01T02:00:00", "2024-04-30T18:00:00"),
        ("Europe/Berlin", "2024-07-01T02:00:00", "2024-07-01T00:00:00"),
        ("Europe/Berlin", "2024-12-01T02:00:00", "2024-12-01T01:00:00"),
    ],
)
def test_wall_clocks_follow_their_zone(zone: str, wall: str, utc: str) -> None:
    settings = WorldSettings(time_zone=zone)
    seconds = np.array([wall], dtype="datetime64[s]").astype(np.int64)
    assert utc_seconds(settings, seconds).astype("datetime64[s]")[0] == np.datetime64(utc)
