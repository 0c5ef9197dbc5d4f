"""Records of invented persons for the tests of linking: a base of many, and copies of some with errors."""

import random
from typing import Any

import pandas as pd

FIRST = [
    "anna",
    "bruno",
    "clara",
    "david",
    "emma",
    "felix",
    "greta",
    "henry",
    "ida",
    "jonas",
    "karla",
    "louis",
    "mia",
    "noah",
    "olga",
    "paul",
    "rosa",
    "simon",
    "tessa",
    "victor",
]
LAST = [
    "abbott",
    "baker",
    "carter",
    "dalton",
    "ellis",
    "fisher",
    "grant",
    "harper",
    "ingram",
    "jensen",
    "keller",
    "lawson",
    "mercer",
    "norton",
    "osborne",
    "parker",
]
SURNAMES, GIVEN_NAMES = "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗", "伟芳娜敏静丽强磊军洋勇艳杰娟涛明超霞平刚"
TOWNS = ["leeds", "york", "bath", "derby", "ripon", "truro", "wells"]
Record = dict[str, Any]


def person(number: int, is_chinese: bool = False) -> Record:
    """A record of the person with this number."""
    draw = random.Random(number)
    name = {"given_name": draw.choice(FIRST), "surname": draw.choice(LAST) + draw.choice(("", "s", "son"))}
    if is_chinese:
        name = {"given_name": draw.choice(GIVEN_NAMES) + draw.choice(GIVEN_NAMES), "surname": draw.choice(SURNAMES)}
    return {
        **name,
        "record_id": f"p{number:04}",
        "birth_date": f"{draw.randint(1940, 2005)}-{draw.randint(1, 12):02}-{draw.randint(1, 28):02}",
        "phone": f"{draw.randint(10**9, 10**10 - 1)}",
        "town": draw.choice(TOWNS),
    }


def copy(number: int, suffix: str = "copy", is_chinese: bool = False, **changed: Any) -> Record:
    """Another record of a person, some of its values changed."""
    return {**person(number, is_chinese), "record_id": f"p{number:04}-{suffix}", **changed}


def typo(text: str, number: int) -> str:
    """The text with two neighbours swapped, one letter dropped or one doubled."""
    place = number % max(1, len(text) - 1)
    kinds = (
        text[:place] + text[place + 1 : place + 2] + text[place] + text[place + 2 :],
        text[:place] + text[place + 1 :],
        text[: place + 1] + text[place:],
    )
    return kinds[number % 3]


def with_copies(count: int, copies: int, is_chinese: bool = False) -> list[Record]:
    """So many persons, the first of them told again with one thing wrong or missing in each copy."""
    records = [person(number, is_chinese) for number in range(count)]
    for number in range(copies):
        told = person(number, is_chinese)
        year, month, day = told["birth_date"].split("-")
        slips: list[Record] = [
            {},
            {"surname": typo(told["surname"], number)},
            {"given_name": typo(told["given_name"], number)},
            {"birth_date": f"{year}-{day}-{month}" if int(day) <= 12 else f"{int(year) + 1}-{month}-{day}"},
            {"phone": None},
            {"phone": typo(told["phone"], number), "town": None},
            {"given_name": told["surname"], "surname": told["given_name"]},
        ]
        records.append(copy(number, is_chinese=is_chinese, **slips[number % len(slips)]))
    return records


def frame(records: list[Record]) -> pd.DataFrame:
    """The records as linking takes them."""
    return pd.DataFrame(records)
