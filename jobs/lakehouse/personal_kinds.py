"""The kinds of personal values: how each is brought into one spelling, when it is well formed, and what of it may be shown."""

from __future__ import annotations

import datetime as dt
import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import Literal, get_args

import phonenumbers

PersonalKind = Literal[
    "phone",
    "email",
    "name",
    "birth_date",
    "address",
    "national_id",
    "device_id",
    "open_id",
    "union_id",
    "payment_account",
    "text",
]
KINDS: tuple[PersonalKind, ...] = get_args(PersonalKind)
HIDDEN = "***"

# GB 11643-1999: the weights of the first 17 digits, and the check character by their sum modulo 11.
CHECK_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
CHECK_CHARACTERS = "10X98765432"
# Year, month, day, with anything or nothing between them, and the midnight that databases add.
DATE = re.compile(
    r"([0-9]{4})(?:([0-9]{2})([0-9]{2})|[-/. 年] ?([0-9]{1,2})[-/. 月] ?([0-9]{1,2})日?)(?:[ T]00:00(?::00(?:\.0+)?)?)?"
)
MOBILE_DIGITS = 11  # in China; of so many, seven may be shown
HEXADECIMAL_ID_LENGTHS = range(14, 129)  # an IMEI without its check digit to a 512-bit hash
# Steps of an address that lie below a city; a city's own name has none of them.
CITY = re.compile(r"(?:(?![省市区县镇乡村路街巷弄号])[㐀-鿿]){2,8}市")
PROVINCE = re.compile(r"(?:(?![省市区县镇乡村路街巷弄号])[㐀-鿿]){2,8}(?:省|自治区)")


def normalised(kind: PersonalKind, value: str | None, region: str = "CN") -> str | None:
    """The one spelling of a personal value, so that the same person gives the same token; None when nothing is left.

    Invisible format characters are dropped, then NFKC folds full-width digits and letters: in this order, for one of
    them may part a letter from its accent. Then, by kind:

    * phone: E.164 where `phonenumbers` can read it.
    * email: lower case, no blanks.
    * name, address: lower case, single blanks, and none beside a Chinese character.
    * birth_date: ISO 8601, where year, month and day stand in this order; no date, however far off, is more than its text.
    * national_id, payment_account: letters and digits alone; an old Chinese id of 15 digits becomes its successor of 18.
    * device_id: a hexadecimal one loses case and separators; zeros alone, which say "may not be known", are nobody's.
    * open_id, union_id: no blanks; their letters' case counts.
    * text, which people write freely: single blanks.
    """
    if value is None:
        return None
    text = _folded(value).strip()
    return (_e164(text, region) if kind == "phone" else SPELLINGS[kind](text)) or None


def _folded(value: str) -> str:
    """The text without invisible characters, in compatible ones; most ids are plain ASCII, and there is nothing to do."""
    if value.isascii() and value.isprintable():
        return value
    visible = "".join(c for c in re.sub(r"\s", " ", value) if unicodedata.category(c) not in ("Cf", "Cc"))
    return unicodedata.normalize("NFKC", visible)


def _e164(text: str, region: str) -> str:
    international = re.sub(r"^00", "+", text)
    try:
        number = phonenumbers.parse(international, region)
    except phonenumbers.NumberParseException:
        digits = re.sub(r"\D", "", text)
        return digits if digits == text else _e164(digits, region)
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _email(text: str) -> str:
    return text.replace(" ", "").lower()


def _words(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text.casefold())
    # Chinese is written without blanks: one beside a Chinese character is a slip of the finger.
    return re.sub(r" (?=[㐀-鿿])|(?<=[㐀-鿿]) ", "", re.sub(r"\s+", " ", folded)).strip()


def _birth_date(text: str) -> str:
    parts = DATE.fullmatch(_free_text(text))
    if parts is None:
        return _free_text(text)
    try:
        return dt.date(int(parts[1]), int(parts[2] or parts[4]), int(parts[3] or parts[5])).isoformat()
    except ValueError:
        return _free_text(text)


def _national_id(text: str) -> str:
    bare = _letters_and_digits(text)
    if re.fullmatch(r"[0-9]{15}", bare):
        # Until 1999 the year had two digits, and there was no check character.
        first = f"{bare[:6]}19{bare[6:]}"
        return first + _check_character(first)
    return bare


