"""Who shops: each person's joining, dropping out, rates and habits, drawn from the person's number alone."""

from dataclasses import dataclass

import numpy as np

from jobs.lakehouse.settings import WorldSettings
from jobs.simulate.assortment import store_weights
from jobs.simulate.draws import (
    Flags,
    Integers,
    Numbers,
    Stream,
    beta_quantile,
    correlated,
    exponential_quantile,
    gamma_quantile,
    happens,
    uniform,
    weighted_choice,
)
from jobs.simulate.seasons import day_count

YEAR_DAYS = 365.0
JOINED_BEFORE_SHARE = 0.6
JOINED_BEFORE_DAYS = 730
ORDER_RATE_SHAPE = 1.5
DROPOUT_RATE_SHAPE = 4.0
VISIT_RATE_SHAPE = 2.0
VISITS_FOLLOW_ORDERS = 0.6  # correlation of the normal scores of a person's two rates
ONLINE_SHARE_BETA = (1.2, 1.0)
ACCOUNT_SHARE = 0.85
CARD_SHARE = 0.75
SHOWS_CARD_SHARE = 0.9
LONGEST_LIFE_DAYS = 80_000.0  # keeps every date within what 64-bit nanoseconds can say


@dataclass(frozen=True, eq=False)
class People:
    """The parameters of some persons, one entry per person in each array; days count from the world's first.

    A person is active from the midnight after the day of joining (`active_from`) to the moment `active_until`.
    """

    person_id: Integers
    joined_day: Integers
    active_from: Numbers
    active_until: Numbers
    order_rate: Numbers
    dropout_rate: Numbers
    visit_rate: Numbers
    online_share: Numbers
    home_store: Integers
    has_account: Flags
    has_card: Flags


def joined_days(settings: WorldSettings, persons: Integers) -> Integers:
    """The day on which each person joined; below 0 for those who were customers before the world's first day."""
    share = uniform(settings.seed, Stream.JOINED_DAY, persons)
    before = happens(settings.seed, Stream.JOINED_BEFORE, persons, JOINED_BEFORE_SHARE)
    return np.where(
        before, np.floor(share * JOINED_BEFORE_DAYS) - JOINED_BEFORE_DAYS, np.floor(share * day_count(settings))
    ).astype(np.int64)


def accounts_held(settings: WorldSettings, persons: Integers) -> Flags:
    """Whether each person has an account in the web shop."""
    return happens(settings.seed, Stream.HAS_ACCOUNT, persons, ACCOUNT_SHARE)


def cards_held(settings: WorldSettings, persons: Integers) -> Flags:
    """Whether each person has a member card."""
    return happens(settings.seed, Stream.HAS_CARD, persons, CARD_SHARE)


def people(settings: WorldSettings, persons: Integers) -> People:
    """The parameters of the persons with these numbers."""
    seed = settings.seed
    joined = joined_days(settings, persons)
    active_from = joined.astype(np.float64) + 1
    order_share, dropout_share, visit_share, life_share, online, home = (
        uniform(seed, stream, persons)
        for stream in (
            Stream.ORDER_RATE,
            Stream.DROPOUT_RATE,
            Stream.VISIT_RATE,
            Stream.LIFETIME,
            Stream.ONLINE_SHARE,
            Stream.HOME_STORE,
        )
    )
    dropout_rate = gamma_quantile(dropout_share, DROPOUT_RATE_SHAPE, 1 / settings.lifetime_days)
    life_days = np.minimum(exponential_quantile(life_share, dropout_rate), LONGEST_LIFE_DAYS)
    return People(
        person_id=persons,
        joined_day=joined,
        active_from=active_from,
        active_until=active_from + life_days,
        order_rate=gamma_quantile(order_share, ORDER_RATE_SHAPE, settings.orders_per_year / YEAR_DAYS),
        dropout_rate=dropout_rate,
        visit_rate=gamma_quantile(
            correlated(visit_share, order_share, VISITS_FOLLOW_ORDERS),
            VISIT_RATE_SHAPE,
            settings.visits_per_year / YEAR_DAYS,
        ),
        online_share=beta_quantile(online, *ONLINE_SHARE_BETA),
        home_store=weighted_choice(home, store_weights(settings)),
        has_account=accounts_held(settings, persons),
        has_card=cards_held(settings, persons),
    )
