"""Visits of the app and the web shop, and the product views of those that end without an order."""

from dataclasses import dataclass

import numpy as np

from jobs.lakehouse.settings import WorldSettings
from jobs.simulate.assortment import assortment
from jobs.simulate.contacts import NONE, Contacts
from jobs.simulate.draws import Flags, Integers, Stream, chosen, happens, lognormal_quantile, uniform, word_numbers
from jobs.simulate.local_time import DAY_SECONDS, HOUR_SECONDS, OPEN_HOURS, second_of_day, utc_seconds, wall_seconds_of
from jobs.simulate.orders import ENTITY_SPAN, Orders, arrivals, days_late
from jobs.simulate.outreach import campaigns as campaigns_of
from jobs.simulate.people import People
from jobs.simulate.tastes import hour_draws, product_draws

VIEW_SPAN = 2**7  # events of one visit or order at most
# Beyond the first product that a visit looks at, rounded down, and the seconds from one to the next, as in the sessions of a real web shop.
USUAL_EXTRA_VIEWS, EXTRA_VIEWS_SPREAD, MOST_VIEWS = 0.8, 1.2, 56
USUAL_GAP_MS, GAP_SPREAD, LONGEST_GAP_MS = 55_000, 1.3, 1_800_000
EAGER_VISITS = 0.5  # of the visits of an eager shopper, those in which they open product after product in tabs
EAGER_VIEWS = (30, MOST_VIEWS)
TABS_OPENED = 4  # at a time, then they are read
TAB_GAP_MS = (350, 900)
TABS_READ_MS = (8_000, 45_000)
LOGGED_IN_SHARE = 0.6
SECOND_DEVICE_USE = 0.4
PARTNER_DEVICE_USE = 0.3
# Of the visits without an order while stores are open, those on the tablet that lies in each for everybody.
TABLET_SHARE = 0.015
CAMPAIGN_SHARE = 0.15
CAMPAIGN_COUNT = 4  # the length of the list in texts.py
# Places in texts.EVENT_TYPES; what is tracked comes before what is not.
VIEWED, COMPLETED, ADDED, CHECKING_OUT, PAYING, PAGED, IDENTIFIED = range(7)
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

    def only(self, kept: Flags | Integers) -> "Events":
        """Those of the events for which a condition holds, or at these places."""
        return Events(**{name: values[kept] for name, values in vars(self).items()})


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


