"""Translations: values that a source tells in codes or units of its own, and what they are called here."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import Field

from jobs.lakehouse.part import Part

# The column of a silver table that names the columns of a row which were translated; bronze has them as they came.
TRANSLATED = "translated_columns"


class LocalTime(Part):
    """A wall-clock time of the source, turned into UTC by the source's time zone."""

    local: str
    formats: tuple[str, ...] = ("yyyy-MM-dd HH:mm:ss",)


class Coded(Part):
    """A value that the source tells in its own codes: what each is called here. One that is not listed refuses the row.

    Args:
        told: SQL over the feed's fields that gives the code.
        codes: the codes, to the names that they have here.
    """

    told: str
    codes: dict[str, str] = Field(min_length=1)


class Measured(Part):
    """A number that the source tells in units of its own: how many of ours each is. One that is not listed refuses the row.

    Args:
        told: SQL over the feed's fields that gives the number.
        unit: SQL that gives the unit.
        factors: the units, to how many of ours one is.
        is_rate: whether the number is per unit, as a price is, and is divided.
    """

    told: str
    unit: str
    factors: dict[str, Annotated[Decimal, Field(gt=0)]] = Field(min_length=1)
    is_rate: bool = False


# What a column of a silver table takes from a feed: SQL over its fields as it is, or translated.
Taken = str | LocalTime | Coded | Measured
