"""What opens a visit: the page that it begins with, and the log-in of who was logged out, with what is told of them."""

from dataclasses import replace

import numpy as np

from jobs.lakehouse.settings import WorldSettings
from jobs.simulate.contacts import NONE, Contacts, phone_on
from jobs.simulate.draws import Columns, Flags, Integers, Stream, chosen, happens, uniform
from jobs.simulate.visits import IDENTIFIED, PAGED, VIEW_SPAN, Events, Visits, millis

# A visit has fewer than sixty views: the last places of its span are free.
PAGE_PLACE, LOGIN_PLACE = VIEW_SPAN - 1, VIEW_SPAN - 2
PAGE_SHARE = 0.2
LOGIN_SHARE = 0.2  # of the visits of who is logged in; the others still were
PAGE_SECONDS_BEFORE = (10, 40)
LOGIN_SECONDS_BEFORE = (1, 10)
EMAIL_TOLD_SHARE = 0.5
TRAITS = ("surname", "given_name", "email", "phone")


def logs_in(settings: WorldSettings, come: Visits) -> Flags:
    """Whether a visit begins with a log-in."""
    wanted = happens(settings.seed, Stream.LOG_IN, come.key, LOGIN_SHARE)
    return np.asarray(wanted & (come.account != NONE), dtype=np.bool_)


def opening(
    settings: WorldSettings, come: Visits, name: int, place: int, stream: Stream, seconds_before: tuple[int, int]
) -> Events:
    """One event per visit, some seconds before its first view, but on the same day.

    Args:
        settings: the world.
        come: the visits.
        name: what happens.
        place: of the event's key within the visit's span.
        stream: what the seconds are drawn from.
        seconds_before: the least, and what is just too many.
    """
    key = come.key * VIEW_SPAN + place
    least, too_many = seconds_before
    ahead = least + chosen(settings.seed, stream, come.key, too_many - least, 1)
    nothing = np.full(len(key), NONE, dtype=np.int64)
    return Events(
        key=2 * key,
        name=np.full(len(key), name, dtype=np.int64),
        device=come.device,
        account=come.account,
        product=nothing,
        order_key=nothing,
        campaign=come.campaign,
        agent=come.agent,
        network=come.network,
        happened_ms=millis(settings, come.day, np.maximum(come.second - ahead, 0), key),
    )


def page_events(settings: WorldSettings, come: Visits) -> Events:
    """The page with which some of the visits begin; who logs in only then is nobody yet."""
    anonymous = replace(come, account=np.where(logs_in(settings, come), NONE, come.account))
    begun = anonymous.only(happens(settings.seed, Stream.PAGE, come.key, PAGE_SHARE))
    return opening(settings, begun, PAGED, PAGE_PLACE, Stream.PAGE, PAGE_SECONDS_BEFORE)


def login_events(settings: WorldSettings, come: Visits) -> Events:
    """The log-in of those of the visits that begin with one."""
    begun = come.only(logs_in(settings, come))
    return opening(settings, begun, IDENTIFIED, LOGIN_PLACE, Stream.LOG_IN, LOGIN_SECONDS_BEFORE)


def login_traits(settings: WorldSettings, known: Contacts, come: Visits) -> Columns:
    """What the log-ins tell of persons, one entry per event of `login_events`: the phone of the day, and for some the e-mail."""
    begun = come.only(logs_in(settings, come))
    tells_email = uniform(settings.seed, Stream.LOG_IN, begun.key, 2) < EMAIL_TOLD_SHARE
    return {
        "surname": known.surname[begun.owner],
        "given_name": known.given_name[begun.owner],
        "email": np.where(tells_email, known.email[begun.owner], NONE),
        "phone": phone_on(known, begun.owner, begun.day),
    }


def traits_of_last(count: int, told: Columns) -> Columns:
    """What is told of persons by so many events, of which the log-ins are the last; NONE for all others."""

    def filled(values: Integers) -> Integers:
        return np.concatenate([np.full(count - len(values), NONE, dtype=np.int64), values])

    return {name: filled(told[name]) for name in TRAITS}
