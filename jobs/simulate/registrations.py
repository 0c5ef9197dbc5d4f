"""The feeds of who signed up: web accounts and member cards."""

from dataclasses import dataclass

import numpy as np
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.lakehouse.settings import WorldSettings
from jobs.simulate import texts
from jobs.simulate.assortment import CITIES, store_ids
from jobs.simulate.batches import generated
from jobs.simulate.contacts import NEVER, NONE, Contacts, contacts, phone_on
from jobs.simulate.draws import Columns, Flags, Integers, Stream, chosen, uniform
from jobs.simulate.local_time import as_moments, next_export, second_of_day, wall_seconds_of
from jobs.simulate.papers import open_id, open_ids, union_id
from jobs.simulate.people import People, people
from jobs.simulate.rings import ring_accounts, rings, rings_led_by
from jobs.simulate.slips import MISTYPED_NAME_SHARE, birth_dates_as_told, name_slips

REGISTRATION_SCHEMA = (
    "number long, registered_at timestamp_ntz, surname long, given_name long, email long, phone long,"
    " home_store long, open_id long, birth_date long, name_slip long, phone_style long, email_style long,"
    " exported_at timestamp_ntz"
)
ACCOUNTS_WITHOUT_BIRTH_DATE, CARDS_WITHOUT_BIRTH_DATE = 0.2, 0.15
CARD_ISSUED = 2


@dataclass(frozen=True, eq=False)
class Telling:
    """One occasion on which a source tells of its sign-ups: whose, of which day, and the day after which it is told.

    Args:
        occasion: 0 for a person's account, 1 for the second one, 2 for the card.
    """

    number: Integers
    email: Integers
    phone: Integers
    kept: Flags
    day: Integers
    told_day: Integers
    occasion: int


def told(settings: WorldSettings, crowd: People, known: Contacts, telling: Telling) -> Columns:
    """One row per kept person: a sign-up of the telling's day, as it is exported after its told day."""
    owner = np.flatnonzero(telling.kept)
    persons, told_day = crowd.person_id[owner], telling.told_day[owner]
    second = second_of_day(uniform(settings.seed, Stream.JOINED_TIME, persons, min(telling.occasion, 1)))
    is_card = telling.occasion == CARD_ISSUED
    no_birth_date = CARDS_WITHOUT_BIRTH_DATE if is_card else ACCOUNTS_WITHOUT_BIRTH_DATE
    return {
        "number": telling.number[owner],
        "email": telling.email[owner],
        "phone": telling.phone[owner],
        "registered_at": as_moments(wall_seconds_of(settings, telling.day[owner], second)),
        "surname": known.surname[owner],
        "given_name": known.given_name[owner],
        "home_store": crowd.home_store[owner],
        "open_id": open_ids(settings, persons),
        "birth_date": birth_dates_as_told(settings, persons, telling.occasion, no_birth_date),
        "name_slip": name_slips(settings, persons, MISTYPED_NAME_SHARE if is_card else 0.0),
        "phone_style": chosen(settings.seed, Stream.ACCOUNT_TEXT, persons, 100, 2 * telling.occasion),
        "email_style": chosen(settings.seed, Stream.ACCOUNT_TEXT, persons, 100, 2 * telling.occasion + 1),
        "exported_at": as_moments(next_export(settings, told_day)),
    }


def account_batch(settings: WorldSettings, persons: Integers) -> Columns:
    """One row per telling of an account: when it is opened, and again when its phone has changed; those of rings too."""
    crowd = people(settings, persons)
    known = contacts(settings, crowd)
    first, second, change = crowd.joined_day, known.second_account_day, known.phone_change_day
    has_first, has_second, changes = known.account != NONE, known.second_account != NONE, change != NEVER
    second_phone = phone_on(known, np.arange(len(persons)), second)
    tellings = (
        Telling(known.account, known.email, known.phone, has_first, first, first, 0),
        Telling(known.account, known.email, known.later_phone, has_first & changes, first, change, 0),
        Telling(known.second_account, known.second_email, second_phone, has_second, second, second, 1),
        Telling(
            number=known.second_account,
            email=known.second_email,
            phone=known.later_phone,
            kept=has_second & changes & (change > second),
            day=second,
            told_day=change,
            occasion=1,
        ),
    )
    parts = [told(settings, crowd, known, telling) for telling in tellings]
    parts.append(ring_accounts(settings, rings(settings, rings_led_by(settings, persons))))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def card_batch(settings: WorldSettings, persons: Integers) -> Columns:
    """One row per member card, issued on the day of joining."""
    crowd = people(settings, persons)
    known = contacts(settings, crowd)
    day, kept = crowd.joined_day, known.card != NONE
    return told(settings, crowd, known, Telling(known.card, known.email, known.card_phone, kept, day, day, CARD_ISSUED))


def web_accounts(spark: SparkSession, settings: WorldSettings) -> DataFrame:
    """One row per telling of a web account, as the shop exports it; a changed phone is told again."""
    address = texts.email("surname", "given_name", "email")
    cities = [CITIES[number % len(CITIES)][0] for number in range(settings.stores)]
    return generated(spark, settings, account_batch, REGISTRATION_SCHEMA).select(
        texts.account_id("number").alias("account_id"),
        F.col("registered_at").cast("string").alias("registered_at"),
        texts.full_name("surname", "given_name").alias("name"),
        texts.email_as_typed(address, F.col("email_style")).alias("email"),
        texts.phone_as_typed("phone", F.col("phone_style")).alias("phone"),
        open_id("open_id").alias("open_id"),
        union_id("open_id").alias("union_id"),
        texts.birth_date("birth_date", "-").alias("birth_date"),
        texts.listed(cities, F.col("home_store")).alias("city"),
        texts.utc_text("exported_at").alias("exported_at"),
    )


def member_cards(spark: SparkSession, settings: WorldSettings) -> DataFrame:
    """One row per member card, as the tills export it."""
    return generated(spark, settings, card_batch, REGISTRATION_SCHEMA).select(
        texts.card_no("number").alias("card_no"),
        F.col("registered_at").cast("string").alias("issued_at"),
        texts.as_mistyped(texts.full_name("surname", "given_name"), "name_slip").alias("name"),
        texts.phone_as_typed("phone", F.col("phone_style")).alias("phone"),
        texts.birth_date("birth_date", "/").alias("birth_date"),
        texts.listed(store_ids(settings), F.col("home_store")).alias("store_id"),
        texts.utc_text("exported_at").alias("exported_at"),
    )
