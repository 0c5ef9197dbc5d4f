"""Brushing rings: a few hands behind many accounts, who buy some few products without looking, and bring most back.

Half of them are camouflaged: they share one thing less, take twice as long, buy other goods as well, mostly look first, and keep more.
"""

from dataclasses import dataclass

import numpy as np

from jobs.lakehouse.settings import WorldSettings
from jobs.simulate.assortment import assortment
from jobs.simulate.contacts import ACCOUNT_BITS, EMAIL_BITS, NONE, devices, phones
from jobs.simulate.draws import Columns, Flags, Integers, Numbers, Stream, chosen, scrambled, uniform
from jobs.simulate.local_time import as_moments, next_export, second_of_day, wall_seconds_of
from jobs.simulate.names import given_names, surnames
from jobs.simulate.orders import ENTITY_SPAN, LINE_SPAN, OrderLines, Orders
from jobs.simulate.seasons import day_count
from jobs.simulate.slips import NO_SLIP, birth_dates_as_told
from jobs.simulate.tastes import RETURNED_SHARE
from jobs.simulate.visits import (
    ADDED,
    CHECKING_OUT,
    COMPLETED,
    VIEWED,
    Events,
    agents,
    joined_events,
    millis,
    networks,
    order_keys,
)

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
SHARED = ("address", "payer", "device")
CAMOUFLAGED_SHARE = 0.5
CAMOUFLAGED_DAYS = 56
CAMOUFLAGED_RETURNED_SHARE = 0.25
OTHER_GOODS_SHARE = 0.4  # of the orders of a camouflaged ring
LOOKS_FIRST_SHARES = (0.3, 0.8)  # of the orders of a camouflaged ring; every ring has its own share
VIEW_SECONDS_BEFORE, ADD_SECONDS_BEFORE = (120, 600), (60, 110)
CHECKOUT_SECONDS_BEFORE = (15, 50)


@dataclass(frozen=True, eq=False)
class Rings:
    """The members of some rings, one entry per member; all of one ring share its address, payer and two devices.

    `unshared` is the place in SHARED of what each member of a camouflaged ring has alone; NONE in the others.
    """

    ring: Integers
    member: Integers
    account: Integers
    email: Integers
    phone: Integers
    surname: Integers
    given_name: Integers
    device: Integers
    first_day: Integers
    unshared: Integers


def is_camouflaged(settings: WorldSettings, ring: Integers) -> Flags:
    """Whether each ring hides what it does."""
    return np.asarray(uniform(settings.seed, Stream.RING, ring, 5) < CAMOUFLAGED_SHARE, dtype=np.bool_)


def active_days(settings: WorldSettings, ring: Integers) -> Integers:
    """Over how many days each ring orders."""
    return np.where(is_camouflaged(settings, ring), CAMOUFLAGED_DAYS, ACTIVE_DAYS)


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
    last_start = np.maximum(1, day_count(settings) - active_days(settings, ring) - REGISTERED_DAYS_BEFORE)
    kind = chosen(seed, Stream.RING, ring, len(SHARED), 6)
    unshared = np.where(is_camouflaged(settings, ring), kind, NONE)
    has_own_device = unshared == SHARED.index("device")
    user = np.where(has_own_device, member, first_members(ring) + place % DEVICES_OF_RING)
    return Rings(
        ring=ring,
        member=member,
        account=scrambled(seed, "accounts", 2 * member, ACCOUNT_BITS),
        email=scrambled(seed, "emails", 2 * member, EMAIL_BITS),
        phone=phones(settings, member, 0),
        surname=surnames(seed, member),
        given_name=given_names(seed, member),
        device=devices(settings, user, 0),
        first_day=REGISTERED_DAYS_BEFORE + (uniform(seed, Stream.RING, ring, 1) * last_start).astype(np.int64),
        unshared=unshared,
    )


def first_members(ring: Integers) -> Integers:
    """The number of each ring's first member, after whom all that the ring shares is drawn."""
    return FIRST_MEMBER + ring * MEMBER_SPAN


def shown_by(crew: Rings, thing: str) -> Integers:
    """The number of the member whose address or wallet each member uses: the ring's first, or its own where that is not shared."""
    return np.where(crew.unshared == SHARED.index(thing), crew.member, first_members(crew.ring))


