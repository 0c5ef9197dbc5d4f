"""The world beside real retailers: its marginals lie where theirs do, as far as the page about the world claims it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from jobs.lakehouse.settings import WorldSettings
from jobs.simulate.assortment import PRICE_ELASTICITIES
from jobs.simulate.contacts import contacts
from jobs.simulate.market import CATEGORIES
from jobs.simulate.names import given_names, surnames
from jobs.simulate.orders import order_lines, orders
from jobs.simulate.people import people
from jobs.simulate.visits import VIEW_SPAN, visit_events, visits

SETTINGS = WorldSettings(customers=8000)


@pytest.fixture(scope="module")
def world() -> pd.DataFrame:
    """One row per order of the world: customer, day, hour, whether online, lines, pieces."""
    placed = orders(SETTINGS, people(SETTINGS, np.arange(SETTINGS.customers)))
    sold = order_lines(SETTINGS, placed)
    return pd.DataFrame(
        {
            "customer": placed.owner,
            "day": pd.Timestamp(SETTINGS.start_date) + pd.to_timedelta(placed.day, unit="D"),
            "hour": placed.second // 3600,
            "is_online": placed.is_online,
            "lines": np.bincount(sold.order),
            "pieces": np.bincount(sold.order, weights=sold.quantity),
        }
    )


@pytest.fixture(scope="module")
def views() -> pd.DataFrame:
    """One row per product view of a visit without an order, of who opens no tabs: session, time in seconds."""
    settings = SETTINGS.model_copy(update={"eager_share": 0.0, "weeks": 30})
    crowd = people(settings, np.arange(settings.customers))
    seen = visit_events(settings, crowd, visits(settings, crowd, contacts(settings, crowd)))
    return pd.DataFrame({"session": seen.key // 2 // VIEW_SPAN, "second": seen.happened_ms / 1000})


@pytest.fixture(scope="module")
def yoochoose(test_data: Path) -> pd.DataFrame:
    """One row per click of a web shop's sessions, 2014, those of a single click left out: session, time in seconds."""
    files = [
        test_data / f"yoochoose-clicks-100k/yoochoose-clicks-100k_{part}.txt.gz" for part in ("train_full", "test")
    ]
    rows = pd.concat([pd.read_csv(file, sep="\t") for file in files])
    return rows.rename(columns={"SessionId": "session", "Time": "second"}).sort_values(["session", "second"])


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


@pytest.fixture(scope="module")
def grocer(test_data: Path) -> pd.DataFrame:
    """One row per sampled line of American groceries, 2017: its day and hour. A sample of lines says nothing of baskets and gaps."""
    file = test_data / "complete-journey-sample/transactions_sample.csv.gz"
    at = pd.to_datetime(pd.read_csv(file, usecols=["transaction_timestamp"])["transaction_timestamp"], utc=True)
    there = at.dt.tz_convert("America/New_York").dt.tz_localize(None)
    return pd.DataFrame({"day": there.dt.normalize(), "hour": there.dt.hour})


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


def test_days_between_orders_spread_as_in_one_real_shop_or_another(
    world: pd.DataFrame, cdnow: pd.DataFrame, online_retail: pd.DataFrame
) -> None:
    """In medians: both shops sell to who comes back, at times of their own; the world has to lie between the two all along."""
    levels = [0.1, 0.25, 0.75, 0.9, 0.99]
    ours, *theirs = (gaps(rows).quantile(levels) / gaps(rows).median() for rows in (world, cdnow, online_retail))
    for level in levels:
        least, most = sorted(real[level] for real in theirs)
        assert least <= ours[level] <= most, f"{level:.0%} quantile, in medians"


def test_customers_are_as_long_gone_as_those_of_a_real_shop(world: pd.DataFrame, online_retail: pd.DataFrame) -> None:
    """To three weeks of a year. CDNOW's customers all began in one quarter, and Olist's come once: there is nothing to compare with."""
    shares = [0.1, 0.25, 0.5, 0.75, 0.9]
    assert recency(world).quantile(shares).to_numpy() == pytest.approx(
        recency(online_retail).quantile(shares).to_numpy(), abs=0.06
    )


def hours(orders_of: pd.DataFrame) -> pd.Series:
    """The share of each hour of the day."""
    return orders_of["hour"].value_counts(normalize=True).reindex(range(24), fill_value=0.0)


def at_other_hours(one: pd.Series, other: pd.Series) -> float:
    """The total variation of two days: which share of the orders would have to come at another hour."""
    return float(0.5 * np.abs(one - other).sum())


def test_online_hours_are_busy_as_a_marketplace_is(world: pd.DataFrame, olist: pd.DataFrame) -> None:
    ours = hours(world[world["is_online"]])
    assert at_other_hours(ours, hours(olist)) < 0.06
    assert ours[2:6].sum() < 0.03


def test_stores_sell_while_they_are_open_and_then_as_a_grocer_does(world: pd.DataFrame, grocer: pd.DataFrame) -> None:
    ours, theirs = hours(world[~world["is_online"]]), hours(grocer)
    assert ours[10:22].sum() == pytest.approx(1)
    assert at_other_hours(ours, theirs.where(theirs.index.isin(range(10, 22)), 0) / theirs[10:22].sum()) < 0.03


