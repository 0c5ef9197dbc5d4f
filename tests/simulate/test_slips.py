"""Slips: birth dates that are missing or mistyped, names with a letter amiss, as often as the world says and the same every time."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs.lakehouse.settings import WorldSettings
from jobs.simulate import texts
from jobs.simulate.papers import birth_dates, national_ids
from jobs.simulate.registrations import account_batch, card_batch
from jobs.simulate.slips import NO_SLIP, NOT_TOLD, birth_dates_as_told, mistyped_dates, name_slips

SETTINGS = WorldSettings(seed=3, customers=40_000)
PERSONS = np.arange(SETTINGS.customers)
BORN = birth_dates(SETTINGS, PERSONS)


def as_date(digits: int) -> dt.date:
    return dt.date(digits // 10_000, digits // 100 % 100, digits % 100)


def test_a_birth_date_is_the_one_of_the_national_id() -> None:
    assert (national_ids(SETTINGS, PERSONS) // 1000 % 10**8 == BORN).all()


@pytest.mark.parametrize("missing", [0.15, 0.2])
def test_some_birth_dates_are_missing_few_are_mistyped_and_all_are_dates(missing: float) -> None:
    told = birth_dates_as_told(SETTINGS, PERSONS, 2, missing)
    assert (told == NOT_TOLD).mean() == pytest.approx(missing, abs=0.01)
    mistyped = (told != NOT_TOLD) & (told != BORN)
    assert mistyped.mean() == pytest.approx(0.01, abs=0.002)
    apart = [
        (as_date(int(one)), as_date(int(other))) for one, other in zip(told, BORN, strict=True) if one and one != other
    ]
    swapped = [(one.day, one.month) == (other.month, other.day) for one, other in apart]
    assert 0.1 < np.mean(swapped) < 0.4
    digits_off = [sum(a != b for a, b in zip(f"{one}", f"{other}", strict=True)) for one, other in apart]
    assert all(off == 1 or was for off, was in zip(digits_off, swapped, strict=True))


def test_each_slip_gives_another_date() -> None:
    dates = BORN[:2000]
    for slip in range(18):
        changed = mistyped_dates(dates, np.full(len(dates), slip))
        assert (changed != dates).all()
        assert [as_date(int(one)) for one in changed]


def test_what_a_person_tells_does_not_depend_on_who_comes_along_and_differs_by_occasion() -> None:
    whole = [birth_dates_as_told(SETTINGS, PERSONS, occasion, 0.2) for occasion in (0, 1)]
    assert (birth_dates_as_told(SETTINGS, PERSONS[100:200], 0, 0.2) == whole[0][100:200]).all()
    assert ((whole[0] == NOT_TOLD) != (whole[1] == NOT_TOLD)).any()


def test_only_cards_have_mistyped_names() -> None:
    cards, accounts = (pd.DataFrame(dict(batch(SETTINGS, PERSONS[:20_000]))) for batch in (card_batch, account_batch))
    assert (cards["name_slip"] != NO_SLIP).mean() == pytest.approx(0.02, abs=0.005)
    assert (accounts["name_slip"] == NO_SLIP).all()
    assert (cards["birth_date"] == NOT_TOLD).mean() == pytest.approx(0.15, abs=0.01)
    assert (accounts["birth_date"] == NOT_TOLD).mean() == pytest.approx(0.2, abs=0.01)
    assert (name_slips(SETTINGS, PERSONS, 1.0) != NO_SLIP).all()


def test_slips_of_names(spark: SparkSession) -> None:
    rows = spark.createDataFrame(
        [(name, slip) for name in ("王小明", "李伟") for slip in (-1, 0, 1, 2, 3, 4, 5, 17)], "name string, slip long"
    )
    told = rows.select(texts.as_mistyped(F.col("name"), "slip").alias("told")).collect()
    assert [row.told for row in told] == [
        *("王小明", "小明", "王王小明", "小王明", "王明", "王小小明", "王明小", "王明小"),
        *("李伟", "伟", "李李伟", "伟李", "李", "李伟伟", "伟李", "伟李"),
    ]


def test_a_birth_date_as_a_source_writes_it(spark: SparkSession) -> None:
    rows = spark.createDataFrame([(19850312,), (0,)], "born long")
    told = rows.select(
        texts.birth_date("born", "-").alias("web"), texts.birth_date("born", "/").alias("card")
    ).collect()
    assert [(row.web, row.card) for row in told] == [("1985-03-12", "1985/03/12"), (None, None)]
