"""The way from a look to an order: viewed, added, checkout started, payment told, completed; and why most visits end before."""

from dataclasses import dataclass

import numpy as np
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.lakehouse.settings import WorldSettings
from jobs.simulate import texts
from jobs.simulate.assortment import assortment, product_ids
from jobs.simulate.batches import generated
from jobs.simulate.contacts import NONE, Contacts, contacts
from jobs.simulate.draws import Columns, Integers, Numbers, Stream, chosen, happens, uniform
from jobs.simulate.orders import ENTITY_SPAN, MOST_LINES, Orders, accounts_shown, order_lines
from jobs.simulate.people import People, people
from jobs.simulate.tastes import tastes
from jobs.simulate.visits import (
    ADDED,
    CHECKING_OUT,
    COMPLETED,
    PAYING,
    VIEW_SPAN,
    VIEWED,
    Events,
    Visits,
    agents,
    devices_used,
    joined_events,
    message_ids,
    millis,
    networks,
    order_keys,
    order_sources,
    repeated_clicks,
    visit_events,
    visits,
    without_whole_seconds,
)

NODES = (VIEWED, ADDED, CHECKING_OUT, PAYING)
CAUSES = ("just looking", "out of stock", "price too high", "distracted", "shipping cost", "payment failed")
LOOKING, OUT_OF_STOCK, PRICE, DISTRACTED, SHIPPING, PAYMENT = range(len(CAUSES))
# By node, how many of those who come so far are held back by what has nothing to do with price, stock or money.
JUST_LOOKING_SHARES = (0.62, 0.2, 0.0, 0.0)
DISTRACTED_SHARES = (0.06, 0.2, 0.2, 0.35)
OUT_OF_STOCK_SHARE = 0.8  # of those who look at a product that the web shop has run out of
# At the full price, of who looks at nothing but prices; nothing of who does not look at them at all.
PRICE_SHARES = (0.4, 0.3, 0.0, 0.0)
PRICE_AT_PROMOTION = 0.2  # times as many as at the full price
# Of baskets below the limit: of who does not look at prices, and of who looks at nothing else.
SHIPPING_SHARES = (0.15, 0.6)
FREE_SHIPPING_FROM_CENTS = 9_900
# The last places of a visit's span are those of its opening and of these.
STEP_PLACES = {ADDED: VIEW_SPAN - 3, CHECKING_OUT: VIEW_SPAN - 4, PAYING: VIEW_SPAN - 5}
STEP_SECONDS = (10, 90)
VIEW_BEFORE_ORDER_SECONDS = (60, 900)
MORE_FOR_A_LINE = 0.5  # of that time, what each line but the first takes besides
CART_SHARE = 0.5  # of the time from the first look to the completion, while the cart is filled
ADDED_AFTER = 0.6  # of the time that a line takes, what goes by before it is added
CHECKOUT_TO_GO, PAYING_TO_GO = 0.4, 0.15  # of the time from the first look, what is to go then
# In an order's span, behind a look and an adding for each line.
CHECKOUT_PLACE, PAYING_PLACE, COMPLETED_PLACE = range(2 * MOST_LINES, 2 * MOST_LINES + 3)
TELLS_PAYMENT_SHARE = 0.6  # of the orders; the others pay as they did before
DROP_OFF_SCHEMA = (
    "person_id long, first_message long, last_message long, node long, cause long, product long, ended_at timestamp_ntz"
)


@dataclass(frozen=True, eq=False)
class DropOffs:
    """Where and why some visits end, one entry per visit; `node` is a place in NODES, `cause` one in CAUSES."""

    node: Integers
    cause: Integers