def test_baskets_lie_between_those_of_real_shops(
    world: pd.DataFrame, olist: pd.DataFrame, online_retail: pd.DataFrame
) -> None:
    least, most = olist["lines"].mean(), online_retail["lines"].mean()
    assert least < world["lines"].mean() < most
    single = [(rows["lines"].dropna() == 1).mean() for rows in (online_retail, world, olist)]
    assert single == sorted(single)


def test_baskets_are_as_large_as_those_of_a_web_shop(world: pd.DataFrame, cdnow: pd.DataFrame) -> None:
    """In pieces, from the single one to the largest thousandth."""
    ours, theirs = world["pieces"], cdnow["pieces"]
    assert ours.mean() == pytest.approx(theirs.mean(), rel=0.1)
    assert (ours == 1).mean() == pytest.approx((theirs == 1).mean(), abs=0.05)
    for level, most in ((0.5, 0), (0.75, 0), (0.9, 0), (0.95, 1), (0.99, 2), (0.999, 6)):
        assert ours.quantile(level) == pytest.approx(theirs.quantile(level), abs=most), f"{level:.1%} quantile"


def size_again(orders_of: pd.DataFrame, size: str) -> float:
    """The rank correlation of an order's size with that of the customer's order before."""
    placed = orders_of.sort_values(["customer", "day"], kind="stable")
    before = placed.groupby("customer")[size].shift()
    return float(placed[size].corr(before, method="spearman"))


def test_who_bought_much_at_once_does_so_again_as_in_real_shops(
    world: pd.DataFrame, cdnow: pd.DataFrame, online_retail: pd.DataFrame
) -> None:
    assert size_again(world, "pieces") == pytest.approx(size_again(cdnow, "pieces"), abs=0.1)
    assert size_again(world, "lines") == pytest.approx(size_again(online_retail, "lines"), abs=0.1)


def test_orders_of_customers_are_as_unequal_as_real_ones(world: pd.DataFrame, online_retail: pd.DataFrame) -> None:
    """Half of the orders come from about as many customers as in the real shop."""
    shares = []
    for rows in (world, online_retail):
        counts = np.sort(rows.groupby("customer").size().to_numpy())[::-1]
        shares.append((np.searchsorted(np.cumsum(counts), counts.sum() / 2) + 1) / len(counts))
    assert shares[0] == pytest.approx(shares[1], abs=0.06)


def test_sessions_are_as_long_as_those_of_a_web_shop(views: pd.DataFrame, yoochoose: pd.DataFrame) -> None:
    """Of the sessions with two views or more: the real set has no others."""
    ours, theirs = (rows.groupby("session").size().loc[lambda count: count > 1] for rows in (views, yoochoose))
    assert ours.mean() == pytest.approx(theirs.mean(), rel=0.1)
    for least in (3, 5, 10):
        assert (ours >= least).mean() == pytest.approx((theirs >= least).mean(), rel=0.25), f"{least} views or more"


def test_views_follow_one_another_as_in_a_web_shop(views: pd.DataFrame, yoochoose: pd.DataFrame) -> None:
    ours, theirs = (rows.groupby("session")["second"].diff().dropna() for rows in (views, yoochoose))
    for level in (0.1, 0.25, 0.5, 0.75, 0.9, 0.95):
        assert ours.quantile(level) == pytest.approx(theirs.quantile(level), rel=0.15), f"{level:.0%} quantile"


def test_snacks_answer_to_their_price_as_juice_does(test_data: Path) -> None:
    """Dominick's: how much more of a brand a store sells in its cheaper weeks, in logarithms."""
    rows = pd.read_csv(test_data / "dominicks-orange-juice/yx.csv.gz")
    prices = rows[[f"price{brand}" for brand in range(1, 12)]].to_numpy()
    told = pd.DataFrame(
        {
            "product": rows["store"] * 100 + rows["brand"],
            "sold": rows["logmove"],
            "price": np.log(prices[np.arange(len(rows)), rows["brand"] - 1]),
        }
    )
    off = told[["sold", "price"]] - told.groupby("product")[["sold", "price"]].transform("mean")
    found = -(off["sold"] * off["price"]).sum() / (off["price"] ** 2).sum()
    assert PRICE_ELASTICITIES[CATEGORIES.index("Snacks")] == pytest.approx(found, abs=0.3)


def weekday_shares(orders_of: pd.DataFrame) -> pd.Series:
    """The share of each day of the week, Monday first."""
    found: pd.Series = orders_of["day"].dt.dayofweek.value_counts(normalize=True).sort_index()
    return found


def test_the_days_of_the_week_are_those_of_a_grocer(world: pd.DataFrame, grocer: pd.DataFrame) -> None:
    """In the web shop, too, where a marketplace has its Mondays: the page says so."""
    assert weekday_shares(world).to_numpy() == pytest.approx(weekday_shares(grocer).to_numpy(), abs=0.025)


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
