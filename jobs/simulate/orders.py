"""Orders and their lines, online and at the till: a Poisson process with a shared season and personal rates."""

from dataclasses import dataclass

import numpy as np

from jobs.lakehouse.settings import WorldSettings
from jobs.simulate.assortment import assortment
from jobs.simulate.contacts import NONE, Contacts, phone_on
from jobs.simulate.draws import (
    Flags,
    Integers,
    Numbers,
    Stream,
    chosen,
    happens,
    poisson_quantile,
    small_count,
    uniform,
)
from jobs.simulate.local_time import business_seconds
from jobs.simulate.outreach import outreach
from jobs.simulate.people import SHOWS_CARD_SHARE, People
from jobs.simulate.seasons import day_count, moment_of_season, season_until
from jobs.simulate.tastes import hour_draws, lines_per_order, product_draws, tastes
from jobs.simulate.weather import moved_online

ENTITY_SPAN = 2**14  # orders (and visits) of one person at most
CAMPAIGN_ORDERS_FROM = 2**13  # the number of the first order that a campaign brought about
LINE_SPAN = 2**6
MOST_LINES = 50  # of one order; of who has 21 on average, one order in eighty million would have more
EXTRA_QUANTITY = 0.3
LOGS_IN_SHARE = 0.9
SECOND_ACCOUNT_USE = 0.3
SECOND_EMAIL_USE = 0.3
RETURN_DAYS = (3, 20)
RETURNED_ONLINE, RETURNED_IN_STORE = 1.4, 0.6  # times as often as all lines
RETURNED_BY_CATEGORY = np.array([0.4, 0.3, 0.9, 1.2, 2.0, 1.2])
RETURNED_IN_PART_SHARE = 0.3  # of returned lines of several pieces, those of which some are kept
LATEST_DAYS = 8


@dataclass(frozen=True, eq=False)
class Orders:
    """Some orders, one entry per order in each array; `owner` is the index of the person in the batch.

    `campaign` is the campaign without which there would be no such order; NONE for nearly all.
    """

    owner: Integers
    key: Integers
    day: Integers
    second: Integers
    is_online: Flags
    store: Integers
    campaign: Integers


@dataclass(frozen=True, eq=False)
class OrderLines:
    """Some lines of orders, sold or brought back, one entry per line; `order` is the order's index in the batch."""

    order: Integers
    key: Integers
    line_no: Integers
    product: Integers
    quantity: Integers
    unit_cents: Integers
    list_cents: Integers
    day: Integers
    second: Integers
    is_return: Flags


def arrivals(
    settings: WorldSettings, crowd: People, rate: Numbers, count: Stream, day: Stream
) -> tuple[Integers, Integers, Integers]:
    """Owner, key and day of each arrival of a Poisson process with a rate per person, while the person is active.

    Returns:
        Three arrays, one entry per arrival; the key is person_id * ENTITY_SPAN + number of the arrival.
    """
    world_end = float(day_count(settings))
    begin = season_until(settings, np.clip(crowd.active_from, 0.0, world_end))
    length = season_until(settings, np.clip(crowd.active_until, 0.0, world_end)) - begin
    counts = poisson_quantile(uniform(settings.seed, count, crowd.person_id), rate * length)
    owner = np.repeat(np.arange(len(counts)), counts)
    number = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    key = crowd.person_id[owner] * ENTITY_SPAN + number
    moments = moment_of_season(settings, begin[owner] + uniform(settings.seed, day, key) * length[owner])
    return owner, key, np.minimum(moments, world_end - 1).astype(np.int64)


def organic_orders(settings: WorldSettings, crowd: People) -> Orders:
    """The orders that these persons place of their own accord inside the world."""
    owner, key, day = arrivals(settings, crowd, crowd.order_rate, Stream.ORDER_COUNT, Stream.ORDER_DAY)
    return placed_orders(settings, crowd, owner, key, day, np.full(len(key), NONE, dtype=np.int64))


def campaign_orders(settings: WorldSettings, crowd: People) -> Orders:
    """The orders of these persons that there would not be without a campaign's message."""
    reached = outreach(settings, crowd)
    brought = reached.order_day >= 0
    owner, campaign = reached.owner[brought], reached.campaign[brought]
    key = crowd.person_id[owner] * ENTITY_SPAN + CAMPAIGN_ORDERS_FROM + campaign
    return placed_orders(settings, crowd, owner, key, reached.order_day[brought], campaign)


def orders(settings: WorldSettings, crowd: People) -> Orders:
    """All orders of these persons inside the world."""
    parts = [vars(organic_orders(settings, crowd)), vars(campaign_orders(settings, crowd))]
    return Orders(**{name: np.concatenate([part[name] for part in parts]) for name in parts[0]})


def placed_orders(
    settings: WorldSettings, crowd: People, owner: Integers, key: Integers, day: Integers, campaign: Integers
) -> Orders:
    """The orders with the hour, channel and store that their persons' habits, and the weather, give them."""
    usual = crowd.online_share[owner]
    online_share = usual + (1 - usual) * moved_online(settings)[crowd.home_store[owner], day]
    is_online = happens(settings.seed, Stream.ORDER_CHANNEL, key, online_share)
    return Orders(
        owner=owner,
        key=key,
        day=day,
        second=business_seconds(hour_draws(settings, crowd, owner, Stream.ORDER_TIME, key), is_online),
        is_online=is_online,
        store=np.where(is_online, settings.stores, crowd.home_store[owner]),
        campaign=campaign,
    )


