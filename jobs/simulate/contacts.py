"""What persons are known by: accounts, cards, phones, e-mails and devices, as numbers that Spark turns into texts."""

from dataclasses import dataclass

import numpy as np

from jobs.lakehouse.settings import WorldSettings
from jobs.simulate.draws import Flags, Integers, Stream, chosen, happens, scrambled, uniform, word_numbers
from jobs.simulate.names import given_names, surnames
from jobs.simulate.people import People, cards_held
from jobs.simulate.seasons import day_count

NONE = -1  # an identifier that a person or a row does not have
NEVER = 10**6  # a day that no world reaches
PHONE_CHANGE_SHARE = 0.08
CARD_ON_PARTNER_PHONE_SHARE = 0.04
CARD_WITHOUT_PHONE_SHARE = 0.1
SECOND_EMAIL_SHARE = 0.15
SECOND_ACCOUNT_SHARE = 0.06
SECOND_ACCOUNT_WITHIN_DAYS = 400
SECOND_DEVICE_SHARE = 0.45
SHARED_DEVICE_SHARE = 0.05
# Every number behind these prefixes is a valid mobile number of China; 154 is not given out.
PHONE_PREFIXES = np.array(
    [138, 139, 158, 186, 135, 188, 150, 137, 159, 136, 151, 187, 133, 152, 185, 130, 189, 153, 131, 180, 132, 155]
)
PHONE_BITS = 31  # 22 prefixes times 10**8 numbers are a little more than 2**31
ACCOUNT_BITS = CARD_BITS = 33  # ten digits
EMAIL_BITS = 32


@dataclass(frozen=True, eq=False)
class Contacts:
    """The identifiers of some persons, one entry per person in each array; NONE where a person lacks one."""

    surname: Integers
    given_name: Integers
    account: Integers
    second_account: Integers
    second_account_day: Integers
    card: Integers
    phone: Integers
    later_phone: Integers
    phone_change_day: Integers
    card_phone: Integers
    partner_phone: Integers
    lends_phone: Flags
    email: Integers
    second_email: Integers
    device: Integers
    second_device: Integers
    partner_device: Integers
    lends_device: Flags


