"""App and web events: product views of each visit, and the view and the completion of each online order."""

from dataclasses import dataclass

import numpy as np

from jobs.lakehouse.settings import WorldSettings
from jobs.simulate.assortment import assortment
from jobs.simulate.contacts import NONE, Contacts
from jobs.simulate.draws import Flags, Integers, Stream, chosen, happens, small_count, uniform, word_numbers
from jobs.simulate.local_time import DAY_SECONDS, second_of_day, utc_seconds, wall_seconds_of
from jobs.simulate.orders import ENTITY_SPAN, Orders, accounts_shown, arrivals, days_late, order_lines
from jobs.simulate.outreach import campaigns as campaigns_of
from jobs.simulate.people import People
from jobs.simulate.tastes import hour_draws, product_draws

VIEW_SPAN = 2**6  # views of one visit at most
EXTRA_VIEWS = 0.8
LOGGED_IN_SHARE = 0.6
SECOND_DEVICE_USE = 0.4
PARTNER_DEVICE_USE = 0.3
TABLET_SHARE = 0.01  # of the visits without an order, those on the tablet that lies in a store for everybody
CAMPAIGN_SHARE = 0.15
CAMPAIGN_COUNT = 4  # the length of the list in texts.py
VIEW_BEFORE_ORDER_SECONDS = (60, 900)
VIEWED, COMPLETED, PAGED, IDENTIFIED = range(4)  # places in texts.EVENT_TYPES
REPEATED_KEY = 2**60  # added to the key of a click for the key of its repetition
REPEATED_WITHIN_MS = 900
AGENT_COUNT = 8  # the length of texts.USER_AGENTS
NETWORK_BITS = 22
ON_THE_MOVE_SHARE = 0.25  # of visits, those from a network other than the device's usual one
SOURCE_OF_CHANNEL = np.array([2, NONE, 1, NONE])  # by channel of a campaign, the place in texts.CAMPAIGNS


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
    agent: Integers
    network: Integers
    happened_ms: Integers


@dataclass(frozen=True, eq=False)
class Visits:
    """Some visits without an order, one entry per visit in each array; `owner` is the person's place in the crowd."""

    owner: Integers
    key: Integers
    day: Integers
    second: Integers
    device: Integers
    account: Integers
    campaign: Integers
    agent: Integers
    network: Integers

    def only(self, kept: Flags) -> "Visits":
        """Those of the visits for which a condition holds."""
        return Visits(**{name: values[kept] for name, values in vars(self).items()})


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


def tablets(settings: WorldSettings) -> Integers:
    """The number of the device that lies in each store, by the store's number."""
    return word_numbers(settings.seed, "tablets", np.arange(settings.stores))


def with_tablets(settings: WorldSettings, device: Integers, keys: Integers) -> Integers:
    """The device of each visit, which for a few is the tablet of a store: one that hundreds share and that tells nothing of who is who."""
    in_store = happens(settings.seed, Stream.STORE_TABLET, keys, TABLET_SHARE)
    store = chosen(settings.seed, Stream.STORE_TABLET, keys, settings.stores, 1)
    return np.where(in_store, tablets(settings)[store], device)


def campaigns(settings: WorldSettings, keys: Integers) -> Integers:
    """The campaign that brought each visit, by its place in the list; NONE for most."""
    brought = happens(settings.seed, Stream.VISIT_CAMPAIGN, keys, CAMPAIGN_SHARE)
    return np.where(brought, chosen(settings.seed, Stream.VISIT_CAMPAIGN, keys, CAMPAIGN_COUNT, 1), NONE)


