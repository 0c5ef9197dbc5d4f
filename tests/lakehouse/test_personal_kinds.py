"""Kinds of personal values: one person's spellings give one value and one token, and a mask never gives the value back."""

import datetime as dt
import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.lakehouse.keys import Keys
from jobs.lakehouse.personal import token_of
from jobs.lakehouse.personal_kinds import (
    CHECK_CHARACTERS,
    KINDS,
    PersonalKind,
    is_card_number,
    is_chinese_id,
    masked,
    normalised,
)

INVISIBLE = ("\u200b", "\u200d", "\u2060", "\ufeff", "\u00ad")
KEYS = Keys("aaaaaaaa", b"1" * 32, b"2" * 32)
OTHER_KEYS = Keys("bbbbbbbb", b"3" * 32, b"4" * 32)
mobiles = st.from_regex(r"1(3[0-9]|5[0-35-9]|8[0-9])[0-9]{8}", fullmatch=True)
words = st.text(st.characters(categories=("L", "M")), min_size=1, max_size=8)


def full_width(text: str) -> str:
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)


def with_check_character(first: str) -> str:
    """The 18 characters of a Chinese id by the standard's other reading: the weighted sum of all 18 is 1 modulo 11."""
    weights = [2**place % 11 for place in range(17, 0, -1)]
    total = sum(int(digit) * weight for digit, weight in zip(first, weights, strict=True))
    return first + next(c for c in CHECK_CHARACTERS if (total + (10 if c == "X" else int(c))) % 11 == 1)


def with_luhn_digit(first: str) -> str:
    def luhn_sum(digits: str) -> int:
        return sum(sum(divmod(int(d) * (1 + place % 2), 10)) for place, d in enumerate(reversed(digits)))

    return first + next(str(digit) for digit in range(10) if luhn_sum(f"{first}{digit}") % 10 == 0)


chinese_ids = st.from_regex(
    r"(11|31|44|65)[0-9]{4}(19|20)[0-9]{2}(0[1-9]|1[0-2])(0[1-9]|1[0-9])[0-9]{3}", fullmatch=True
).map(with_check_character)
cards = st.from_regex(r"(62|4|5[1-5])[0-9]{13,15}", fullmatch=True).map(with_luhn_digit)
uuids = st.uuids().filter(lambda uuid: uuid.int != 0).map(str)
open_ids = st.from_regex(r"o[A-Za-z0-9_-]{27}", fullmatch=True)
dates = st.dates(dt.date(1900, 1, 1), dt.date(2026, 12, 31))
VALUES: dict[PersonalKind, st.SearchStrategy[str]] = {
    "phone": mobiles,
    "email": st.from_regex(r"[a-z0-9][a-z0-9.]{0,12}@[a-z]{1,8}\.com", fullmatch=True),
    "name": st.one_of(st.from_regex(r"[王李张刘陈][伟芳娜敏静]{1,2}", fullmatch=True), words),
    "birth_date": dates.map(str),
    "address": st.from_regex(r"(浙江省)?(杭州|上海|石家庄)市[黄浦西湖]{2}区(长安|人民)路[1-9][0-9]?号", fullmatch=True),
    "national_id": chinese_ids,
    "device_id": uuids,
    "open_id": open_ids,
    "union_id": open_ids,
    "payment_account": cards,
    "text": st.lists(words, min_size=2, max_size=6).map(" ".join),
}
values = st.sampled_from(KINDS).flatmap(lambda kind: st.tuples(st.just(kind), VALUES[kind]))
SPELLINGS: list[Callable[[str], str]] = [
    str,
    full_width,
    lambda text: f"  {text}\t\n",
    lambda text: text[:2] + "\u200b" + text[2:],
    lambda text: unicodedata.normalize("NFD", text),
]
LETTER_CASES: list[Callable[[str], str]] = [str.lower, str.upper]
GROUPS: list[Callable[[str], str]] = [
    lambda text: f"{text[:6]} {text[6:10]} {text[10:]}",
    lambda text: f"{text[:6]}-{text[6:]}",
    lambda text: f"{text[:4]} – {text[4:]}",
]
OF_KIND: dict[PersonalKind, list[Callable[[str], str]]] = {
    "phone": [lambda text: f"0086 {text}", lambda text: f"+86-{text[:3]}-{text[3:]}"],
    "email": LETTER_CASES,
    "name": LETTER_CASES[:1],
    "birth_date": [
        lambda text: text.replace("-", ""),
        lambda text: text.replace("-", "/"),
        lambda text: f"{text} 00:00:00",
    ],
    "address": [lambda text: text.replace("市", "市 ").replace("号", " 号")],
    "national_id": [*LETTER_CASES, *GROUPS],
    "device_id": [*LETTER_CASES, lambda text: text.replace("-", ""), lambda text: text.replace("-", ":")],
    "open_id": [],
    "union_id": [],
    "payment_account": GROUPS,
    "text": [lambda text: text.replace(" ", "\n\t")],
}


