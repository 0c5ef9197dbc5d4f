"""App and web events: product views of each visit, and the view and the completion of each online order."""

from dataclasses import dataclass

import numpy as np

from jobs.lakehouse.settings import WorldSettings
from jobs.simulate.assortment import assortment
from jobs.simulate.contacts import NONE, Contacts
from jobs.simulate.draws import Integers, Stream, chosen, happens, small_count, uniform, word_numbers
from jobs.simulate.local_time import DAY_SECONDS, second_of_day, utc_seconds, wall_seconds_of
from jobs.simulate.orders import ENTITY_SPAN, Orders, accounts_shown, arrivals, days_late, order_lines
from jobs.simulate.people import People

VIEW_SPAN = 2**6  # views of one visit at most
EXTRA_VIEWS = 0.8
LOGGED_IN_SHARE = 0.6
SECOND_DEVICE_USE = 0.4
PARTNER_DEVICE_USE = 0.3
CAMPAIGN_SHARE = 0.15
CAMPAIGN_COUNT = 4  # the length of the list in texts.py
VIEW_BEFORE_ORDER_SECONDS = (60, 900)
VIEWED, COMPLETED = 0, 1


@dataclass(frozen=True, eq=False)
class Events:
    """Some events, one entry per event in each array; times are UTC milliseconds, `device` and `account` numbers."""

    key: Integers
    name: Integers
    device: Integers
    account: Integers
    product: Integers
    order_key: Integers
    campaign: Integers
    happened_ms: Integers


def devices_used(settings: WorldSettings, known: Contacts, owners: Integers, keys: Integers) -> Integers:
    """The device of each visit or online order: the first, the second, or that of the household's other person."""
    share = uniform(settings.seed, Stream.VISIT_DEVICE, keys)
    own = np.where(
        (known.second_device[owners] != 0) & (share > 1 - SECOND_DEVICE_USE),
        known.second_device[owners],
        known.device[owners],
    )
    return np.where(
        (known.partner_device[owners] != 0) & (share < PARTNER_DEVICE_USE), known.partner_device[owners], own
    )


def campaigns(settings: WorldSettings, keys: Integers) -> Integers:
    """The campaign that brought each visit, by its place in the list; NONE for most."""
    brought = happens(settings.seed, Stream.VISIT_CAMPAIGN, keys, CAMPAIGN_SHARE)
    return np.where(brought, chosen(settings.seed, Stream.VISIT_CAMPAIGN, keys, CAMPAIGN_COUNT, 1), NONE)


def millis(settings: WorldSettings, days: Integers, seconds: Integers, keys: Integers) -> Integers:
    """UTC milliseconds of each event; never a whole second, so that the text always has its fraction."""
    fraction = 1 + chosen(settings.seed, Stream.VIEW_GAP, keys, 999, 1)
    moments: Integers = utc_seconds(settings, wall_seconds_of(settings, days, seconds)) * 1000 + fraction
    return moments


def visit_events(settings: WorldSettings, crowd: People, known: Contacts) -> Events:
    """The product views of all visits of these persons."""
    seed, goods = settings.seed, assortment(settings)
    owner, visit_key, day = arrivals(settings, crowd, crowd.visit_rate, Stream.VISIT_COUNT, Stream.VISIT_DAY)
    counts = 1 + small_count(uniform(seed, Stream.VIEW_COUNT, visit_key), EXTRA_VIEWS)
    visit = np.repeat(np.arange(len(counts)), counts)
    number = np.arange(len(visit)) - np.repeat(np.cumsum(counts) - counts, counts)
    key = visit_key[visit] * VIEW_SPAN + number
    logged_in = happens(seed, Stream.VISIT_LOGGED_IN, visit_key, LOGGED_IN_SHARE)
    gap = number * (20 + chosen(seed, Stream.VIEW_GAP, key, 40))
    start = second_of_day(uniform(seed, Stream.VISIT_TIME, visit_key))
    web = np.full(len(key), settings.stores, dtype=np.int64)
    return Events(
        key=2 * key,
        name=np.full(len(key), VIEWED, dtype=np.int64),
        device=devices_used(settings, known, owner, visit_key)[visit],
        account=np.where(logged_in, known.account[owner], NONE)[visit],
        product=goods.chosen_products(uniform(seed, Stream.VIEW_PRODUCT, key), web, day[visit] // 7),
        order_key=np.full(len(key), NONE, dtype=np.int64),
        campaign=campaigns(settings, visit_key)[visit],
        happened_ms=millis(settings, day[visit], np.minimum(start[visit] + gap, DAY_SECONDS - 1), key),
    )


def order_events(settings: WorldSettings, known: Contacts, placed: Orders) -> Events:
    """Two events per online order: the view of its first product, and its completion."""
    lines = order_lines(settings, placed)
    first_product = lines.product[lines.line_no == 1]
    least, greatest = VIEW_BEFORE_ORDER_SECONDS
    ahead = least + chosen(settings.seed, Stream.VIEW_GAP, placed.key, greatest - least)
    nothing = np.full(len(placed.key), NONE, dtype=np.int64)
    device = devices_used(settings, known, placed.owner, placed.key)
    account = accounts_shown(settings, known, placed)
    completed_ms = millis(settings, placed.day, placed.second, placed.key)
    # Visits take the even keys, orders the odd ones.
    key = 2 * (placed.key * VIEW_SPAN) + 1
    return Events(
        key=np.concatenate([key, key + 2]),
        name=np.repeat([VIEWED, COMPLETED], len(placed.key)),
        device=np.tile(device, 2),
        account=np.tile(account, 2),
        product=np.concatenate([first_product, nothing]),
        order_key=np.concatenate([nothing, placed.key]),
        campaign=np.tile(campaigns(settings, placed.key + ENTITY_SPAN // 2), 2),
        happened_ms=np.concatenate([completed_ms - 1000 * ahead, completed_ms]),
    )


def all_events(settings: WorldSettings, crowd: People, known: Contacts, placed: Orders) -> Events:
    """The events of all visits and of all online orders of these persons."""
    parts = [vars(visit_events(settings, crowd, known)), vars(order_events(settings, known, placed))]
    return Events(**{name: np.concatenate([part[name] for part in parts]) for name in parts[0]})


def received_ms(settings: WorldSettings, events: Events) -> Integers:
    """UTC milliseconds at which each event arrived: some seconds later, or days when the device was offline."""
    delay = 100 + chosen(settings.seed, Stream.EVENT_DELAY, events.key, 2900)
    arrived = events.happened_ms + delay + days_late(settings, events.key) * DAY_SECONDS * 1000
    return np.where(arrived % 1000 == 0, arrived + 1, arrived)


def anonymous_ids(settings: WorldSettings, device: Integers) -> Integers:
    """The 64-bit number of the cookie on each device; who shares a device shares the cookie."""
    return word_numbers(settings.seed, "anonymous ids", device)


def message_ids(settings: WorldSettings, events: Events) -> Integers:
    """The 64-bit number of each event's message id."""
    return word_numbers(settings.seed, "messages", events.key)
