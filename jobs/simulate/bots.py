"""Bots: crawlers that say what they are, scrapers that don't, and patient ones that take their time as people do."""

import numpy as np

from jobs.lakehouse.settings import WorldSettings
from jobs.simulate.contacts import NONE, devices
from jobs.simulate.draws import Columns, Flags, Integers, Numbers, Stream, chosen, exponential_quantile, uniform
from jobs.simulate.local_time import DAY_SECONDS, second_of_day
from jobs.simulate.seasons import day_count
from jobs.simulate.visits import (
    AGENT_COUNT,
    COMPLETED,
    NETWORK_BITS,
    VIEWED,
    Events,
    agents,
    millis,
    without_whole_seconds,
)

FIRST_BOT = 2**28  # bots are numbered above all persons and below the members of rings
EVENT_SPAN = 2**9  # events of one session at most
SESSION_SPAN = 2**12  # sessions of one bot at most
FEWEST_EVENTS, MOST_EVENTS = 60, 240
DAYS_BETWEEN_SESSIONS = 45
KINDS = ("crawler", "scraper", "patient")
CRAWLER, SCRAPER, PATIENT = range(len(KINDS))
KIND_ENDS = (0.4, 0.7)  # a draw below the first is a crawler, one below the second a scraper
DECLARED_AGENT_COUNT = 4  # the length of texts.BOT_AGENTS
LEAST_GAP_MS, GREATEST_GAP_MS = 80, 600
BUYS_BEFORE_LOOKING_SHARE = (
    0.3  # of the sessions of fast bots, those that tell of a completed order before anything was seen
)
# Patient bots: half wait as chance has it, with the mean of the even draw of the others; half send a few requests by each proxy.
PATIENT_GAP_MS = (3_000, 21_000)
WAITS_EVENLY_SHARE = 0.5
ROTATES_SHARE = 0.5
EVENTS_PER_PROXY = 8
LAST_PATIENT_SECOND = 20 * 3600  # a session of two hours ends on its day


def bots_told_with(settings: WorldSettings, persons: Integers) -> Integers:
    """The numbers of the bots that are told of together with these persons: every so many persons there is one."""
    led: Integers = persons[persons % settings.persons_per_bot == 0] // settings.persons_per_bot
    return led + FIRST_BOT


def kinds(settings: WorldSettings, bots: Integers) -> Integers:
    """What each bot is, by its place in KINDS."""
    return np.searchsorted(KIND_ENDS, uniform(settings.seed, Stream.BOT, bots)).astype(np.int64)


