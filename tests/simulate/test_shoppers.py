"""Persons: tastes, opinions and the true effect of messages, each to be found in what persons do."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from jobs.lakehouse.settings import WorldSettings
from jobs.simulate.ads import ad_lifts, ad_spend_rows, spend_cents
from jobs.simulate.assortment import assortment
from jobs.simulate.contacts import contacts
from jobs.simulate.draws import Columns
from jobs.simulate.expectation import lines_by_campaigns
from jobs.simulate.local_time import business_seconds
from jobs.simulate.market import CATEGORIES
from jobs.simulate.opinions import ratings, review_batch, satisfactions, survey_batch
from jobs.simulate.orders import (
    RETURN_DAYS,
    RETURNED_IN_STORE,
    RETURNED_ONLINE,
    campaign_orders,
    order_lines,
    orders,
    returned_shares,
    with_returns,
)
from jobs.simulate.outreach import HELD_OUT_SHARE, outreach
from jobs.simulate.outside import KIOSK_SHARE, footfall_rows, holiday_rows, kiosk_rows, trend_rows
from jobs.simulate.people import people
from jobs.simulate.seasons import season_factors
from jobs.simulate.tastes import DROPOUT_CAUSES, SERVICE_CAUSE, steered, tastes
from jobs.simulate.tickets import ticket_batch
from jobs.simulate.visits import visits

SETTINGS = WorldSettings(seed=9, customers=4000, weeks=52, truth_weeks_ahead=4)
PERSONS = np.arange(SETTINGS.customers)
CROWD = people(SETTINGS, PERSONS)
LIKED = tastes(SETTINGS, PERSONS)
PLACED = orders(SETTINGS, CROWD)
LINES = order_lines(SETTINGS, PLACED)
OWNER = PLACED.owner[LINES.order]


def frame(columns: Columns) -> pd.DataFrame:
    return pd.DataFrame(dict(columns))


@pytest.mark.parametrize("is_round", [True, False])
def test_steering_leaves_the_total_even(is_round: bool) -> None:
    generator = np.random.default_rng(1)
    draw, habit, place = generator.random((3, 200_000))
    found = steered(draw, habit, place, share=0.5, width=0.4, is_round=is_round)
    counts = np.histogram(found, bins=20, range=(0, 1))[0]
    assert counts.sum() == len(found)
    assert counts / len(found) == pytest.approx(np.full(20, 0.05), abs=0.003)


def test_persons_buy_their_favourite_category_more_than_others_do() -> None:
    goods = assortment(SETTINGS)
    favourite = goods.categories_at(LIKED.category_place)[OWNER]
    bought = goods.category[LINES.product]
    for category in range(6):
        own = (bought[favourite == category] == category).mean()
        of_others = (bought[favourite != category] == category).mean()
        assert own > 1.5 * of_others


def test_who_looks_at_prices_buys_on_promotion() -> None:
    goods = assortment(SETTINGS)
    is_cut = goods.promoted[LINES.day // 7, LINES.product]
    rank = LIKED.price_sensitivity[OWNER]
    assert is_cut[rank > 0.8].mean() > 1.4 * is_cut[rank < 0.2].mean()


def test_persons_keep_their_hours() -> None:
    usual, anybodys = (
        business_seconds(place[PLACED.owner], PLACED.is_online)
        for place in (LIKED.hour_place, np.roll(LIKED.hour_place, 1))
    )
    apart, by_chance = (np.abs(PLACED.second - second) for second in (usual, anybodys))
    assert (apart < 5400).mean() > (by_chance < 5400).mean() + 0.15


def test_who_orders_more_comes_more_often() -> None:
    throughout = (CROWD.active_from <= 0) & (CROWD.active_until >= 7 * SETTINGS.weeks)
    come = visits(SETTINGS, CROWD, contacts(SETTINGS, CROWD))
    visited, ordered = (np.bincount(owner, minlength=len(PERSONS)) for owner in (come.owner, PLACED.owner))
    assert spearmanr(visited[throughout], ordered[throughout]).statistic > 0.3


def test_returns_depend_on_channel_and_goods_and_mostly_come_soon_and_whole() -> None:
    settled = LINES.day < 7 * SETTINGS.weeks - RETURN_DAYS[1]
    all_lines = with_returns(SETTINGS, PLACED, LINES, returned_shares(SETTINGS, PLACED, LINES))
    back = all_lines.is_return
    sold, came = LINES.key, all_lines.key[back] - 1
    returned = np.isin(sold, came)[settled]
    online, category = PLACED.is_online[LINES.order][settled], assortment(SETTINGS).category[LINES.product][settled]
    assert returned[online].mean() / returned[~online].mean() == pytest.approx(
        RETURNED_ONLINE / RETURNED_IN_STORE, rel=0.25
    )
    by_category = [returned[category == number].mean() for number in range(len(CATEGORIES))]
    assert np.argmax(by_category) == CATEGORIES.index("Outdoor")
    place = np.searchsorted(np.sort(sold), came)
    of_line = np.argsort(sold)[place]
    waited, kept = all_lines.day[back] - LINES.day[of_line], LINES.quantity[of_line] + all_lines.quantity[back]
    assert RETURN_DAYS[0] <= waited.min() < np.median(waited) < np.mean(RETURN_DAYS) - 2
    assert 0 < (kept > 0).mean() < 0.15
    assert (kept >= 0).all()


def test_who_leaves_for_a_price_looks_at_prices() -> None:
    is_price = LIKED.dropout_cause == DROPOUT_CAUSES.index("price")
    assert LIKED.price_sensitivity[is_price].mean() > 0.6
    assert set(LIKED.dropout_cause) == set(range(len(DROPOUT_CAUSES)))


def test_held_out_by_chance_and_nothing_comes_of_it() -> None:
    reached = outreach(SETTINGS, CROWD)
    assert reached.is_held_out.mean() == pytest.approx(HELD_OUT_SHARE, abs=0.01)
    assert (reached.order_day[reached.is_held_out] < 0).all()
    assert (reached.effect[reached.is_held_out] == 0).all()
    held, sent = (CROWD.order_rate[reached.owner[flag]].mean() for flag in (reached.is_held_out, ~reached.is_held_out))
    assert held == pytest.approx(sent, rel=0.05)


def test_messages_bring_as_many_lines_as_the_truth_expects() -> None:
    expected, brought = lines_by_campaigns(SETTINGS, CROWD), campaign_orders(SETTINGS, CROWD)
    of_order = np.bincount(order_lines(SETTINGS, brought).order)
    weekly = np.bincount(brought.day // 7, weights=of_order, minlength=SETTINGS.weeks + 4)
    assert brought.day.max() < 7 * SETTINGS.weeks
    assert abs(weekly.sum() - expected.sum()) < 4 * np.sqrt((of_order**2).sum())
    assert set(np.flatnonzero(weekly)) <= set(np.flatnonzero(expected.sum(axis=0)))
    assert len(brought.key) < 0.03 * len(PLACED.key), "few beside the orders of people's own accord"
    assert (brought.day <= CROWD.active_until[brought.owner]).all()


def test_the_unhappy_leave_for_the_service_and_complain() -> None:
    satisfaction = satisfactions(SETTINGS, CROWD, PLACED)
    leaves_soon = CROWD.active_until[PLACED.owner] - PLACED.day < 60
    for_service = LIKED.dropout_cause[PLACED.owner] == SERVICE_CAUSE
    unhappy = satisfaction[leaves_soon & for_service].mean()
    assert unhappy < satisfaction[leaves_soon & ~for_service].mean() - 1
    tickets = frame(ticket_batch(SETTINGS, PERSONS))
    assert (tickets["closed_at"] >= tickets["opened_at"]).all()
    assert tickets["ticket_number"].is_unique
    assert 0.005 < len(tickets) / len(PLACED.key) < 0.05


def test_who_answers_is_not_who_was_asked() -> None:
    asked = frame(survey_batch(SETTINGS, PERSONS))
    nps = asked[asked["kind"] == 0]
    assert asked["is_answered"].mean() < 0.3
    told, true = nps.loc[nps["is_answered"], "score"], nps["score"]
    assert told.mean() < true.mean() - 0.1, "the unhappy answer more"
    reviews = frame(review_batch(SETTINGS, PERSONS))
    mind = ratings(satisfactions(SETTINGS, CROWD, PLACED))
    assert (reviews["score"] == 1).mean() > 1.3 * (mind == 1).mean()
    assert reviews["is_online"].all()


def test_advertisement_lifts_the_season_and_saturates() -> None:
    lifts = ad_lifts(SETTINGS)
    assert lifts.shape == (7 * (SETTINGS.weeks + 4), 4)
    assert 0.01 < lifts.sum(axis=1).mean() < 0.07
    assert np.corrcoef(spend_cents(SETTINGS)[:, 0], lifts[:, 0])[0, 1] > 0.8
    assert season_factors(SETTINGS)[:364].mean() == pytest.approx(1)
    told = pd.DataFrame(ad_spend_rows(SETTINGS))
    assert len(told) == 4 * 7 * SETTINGS.weeks
    assert told["spend"].astype(float).sum() == pytest.approx(spend_cents(SETTINGS)[: 7 * SETTINGS.weeks].sum() / 100)


def test_the_outside_goes_with_the_season() -> None:
    visitors = pd.DataFrame(footfall_rows(SETTINGS)).assign(visitors=lambda rows: rows["visitors"].astype(int))
    daily = visitors.groupby(visitors["hour"].str[:10])["visitors"].sum()
    assert np.corrcoef(daily, season_factors(SETTINGS)[: len(daily)])[0, 1] > 0.8
    assert visitors.groupby("store_id")["visitors"].sum().idxmax() == "S001"
    users = pd.DataFrame(kiosk_rows(SETTINGS))
    assert (users["kiosk"].str[:4].tolist(), users["hour"].tolist()) == (
        visitors["store_id"].tolist(),
        visitors["hour"].tolist(),
    )
    assert users["users"].astype(int).sum() / visitors["visitors"].sum() == pytest.approx(KIOSK_SHARE, rel=0.05)
    trends = pd.DataFrame(trend_rows(SETTINGS)).assign(value=lambda rows: rows["value"].astype(float))
    assert not trends.duplicated(["series", "date"]).any()
    summer = trends[(trends["series"] == "temperature Beijing") & trends["date"].str.startswith("2024-07")]
    assert summer["value"].mean() > 20
    names = {row["name"] for row in holiday_rows(SETTINGS)}
    assert {"Spring Festival", "Christmas", "Singles Day", "National Day"} <= names