def hold_backs(settings: WorldSettings, sensitivity: Numbers, product: Integers, day: Integers) -> Numbers:
    """The share of visitors that each cause holds back at each node, by [visit, node, cause]; at the last node all are held back.

    Args:
        settings: the world.
        sensitivity: by visit, the price sensitivity of who comes.
        product: by visit, the last that is looked at.
        day: by visit, when.
    """
    goods, week = assortment(settings), day // 7
    is_out = goods.is_stocked_out[settings.stores, week, product]
    price = sensitivity * np.where(goods.promoted[week, product], PRICE_AT_PROMOTION, 1.0)
    least, greatest = SHIPPING_SHARES
    is_small = goods.price_cents[week, product] < FREE_SHIPPING_FROM_CENTS
    shares = np.zeros((len(product), len(NODES), len(CAUSES)))
    shares[:, :, LOOKING] = JUST_LOOKING_SHARES
    shares[:, :, DISTRACTED] = DISTRACTED_SHARES
    shares[:, 0, OUT_OF_STOCK] = np.where(is_out, OUT_OF_STOCK_SHARE, 0.0)
    shares[:, :, PRICE] = np.array(PRICE_SHARES)[None, :] * price[:, None]
    shares[:, 2, SHIPPING] = np.where(is_small, least + (greatest - least) * sensitivity, 0.0)
    shares[:, -1, PAYMENT] = 1 - shares[:, -1].sum(axis=1)
    # Of more than all nobody can be held back: the causes then share in proportion.
    held: Numbers = shares / np.maximum(1.0, shares.sum(axis=2, keepdims=True))
    return held


def last_views(views: Events) -> Integers:
    """The place of each visit's last view among the views, in the order of the visits."""
    visit = views.key // 2 // VIEW_SPAN
    return np.flatnonzero(np.append(visit[1:] != visit[:-1], True)) if len(visit) else np.zeros(0, dtype=np.int64)


def drop_offs(settings: WorldSettings, crowd: People, come: Visits, views: Events) -> DropOffs:
    """At which node each visit ends, and what for: node after node some are held back, each by one cause."""
    product = views.product[last_views(views)]
    sensitivity = tastes(settings, crowd.person_id).price_sensitivity[come.owner]
    totals = np.cumsum(hold_backs(settings, sensitivity, product, come.day), axis=2)
    draws = np.stack([uniform(settings.seed, Stream.FUNNEL, come.key, place) for place in range(len(NODES))], axis=1)
    is_held = draws < totals[:, :, -1]
    is_held[:, -1] = True
    node = np.argmax(is_held, axis=1)
    row = np.arange(len(node))
    cause = (draws[row, node][:, None] >= totals[row, node]).sum(axis=1)
    return DropOffs(node=node, cause=np.minimum(cause, len(CAUSES) - 1))


def step_events(settings: WorldSettings, come: Visits, views: Events, ends: DropOffs) -> Events:
    """What is done in these visits after the last look: the product is added, the checkout begun, the payment told."""
    last, parts = views.only(last_views(views)), []
    nothing = np.full(len(come.key), NONE, dtype=np.int64)
    moment = last.happened_ms
    for node, name in enumerate(NODES[1:], start=1):
        key = come.key * VIEW_SPAN + STEP_PLACES[name]
        least, most = STEP_SECONDS
        moment = moment + 1000 * (least + chosen(settings.seed, Stream.FUNNEL, key, most - least))
        changed = {
            "key": 2 * key,
            "name": np.full(len(key), name, dtype=np.int64),
            "product": last.product if name == ADDED else nothing,
            "happened_ms": without_whole_seconds(moment),
        }
        parts.append(Events(**(vars(last) | changed)).only(ends.node >= node))
    return joined_events(parts)


