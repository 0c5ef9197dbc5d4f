"""Needles: very many personal values, looked for in a text all at once and in whatever spelling they stand there."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import unquote

import phonenumbers

from jobs.lakehouse.personal_kinds import PersonalKind, is_chinese_id, normalised

HAN = "㐀-鿿豈-﫿\U00020000-\U0003ffff"
INVISIBLE = re.compile("[\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")
ESCAPED = re.compile(r"\\+(?:u([0-9a-fA-F]{4})|[nrtbf])")
SCIENTIFIC = re.compile(r"(?<![0-9.])([0-9])\.([0-9]+)e\+?([0-9]{1,2})(?![0-9])")
DIGIT_GROUP = re.compile(r"[0-9]+x?")
HAN_RUN = re.compile(f"[{HAN}·](?: ?[{HAN}·])+")
HEX_RUN = re.compile(r"[0-9a-f][0-9a-f:-]{13,}")
DATE_RUN = re.compile(
    r"(?<![0-9])([0-9]{4})(?:([0-9]{2})([0-9]{2})|\W{1,2}([0-9]{1,2})\W{1,2}([0-9]{1,2})|年 ?([0-9]{1,2}) ?月 ?([0-9]{1,2}) ?日)(?![0-9])"
)
OPAQUE_RUN = re.compile(r"[^\s\"'<>,;|{}()\[\]]{6,}")
ISO_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
SEPARATORS = re.compile(r"[\W_]+")
WORD_STARTS = re.compile(rf"(?<![^\W{HAN}])\w|[{HAN}]")
WORD_GOES_ON = re.compile(rf"[^\W{HAN}](?=[^\W{HAN}])")
MAILBOX_END = re.compile(r"[^\s\"<>,;()\[\]\\]*\s?$")
DOMAIN_START = re.compile(r"\s?([^\s\"'<>,;:()\[\]\\/?&|]+)")
# Shorter than this, a value stands in texts by chance.
FEWEST_DIGITS, FEWEST_CHARACTERS, FEWEST_HAN = 8, 6, 2
COUNTRY_PREFIX_DIGITS = 5  # 00 and a country's three digits
LONGEST_MAILBOX, LONGEST_DOMAIN = 64, 255  # RFC 5321


@dataclass(frozen=True)
class Index:
    """Keys of one alphabet, found by how they begin: a text's place is asked for a beginning, then for whole keys."""

    width: int
    lengths: Mapping[str, tuple[int, ...]]
    numbers: Mapping[str, tuple[int, ...]]

    @property
    def shortest(self) -> int:
        """The length of the shortest key."""
        return min(length for lengths in self.lengths.values() for length in lengths)

    @property
    def longest(self) -> int:
        """The length of the longest key."""
        return max(length for lengths in self.lengths.values() for length in lengths)


@dataclass(frozen=True)
class Needles:
    """What is looked for, by alphabet; a needle is known by its number, its place in the list that it came from.

    Args:
        kinds: the kind of each needle.
        too_short: the numbers of those that nobody can look for, because such texts stand everywhere by chance.
    """

    kinds: tuple[PersonalKind, ...]
    too_short: tuple[int, ...]
    digits: Index
    dates: Index
    hexadecimal: Index
    opaque: Index
    mails: Index
    names: Index
    words: Index

    @cached_property
    def first_words(self) -> frozenset[str]:
        """The first word of each of the keys that consist of words."""
        return frozenset(key.split(" ", 1)[0] for key in self.words.numbers)


def needles_of(values: Iterable[tuple[PersonalKind, str]], region: str = "CN") -> Needles:
    """The needles for these values, numbered in their order.

    Args:
        values: kind and value in any spelling.
        region: the country of phones that name none.
    """
    alphabets: dict[str, dict[str, list[int]]] = {
        name: {} for name in ("digits", "dates", "hexadecimal", "opaque", "mails", "names", "words")
    }
    kinds: list[PersonalKind] = []
    too_short: list[int] = []
    for number, (kind, value) in enumerate(values):
        kinds.append(kind)
        keys = _keys(kind, normalised(kind, value, region) or "")
        if not keys:
            too_short.append(number)
        for alphabet, key in keys:
            alphabets[alphabet].setdefault(key, []).append(number)
    return Needles(tuple(kinds), tuple(too_short), **{name: _index(keys) for name, keys in alphabets.items()})


