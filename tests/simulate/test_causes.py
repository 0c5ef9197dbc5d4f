"""What moves demand from outside: trends, a competitor and rain; each is told, found in what is drawn, and expected as it is drawn."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from jobs.lakehouse.settings import WorldSettings
from jobs.simulate.ads import ad_lifts
from jobs.simulate.assortment import (
    LIST_PRICE_CHANGES_PER_YEAR,
    PRICE_ELASTICITIES,
    PROMOTION_DEPTHS,
    assortment,
    store_ids,
)
from jobs.simulate.draws import Columns, Integers, Numbers
from jobs.simulate.expectation import by_week, expected_lines
from jobs.simulate.market import (
    CATEGORIES,
    CATEGORY_WAVE,
    COMPETITOR_DEPTHS,
    COMPETITOR_PRICES,
    CROSS_ELASTICITY,
    SEARCH_LEADS_WEEKS,
    TREND_SWING,
    competitor_factors,
    competitor_prices,
    interest,
)
from jobs.simulate.orders import order_lines, orders
from jobs.simulate.outside import trend_rows
from jobs.simulate.people import people
from jobs.simulate.seasons import day_count, raw_factor, season_factors, season_until
from jobs.simulate.weather import RAIN_MOVES_ONLINE, moved_online

# With many products, no promotion of ours moves a category by itself.
SETTINGS = WorldSettings(seed=17, customers=20_000, weeks=80, truth_weeks_ahead=4, products=240)
PERSONS = np.arange(SETTINGS.customers)
CROWD = people(SETTINGS, PERSONS)
PLACED = orders(SETTINGS, CROWD)
LINES = order_lines(SETTINGS, PLACED)
WEEKS = np.arange(SETTINGS.weeks)


def frame(columns: Columns) -> pd.DataFrame:
    return pd.DataFrame(dict(columns))


def told_series(name: str) -> Numbers:
    """The values of the trend series of each category whose name begins so, by [week, category]."""
    told = pd.DataFrame(trend_rows(SETTINGS)).assign(value=lambda rows: rows["value"].astype(float))
    return np.column_stack([told.loc[told["series"] == f"{name} {category}", "value"] for category in CATEGORIES])


def shares_drawn() -> Numbers:
    """The share of each category in the lines drawn, by [week, category]."""
    category = assortment(SETTINGS).category[LINES.product]
    counts = np.zeros((SETTINGS.weeks, len(CATEGORIES)))
    np.add.at(counts, (LINES.day // 7, category), 1)
    return np.asarray(counts / counts.sum(axis=1, keepdims=True))


def yearly_wave(weeks: Integers) -> Numbers:
    """The logarithm of the wave of the year, by [week, category], which every forecast knows."""
    year_share = (1 + 7 * weeks[:, None]) / 365.25 - np.arange(len(CATEGORIES))[None, :] / len(CATEGORIES)
    return np.asarray(np.log(1 + CATEGORY_WAVE * np.cos(2 * np.pi * year_share)))


def beside_others(values: Numbers, weeks: Integers) -> Numbers:
    """The logarithms of values by [week, category] without the wave of the year, and without their mean over categories."""
    left = np.log(values) - yearly_wave(weeks)
    return np.asarray(left - left.mean(axis=1, keepdims=True))


def test_searches_tell_of_what_is_bought_two_weeks_later() -> None:
    searched = beside_others(told_series("search"), WEEKS + SEARCH_LEADS_WEEKS)
    bought = beside_others(shares_drawn(), WEEKS)
    together = []
    for lead in range(6):
        pairs = zip(searched[: SETTINGS.weeks - lead].T, bought[lead:].T, strict=True)
        together.append(float(np.mean([np.corrcoef(index, share)[0, 1] for index, share in pairs])))
    assert together[SEARCH_LEADS_WEEKS] > 0.6
    assert int(np.argmax(together)) in (SEARCH_LEADS_WEEKS - 1, SEARCH_LEADS_WEEKS, SEARCH_LEADS_WEEKS + 1)
    assert together[SEARCH_LEADS_WEEKS] > together[0]


def test_trends_move_slowly_and_each_category_by_itself() -> None:
    long = SETTINGS.model_copy(update={"weeks": 400})
    weeks = np.arange(long.weeks)
    trend = np.log(interest(long, weeks)) - yearly_wave(weeks)
    assert trend.std(axis=0).min() > 0.1
    assert trend.std(axis=0).max() < 0.3
    steps = np.abs(np.diff(trend, axis=0))
    assert steps.max() < 0.6 * TREND_SWING
    assert steps.mean() < 0.3 * trend.std()
    alike = np.asarray(np.corrcoef(trend.T))[np.triu_indices(len(CATEGORIES), 1)]
    assert np.abs(alike).max() < 0.6
    assert (interest(SETTINGS, WEEKS) == interest(long, WEEKS)).all(), "whatever the world's length"


def test_a_competitors_prices_are_told() -> None:
    prices = told_series("competitor price")
    assert np.abs(prices - 100 * competitor_prices(SETTINGS, WEEKS)).max() < 0.01
    is_promoted = prices < 100 * COMPETITOR_PRICES[0] - 1
    assert 0.05 < is_promoted.mean() < 0.16
    assert (prices[is_promoted] <= 100 * COMPETITOR_PRICES[1] * (1 - COMPETITOR_DEPTHS[0])).all()


def test_a_competitors_promotion_takes_demand_from_its_category() -> None:
    """Beside the other categories, and the weeks before and after, so that neither season nor trend is meant."""
    shares, factors = shares_drawn(), np.log(competitor_factors(SETTINGS, WEEKS))
    is_promoted = competitor_prices(SETTINGS, WEEKS) < COMPETITOR_PRICES[0] - 0.01
    lost, wanted = [], []
    for category in range(len(CATEGORIES)):
        for week in range(4, SETTINGS.weeks - 4, 2):
            promoted, around = [week, week + 1], [week - 2, week - 1, week + 2, week + 3]
            if is_promoted[promoted, category].all() and not is_promoted[around, category].any():
                odds = np.log(shares[:, category] / (1 - shares[:, category]))
                others = np.delete(factors, category, axis=1).mean(axis=1)
                lost.append(odds[promoted].mean() - odds[around].mean())
                beside = factors[:, category] - others
                wanted.append(beside[promoted].mean() - beside[around].mean())
    assert len(lost) > 10
    assert np.mean(lost) < -0.08
    assert np.mean(lost) == pytest.approx(np.mean(wanted), abs=0.05)


def test_a_competitors_promotion_takes_demand_from_all() -> None:
    days = np.arange(day_count(SETTINGS))
    alone = np.array([raw_factor(SETTINGS.start_date + dt.timedelta(days=number)) for number in days.tolist()])
    alone *= 1 + ad_lifts(SETTINGS).sum(axis=1)[: len(days)]
    left = season_factors(SETTINGS)[: len(days)] / alone
    prices = competitor_prices(SETTINGS, WEEKS)
    means = (prices**CROSS_ELASTICITY).mean(axis=1)[days // 7]
    assert means.std() > 0.01
    assert left / means == pytest.approx(left[0] / means[0])


def test_rain_moves_orders_from_a_citys_stores_to_the_web_shop() -> None:
    moved = moved_online(SETTINGS)
    assert moved.shape == (SETTINGS.stores, 7 * (SETTINGS.weeks + SETTINGS.truth_weeks_ahead))
    assert set(np.unique(moved)) == {0.0, RAIN_MOVES_ONLINE}
    told = pd.DataFrame(trend_rows(SETTINGS)).assign(value=lambda rows: rows["value"].astype(float))
    shanghai = told.loc[told["series"] == "rain Shanghai", "value"].to_numpy()
    assert ((moved[0, : len(shanghai)] > 0) == (shanghai == 1)).all(), "the feed tells the same rain"
    at_home = moved[CROWD.home_store[PLACED.owner], PLACED.day]
    in_store = ~PLACED.is_online
    dry, rainy = in_store[at_home == 0].mean(), in_store[at_home > 0].mean()
    assert rainy / dry == pytest.approx(1 - RAIN_MOVES_ONLINE, abs=0.03)


def test_expected_lines_of_each_store_and_week_are_those_drawn() -> None:
    """Of a sum of orders of different sizes, the sum of their squares estimates the variance."""
    told = frame(expected_lines(SETTINGS, PERSONS))
    wanted = told.pivot(index="store", columns="week", values="expected_lines").to_numpy()[:, : SETTINGS.weeks]
    drawn, variance, cells = np.zeros_like(wanted), np.zeros_like(wanted), (PLACED.store, PLACED.day // 7)
    of_order = np.bincount(LINES.order, minlength=len(PLACED.key))
    np.add.at(drawn, cells, of_order)
    np.add.at(variance, cells, of_order**2)
    assert len(wanted) == len(store_ids(SETTINGS))
    assert ((drawn - wanted) / np.sqrt(variance)).std() == pytest.approx(1, abs=0.12)
    by_store = (drawn - wanted).sum(axis=1) / np.sqrt(variance.sum(axis=1))
    assert np.abs(by_store).max() < 4
    assert by_store.std() == pytest.approx(1, abs=0.5)


def test_expected_lines_of_each_category_are_those_drawn() -> None:
    goods = assortment(SETTINGS)
    counts = np.zeros((SETTINGS.stores + 1, SETTINGS.weeks, len(CATEGORIES)))
    np.add.at(counts, (PLACED.store[LINES.order], LINES.day // 7, goods.category[LINES.product]), 1)
    of_category = np.arange(len(CATEGORIES))[None, :] == goods.category[:, None]
    wanted = counts.sum(axis=2, keepdims=True) * (goods.choice[:, : SETTINGS.weeks] @ of_category)
    scores = (counts - wanted).sum(axis=0) / np.sqrt(wanted.sum(axis=0))
    assert scores.std() < 1.2, "tastes of persons widen it a little"
    assert np.abs(scores).max() < 5


def test_summed_factors_are_the_seasons_own() -> None:
    season = season_factors(SETTINGS)[None, :]
    weeks = by_week(SETTINGS, CROWD, season, np.zeros(len(PERSONS), dtype=np.int64))[:, : SETTINGS.weeks]
    until, since = (np.clip(at, 0, day_count(SETTINGS)) for at in (CROWD.active_until, CROWD.active_from))
    lived = season_until(SETTINGS, until) - season_until(SETTINGS, since)
    assert weeks.sum(axis=1) == pytest.approx(lived)


def test_a_deeper_cut_sells_more_by_the_elasticity_of_the_category() -> None:
    """What was sold in weeks of promotion, over what the same products sell in other weeks beside as many of their category."""
    goods, weeks = assortment(SETTINGS), SETTINGS.weeks
    sold = np.zeros((weeks, SETTINGS.products))
    np.add.at(sold, (LINES.day // 7, LINES.product), 1)
    promoted, cut = goods.promoted[:weeks], 1 - goods.price_cents[:weeks] / goods.list_cents[:weeks]
    of_category = np.arange(len(CATEGORIES))[None, :] == goods.category[:, None]
    others = (sold @ of_category)[:, goods.category] - sold
    usual = others * (sold * ~promoted).sum(axis=0) / (others * ~promoted).sum(axis=0)
    for category in range(len(CATEGORIES)):
        lifts = []
        for least in (0.1, 0.2, 0.3):
            here = (
                promoted
                & (cut >= least)
                & (cut < least + 0.1)
                & ((goods.category == category) & (goods.launch_week < 0))
            )
            lifts.append(sold[here].sum() / usual[here].sum())
            wanted = ((1 - cut[here]) ** -PRICE_ELASTICITIES[category]).mean()
            assert lifts[-1] == pytest.approx(wanted, rel=0.15), (CATEGORIES[category], least)
        assert lifts == sorted(lifts)


def test_lists_change_their_prices_now_and_then_and_promotions_cut_them_for_a_week() -> None:
    goods = assortment(SETTINGS)
    changed = np.diff(goods.list_cents, axis=0) != 0
    assert changed.mean() * 52 == pytest.approx(LIST_PRICE_CHANGES_PER_YEAR, rel=0.15)
    cut = 1 - goods.price_cents / goods.list_cents
    assert (cut[~goods.promoted] == 0).all()
    least, greatest = PROMOTION_DEPTHS
    assert cut[goods.promoted].min() == pytest.approx(least, abs=0.01)
    assert cut[goods.promoted].max() == pytest.approx(greatest, abs=0.01)