@given(known=values)
def test_every_spelling_gives_one_token_which_the_key_and_the_kind_change(known: tuple[PersonalKind, str]) -> None:
    kind, value = known
    plain = normalised(kind, value)
    assert plain is not None
    for spell in (*SPELLINGS, *OF_KIND[kind]):
        spelled = normalised(kind, spell(value))
        assert spelled is not None
        assert token_of(KEYS, kind, spelled) == token_of(KEYS, kind, plain), spell(value)
    tokens = {token_of(keys, other, plain) for keys in (KEYS, OTHER_KEYS) for other in KINDS}
    assert len(tokens) == 2 * len(KINDS)
    assert len({token.partition(":")[2] for token in tokens}) == 2 * len(KINDS), "not by the key's id alone"


@given(known=values)
def test_a_mask_of_a_real_value_never_contains_it_nor_its_digits(known: tuple[PersonalKind, str]) -> None:
    kind, value = known
    plain = normalised(kind, value)
    assert plain is not None
    shown = masked(kind, plain)
    assert "*" in shown
    assert plain not in shown
    assert value not in shown
    digits = "".join(c for c in shown if c.isdigit())
    if kind in ("phone", "national_id", "payment_account"):
        assert len(digits) <= 7, shown
    if kind == "address":
        assert digits == "", "of an address the city alone is shown"


@given(value=st.text(max_size=40), kind=st.sampled_from(KINDS))
def test_no_text_breaks_a_job(value: str, kind: PersonalKind) -> None:
    plain = normalised(kind, value)
    if plain is not None:
        assert normalised(kind, plain) == plain, "normalising twice changes nothing more"
        assert plain not in masked(kind, plain) or set(plain) == {"*"}


@given(number=mobiles, invisible=st.sampled_from(INVISIBLE), place=st.integers(1, 10))
def test_every_spelling_of_a_phone_is_one_phone(number: str, invisible: str, place: int) -> None:
    spellings = [
        number,
        f" {number} ",
        f"+86{number}",
        f"+86 {number[:3]} {number[3:7]} {number[7:]}",
        f"0086{number}",
        f"0086-{number}",
        f"{number[:3]}-{number[3:7]}-{number[7:]}",
        full_width(number),
        full_width(f"+86{number}"),
        number[:place] + invisible + number[place:],
    ]
    assert {spelling: normalised("phone", spelling) for spelling in spellings} == dict.fromkeys(
        spellings, f"+86{number}"
    )


@given(local=st.from_regex(r"[A-Za-z0-9.]{1,12}", fullmatch=True), invisible=st.sampled_from(INVISIBLE))
def test_every_spelling_of_an_email_is_one_email(local: str, invisible: str) -> None:
    plain = f"{local}@Example.com"
    for spelling in (plain.upper(), f"  {plain}\n", full_width(plain), plain.replace("@", f"{invisible}@ ")):
        assert normalised("email", spelling) == plain.lower()


@given(
    name=st.lists(words, min_size=1, max_size=3).map(" ".join),
    invisible=st.sampled_from(INVISIBLE),
    place=st.integers(0, 30),
)
def test_composed_decomposed_and_invisible_characters_do_not_change_a_name(
    name: str, invisible: str, place: int
) -> None:
    expected = normalised("name", name)
    for form in ("NFC", "NFD"):
        written = unicodedata.normalize(form, name)
        assert normalised("name", written) == expected, form
        assert normalised("name", written[:place] + invisible + written[place:]) == expected, (form, invisible)
    assert normalised("name", name.replace(" ", "\t \n")) == expected


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("nothing", [None, "", "   ", "\u200b", "\t"])
def test_nothing_is_nobody(kind: PersonalKind, nothing: str | None) -> None:
    assert normalised(kind, nothing) is None


@pytest.mark.parametrize("zeros", ["00000000-0000-0000-0000-000000000000", "000000000000000", "0", "--"])
def test_a_device_that_may_not_be_known_is_nobodys(zeros: str) -> None:
    assert normalised("device_id", zeros) is None