def order_sources(settings: WorldSettings, placed: Orders) -> Integers:
    """Where each order's visit came from: the campaign that brought it about, else as with any visit."""
    channel = np.append(campaigns_of(settings).channel, 0)[placed.campaign]
    by_chance = campaigns(settings, placed.key + ENTITY_SPAN // 2)
    return np.where(placed.campaign == NONE, by_chance, SOURCE_OF_CHANNEL[channel])


def agents(settings: WorldSettings, device: Integers) -> Integers:
    """The browser or app on each device, by its place in the list."""
    return chosen(settings.seed, Stream.USER_AGENT, device, AGENT_COUNT)


def networks(settings: WorldSettings, device: Integers, visit_key: Integers) -> Integers:
    """The network (the first three bytes of an address) of each visit: mostly that of the device."""
    on_the_move = happens(settings.seed, Stream.NETWORK, visit_key, ON_THE_MOVE_SHARE)
    usual = chosen(settings.seed, Stream.NETWORK, device, 2**NETWORK_BITS, 1)
    return np.where(on_the_move, chosen(settings.seed, Stream.NETWORK, visit_key, 2**NETWORK_BITS, 2), usual)


def millis(settings: WorldSettings, days: Integers, seconds: Integers, keys: Integers) -> Integers:
    """UTC milliseconds of each event; never a whole second, so that the text always has its fraction."""
    fraction = 1 + chosen(settings.seed, Stream.VIEW_GAP, keys, 999, 1)
    moments: Integers = utc_seconds(settings, wall_seconds_of(settings, days, seconds)) * 1000 + fraction
    return moments


def visits(settings: WorldSettings, crowd: People, known: Contacts) -> Visits:
    """All visits of these persons, but those in which they order."""
    owner, key, day = arrivals(settings, crowd, crowd.visit_rate, Stream.VISIT_COUNT, Stream.VISIT_DAY)
    logged_in = happens(settings.seed, Stream.VISIT_LOGGED_IN, key, LOGGED_IN_SHARE)
    device = with_tablets(settings, devices_used(settings, known, owner, key), key)
    return Visits(
        owner=owner,
        key=key,
        day=day,
        second=second_of_day(hour_draws(settings, crowd, owner, Stream.VISIT_TIME, key)),
        device=device,
        account=np.where(logged_in, known.account[owner], NONE),
        campaign=campaigns(settings, key),
        agent=agents(settings, device),
        network=networks(settings, device, key),
    )


def visit_events(settings: WorldSettings, crowd: People, come: Visits) -> Events:
    """The product views of these visits."""
    seed, goods = settings.seed, assortment(settings)
    counts = 1 + small_count(uniform(seed, Stream.VIEW_COUNT, come.key), EXTRA_VIEWS)
    visit = np.repeat(np.arange(len(counts)), counts)
    number = np.arange(len(visit)) - np.repeat(np.cumsum(counts) - counts, counts)
    key = come.key[visit] * VIEW_SPAN + number
    gap = number * (20 + chosen(seed, Stream.VIEW_GAP, key, 40))
    web, week = np.full(len(key), settings.stores, dtype=np.int64), come.day[visit] // 7
    draw = goods.draw_at(
        *product_draws(settings, crowd.person_id[come.owner[visit]], Stream.VIEW_PRODUCT, key), web, week
    )
    return Events(
        key=2 * key,
        name=np.full(len(key), VIEWED, dtype=np.int64),
        device=come.device[visit],
        account=come.account[visit],
        product=goods.chosen_products(draw, web, week),
        order_key=np.full(len(key), NONE, dtype=np.int64),
        campaign=come.campaign[visit],
        agent=come.agent[visit],
        network=come.network[visit],
        happened_ms=millis(settings, come.day[visit], np.minimum(come.second[visit] + gap, DAY_SECONDS - 1), key),
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
        campaign=np.tile(order_sources(settings, placed), 2),
        agent=np.tile(agents(settings, device), 2),
        network=np.tile(networks(settings, device, placed.key + ENTITY_SPAN // 2), 2),
        happened_ms=np.concatenate([completed_ms - 1000 * ahead, completed_ms]),
    )


def repeated_clicks(settings: WorldSettings, clicks: Events) -> Events:
    """The clicks that a nervous finger did again within a second: all alike but the message and its time."""
    again = happens(settings.seed, Stream.REPEATED_CLICK, clicks.key, settings.repeated_click_share)
    later = 50 + chosen(settings.seed, Stream.REPEATED_CLICK, clicks.key, REPEATED_WITHIN_MS - 50, 1)
    happened = clicks.happened_ms + later
    changed = {"key": clicks.key + REPEATED_KEY, "happened_ms": np.where(happened % 1000 == 0, happened + 1, happened)}
    return Events(**{name: values[again] for name, values in (vars(clicks) | changed).items()})


def joined_events(parts: list[Events]) -> Events:
    """The events of all parts, one after the other."""
    return Events(**{name: np.concatenate([vars(part)[name] for part in parts]) for name in vars(parts[0])})


def all_events(settings: WorldSettings, crowd: People, known: Contacts, come: Visits, placed: Orders) -> Events:
    """What is done in these visits, and with these online orders of the same persons."""
    views = visit_events(settings, crowd, come)
    return joined_events([views, repeated_clicks(settings, views), order_events(settings, known, placed)])


def received_ms(settings: WorldSettings, events: Events) -> Integers:
    """UTC milliseconds at which each event arrived: some seconds later, or days when the device was offline."""
    delay = 100 + chosen(settings.seed, Stream.EVENT_DELAY, events.key, 2900)
    arrived = events.happened_ms + delay + days_late(settings, events.key) * DAY_SECONDS * 1000
    return np.where(arrived % 1000 == 0, arrived + 1, arrived)


def anonymous_ids(settings: WorldSettings, device: Integers) -> Integers:
    """The 64-bit number of the cookie on each device; who shares a device shares the cookie."""
    return word_numbers(settings.seed, "anonymous ids", device)


def message_ids(settings: WorldSettings, keys: Integers) -> Integers:
    """The 64-bit number of each event's message id, by the event's key."""
    return word_numbers(settings.seed, "messages", keys)
