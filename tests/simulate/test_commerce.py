"""Payments, points, coupons, prices and stock: each adds up with the orders that it goes with."""

import numpy as np
import pandas as pd
import pytest

from jobs.lakehouse.settings import WorldSettings
from jobs.simulate.assortment import assortment
from jobs.simulate.bureaus import credit_batch, demographics_batch
from jobs.simulate.consents import PURPOSES, consent_batch
from jobs.simulate.coupons import CONTACT_KINDS, COUPON_EVENTS, contact_batch, coupon_batch
from jobs.simulate.draws import Columns
from jobs.simulate.merchandise import moved_batch, price_rows, promotion_rows, stock_levels
from jobs.simulate.outreach import CHANNELS, campaigns
from jobs.simulate.papers import check_places, national_ids
from jobs.simulate.payments import CASH, GIFT_CARD, METHODS, NO_PAYER, VOUCHER, payment_batch
from jobs.simulate.points import points_batch
from jobs.simulate.rings import SHARED, rings, rings_led_by
from jobs.simulate.sales import sale_batch

SETTINGS = WorldSettings(seed=3, customers=1200, weeks=52, truth_weeks_ahead=2, persons_per_ring=200)
PERSONS = np.arange(SETTINGS.customers)
BATCHES = [payment_batch, points_batch, contact_batch, coupon_batch, consent_batch, credit_batch, demographics_batch]


def frame(columns: Columns) -> pd.DataFrame:
    return pd.DataFrame(dict(columns))


@pytest.fixture(scope="module")
def sold() -> pd.DataFrame:
    rows = pd.concat([frame(sale_batch(is_online, SETTINGS, PERSONS)) for is_online in (True, False)])
    return rows.assign(cents=rows["true_quantity"] * rows["true_unit_cents"])


@pytest.fixture(scope="module")
def paid() -> pd.DataFrame:
    return frame(payment_batch(SETTINGS, PERSONS))


@pytest.fixture(scope="module")
def coupons() -> pd.DataFrame:
    return frame(coupon_batch(SETTINGS, PERSONS))


@pytest.mark.parametrize("batch", BATCHES)
def test_rows_of_a_person_do_not_depend_on_who_comes_along(batch) -> None:  # type: ignore[no-untyped-def]
    whole = frame(batch(SETTINGS, np.arange(90)))
    parts = pd.concat([frame(batch(SETTINGS, persons)) for persons in (np.arange(41, 90), np.arange(41))])
    order = list(whole.columns)
    pd.testing.assert_frame_equal(
        whole.sort_values(order).reset_index(drop=True), parts.sort_values(order).reset_index(drop=True)
    )
    assert len(whole)


def test_payments_add_up_to_their_orders_to_the_cent(sold: pd.DataFrame, paid: pd.DataFrame) -> None:
    keys = ["order_number", "is_return"]
    pd.testing.assert_series_equal(sold.groupby(keys)["cents"].sum(), paid.groupby(keys)["cents"].sum())
    assert not paid.duplicated([*keys, "payment_no"]).any()
    assert (paid["cents"][paid["is_return"]] < 0).all()
    assert (paid["cents"][~paid["is_return"]] >= 0).all()


def test_only_wallets_and_cards_have_a_payer(paid: pd.DataFrame) -> None:
    has_payer = paid["payer"] != NO_PAYER
    assert (has_payer == ~paid["method"].isin([CASH, GIFT_CARD, VOUCHER])).all()
    assert not (paid["is_online"] & (paid["method"] == CASH)).any()
    assert set(paid["method"]) == set(range(len(METHODS)))


def test_a_ring_pays_with_one_wallet_but_where_it_hides_that_and_persons_with_few(
    sold: pd.DataFrame, paid: pd.DataFrame
) -> None:
    ring_of_order = sold[sold["ring"] >= 0].groupby("order_number")["ring"].first()
    with_payer = paid[paid["payer"] != NO_PAYER]
    of_rings = with_payer[with_payer["order_number"].isin(ring_of_order.index)]
    per_ring = of_rings.groupby(of_rings["order_number"].map(ring_of_order))["payer"].nunique()
    crew = rings(SETTINGS, rings_led_by(SETTINGS, PERSONS))
    members = pd.Series(crew.unshared, index=crew.ring)
    has_own = members.groupby(level=0).first() == SHARED.index("payer")
    assert len(per_ring) == 6
    assert set(has_own) == {True, False}
    assert per_ring[~has_own].eq(1).all()
    assert per_ring[has_own].gt(4).all()
    honest = sold[(sold["ring"] < 0) & (sold["account"] >= 0)].drop_duplicates("order_number")
    accounts = honest.merge(with_payer, on="order_number").groupby("payer")["account"].nunique()
    assert accounts.mean() < 1.5
    shared = of_rings[~of_rings["order_number"].map(ring_of_order).map(has_own)]
    assert (shared.merge(sold, on="order_number").groupby("payer")["account"].nunique() >= 5).all()


def test_nobody_spends_points_that_were_not_earned() -> None:
    moved = frame(points_batch(SETTINGS, PERSONS)).sort_values(["is_online", "member", "entered_at", "points"])
    balance = moved.groupby(["is_online", "member"])["points"].cumsum()
    assert (balance >= 0).all()
    assert ((moved["points"] > 0) == (moved["kind"] == 0)).all()
    assert (moved["kind"] == 1).sum() > 100
    assert moved["entry_number"].is_unique