def test_a_foreign_phone_is_read_by_its_region() -> None:
    assert (
        normalised("phone", "020 7946 0018", "GB") == normalised("phone", "+44 20 7946 0018", "CN") == "+442079460018"
    )


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        # The example of the standard's own annex, and the same person's id of before 1999.
        ("national_id", "11010519491231002x", "11010519491231002X"),
        ("national_id", "110105491231002", "11010519491231002X"),
        ("national_id", "E 1234-5678", "E12345678"),
        ("device_id", "EA7583CD-A667-48BC-B806-42ECB2B48606", "ea7583cda66748bcb80642ecb2b48606"),
        ("device_id", "35-209900-176148-1", "352099001761481"),
        ("device_id", "GA1.2-Abc", "GA1.2-Abc"),
        ("open_id", " oGZUI0egBJY1zhBYw2KhdUfwVJJE ", "oGZUI0egBJY1zhBYw2KhdUfwVJJE"),
        ("payment_account", "6222 0212 3456 7894", "6222021234567894"),
        ("payment_account", "gb29 NWBK 6016 1331 9268 19", "GB29NWBK60161331926819"),
        ("payment_account", "Pays@Example.com ", "pays@example.com"),
        ("name", "王 小明", "王小明"),
        ("birth_date", "1985/3/7", "1985-03-07"),
        ("birth_date", "1985年3月7日", "1985-03-07"),
        ("birth_date", "19850230", "19850230"),
        ("birth_date", "7.3.85", "7.3.85"),
        ("text", " Call me,\n\tplease ", "Call me, please"),
        ("address", "上海市 黄浦区　人民路 8 号", "上海市黄浦区人民路8号"),
    ],
)
def test_spellings_of_ids(kind: PersonalKind, value: str, expected: str) -> None:
    assert normalised(kind, value) == expected


@given(known=chinese_ids, place=st.integers(0, 16), wrong=st.integers(1, 9))
def test_one_wrong_digit_of_a_chinese_id_is_noticed(known: str, place: int, wrong: int) -> None:
    assert is_chinese_id(known)
    mistyped = known[:place] + str((int(known[place]) + wrong) % 10) + known[place + 1 :]
    assert not is_chinese_id(mistyped)
    assert masked("national_id", mistyped) == "***"


@given(known=cards, place=st.integers(0, 14), wrong=st.integers(1, 9))
def test_one_wrong_digit_of_a_card_number_is_noticed(known: str, place: int, wrong: int) -> None:
    assert is_card_number(known)
    assert not is_card_number(known[:place] + str((int(known[place]) + wrong) % 10) + known[place + 1 :])


@pytest.mark.parametrize(
    ("kind", "value", "shown"),
    [
        ("phone", "+8613812345678", "138****5678"),
        ("phone", "+442079460018", "+44****0018"),
        ("phone", "13812345678", "138****5678"),
        ("phone", "+6561234567", "****67"),
        ("phone", "1234567890", "****90"),
        ("phone", "123456789", "****89"),
        ("phone", "12345678", "****"),
        ("phone", "ask at the desk", "****"),
        ("email", "alice@example.com", "a***@example.com"),
        ("email", "a@example.com", "***@example.com"),
        ("email", "alice", "***"),
        ("name", "王小明", "王*"),
        ("name", "alice smith", "a***"),
        ("name", "王", "*"),
        ("birth_date", "1985-03-07", "1985-**-**"),
        ("birth_date", "7.3.85", "***"),
        ("address", "1 long road", "***"),
        ("address", "上海市黄浦区人民路8号", "上海市***"),
        ("address", "浙江省杭州市西湖区长安路3号", "浙江省杭州市***"),
        ("address", "广西壮族自治区长安路市场8号", "广西壮族自治区***"),
        ("address", "人民路8号市场", "***"),
        ("national_id", "11010519491231002X", "110***********002X"),
        ("national_id", "E12345678", "***"),
        ("device_id", "ea7583cda66748bcb80642ecb2b48606", "***"),
        ("open_id", "oGZUI0egBJY1zhBYw2KhdUfwVJJE", "***"),
        ("union_id", "oGZUI0egBJY1zhBYw2KhdUfwVJJE", "***"),
        ("payment_account", "4111111111111111", "****1111"),
        ("payment_account", "pays@example.com", "p***@example.com"),
        ("payment_account", "4111111111111112", "***"),
        ("payment_account", "PAY0123456789ABCDEF", "***"),
        ("text", "call me at home", "***"),
    ],
)
def test_masks(kind: PersonalKind, value: str, shown: str) -> None:
    assert masked(kind, value) == shown