def ring_orders(settings: WorldSettings, crew: Rings) -> Orders:
    """The orders of these members, all online; `owner` is the index of the member."""
    seed = settings.seed
    counts = FEWEST_ORDERS + chosen(seed, Stream.RING_ORDER, crew.member, MOST_ORDERS - FEWEST_ORDERS + 1)
    owner = np.repeat(np.arange(len(counts)), counts)
    key = crew.member[owner] * ENTITY_SPAN + np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    days = active_days(settings, crew.ring)[owner]
    day = crew.first_day[owner] + (uniform(seed, Stream.RING_ORDER, key, 1) * days).astype(np.int64)
    return Orders(
        owner=owner,
        key=key,
        day=np.minimum(day, day_count(settings) - 1),
        second=second_of_day(uniform(seed, Stream.ORDER_TIME, key)),
        is_online=np.ones(len(key), dtype=np.bool_),
        store=np.full(len(key), settings.stores, dtype=np.int64),
        campaign=np.full(len(key), NONE, dtype=np.int64),
    )


def is_of_other_goods(settings: WorldSettings, crew: Rings, placed: Orders) -> Flags:
    """Whether each order is of what anybody buys: a camouflaged ring's pretence."""
    pretends = uniform(settings.seed, Stream.RING_ORDER, placed.key, 3) < OTHER_GOODS_SHARE
    return np.asarray(pretends & is_camouflaged(settings, crew.ring[placed.owner]), dtype=np.bool_)


def ring_lines(settings: WorldSettings, crew: Rings, placed: Orders) -> OrderLines:
    """The one line of each order: one piece of one of the ring's products, or of other goods."""
    seed, goods = settings.seed, assortment(settings)
    ring, web = crew.ring[placed.owner], placed.store
    which = chosen(seed, Stream.RING_ORDER, placed.key, PRODUCTS_OF_RING, 2)
    pushed = goods.chosen_products(uniform(seed, Stream.RING, ring, 2 + which), web, crew.first_day[placed.owner] // 7)
    week = placed.day // 7
    ordinary = goods.chosen_products(uniform(seed, Stream.RING_ORDER, placed.key, 4), web, week)
    product = np.where(is_of_other_goods(settings, crew, placed), ordinary, pushed)
    return OrderLines(
        order=np.arange(len(placed.key)),
        key=2 * (placed.key * LINE_SPAN + 1),
        line_no=np.ones(len(placed.key), dtype=np.int64),
        product=product,
        quantity=np.ones(len(placed.key), dtype=np.int64),
        unit_cents=goods.price_cents[week, product],
        list_cents=goods.list_cents[week, product],
        day=placed.day,
        second=placed.second,
        is_return=np.zeros(len(placed.key), dtype=np.bool_),
    )


def ring_returned_shares(settings: WorldSettings, crew: Rings, placed: Orders, lines: OrderLines) -> Numbers:
    """The probability with which each line of a ring is brought back."""
    hides = is_camouflaged(settings, crew.ring[placed.owner])
    share = np.where(hides, CAMOUFLAGED_RETURNED_SHARE, RING_RETURNED_SHARE)
    return np.where(is_of_other_goods(settings, crew, placed), RETURNED_SHARE, share)[lines.order]


def ring_events(settings: WorldSettings, crew: Rings, placed: Orders) -> Events:
    """The checkout and completion of each order; of those of camouflaged rings mostly also a look and the adding before."""
    seed, device = settings.seed, crew.device[placed.owner]
    nothing = np.full(len(placed.key), NONE, dtype=np.int64)
    product = ring_lines(settings, crew, placed).product
    completed_ms = millis(settings, placed.day, placed.second, placed.key)
    hides = is_camouflaged(settings, crew.ring[placed.owner])
    least, greatest = LOOKS_FIRST_SHARES
    share = least + (greatest - least) * uniform(seed, Stream.RING, crew.ring[placed.owner], 7)
    looks = hides & (uniform(seed, Stream.RING_ORDER, placed.key, 5) < share)
    everyone = np.ones(len(placed.key), dtype=np.bool_)
    # The ring's network where it has two devices; else each member's own.
    place = np.where(crew.unshared == SHARED.index("device"), crew.member, first_members(crew.ring))[placed.owner]
    common = {
        "device": device,
        "account": crew.account[placed.owner],
        "campaign": nothing,
        "agent": agents(settings, device),
        "network": networks(settings, device, place),
    }
    steps = (
        (VIEWED, VIEW_SECONDS_BEFORE, looks),
        (COMPLETED, (0, 1), everyone),
        (ADDED, ADD_SECONDS_BEFORE, looks),
        (CHECKING_OUT, CHECKOUT_SECONDS_BEFORE, everyone),
    )
    parts = []
    for number, (name, (least, too_many), kept) in enumerate(steps):
        key = order_keys(placed.key, number)
        ahead = least + chosen(seed, Stream.VIEW_GAP, key, too_many - least)
        step = Events(
            key=key,
            name=np.full(len(key), name, dtype=np.int64),
            product=product if name in (VIEWED, ADDED) else nothing,
            order_key=placed.key if name == COMPLETED else nothing,
            happened_ms=completed_ms - 1000 * ahead,
            **common,
        )
        parts.append(step.only(kept))
    return joined_events(parts)


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
