"""Brushing rings: a few hands behind many accounts, who buy some few products without looking, and bring most back."""

from dataclasses import dataclass

import numpy as np

from jobs.lakehouse.settings import WorldSettings
from jobs.simulate.assortment import assortment
from jobs.simulate.contacts import ACCOUNT_BITS, EMAIL_BITS, NONE, devices, phones
from jobs.simulate.draws import Columns, Integers, Numbers, Stream, chosen, scrambled, uniform
from jobs.simulate.local_time import as_moments, next_export, second_of_day, wall_seconds_of
from jobs.simulate.names import given_names, surnames
from jobs.simulate.orders import ENTITY_SPAN, LINE_SPAN, OrderLines, Orders
from jobs.simulate.seasons import day_count
from jobs.simulate.slips import NO_SLIP, birth_dates_as_told
from jobs.simulate.visits import COMPLETED, VIEW_SPAN, Events, agents, millis, networks

FIRST_MEMBER = 2**29  # members are numbered above all persons
MEMBER_SPAN = 2**4  # members of one ring at most
FEWEST_MEMBERS, MOST_MEMBERS = 6, 14
FEWEST_ORDERS, MOST_ORDERS = 2, 6
PRODUCTS_OF_RING = 2
DEVICES_OF_RING = 2
ACTIVE_DAYS = 28
REGISTERED_DAYS_BEFORE = 10
RING_RETURNED_SHARE = 0.6
RING_WITHOUT_BIRTH_DATE = 0.2


@dataclass(frozen=True, eq=False)
class Rings:
    """The members of some rings, one entry per member; all of one ring share its address, payer and two devices."""

    ring: Integers
    member: Integers
    account: Integers
    email: Integers
    phone: Integers
    surname: Integers
    given_name: Integers
    device: Integers
    first_day: Integers


def rings_led_by(settings: WorldSettings, persons: Integers) -> Integers:
    """The rings that are told of together with these persons: every so many persons there is one."""
    led: Integers = persons[persons % settings.persons_per_ring == 0] // settings.persons_per_ring
    return led


def rings(settings: WorldSettings, numbers: Integers) -> Rings:
    """The members of the rings with these numbers."""
    seed = settings.seed
    sizes = FEWEST_MEMBERS + chosen(seed, Stream.RING, numbers, MOST_MEMBERS - FEWEST_MEMBERS + 1)
    ring = np.repeat(numbers, sizes)
    place = np.arange(len(ring)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    member = FIRST_MEMBER + ring * MEMBER_SPAN + place
    last_start = max(1, day_count(settings) - ACTIVE_DAYS - REGISTERED_DAYS_BEFORE)
    return Rings(
        ring=ring,
        member=member,
        account=scrambled(seed, "accounts", 2 * member, ACCOUNT_BITS),
        email=scrambled(seed, "emails", 2 * member, EMAIL_BITS),
        phone=phones(settings, member, 0),
        surname=surnames(seed, member),
        given_name=given_names(seed, member),
        device=devices(settings, first_members(ring) + place % DEVICES_OF_RING, 0),
        first_day=REGISTERED_DAYS_BEFORE + chosen(seed, Stream.RING, ring, last_start, 1),
    )


def first_members(ring: Integers) -> Integers:
    """The number of each ring's first member, after whom all that the ring shares is drawn."""
    return FIRST_MEMBER + ring * MEMBER_SPAN


def ring_orders(settings: WorldSettings, crew: Rings) -> Orders:
    """The orders of these members, all online; `owner` is the index of the member."""
    seed = settings.seed
    counts = FEWEST_ORDERS + chosen(seed, Stream.RING_ORDER, crew.member, MOST_ORDERS - FEWEST_ORDERS + 1)
    owner = np.repeat(np.arange(len(counts)), counts)
    key = crew.member[owner] * ENTITY_SPAN + np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    day = crew.first_day[owner] + chosen(seed, Stream.RING_ORDER, key, ACTIVE_DAYS, 1)
    return Orders(
        owner=owner,
        key=key,
        day=np.minimum(day, day_count(settings) - 1),
        second=second_of_day(uniform(seed, Stream.ORDER_TIME, key)),
        is_online=np.ones(len(key), dtype=np.bool_),
        store=np.full(len(key), settings.stores, dtype=np.int64),
        campaign=np.full(len(key), NONE, dtype=np.int64),
    )


def ring_lines(settings: WorldSettings, crew: Rings, placed: Orders) -> OrderLines:
    """The one line of each order: one piece of one of the ring's products."""
    seed, goods = settings.seed, assortment(settings)
    ring, web = crew.ring[placed.owner], placed.store
    which = chosen(seed, Stream.RING_ORDER, placed.key, PRODUCTS_OF_RING, 2)
    product = goods.chosen_products(uniform(seed, Stream.RING, ring, 2 + which), web, crew.first_day[placed.owner] // 7)
    week = placed.day // 7
    return OrderLines(
        order=np.arange(len(placed.key)),
        key=2 * (placed.key * LINE_SPAN + 1),
        line_no=np.ones(len(placed.key), dtype=np.int64),
        product=product,
        quantity=np.ones(len(placed.key), dtype=np.int64),
        unit_cents=goods.price_cents[week, product],
        list_cents=goods.list_cents[product],
        day=placed.day,
        second=placed.second,
        is_return=np.zeros(len(placed.key), dtype=np.bool_),
    )


def ring_returned_shares(lines: OrderLines) -> Numbers:
    """The probability with which each line of a ring is brought back."""
    return np.full(len(lines.key), RING_RETURNED_SHARE)


def ring_events(settings: WorldSettings, crew: Rings, placed: Orders) -> Events:
    """The completion of each order; nobody looked at anything before."""
    device, nothing = crew.device[placed.owner], np.full(len(placed.key), NONE, dtype=np.int64)
    return Events(
        key=2 * (placed.key * VIEW_SPAN) + 3,
        name=np.full(len(placed.key), COMPLETED, dtype=np.int64),
        device=device,
        account=crew.account[placed.owner],
        product=nothing,
        order_key=placed.key,
        campaign=nothing,
        agent=agents(settings, device),
        network=networks(settings, device, first_members(crew.ring[placed.owner])),
        happened_ms=millis(settings, placed.day, placed.second, placed.key),
    )


def ring_accounts(settings: WorldSettings, crew: Rings) -> Columns:
    """One row per member's account, as the shop tells of it; opened shortly before the ring starts."""
    seed, members = settings.seed, crew.member
    day = crew.first_day - 1 - chosen(seed, Stream.RING, members, REGISTERED_DAYS_BEFORE - 1, 9)
    second = second_of_day(uniform(seed, Stream.JOINED_TIME, members))
    return {
        "number": crew.account,
        "email": crew.email,
        "phone": crew.phone,
        "registered_at": as_moments(wall_seconds_of(settings, day, second)),
        "surname": crew.surname,
        "given_name": crew.given_name,
        "home_store": chosen(seed, Stream.HOME_STORE, crew.ring, settings.stores),
        "open_id": np.zeros(len(members), dtype=np.int64),
        "birth_date": birth_dates_as_told(settings, members, 0, RING_WITHOUT_BIRTH_DATE),
        "name_slip": np.full(len(members), NO_SLIP, dtype=np.int64),
        "phone_style": chosen(seed, Stream.ACCOUNT_TEXT, members, 100),
        "email_style": chosen(seed, Stream.ACCOUNT_TEXT, members, 100, 1),
        "exported_at": as_moments(next_export(settings, day)),
    }