def _index(keys: Mapping[str, list[int]]) -> Index:
    width = min((len(key) for key in keys), default=1)
    lengths: dict[str, set[int]] = {}
    for key in keys:
        lengths.setdefault(key[:width], set()).add(len(key))
    return Index(
        width,
        {start: tuple(sorted(found)) for start, found in lengths.items()},
        {key: tuple(numbers) for key, numbers in keys.items()},
    )


def _keys(kind: PersonalKind, plain: str) -> list[tuple[str, str]]:
    """The alphabets and keys under which a normalised value is looked for; none when it is too short to be told from chance."""
    if "@" in plain and kind in ("email", "payment_account"):
        return [("mails", folded(plain))]
    if kind == "name":
        return _name_keys(folded(plain))
    if kind == "birth_date":
        return [("dates", plain)] if ISO_DATE.fullmatch(plain) else []
    if kind in ("address", "text"):
        words = _as_words(folded(plain))
        return [("words", words)] if len(words) >= FEWEST_CHARACTERS else []
    text = _national_number(plain) if kind == "phone" else folded(plain)
    if re.fullmatch(r"[0-9]+x?", text):
        # Until 1999 an id had no century and no check character.
        old = [text[:6] + text[8:17]] if kind == "national_id" and is_chinese_id(plain) and text[6:8] == "19" else []
        return [("digits", key) for key in (text, *old)] if len(text) >= FEWEST_DIGITS else []
    alphabet = "hexadecimal" if kind == "device_id" and re.fullmatch(r"[0-9a-f]{14,}", text) else "opaque"
    return [(alphabet, text)] if len(text) >= FEWEST_CHARACTERS else []


def _name_keys(name: str) -> list[tuple[str, str]]:
    if re.search(f"[{HAN}]", name):
        bare = re.sub(f"[^{HAN}·]", "", name)
        return [("names", bare)] if len(bare) >= FEWEST_HAN else []
    words = _as_words(name)
    return [("words", words)] if len(words) >= FEWEST_CHARACTERS else []


def _national_number(plain: str) -> str:
    try:
        return str(phonenumbers.parse(plain, None).national_number)
    except phonenumbers.NumberParseException:
        return re.sub(r"\D", "", plain)


def folded(text: str) -> str:
    """A text in the spelling in which keys are compared: no invisible characters, no full width, lower case."""
    if text.isascii():
        return text.lower()
    visible = INVISIBLE.sub("", text)
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", visible).casefold())


def found_in(needles: Needles, text: str) -> set[int]:
    """The numbers of the needles that stand in a text, in any spelling."""
    found: set[int] = set()
    for spelled in _spellings(text):
        for look in (_digits, _dates, _hexadecimal, _opaque, _mails, _names, _words):
            found.update(look(needles, spelled))
    return found


def _spellings(text: str) -> Iterator[str]:
    yield folded(text)
    plain = text
    for _ in range(3):  # escaped in a JSON that is a string in a JSON, in a page
        once = (
            ESCAPED.sub(lambda escape: chr(int(escape[1], 16)) if escape[1] else "\n", plain)
            if "\\" in plain
            else plain
        )
        once = html.unescape(once) if "&" in once else once
        once = unquote(once.replace("+", " "), errors="replace") if "%" in once else once
        if once == plain:
            break
        plain = once
    if plain is not text:
        # Halves of characters beyond the basic plane come as two escapes.
        yield folded(plain.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))


def _anywhere(text: str, index: Index) -> Iterator[int]:
    lengths, numbers, width = index.lengths, index.numbers, index.width
    for place in range(len(text) - width + 1):
        for length in lengths.get(text[place : place + width], ()):
            yield from numbers.get(text[place : place + length], ())


