"""Invented people for the measurements of linking: accounts of a retailer with the slips and gaps that forms have, and their persons."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

Texts = npt.NDArray[np.object_]
SURNAMES = tuple("王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗梁宋郑谢")
GIVEN = tuple("伟芳娜敏静丽强磊军洋勇艳杰娟涛明超霞平刚桂秀兰志建华晓雨欣子涵浩然梓萱宇轩思远佳琪文博诗俊雪梅海燕春国")
WESTERN_FIRST = (
    "anna",
    "bruno",
    "clara",
    "david",
    "emma",
    "felix",
    "greta",
    "henry",
    "jonas",
    "karla",
    "louis",
    "maria",
)
WESTERN_LAST = (
    "abbott",
    "baker",
    "carter",
    "dalton",
    "ellis",
    "fisher",
    "grant",
    "harper",
    "jensen",
    "keller",
    "lawson",
)
CITIES = ("上海", "北京", "深圳", "广州", "成都", "武汉", "杭州", "南京", "西安", "重庆", "苏州", "天津")
WESTERN_SHARE, SECOND_SYLLABLE_SHARE = 0.1, 0.7
# Accounts per person: a share of 85% in the shop, of 75% with a card, and some with a second account.
COUNTS, COUNT_SHARES = (1, 2, 3), (0.45, 0.45, 0.10)
MISSING = {"birth_date": 0.15, "phone": 0.1, "city": 0.05}
MISTYPED = {"name": 0.02, "birth_date": 0.01, "phone": 0.01}
OTHER_PHONE_SHARE, MOVED_SHARE = 0.12, 0.05


def invented_accounts(count: int, seed: int = 1) -> tuple[pd.DataFrame, pd.Series[str]]:
    """One row per account, and the person that each is of.

    Args:
        count: accounts; somewhat more than half as many persons.
        seed: of all draws.
    """
    draw = np.random.default_rng(seed)
    person = np.repeat(np.arange(count), draw.choice(COUNTS, count, p=COUNT_SHARES))[:count]
    persons = int(person[-1]) + 1
    other_phone, moved = draw.random(count) < OTHER_PHONE_SHARE, draw.random(count) < MOVED_SHARE
    told = {
        "name": _names(draw, persons)[person],
        "birth_date": _dates(draw, persons, "1940-01-01", "2006-01-01")[person],
        "phone": np.where(other_phone, _phones(draw, count), _phones(draw, persons)[person]),
        "city": np.where(moved, draw.choice(CITIES, count), draw.choice(CITIES, persons)[person]),
        "registered_on": _dates(draw, count, "2023-01-01", "2026-01-01"),
    }
    for name, share in MISTYPED.items():
        told[name] = _mistyped(draw, told[name].astype(object), share)
    for name, share in MISSING.items():
        kept = told[name].astype(object)
        kept[draw.random(count) < share] = None
        told[name] = kept
    accounts = pd.DataFrame({"record_id": [f"a{number}" for number in range(count)], **told})
    return accounts, pd.Series(person).astype(str)


def _names(draw: np.random.Generator, count: int) -> Texts:
    """Chinese names of two or three characters, frequent ones more often, and some western ones."""
    by_rank = 1 / np.arange(1, len(GIVEN) + 1) ** 0.5
    first, second = (draw.choice(GIVEN, count, p=by_rank / by_rank.sum()).astype(object) for _ in range(2))
    second = np.where(draw.random(count) < SECOND_SYLLABLE_SHARE, second, "")
    by_rank = 1 / np.arange(1, len(SURNAMES) + 1) ** 0.5
    chinese = draw.choice(SURNAMES, count, p=by_rank / by_rank.sum()).astype(object) + first + second
    western = draw.choice(WESTERN_FIRST, count).astype(object) + " " + draw.choice(WESTERN_LAST, count).astype(object)
    return np.asarray(np.where(draw.random(count) < WESTERN_SHARE, western, chinese), dtype=object)


def _dates(draw: np.random.Generator, count: int, first: str, last: str) -> Texts:
    days = draw.integers(0, int((np.datetime64(last) - np.datetime64(first)).astype(int)), count)
    return (np.datetime64(first) + days).astype(str).astype(object)


def _phones(draw: np.random.Generator, count: int) -> Texts:
    return np.array([f"1{number}" for number in draw.integers(3 * 10**9, 10**10, count)], dtype=object)


def _mistyped(draw: np.random.Generator, texts: Texts, share: float) -> Texts:
    """Some of the texts with one sign dropped, doubled or swapped with the next."""
    changed = texts.copy()
    for place in np.flatnonzero(draw.random(len(texts)) < share):
        text, at = texts[place], int(draw.integers(0, max(1, len(texts[place]) - 1)))
        slips = (
            text[:at] + text[at + 1 :],
            text[: at + 1] + text[at:],
            text[:at] + text[at + 1 : at + 2] + text[at] + text[at + 2 :],
        )
        changed[place] = slips[int(draw.integers(0, 3))]
    return changed