def only_channel(placed: Orders, is_online: bool) -> Orders:
    """The orders of the web shop, or those of the physical stores."""
    kept = placed.is_online == is_online
    return Orders(**{name: values[kept] for name, values in vars(placed).items()})


def order_lines(settings: WorldSettings, placed: Orders) -> OrderLines:
    """The lines sold in these orders."""
    seed, goods = settings.seed, assortment(settings)
    usual = lines_per_order(settings, placed.key // ENTITY_SPAN)
    extra = poisson_quantile(uniform(seed, Stream.LINE_COUNT, placed.key), usual - 1.0)
    counts = np.minimum(1 + extra, MOST_LINES)
    order = np.repeat(np.arange(len(counts)), counts)
    line_no = 1 + np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    key = placed.key[order] * LINE_SPAN + line_no
    week = placed.day[order] // 7
    store, persons = placed.store[order], placed.key[order] // ENTITY_SPAN
    draw = goods.draw_at(*product_draws(settings, persons, Stream.LINE_PRODUCT, key), store, week)
    product = goods.chosen_products(draw, store, week)
    return OrderLines(
        order=order,
        key=2 * key,
        line_no=line_no,
        product=product,
        quantity=1 + small_count(uniform(seed, Stream.LINE_QUANTITY, key), EXTRA_QUANTITY),
        unit_cents=goods.price_cents[week, product],
        list_cents=goods.list_cents[week, product],
        day=placed.day[order],
        second=placed.second[order],
        is_return=np.zeros(len(order), dtype=np.bool_),
    )


def returned_shares(settings: WorldSettings, placed: Orders, lines: OrderLines) -> Numbers:
    """The probability with which each line is brought back: that of its person, who looks at channel and goods unless it is a habit."""
    liked, goods = tastes(settings, placed.key[lines.order] // ENTITY_SPAN), assortment(settings)
    of_channel = np.where(placed.is_online[lines.order], RETURNED_ONLINE, RETURNED_IN_STORE)
    usual = of_channel * RETURNED_BY_CATEGORY[goods.category[lines.product]]
    return liked.returned_share * np.where(liked.is_return_abuser, 1.0, usual)


def pieces_returned(settings: WorldSettings, sold: OrderLines) -> Integers:
    """How many pieces come back of each line, if any do: mostly all."""
    in_part = happens(settings.seed, Stream.LINE_RETURNED_PART, sold.key, RETURNED_IN_PART_SHARE) & (sold.quantity > 1)
    kept = uniform(settings.seed, Stream.LINE_RETURNED_PART, sold.key, 1) * (sold.quantity - 1)
    return np.where(in_part, 1 + kept.astype(np.int64), sold.quantity)


def with_returns(settings: WorldSettings, placed: Orders, sold: OrderLines, returned_share: Numbers) -> OrderLines:
    """The lines sold in these orders, and after them those brought back inside the world, with negative quantity and the price paid."""
    least, greatest = RETURN_DAYS
    soon = uniform(settings.seed, Stream.LINE_RETURN_DELAY, sold.key) ** 2
    days = least + (soon * (greatest - least + 1)).astype(np.int64)
    wanted = happens(settings.seed, Stream.LINE_RETURNED, sold.key, returned_share)
    back = wanted & (sold.day + days < day_count(settings))
    later_second = business_seconds(
        uniform(settings.seed, Stream.LINE_RETURN_DELAY, sold.key, 1), placed.is_online[sold.order]
    )
    returned = {name: values[back] for name, values in vars(sold).items()} | {
        "key": sold.key[back] + 1,
        "quantity": -pieces_returned(settings, sold)[back],
        "day": (sold.day + days)[back],
        "second": later_second[back],
        "is_return": np.ones(int(back.sum()), dtype=np.bool_),
    }
    return OrderLines(**{name: np.concatenate([values, returned[name]]) for name, values in vars(sold).items()})


def accounts_shown(settings: WorldSettings, known: Contacts, placed: Orders) -> Integers:
    """The account that each online order is placed with; NONE for a guest."""
    own, second = known.account[placed.owner], known.second_account[placed.owner]
    later = placed.day > known.second_account_day[placed.owner]
    uses_second = later & happens(settings.seed, Stream.ORDER_ACCOUNT, placed.key, SECOND_ACCOUNT_USE)
    logs_in = happens(settings.seed, Stream.ORDER_IDENTIFIED, placed.key, LOGS_IN_SHARE)
    return np.where(logs_in, np.where(uses_second, second, own), NONE)


def cards_shown(settings: WorldSettings, known: Contacts, placed: Orders) -> Integers:
    """The card shown at the till for each order; NONE for an anonymous receipt."""
    shows = happens(settings.seed, Stream.ORDER_IDENTIFIED, placed.key, SHOWS_CARD_SHARE)
    return np.where(shows, known.card[placed.owner], NONE)


def guest_contacts(settings: WorldSettings, known: Contacts, placed: Orders) -> tuple[Integers, Integers]:
    """The e-mail number and the phone that a guest would leave with each order."""
    second = known.second_email[placed.owner]
    uses_second = (second != NONE) & happens(settings.seed, Stream.ORDER_TEXT, placed.key, SECOND_EMAIL_USE)
    return np.where(uses_second, second, known.email[placed.owner]), phone_on(known, placed.owner, placed.day)


def days_late(settings: WorldSettings, keys: Integers) -> Integers:
    """By how many days the delivery of each order or event is late: 0 for nearly all, else 1 to LATEST_DAYS."""
    late = happens(settings.seed, Stream.LATE, keys, settings.late_share)
    return np.where(late, 1 + chosen(settings.seed, Stream.LATE_DAYS, keys, LATEST_DAYS), 0)