def _payment_account(text: str) -> str:
    return _email(text) if "@" in text else _letters_and_digits(text)


def _device_id(text: str) -> str:
    bare = re.sub(r"[\W_]", "", text).lower()
    if not bare.strip("0"):
        return ""
    is_hexadecimal = re.fullmatch(r"[0-9a-f]+", bare) and len(bare) in HEXADECIMAL_ID_LENGTHS
    return bare if is_hexadecimal else text


def _blankless(text: str) -> str:
    return text.replace(" ", "")


def _free_text(text: str) -> str:
    return re.sub(r"\s+", " ", text)


def _letters_and_digits(text: str) -> str:
    bare = re.sub(r"[\W_]", "", text)
    return bare.upper() if bare.isascii() else bare


SPELLINGS: Mapping[PersonalKind, Callable[[str], str]] = {
    "email": _email,
    "name": _words,
    "birth_date": _birth_date,
    "address": _words,
    "national_id": _national_id,
    "device_id": _device_id,
    "open_id": _blankless,
    "union_id": _blankless,
    "payment_account": _payment_account,
    "text": _free_text,
}


def is_chinese_id(value: str) -> bool:
    """Whether a normalised national id is a Chinese one of 18 characters whose check character holds (GB 11643-1999)."""
    return bool(re.fullmatch(r"[0-9]{17}[0-9X]", value)) and _check_character(value[:17]) == value[17]


def _check_character(first: str) -> str:
    weighted = sum(int(digit) * weight for digit, weight in zip(first, CHECK_WEIGHTS, strict=True))
    return CHECK_CHARACTERS[weighted % 11]


def is_card_number(value: str) -> bool:
    """Whether a normalised payment account is a card number whose check digit holds (Luhn, ISO/IEC 7812-1)."""
    if not re.fullmatch(r"[0-9]{12,19}", value):
        return False
    doubled = [int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(value))]
    return sum(number - 9 if number > 9 else number for number in doubled) % 10 == 0


def masked(kind: PersonalKind, value: str) -> str:
    """What may be shown of a normalised value; the value itself never stands in it.

    138****5678, a***@example.com, 王*, 1985-**-**, 110***********1234, ****1111, 上海市***; of ids that others gave out, and of what is not
    well formed, nothing.
    """
    shown = MASKS[kind](value)
    return HIDDEN if value in shown else shown


def _masked_phone(value: str) -> str:
    national = re.sub(r"^\+86", "", value)
    digits = sum(map(str.isdigit, national))
    if digits >= MOBILE_DIGITS:
        return f"{national[:3]}****{national[-4:]}"
    # With seven digits of nine known, the others are soon tried.
    return f"****{national[-2:]}" if digits >= 9 else "****"


def _masked_email(value: str) -> str:
    local, at, domain = value.rpartition("@")
    return f"{local[:1] if len(local) > 1 else ''}{HIDDEN}@{domain}" if at else HIDDEN


def _masked_name(value: str) -> str:
    if len(value) == 1:
        return "*"
    return f"{value[:1]}*" if len(value) <= 3 else f"{value[:1]}{HIDDEN}"


def _masked_birth_date(value: str) -> str:
    return f"{value[:4]}-**-**" if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value) else HIDDEN


def _masked_address(value: str) -> str:
    province = PROVINCE.match(value)
    city = CITY.match(value, province.end() if province else 0)
    end = city.end() if city else province.end() if province else 0
    return value[:end] + HIDDEN


def _masked_national_id(value: str) -> str:
    return f"{value[:3]}{'*' * 11}{value[-4:]}" if is_chinese_id(value) else HIDDEN


def _masked_payment_account(value: str) -> str:
    if "@" in value:
        return _masked_email(value)
    return f"****{value[-4:]}" if is_card_number(value) else HIDDEN


def _hidden(value: str) -> str:
    return HIDDEN


MASKS: Mapping[PersonalKind, Callable[[str], str]] = {
    "phone": _masked_phone,
    "email": _masked_email,
    "name": _masked_name,
    "birth_date": _masked_birth_date,
    "address": _masked_address,
    "national_id": _masked_national_id,
    "device_id": _hidden,
    "open_id": _hidden,
    "union_id": _hidden,
    "payment_account": _masked_payment_account,
    "text": _hidden,
}