def test_a_coupon_ends_once_and_pays_what_it_promises(coupons: pd.DataFrame, paid: pd.DataFrame) -> None:
    issue, redeem, expire = (coupons[coupons["kind"] == COUPON_EVENTS.index(kind)] for kind in COUPON_EVENTS)
    ended = pd.concat([redeem, expire])
    assert ended["coupon_number"].is_unique
    assert set(ended["coupon_number"]) <= set(issue["coupon_number"])
    assert (redeem["happened_at"] < redeem["expires_at"]).all()
    assert len(redeem) > 50
    totals = paid[~paid["is_return"]].groupby("order_number")["cents"].sum()
    vouchers = paid[paid["method"] == VOUCHER].set_index("order_number")["cents"]
    assert set(vouchers.index) == set(redeem["order_number"])
    promised = np.floor(totals[redeem["order_number"]].to_numpy() * redeem["ratio"].to_numpy())
    assert (vouchers[redeem["order_number"]].to_numpy() == promised).all()


def test_no_message_goes_where_consent_is_missing() -> None:
    sent, told = frame(contact_batch(SETTINGS, PERSONS)), frame(consent_batch(SETTINGS, PERSONS))
    messages = sent[sent["kind"] == CONTACT_KINDS.index("send")].sort_values("contacted_at")
    purpose_of = {name: PURPOSES.index("marketing_email" if name == "email" else "marketing_sms") for name in CHANNELS}
    messages = messages.assign(purpose=messages["channel"].map(lambda channel: purpose_of[CHANNELS[channel]]))
    known = pd.merge_asof(
        messages,
        told.sort_values("decided_at"),
        left_on="contacted_at",
        right_on="decided_at",
        by=["account", "purpose"],
    )
    assert len(known) > 500
    assert known["is_granted"].all()
    assert told.groupby(["account", "purpose"]).size().max() == 2, "some change their mind"
    follow = sent[sent["kind"] != 0].merge(messages, on="message_number", suffixes=("", "_sent"))
    assert len(follow) == (sent["kind"] != 0).sum()
    assert (follow["contacted_at"] > follow["contacted_at_sent"]).all()


def test_prices_are_those_that_lines_were_sold_at(sold: pd.DataFrame) -> None:
    prices = pd.DataFrame(price_rows(SETTINGS)).assign(valid_from=lambda rows: pd.to_datetime(rows["valid_from"]))
    prices["product"] = prices["product_id"].str[1:].astype(int) - 1
    lines = (
        sold[~sold["is_return"]].sort_values("sold_at").assign(sold_at=lambda rows: rows["sold_at"].astype("M8[us]"))
    )
    prices = prices.sort_values("valid_from").assign(valid_from=lambda rows: rows["valid_from"].astype("M8[us]"))
    priced = pd.merge_asof(lines, prices, left_on="sold_at", right_on="valid_from", by="product")
    assert (priced["price"].astype(float) * 100).round().astype(int).equals(priced["true_unit_cents"].astype(int))
    cut = pd.DataFrame(promotion_rows(SETTINGS))
    assert cut["discount"].astype(float).between(0.09, 0.41).all()


def test_stock_goes_with_what_was_sold_and_is_empty_in_a_stock_out() -> None:
    goods, moved = assortment(SETTINGS), frame(moved_batch(SETTINGS, PERSONS))
    units = np.zeros((SETTINGS.stores + 1, SETTINGS.weeks, SETTINGS.products), dtype=np.int64)
    np.add.at(units.reshape(-1), moved["place"].to_numpy(), moved["units"].to_numpy())
    on_hand, received = stock_levels(SETTINGS, goods, units)
    before = np.concatenate([np.zeros_like(on_hand[:, :1]), on_hand[:, :-1]], axis=1)
    assert (on_hand == before + received - units).all()
    assert (on_hand >= 0).all()
    is_out = goods.is_stocked_out[:, : SETTINGS.weeks]
    assert is_out.mean() == pytest.approx(0.01, abs=0.003)
    assert (on_hand[is_out] == 0).all()
    usual = goods.full_choice[:, : SETTINGS.weeks]
    rows = units.sum(axis=2, keepdims=True) * usual
    assert units[is_out].sum() / rows[is_out].sum() < 0.5


def test_a_credit_score_is_told_late_and_some_again() -> None:
    told = frame(credit_batch(SETTINGS, PERSONS))
    days = (told["exported_at"] - told["scored_at"]).dt.days
    assert days.min() >= 45
    again = told.groupby(["account", "scored_at"]).size()
    assert set(again) == {1, 2}
    assert told["score"].between(300, 1000).all()


def test_national_ids_are_well_formed() -> None:
    assert check_places(np.array([11010519491231002])).tolist() == [2], "the example of GB 11643-1999 ends in X"
    ids = national_ids(SETTINGS, np.arange(5000))
    assert ((ids >= 10**16) & (ids < 10**17)).all()
    born = pd.to_datetime(pd.Series(ids // 1000 % 10**8).astype(str), format="%Y%m%d")
    assert ((born.dt.year >= 1938) & (born.dt.year <= 2006)).all()
    assert len(np.unique(ids)) > 4990


def test_campaigns_hold_some_out_and_never_overlap() -> None:
    sent = campaigns(SETTINGS)
    assert (np.diff(sent.send_day) == 14).all()
    assert (sent.send_day % 7 == 0).all()
    assert 0.3 < sent.has_coupon.mean() < 0.7
    for channel in range(len(CHANNELS)):
        of_channel = sent.has_coupon[sent.channel == channel]
        assert 0 < of_channel.mean() < 1, CHANNELS[channel]
