"""What each account's holder allows, by purpose: told when the account is opened, by some changed later."""

import numpy as np
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.lakehouse.settings import WorldSettings
from jobs.simulate import texts
from jobs.simulate.batches import generated
from jobs.simulate.contacts import NEVER, NONE, contacts
from jobs.simulate.draws import Columns, Flags, Integers, Stream, chosen, uniform
from jobs.simulate.local_time import as_moments, next_export, second_of_day, wall_seconds_of
from jobs.simulate.people import People, people
from jobs.simulate.seasons import day_count

PURPOSES = ("analytics", "personalisation", "marketing_email", "marketing_sms")
GRANTED_SHARES = (0.85, 0.7, 0.65, 0.5)
CHANGED_SHARE = 0.12
CHANNELS = ("web", "app", "service")
CONSENT_SCHEMA = (
    "account long, purpose long, is_granted boolean, channel long, decided_at timestamp_ntz, exported_at timestamp_ntz"
)


def granted_at_first(settings: WorldSettings, persons: Integers, purpose: int) -> Flags:
    """Whether each person allows the purpose when the account is opened."""
    draw = uniform(settings.seed, Stream.CONSENT, persons, purpose)
    return np.asarray(draw < GRANTED_SHARES[purpose], dtype=np.bool_)


def change_days(settings: WorldSettings, crowd: People, purpose: int) -> Integers:
    """The day on which each person says the opposite of before; NEVER for most."""
    seed, persons = settings.seed, crowd.person_id
    changes = uniform(seed, Stream.CONSENT_CHANGE, persons, purpose) < CHANGED_SHARE
    place = uniform(seed, Stream.CONSENT_CHANGE, persons, len(PURPOSES) + purpose)
    day = np.floor(place * day_count(settings)).astype(np.int64)
    return np.where(changes & (day > crowd.joined_day), day, NEVER)


def granted_on(settings: WorldSettings, crowd: People, purpose: int, days: Integers) -> Flags:
    """Whether each person allows the purpose on each of these days, by [person, day]."""
    first = granted_at_first(settings, crowd.person_id, purpose)
    has_changed = days[None, :] > change_days(settings, crowd, purpose)[:, None]
    return np.asarray(first[:, None] ^ has_changed)


def consent_batch(settings: WorldSettings, persons: Integers) -> Columns:
    """One row per account, purpose and decision."""
    crowd = people(settings, persons)
    account = contacts(settings, crowd).account
    parts = []
    for purpose in range(len(PURPOSES)):
        first, changed = granted_at_first(settings, persons, purpose), change_days(settings, crowd, purpose)
        for is_change, day, granted in ((0, crowd.joined_day, first), (1, changed, ~first)):
            kept = np.flatnonzero((account != NONE) & (day != NEVER))
            key = (persons[kept] * len(PURPOSES) + purpose) * 2 + is_change
            second = second_of_day(uniform(settings.seed, Stream.CONSENT_CHANGE, key, 9))
            parts.append(
                {
                    "account": account[kept],
                    "purpose": np.full(len(kept), purpose),
                    "is_granted": granted[kept],
                    "channel": chosen(settings.seed, Stream.CONSENT, key, len(CHANNELS), 9),
                    "decided_at": as_moments(wall_seconds_of(settings, day[kept], second)),
                    "exported_at": as_moments(next_export(settings, day[kept])),
                }
            )
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def consents(spark: SparkSession, settings: WorldSettings) -> DataFrame:
    """One row per account, purpose and decision, as the shop exports them."""
    return generated(spark, settings, consent_batch, CONSENT_SCHEMA).select(
        texts.account_id("account").alias("account_id"),
        texts.listed(PURPOSES, F.col("purpose")).alias("purpose"),
        F.col("is_granted").cast("string").alias("granted"),
        texts.listed(CHANNELS, F.col("channel")).alias("channel"),
        F.col("decided_at").cast("string").alias("decided_at"),
        texts.utc_text("exported_at").alias("exported_at"),
    )