def with_tablets(settings: WorldSettings, device: Integers, keys: Integers, second: Integers) -> Integers:
    """The device of each visit, for a few the tablet of an open store: one that hundreds share and that says nothing of who is who."""
    is_open = np.isin(second // HOUR_SECONDS, OPEN_HOURS)
    in_store = happens(settings.seed, Stream.STORE_TABLET, keys, TABLET_SHARE) & is_open
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
    """The network (the first three bytes of an address) of each visit: mostly that of the device, always that of a store's tablet."""
    is_tablet = np.isin(device, tablets(settings))
    on_the_move = happens(settings.seed, Stream.NETWORK, visit_key, ON_THE_MOVE_SHARE) & ~is_tablet
    usual = chosen(settings.seed, Stream.NETWORK, device, 2**NETWORK_BITS, 1)
    return np.where(on_the_move, chosen(settings.seed, Stream.NETWORK, visit_key, 2**NETWORK_BITS, 2), usual)


def order_keys(orders: Integers, place: Integers | int) -> Integers:
    """The key of an event of each order by its place in the order's span; visits take the even keys, orders the odd ones."""
    return 2 * (orders * VIEW_SPAN + place) + 1


def millis(settings: WorldSettings, days: Integers, seconds: Integers, keys: Integers) -> Integers:
    """UTC milliseconds of each event; never a whole second, so that the text always has its fraction."""
    fraction = 1 + chosen(settings.seed, Stream.VIEW_GAP, keys, 999, 1)
    moments: Integers = utc_seconds(settings, wall_seconds_of(settings, days, seconds)) * 1000 + fraction
    return moments


def visits(settings: WorldSettings, crowd: People, known: Contacts) -> Visits:
    """All visits of these persons, but those in which they order."""
    owner, key, day = arrivals(settings, crowd, crowd.visit_rate, Stream.VISIT_COUNT, Stream.VISIT_DAY)
    logged_in = happens(settings.seed, Stream.VISIT_LOGGED_IN, key, LOGGED_IN_SHARE)
    second = second_of_day(hour_draws(settings, crowd, owner, Stream.VISIT_TIME, key))
    device = with_tablets(settings, devices_used(settings, known, owner, key), key, second)
    return Visits(
        owner=owner,
        key=key,
        day=day,
        second=second,
        device=device,
        account=np.where(logged_in, known.account[owner], NONE),
        campaign=campaigns(settings, key),
        agent=agents(settings, device),
        network=networks(settings, device, key),
    )


def eager_visits(settings: WorldSettings, crowd: People, come: Visits) -> Flags:
    """The visits in which somebody opens dozens of products in tabs: as fast as some bots, and no bot."""
    is_eager = happens(settings.seed, Stream.EAGER, crowd.person_id, settings.eager_share)[come.owner]
    return np.asarray(is_eager & happens(settings.seed, Stream.EAGER, come.key, EAGER_VISITS), dtype=np.bool_)


def view_counts(settings: WorldSettings, come: Visits, is_eager: Flags) -> Integers:
    """How many products are looked at in each visit."""
    least, most = EAGER_VIEWS
    many = least + chosen(settings.seed, Stream.EAGER, come.key, most - least + 1, 1)
    extra = lognormal_quantile(
        uniform(settings.seed, Stream.VIEW_COUNT, come.key), USUAL_EXTRA_VIEWS, EXTRA_VIEWS_SPREAD
    )
    return np.where(is_eager, many, np.minimum(1 + extra.astype(np.int64), MOST_VIEWS))


def view_moments(
    settings: WorldSettings, come: Visits, visit: Integers, number: Integers, key: Integers, is_eager: Flags
) -> Integers:
    """UTC milliseconds of each view: one product is looked at after the other, or some tabs are opened before any is read.

    Args:
        settings: the world.
        come: the visits.
        visit: by view, the place of its visit.
        number: by view, its number within the visit.
        key: by view, its key.
        is_eager: by view, whether its visitor opens tabs.
    """
    looked = lognormal_quantile(uniform(settings.seed, Stream.VIEW_GAP, key), USUAL_GAP_MS, GAP_SPREAD)
    opened, read = (
        least + chosen(settings.seed, Stream.EAGER, key, most - least, index)
        for index, (least, most) in enumerate((TAB_GAP_MS, TABS_READ_MS), start=2)
    )
    of_tabs = np.where(number % TABS_OPENED == 0, read, opened)
    passed = np.cumsum(np.where(is_eager, of_tabs, np.minimum(looked, LONGEST_GAP_MS).astype(np.int64)))
    first = np.flatnonzero(number == 0)
    since_first = passed - passed[first][visit]
    moments = millis(settings, come.day, come.second, come.key)[visit] + since_first
    return without_whole_seconds(moments)


def without_whole_seconds(moments: Integers) -> Integers:
    """The milliseconds, a whole second one later, so that the text of each has its fraction."""
    return np.where(moments % 1000 == 0, moments + 1, moments)


def visit_events(settings: WorldSettings, crowd: People, come: Visits) -> Events:
    """The product views of these visits."""
    goods = assortment(settings)
    is_eager = eager_visits(settings, crowd, come)
    counts = view_counts(settings, come, is_eager)
    visit = np.repeat(np.arange(len(counts)), counts)
    number = np.arange(len(visit)) - np.repeat(np.cumsum(counts) - counts, counts)
    key = come.key[visit] * VIEW_SPAN + number
    first = np.flatnonzero(number == 0)[visit]
    web, week = np.full(len(key), settings.stores, dtype=np.int64), come.day[visit] // 7
    draw = goods.draw_at(
        *product_draws(settings, crowd.person_id[come.owner[visit]], Stream.VIEW_PRODUCT, key), web, week
    )
    product = goods.chosen_products(draw, web, week)
    # Tabs are opened down a list, each of another product.
    listed = (product[first] + number) % len(goods.price_cents[0])
    return Events(
        key=2 * key,
        name=np.full(len(key), VIEWED, dtype=np.int64),
        device=come.device[visit],
        account=come.account[visit],
        product=np.where(is_eager[visit], listed, product),
        order_key=np.full(len(key), NONE, dtype=np.int64),
        campaign=come.campaign[visit],
        agent=come.agent[visit],
        network=come.network[visit],
        happened_ms=view_moments(settings, come, visit, number, key, is_eager[visit]),
    )


def repeated_clicks(settings: WorldSettings, clicks: Events) -> Events:
    """The clicks that a nervous finger did again within a second: all alike but the message and its time."""
    again = happens(settings.seed, Stream.REPEATED_CLICK, clicks.key, settings.repeated_click_share)
    later = 50 + chosen(settings.seed, Stream.REPEATED_CLICK, clicks.key, REPEATED_WITHIN_MS - 50, 1)
    changed = {
        "key": clicks.key + REPEATED_KEY,
        "happened_ms": without_whole_seconds(clicks.happened_ms + later),
    }
    return Events(**(vars(clicks) | changed)).only(again)


def joined_events(parts: list[Events]) -> Events:
    """The events of all parts, one after the other."""
    return Events(**{name: np.concatenate([vars(part)[name] for part in parts]) for name in vars(parts[0])})


def received_ms(settings: WorldSettings, events: Events) -> Integers:
    """UTC milliseconds at which each event arrived: some seconds later, or days when the device was offline."""
    delay = 100 + chosen(settings.seed, Stream.EVENT_DELAY, events.key, 2900)
    arrived = events.happened_ms + delay + days_late(settings, events.key) * DAY_SECONDS * 1000
    return without_whole_seconds(arrived)


def anonymous_ids(settings: WorldSettings, device: Integers) -> Integers:
    """The 64-bit number of the cookie on each device; who shares a device shares the cookie."""
    return word_numbers(settings.seed, "anonymous ids", device)


def message_ids(settings: WorldSettings, keys: Integers) -> Integers:
    """The 64-bit number of each event's message id, by the event's key."""
    return word_numbers(settings.seed, "messages", keys)