def _digits(needles: Needles, text: str) -> Iterator[int]:
    """Phones, ids and card numbers: anywhere in a run of digits, or in whole groups that blanks, dots or dashes part."""
    index = needles.digits
    if not index.numbers:
        return
    shortest, longest = index.shortest, index.longest + COUNTRY_PREFIX_DIGITS
    if "e" in text:
        text = SCIENTIFIC.sub(_written_out, text)
    for run in re.finditer(rf"[0-9][0-9 \-.()/·\u2010-\u2015\u2212]{{{shortest - 1},}}x?", text):
        groups = DIGIT_GROUP.findall(run[0])
        for group in groups:
            yield from _anywhere(group, index)
        for first in range(len(groups) - 1):
            joined = groups[first]
            for group in groups[first + 1 :]:
                joined += group
                if len(joined) > longest:
                    break
                for cut in range(min(COUNTRY_PREFIX_DIGITS, len(joined) - shortest) + 1):
                    yield from index.numbers.get(joined[cut:], ())


def _dates(needles: Needles, text: str) -> Iterator[int]:
    """Days of birth, year first, that stand by themselves: within a longer number their digits would stand by chance."""
    if needles.dates.numbers:
        for run in DATE_RUN.finditer(text):
            year, month, day = (part for part in run.groups() if part)
            yield from needles.dates.numbers.get(f"{year}-{month:0>2}-{day:0>2}", ())


def _written_out(number: re.Match[str]) -> str:
    whole, fraction, exponent = number[1], number[2], int(number[3])
    return whole + fraction.ljust(exponent, "0") if len(fraction) <= exponent else number[0]


def _hexadecimal(needles: Needles, text: str) -> Iterator[int]:
    if needles.hexadecimal.numbers:
        for run in {run.replace("-", "").replace(":", "") for run in HEX_RUN.findall(text)}:
            yield from _anywhere(run, needles.hexadecimal)


def _opaque(needles: Needles, text: str) -> Iterator[int]:
    if needles.opaque.numbers:
        # Logs and plans say the same again and again.
        runs = set(OPAQUE_RUN.findall(text))
        for run in runs | {SEPARATORS.sub("", run) for run in runs}:
            yield from _anywhere(run, needles.opaque)


def _mails(needles: Needles, text: str) -> Iterator[int]:
    """Addresses round an @, whatever is glued to them: every end of the mailbox with every beginning of the domain."""
    numbers = needles.mails.numbers
    if not numbers or "@" not in text:
        return
    domain_lengths = {len(mail) - 1 - mail.rindex("@") for mail in numbers}
    for at in re.finditer("@", text):
        before = MAILBOX_END.search(text, max(0, at.start() - LONGEST_MAILBOX), at.start())
        after = DOMAIN_START.match(text, at.end(), at.end() + LONGEST_DOMAIN)
        if not before or not after:
            continue
        mailbox, domain = before[0].strip(), after[1]
        for length in domain_lengths:
            for place in range(len(mailbox) if length <= len(domain) else 0):
                yield from numbers.get(f"{mailbox[place:]}@{domain[:length]}", ())


def _names(needles: Needles, text: str) -> Iterator[int]:
    if needles.names.numbers and not text.isascii():
        for run in HAN_RUN.finditer(text):
            yield from _anywhere(run[0].replace(" ", ""), needles.names)


def _words(needles: Needles, text: str) -> Iterator[int]:
    """Names and addresses of several words, from the beginning of a word, or from any Chinese character."""
    index = needles.words
    if not index.numbers:
        return
    words = _as_words(text)
    for place in _word_starts(words, needles.first_words):
        for length in index.lengths.get(words[place : place + index.width], ()):
            if not WORD_GOES_ON.match(words, place + length - 1):
                yield from index.numbers.get(words[place : place + length], ())


def _word_starts(words: str, first_words: frozenset[str]) -> Iterator[int]:
    """Where a key may begin; in a text without Chinese a key's first word stands as a whole word."""
    if re.search(f"[{HAN}]", words):
        yield from (start.start() for start in WORD_STARTS.finditer(words))
        return
    for first in first_words.intersection(words.split(" ")):
        yield from (start.start() for start in re.finditer(rf"(?<!\w){re.escape(first)}(?!\w)", words))


def _as_words(text: str) -> str:
    return re.sub(rf" (?=[{HAN}])|(?<=[{HAN}]) ", "", re.sub(r"[\W_]+", " ", text)).strip()
