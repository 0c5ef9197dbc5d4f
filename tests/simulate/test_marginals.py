"""The world beside real retailers: its marginals lie where theirs do, as far as the page about the world claims it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from jobs.lakehouse.settings import WorldSettings
from jobs.simulate.names import given_names, surnames
from jobs.simulate.orders import order_lines, orders
from jobs.simulate.people import people

SETTINGS = WorldSettings(customers=8000)


@pytest.fixture(scope="module")
def world() -> pd.DataFrame:
    """One row per order of the world: customer, day, hour, lines."""
    placed = orders(SETTINGS, people(SETTINGS, np.arange(SETTINGS.customers)))
    return pd.DataFrame(
        {
            "customer": placed.owner,
            "day": pd.Timestamp(SETTINGS.start_date) + pd.to_timedelta(placed.day, unit="D"),
            "hour": placed.second // 3600,
            "lines": np.bincount(order_lines(SETTINGS, placed).order),
        }
    )


@pytest.fixture(scope="module")
def cdnow(test_data: Path) -> pd.DataFrame:
    """One row per purchase of a web shop for music, 1997."""
    names = ["customer", "day", "pieces", "amount"]
    rows = pd.read_csv(test_data / "cdnow/CDNOW_master.txt.gz", sep=r"\s+", skiprows=1, names=names)
    return rows.assign(day=pd.to_datetime(rows["day"].astype(str), format="%Y%m%d"))


@pytest.fixture(scope="module")
def online_retail(test_data: Path) -> pd.DataFrame:
    """One row per order of a British web shop for gifts, 2011."""
    rows = (
        pd.read_csv(test_data / "online-retail/online_retail.csv.gz").query("Quantity > 0").dropna(subset="CustomerID")
    )
    at = pd.to_datetime(rows["InvoiceDate"])
    found = rows.assign(at=at).groupby("InvoiceNo").agg(
        customer=("CustomerID", "first"), at=("at", "min"), lines=("Quantity", "size")
    )  # fmt: skip
    return found.assign(day=found["at"].dt.normalize(), hour=found["at"].dt.hour)


@pytest.fixture(scope="module")
def olist(test_data: Path) -> pd.DataFrame:
    """One row per order of a Brazilian marketplace, 2016 to 2018."""
    rows = pd.read_csv(test_data / "olist/olist_orders_dataset.csv.gz")
    lines = pd.read_csv(test_data / "olist/olist_order_items_dataset.csv.gz").groupby("order_id").size().rename("lines")
    return rows.assign(hour=pd.to_datetime(rows["order_purchase_timestamp"]).dt.hour).join(lines, on="order_id")


def gaps(orders_of: pd.DataFrame) -> pd.Series:
    """Days between a customer's order days."""
    days = orders_of[["customer", "day"]].drop_duplicates().sort_values(["customer", "day"])
    found: pd.Series = days.groupby("customer")["day"].diff().dt.days.dropna()
    return found


def recency(orders_of: pd.DataFrame) -> pd.Series:
    """Days since each customer's last order, as a share of the days that the set covers."""
    last, end, begin = orders_of.groupby("customer")["day"].max(), orders_of["day"].max(), orders_of["day"].min()
    shares: pd.Series = (end - last).dt.days / (end - begin).days
    return shares


def test_days_between_orders_spread_as_widely_as_real_ones(
    world: pd.DataFrame, cdnow: pd.DataFrame, online_retail: pd.DataFrame
) -> None:
    found = gaps(world)
    variation = found.std() / found.mean()
    assert variation > 1, "wider than a Poisson process of one rate"
    for real in (gaps(cdnow), gaps(online_retail)):
        assert variation == pytest.approx(real.std() / real.mean(), rel=0.2)
        tail = real.quantile(0.9) / real.median()
        assert found.quantile(0.9) / found.median() == pytest.approx(tail, rel=0.35)


def test_customers_are_as_long_gone_as_those_of_a_real_shop(world: pd.DataFrame, online_retail: pd.DataFrame) -> None:
    shares = [0.25, 0.5, 0.75, 0.9]
    assert recency(world).quantile(shares).to_numpy() == pytest.approx(
        recency(online_retail).quantile(shares).to_numpy(), abs=0.08
    )


def test_the_hours_of_the_day_are_busy_as_a_marketplace_is(world: pd.DataFrame, olist: pd.DataFrame) -> None:
    ours, theirs = (
        rows["hour"].value_counts(normalize=True).reindex(range(24), fill_value=0.0) for rows in (world, olist)
    )
    assert 0.5 * np.abs(ours - theirs).sum() < 0.15, "the total variation: the share of orders at other hours"
    assert ours[2:6].sum() < 0.03


def test_baskets_lie_between_those_of_real_shops(
    world: pd.DataFrame, olist: pd.DataFrame, online_retail: pd.DataFrame
) -> None:
    least, most = olist["lines"].mean(), online_retail["lines"].mean()
    assert least < world["lines"].mean() < most
    single = [(rows["lines"].dropna() == 1).mean() for rows in (online_retail, world, olist)]
    assert single == sorted(single)


def test_orders_of_customers_are_as_unequal_as_real_ones(world: pd.DataFrame, online_retail: pd.DataFrame) -> None:
    """Half of the orders come from about as many customers as in the real shop."""
    shares = []
    for rows in (world, online_retail):
        counts = np.sort(rows.groupby("customer").size().to_numpy())[::-1]
        shares.append((np.searchsorted(np.cumsum(counts), counts.sum() / 2) + 1) / len(counts))
    assert shares[0] == pytest.approx(shares[1], abs=0.06)


def test_names_are_about_as_common_as_in_the_register() -> None:
    """China's Ministry of Public Security, 2007 and 2019: see the module of names."""
    persons = np.arange(400_000)
    family, given = surnames(7, persons), given_names(7, persons)
    shares = np.sort(np.bincount(family))[::-1] / len(persons)
    assert shares[:3] == pytest.approx([0.0725, 0.0719, 0.0683], rel=0.25), "here a hundred surnames are all there are"
    assert shares[9] > 0.015
    assert 0.008 < shares[21] < 0.015
    full = pd.Series(family * 2**20 + given).value_counts() / len(persons)
    assert 0.0001 < full.max() < 0.0005, "Zhang Wei: 0.00021"
    assert 1 / 150_000 < (full**2).sum() < 1 / 40_000, "two persons of one name"