def session_counts(settings: WorldSettings, bots: Integers) -> Integers:
    """How many sessions each bot has in the world."""
    most = max(1, 2 * day_count(settings) // DAYS_BETWEEN_SESSIONS)
    return 1 + chosen(settings.seed, Stream.BOT, bots, most, 1)


def session_devices(settings: WorldSettings, bots: Integers, session: Integers | int) -> Integers:
    """The device of each bot's session: a patient bot drops its cookies and comes back as another, in turn."""
    is_other = (kinds(settings, bots) == PATIENT) & (np.asarray(session) % 2 == 1)
    return np.where(is_other, devices(settings, bots, 1), devices(settings, bots, 0))


def bot_batch(settings: WorldSettings, persons: Integers) -> Columns:
    """One row per bot that is told of with these persons, and device of its."""
    bots = bots_told_with(settings, persons)
    kind = kinds(settings, bots)
    again = np.flatnonzero(kind == PATIENT)
    every = np.concatenate([np.arange(len(bots)), again])
    which = np.repeat([0, 1], [len(bots), len(again)])
    return {"bot": bots[every], "device": session_devices(settings, bots[every], which), "kind": kind[every]}


def gaps_ms(settings: WorldSettings, bots: Integers, keys: Integers) -> Integers:
    """The milliseconds before each event of these bots."""
    draw, kind = uniform(settings.seed, Stream.BOT_VIEW, keys), kinds(settings, bots)
    fast = LEAST_GAP_MS + draw * (GREATEST_GAP_MS - LEAST_GAP_MS)
    least, greatest = PATIENT_GAP_MS
    evenly = uniform(settings.seed, Stream.BOT, bots, 3) < WAITS_EVENLY_SHARE
    mean = (least + greatest) / 2
    by_chance = exponential_quantile(draw, np.full(len(draw), 1 / mean))
    patient: Numbers = np.where(evenly, least + draw * (greatest - least), by_chance)
    return np.where(kind == PATIENT, patient, fast).astype(np.int64)


def session_moments(settings: WorldSettings, bots: Integers, session_key: Integers) -> Integers:
    """UTC milliseconds at which each session begins: at any time of the day, those of patient bots when people shop."""
    seed = settings.seed
    day = chosen(seed, Stream.BOT_SESSION, session_key, day_count(settings), 1)
    any_time = chosen(seed, Stream.BOT_SESSION, session_key, DAY_SECONDS - 300, 2)
    as_people = np.minimum(second_of_day(uniform(seed, Stream.BOT_SESSION, session_key, 2)), LAST_PATIENT_SECOND)
    second = np.where(kinds(settings, bots) == PATIENT, as_people, any_time)
    return millis(settings, day, second, session_key)


def bot_networks(settings: WorldSettings, bots: Integers, session_key: Integers, number: Integers) -> Integers:
    """The network of each event: that of the bot, or for some patient ones that of a proxy for some events at a time."""
    rotates = (kinds(settings, bots) == PATIENT) & (uniform(settings.seed, Stream.BOT, bots, 4) < ROTATES_SHARE)
    proxy = session_key * EVENT_SPAN + number // EVENTS_PER_PROXY
    one = chosen(settings.seed, Stream.NETWORK, bots, 2**NETWORK_BITS)
    return np.where(rotates, chosen(settings.seed, Stream.NETWORK, proxy, 2**NETWORK_BITS, 3), one)


def bot_agents(settings: WorldSettings, bots: Integers, device: Integers) -> Integers:
    """The user agent of each bot: a crawler's says what it is, the others pass for browsers."""
    declared = AGENT_COUNT + chosen(settings.seed, Stream.BOT, bots, DECLARED_AGENT_COUNT, 2)
    is_declared: Flags = kinds(settings, bots) == CRAWLER
    return np.where(is_declared, declared, agents(settings, device))


def bot_events(settings: WorldSettings, bots: Integers) -> Events:
    """The events of these bots: product after product in the order of the catalogue."""
    seed = settings.seed
    sessions = session_counts(settings, bots)
    bot = np.repeat(np.arange(len(bots)), sessions)
    of_bot = np.arange(len(bot)) - np.repeat(np.cumsum(sessions) - sessions, sessions)
    session_key = bots[bot] * SESSION_SPAN + of_bot
    counts = FEWEST_EVENTS + chosen(seed, Stream.BOT_SESSION, session_key, MOST_EVENTS - FEWEST_EVENTS)
    session = np.repeat(np.arange(len(counts)), counts)
    number = np.arange(len(session)) - np.repeat(np.cumsum(counts) - counts, counts)
    key = session_key[session] * EVENT_SPAN + number
    who = bots[bot][session]
    gap = gaps_ms(settings, who, key)
    passed = np.cumsum(gap) - np.repeat((np.cumsum(gap) - gap)[np.cumsum(counts) - counts], counts)
    begins = session_moments(settings, bots[bot], session_key)
    buys_first = (uniform(seed, Stream.BOT_SESSION, session_key, 3) < BUYS_BEFORE_LOOKING_SHARE) & (
        kinds(settings, bots[bot]) != PATIENT
    )
    is_purchase = (number == 0) & buys_first[session]
    device = session_devices(settings, bots[bot], of_bot)
    agent = bot_agents(settings, bots[bot], device)
    nothing = np.full(len(key), NONE, dtype=np.int64)
    first_product = chosen(seed, Stream.BOT_SESSION, session_key, settings.products, 4)
    return Events(
        key=2 * key,
        name=np.where(is_purchase, COMPLETED, VIEWED),
        device=device[session],
        account=nothing,
        product=np.where(is_purchase, NONE, (first_product[session] + number) % settings.products),
        order_key=nothing,
        campaign=nothing,
        agent=agent[session],
        network=bot_networks(settings, who, session_key[session], number),
        happened_ms=without_whole_seconds(begins[session] + passed),
    )