def phones(settings: WorldSettings, persons: Integers, which: int) -> Integers:
    """The eleven digits of each person's first (0) or later (1) mobile number, never the same for two persons."""
    numbers = scrambled(settings.seed, "phones", 2 * persons + which, PHONE_BITS)
    return np.asarray(PHONE_PREFIXES[numbers // 10**8] * 10**8 + numbers % 10**8, dtype=np.int64)


def devices(settings: WorldSettings, persons: Integers, which: int) -> Integers:
    """The 64-bit number of each person's first (0) or second (1) device."""
    return word_numbers(settings.seed, "devices", 2 * persons + which)


def partners(settings: WorldSettings, persons: Integers) -> Integers:
    """The other person of each person's household; the person alone where there is none."""
    others = persons ^ 1
    return np.where(others < settings.customers, others, persons)


def cards_without_phone(settings: WorldSettings, persons: Integers) -> Flags:
    """Whether each person's card, if there is one, is registered without a phone."""
    return happens(settings.seed, Stream.CARD_WITHOUT_PHONE, persons, CARD_WITHOUT_PHONE_SHARE)


def cards_on_partner_phone(settings: WorldSettings, persons: Integers) -> Flags:
    """Whether each person's card is registered with the phone of the household's other person."""
    wanted = happens(settings.seed, Stream.CARD_ON_PARTNER_PHONE, persons, CARD_ON_PARTNER_PHONE_SHARE)
    told = cards_held(settings, persons) & ~cards_without_phone(settings, persons)
    in_household: Flags = partners(settings, persons) != persons
    return wanted & told & in_household


def uses_partner_device(settings: WorldSettings, persons: Integers) -> Flags:
    """Whether each person sometimes shops on the first device of the household's other person."""
    wanted = happens(settings.seed, Stream.SHARED_DEVICE, persons, SHARED_DEVICE_SHARE)
    in_household: Flags = partners(settings, persons) != persons
    return wanted & in_household


def second_account_days(settings: WorldSettings, crowd: People) -> Integers:
    """The day on which each person opens a second account; NEVER for most."""
    persons = crowd.person_id
    wanted = happens(settings.seed, Stream.SECOND_ACCOUNT, persons, SECOND_ACCOUNT_SHARE) & crowd.has_account
    day = crowd.joined_day + 1 + chosen(settings.seed, Stream.SECOND_ACCOUNT_DAY, persons, SECOND_ACCOUNT_WITHIN_DAYS)
    return np.where(wanted & (day < np.minimum(crowd.active_until, day_count(settings))), day, NEVER)


def phone_change_days(settings: WorldSettings, crowd: People) -> Integers:
    """The day from which each person has another phone; NEVER for most."""
    persons = crowd.person_id
    wanted = happens(settings.seed, Stream.PHONE_CHANGES, persons, PHONE_CHANGE_SHARE)
    day = 1 + np.floor(uniform(settings.seed, Stream.PHONE_CHANGE_DAY, persons) * (day_count(settings) - 1)).astype(
        np.int64
    )
    return np.where(wanted & (day > crowd.joined_day) & (day < crowd.active_until), day, NEVER)


def contacts(settings: WorldSettings, crowd: People) -> Contacts:
    """The identifiers of these persons."""
    seed, persons, others = settings.seed, crowd.person_id, partners(settings, crowd.person_id)
    second_account_day = second_account_days(settings, crowd)
    phone_change_day = phone_change_days(settings, crowd)
    has_second_account = second_account_day != NEVER
    has_second_email = has_second_account | happens(seed, Stream.SECOND_EMAIL, persons, SECOND_EMAIL_SHARE)
    has_second_device = happens(seed, Stream.SECOND_DEVICE, persons, SECOND_DEVICE_SHARE)
    own_phone, borrows_phone = phones(settings, persons, 0), cards_on_partner_phone(settings, persons)
    partner_phone = np.where(borrows_phone, phones(settings, others, 0), NONE)
    card_phone = np.where(borrows_phone, partner_phone, own_phone)
    card_phone = np.where(cards_without_phone(settings, persons), NONE, card_phone)
    alone = others == persons
    return Contacts(
        surname=surnames(seed, persons),
        given_name=given_names(seed, persons),
        account=np.where(crowd.has_account, scrambled(seed, "accounts", 2 * persons, ACCOUNT_BITS), NONE),
        second_account=np.where(has_second_account, scrambled(seed, "accounts", 2 * persons + 1, ACCOUNT_BITS), NONE),
        second_account_day=second_account_day,
        card=np.where(crowd.has_card, scrambled(seed, "cards", persons, CARD_BITS), NONE),
        phone=own_phone,
        later_phone=np.where(phone_change_day != NEVER, phones(settings, persons, 1), NONE),
        phone_change_day=phone_change_day,
        card_phone=card_phone,
        partner_phone=partner_phone,
        lends_phone=cards_on_partner_phone(settings, others) & ~alone,
        email=scrambled(seed, "emails", 2 * persons, EMAIL_BITS),
        second_email=np.where(has_second_email, scrambled(seed, "emails", 2 * persons + 1, EMAIL_BITS), NONE),
        device=devices(settings, persons, 0),
        second_device=np.where(has_second_device, devices(settings, persons, 1), 0),
        partner_device=np.where(uses_partner_device(settings, persons), devices(settings, others, 0), 0),
        lends_device=uses_partner_device(settings, others) & ~alone,
    )


def phone_on(known: Contacts, owners: Integers, days: Integers) -> Integers:
    """The phone that each owner (an index into the contacts) has on a day."""
    return np.where(days >= known.phone_change_day[owners], known.later_phone[owners], known.phone[owners])
