"""The way to an order: steps in their order, visits that end where and why the truth says, and the pull of price, stock and money."""

import numpy as np
import pandas as pd
import pytest

from jobs.lakehouse.settings import WorldSettings
from jobs.simulate.assortment import assortment
from jobs.simulate.contacts import NONE, contacts
from jobs.simulate.events import event_batch
from jobs.simulate.funnel import (
    CAUSES,
    NODES,
    OUT_OF_STOCK,
    PAYMENT,
    PRICE,
    SHIPPING,
    TELLS_PAYMENT_SHARE,
    drop_off_batch,
    hold_backs,
)
from jobs.simulate.orders import only_channel, order_lines, orders
from jobs.simulate.people import people
from jobs.simulate.tastes import tastes
from jobs.simulate.visits import ADDED, CHECKING_OUT, COMPLETED, PAYING, VIEWED, visits

SETTINGS = WorldSettings(seed=17, customers=3000, weeks=30, persons_per_ring=10**6, persons_per_bot=10**6)
PERSONS = np.arange(1, SETTINGS.customers)  # without the bot and the ring that the first is told with
CROWD = people(SETTINGS, PERSONS)
ENDS = pd.DataFrame(dict(drop_off_batch(SETTINGS, PERSONS)))
SEEN = pd.DataFrame(dict(event_batch(SETTINGS, PERSONS))).set_index("message")
PLACED = only_channel(orders(SETTINGS, CROWD), is_online=True)


def test_every_visit_without_an_order_ends_once_at_an_event_of_its_own() -> None:
    come = visits(SETTINGS, CROWD, contacts(SETTINGS, CROWD))
    assert len(ENDS) == len(come.key)
    assert ENDS["last_message"].is_unique
    last, first = SEEN.loc[ENDS["last_message"]], SEEN.loc[ENDS["first_message"]]
    assert (last["name"].to_numpy() == ENDS["node"].to_numpy()).all()
    assert (last["happened_at"].to_numpy() == ENDS["ended_at"].to_numpy()).all()
    assert (first["name"] == VIEWED).all()
    assert (first["device"].to_numpy() == last["device"].to_numpy()).all()
    assert (first["happened_at"].to_numpy() <= last["happened_at"].to_numpy()).all()
    named = last["product"].to_numpy() >= 0
    assert (named == np.isin(last["name"], [VIEWED, ADDED])).all()
    assert (last["product"].to_numpy() == ENDS["product"].to_numpy())[named].all()


def test_as_many_go_on_at_each_node_as_the_events_tell() -> None:
    counts = SEEN["name"].value_counts()
    came_to = {node: int(np.isin(ENDS["node"], NODES[place:]).sum()) for place, node in enumerate(NODES)}
    line_count = len(order_lines(SETTINGS, PLACED).key)
    assert counts[ADDED] == came_to[ADDED] + line_count > came_to[ADDED] + 1.5 * len(PLACED.key)
    assert counts[CHECKING_OUT] == came_to[CHECKING_OUT] + len(PLACED.key)
    assert counts[COMPLETED] == len(PLACED.key)
    assert counts[PAYING] - came_to[PAYING] == pytest.approx(TELLS_PAYMENT_SHARE * len(PLACED.key), rel=0.05)
    assert 0.05 < came_to[ADDED] / len(ENDS) < 0.3
    assert came_to[PAYING] < came_to[CHECKING_OUT] < came_to[ADDED]


def test_an_order_takes_its_steps_one_after_the_other() -> None:
    # An order's device in its hour is nobody else's: its steps stand together.
    told = SEEN[SEEN["name"].isin([VIEWED, ADDED, CHECKING_OUT, PAYING, COMPLETED])].sort_values("happened_at")
    orders_told = told[told["name"] == COMPLETED].head(50)
    for _, order in orders_told.iterrows():
        before = told[(told["device"] == order["device"]) & (told["happened_at"] <= order["happened_at"])]
        lately = before[before["happened_at"] > order["happened_at"] - pd.Timedelta(minutes=60)]
        first = {
            name: lately.loc[lately["name"] == name, "happened_at"].max() for name in (VIEWED, ADDED, CHECKING_OUT)
        }
        assert first[VIEWED] < first[ADDED] < first[CHECKING_OUT] < order["happened_at"]


def test_who_looks_at_prices_is_held_back_by_prices_and_shipping() -> None:
    told = ENDS.assign(sensitivity=tastes(SETTINGS, ENDS["person_id"].to_numpy()).price_sensitivity)
    of_cause = told.groupby("cause")["sensitivity"].mean()
    assert of_cause[PRICE] > 0.6
    assert of_cause[PRICE] > of_cause[PAYMENT] + 0.2
    at_checkout = told[told["node"] == CHECKING_OUT].groupby("cause")["sensitivity"].mean()
    assert at_checkout[SHIPPING] > at_checkout.drop(SHIPPING).max()


def test_causes_belong_to_their_nodes_and_to_what_is_so() -> None:
    goods = assortment(SETTINGS)
    where = ENDS.groupby("cause")["node"].agg(set)
    assert where[SHIPPING] == {CHECKING_OUT}
    assert where[PAYMENT] == {PAYING}
    assert where[OUT_OF_STOCK] == {VIEWED}
    days = (ENDS["ended_at"] - pd.Timestamp(SETTINGS.start_date)).dt.days.to_numpy()
    out = ENDS["cause"].to_numpy() == OUT_OF_STOCK
    weeks = np.stack([np.maximum(days, 0) // 7, (days + 1) // 7])  # UTC is a third of a day behind
    is_out = goods.is_stocked_out[SETTINGS.stores, np.minimum(weeks, SETTINGS.weeks - 1), ENDS["product"].to_numpy()]
    assert out.any()
    assert is_out.any(axis=0)[out].all()


def test_no_cause_holds_back_more_than_all_and_the_last_node_holds_back_everybody() -> None:
    count = len(PERSONS)
    sensitivity = PERSONS / SETTINGS.customers
    shares = hold_backs(SETTINGS, sensitivity, PERSONS % SETTINGS.products, PERSONS % (7 * SETTINGS.weeks))
    assert shares.shape == (count, len(NODES), len(CAUSES))
    assert (shares >= 0).all()
    assert (shares.sum(axis=2) <= 1 + 1e-12).all()
    assert shares[:, -1].sum(axis=1) == pytest.approx(1)


def test_promotions_hold_fewer_back_for_the_price() -> None:
    goods, day = assortment(SETTINGS), 70
    promoted, full = (np.flatnonzero(goods.promoted[day // 7] == flag)[:1] for flag in (True, False))
    half = np.array([0.5])
    at = [hold_backs(SETTINGS, half, product, np.array([day]))[0, 0, PRICE] for product in (promoted, full)]
    assert at[0] < at[1]


def test_steps_name_no_order_and_only_the_adding_names_a_product() -> None:
    steps = SEEN[SEEN["name"].isin([ADDED, CHECKING_OUT, PAYING])]
    assert (steps["order_number"] == NONE).all()
    assert ((steps["product"] >= 0) == (steps["name"] == ADDED)).all()


def test_events_stay_near_ten_a_person_in_eleven_weeks() -> None:
    settings = WorldSettings(customers=4000, weeks=11)
    seen = event_batch(settings, np.arange(settings.customers))
    assert len(seen["message"]) / settings.customers == pytest.approx(12, abs=1.5)