def order_events(settings: WorldSettings, known: Contacts, placed: Orders) -> Events:
    """The steps of each online order: its products are viewed and added, one after the other, and it is completed."""
    seed, lines = settings.seed, order_lines(settings, placed)
    counts = np.bincount(lines.order, minlength=len(placed.key))
    least, greatest = VIEW_BEFORE_ORDER_SECONDS
    ahead = (least + chosen(seed, Stream.VIEW_GAP, placed.key, greatest - least)) * (1 + MORE_FOR_A_LINE * (counts - 1))
    device = devices_used(settings, known, placed.owner, placed.key)
    completed = Events(
        key=order_keys(placed.key, COMPLETED_PLACE),
        name=np.full(len(placed.key), COMPLETED, dtype=np.int64),
        product=np.full(len(placed.key), NONE, dtype=np.int64),
        order_key=placed.key,
        happened_ms=millis(settings, placed.day, placed.second, placed.key),
        device=device,
        account=accounts_shown(settings, known, placed),
        campaign=order_sources(settings, placed),
        agent=agents(settings, device),
        network=networks(settings, device, placed.key + ENTITY_SPAN // 2),
    )

    def step(
        name: int, order: Integers, place: Integers | int, product: Integers | int, to_go: Numbers | float
    ) -> Events:
        """An event before the completion of these orders, at this share of the way that is still to go."""
        of_order = completed.only(order)
        changed = {
            "key": order_keys(of_order.order_key, place),
            "name": np.full(len(order), name, dtype=np.int64),
            "product": np.full(len(order), product, dtype=np.int64),
            "order_key": np.full(len(order), NONE, dtype=np.int64),
            "happened_ms": of_order.happened_ms - 1000 * np.floor(to_go * ahead[order]).astype(np.int64),
        }
        return Events(**(vars(of_order) | changed))

    all_orders = np.arange(len(placed.key))
    tells_payment = happens(seed, Stream.FUNNEL, placed.key + ENTITY_SPAN // 2, TELLS_PAYMENT_SHARE)
    begun, a_line = lines.line_no - 1, CART_SHARE / counts[lines.order]
    return joined_events(
        [
            step(VIEWED, lines.order, begun, lines.product, 1 - a_line * begun),
            step(ADDED, lines.order, MOST_LINES + begun, lines.product, 1 - a_line * (begun + ADDED_AFTER)),
            step(CHECKING_OUT, all_orders, CHECKOUT_PLACE, NONE, CHECKOUT_TO_GO),
            step(PAYING, all_orders[tells_payment], PAYING_PLACE, NONE, PAYING_TO_GO),
            completed,
        ]
    )


def all_events(settings: WorldSettings, crowd: People, known: Contacts, come: Visits, placed: Orders) -> Events:
    """What is done in these visits, and with these online orders of the same persons."""
    views = visit_events(settings, crowd, come)
    steps = step_events(settings, come, views, drop_offs(settings, crowd, come, views))
    return joined_events([views, repeated_clicks(settings, views), steps, order_events(settings, known, placed)])


def drop_off_batch(settings: WorldSettings, persons: Integers) -> Columns:
    """One row per visit of these persons that ends without an order."""
    crowd = people(settings, persons)
    come = visits(settings, crowd, contacts(settings, crowd))
    views = visit_events(settings, crowd, come)
    ends = drop_offs(settings, crowd, come, views)
    last = views.only(last_views(views))
    steps = step_events(settings, come, views, ends)
    key, ended_ms = last.key.copy(), last.happened_ms.copy()
    for name in NODES[1:]:
        # A visit's steps come in the order of the visits, those of a later node last.
        is_there = ends.node >= NODES.index(name)
        done = steps.only(steps.name == name)
        key[is_there], ended_ms[is_there] = done.key, done.happened_ms
    return {
        "person_id": crowd.person_id[come.owner],
        "first_message": message_ids(settings, 2 * come.key * VIEW_SPAN),
        "last_message": message_ids(settings, key),
        "node": np.array(NODES)[ends.node],
        "cause": ends.cause,
        "product": last.product,
        "ended_at": ended_ms.astype("datetime64[ms]").astype("datetime64[us]"),
    }


def drop_off_rows(spark: SparkSession, settings: WorldSettings) -> DataFrame:
    """One row per visit that ended without an order: its first look and last event, by their messages, and why it ended there."""
    return generated(spark, settings, drop_off_batch, DROP_OFF_SCHEMA).select(
        texts.message_id("last_message").alias("last_message_id"),
        texts.message_id("first_message").alias("first_message_id"),
        "person_id",
        texts.listed(product_ids(settings), F.col("product")).alias("product_id"),
        texts.listed(texts.EVENT_NAMES, F.col("node")).alias("node"),
        texts.listed(CAUSES, F.col("cause")).alias("cause"),
        "ended_at",
    )
