"""Bots: crawlers that say what they are, and scrapers that don't, walking through the shop faster than anybody reads."""

import numpy as np

from jobs.lakehouse.settings import WorldSettings
from jobs.simulate.contacts import NONE, devices
from jobs.simulate.draws import Columns, Flags, Integers, Stream, chosen, happens, uniform
from jobs.simulate.local_time import DAY_SECONDS
from jobs.simulate.seasons import day_count
from jobs.simulate.visits import AGENT_COUNT, COMPLETED, NETWORK_BITS, VIEWED, Events, agents, millis

FIRST_BOT = 2**28  # bots are numbered above all persons and below the members of rings
EVENT_SPAN = 2**9  # events of one session at most
SESSION_SPAN = 2**12  # sessions of one bot at most
FEWEST_EVENTS, MOST_EVENTS = 60, 240
DAYS_BETWEEN_SESSIONS = 45
DECLARED_SHARE = 0.5  # of bots, those whose user agent says so
DECLARED_AGENT_COUNT = 4  # the length of texts.BOT_AGENTS
LEAST_GAP_MS, GREATEST_GAP_MS = 80, 600
BUYS_BEFORE_LOOKING_SHARE = 0.3  # of the sessions, those that tell of a completed order before anything was seen


def bots_told_with(settings: WorldSettings, persons: Integers) -> Integers:
    """The numbers of the bots that are told of together with these persons: every so many persons there is one."""
    led: Integers = persons[persons % settings.persons_per_bot == 0] // settings.persons_per_bot
    return led + FIRST_BOT


def is_declared(settings: WorldSettings, bots: Integers) -> Flags:
    """Whether each bot's user agent says that it is one."""
    return happens(settings.seed, Stream.BOT, bots, DECLARED_SHARE)


def session_counts(settings: WorldSettings, bots: Integers) -> Integers:
    """How many sessions each bot has in the world."""
    most = max(1, 2 * day_count(settings) // DAYS_BETWEEN_SESSIONS)
    return 1 + chosen(settings.seed, Stream.BOT, bots, most, 1)


def bot_batch(settings: WorldSettings, persons: Integers) -> Columns:
    """One row per bot that is told of with these persons."""
    bots = bots_told_with(settings, persons)
    return {"bot": bots, "device": devices(settings, bots, 0), "is_declared": is_declared(settings, bots)}


def bot_events(settings: WorldSettings, bots: Integers) -> Events:
    """The events of these bots: product after product in the order of the catalogue, some a second."""
    seed = settings.seed
    sessions = session_counts(settings, bots)
    bot = np.repeat(np.arange(len(bots)), sessions)
    session_key = bots[bot] * SESSION_SPAN + np.arange(len(bot)) - np.repeat(np.cumsum(sessions) - sessions, sessions)
    counts = FEWEST_EVENTS + chosen(seed, Stream.BOT_SESSION, session_key, MOST_EVENTS - FEWEST_EVENTS)
    session = np.repeat(np.arange(len(counts)), counts)
    number = np.arange(len(session)) - np.repeat(np.cumsum(counts) - counts, counts)
    key = session_key[session] * EVENT_SPAN + number
    day = chosen(seed, Stream.BOT_SESSION, session_key, day_count(settings), 1)
    second = chosen(seed, Stream.BOT_SESSION, session_key, DAY_SECONDS - 300, 2)
    gap = LEAST_GAP_MS + chosen(seed, Stream.BOT_VIEW, key, GREATEST_GAP_MS - LEAST_GAP_MS)
    passed = np.cumsum(gap) - np.repeat((np.cumsum(gap) - gap)[np.cumsum(counts) - counts], counts)
    happened = millis(settings, day, second, session_key)[session] + passed
    buys_first = uniform(seed, Stream.BOT_SESSION, session_key, 3) < BUYS_BEFORE_LOOKING_SHARE
    is_purchase = (number == 0) & buys_first[session]
    device = devices(settings, bots, 0)
    declared = AGENT_COUNT + chosen(seed, Stream.BOT, bots, DECLARED_AGENT_COUNT, 2)
    agent = np.where(is_declared(settings, bots), declared, agents(settings, device))
    nothing = np.full(len(key), NONE, dtype=np.int64)
    first_product = chosen(seed, Stream.BOT_SESSION, session_key, settings.products, 4)
    return Events(
        key=2 * key,
        name=np.where(is_purchase, COMPLETED, VIEWED),
        device=device[bot][session],
        account=nothing,
        product=np.where(is_purchase, NONE, (first_product[session] + number) % settings.products),
        order_key=nothing,
        campaign=nothing,
        agent=agent[bot][session],
        network=chosen(seed, Stream.NETWORK, bots, 2**NETWORK_BITS)[bot][session],
        happened_ms=np.where(happened % 1000 == 0, happened + 1, happened),
    )
