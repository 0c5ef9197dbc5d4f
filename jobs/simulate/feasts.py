"""Holidays and shopping days, Chinese and Western: when they are, and by how much each lifts or dampens the days around it."""

from dataclasses import dataclass
from datetime import date, timedelta

from jobs.lakehouse.errors import ConfigurationError

CHINESE, WESTERN, SHOPPING = "Chinese holiday", "Western holiday", "shopping day"
FIRST_LUNAR_YEAR = 2015
LUNAR_DATES = {  # month and day of each year from the first, by the Chinese calendar (GB/T 33661-2017)
    "Spring Festival": "0219 0208 0128 0216 0205 0125 0212 0201 0122 0210 0129 0217 0206"
    " 0126 0213 0203 0123 0211 0131 0219 0208 0128 0215 0204 0124 0212",
    "Dragon Boat Festival": "0620 0609 0530 0618 0607 0625 0614 0603 0622 0610 0531 0619 0609"
    " 0528 0616 0605 0624 0612 0601 0620 0610 0530 0618 0607 0527 0614",
    "Mid-Autumn Festival": "0927 0915 1004 0924 0913 1001 0921 0910 0929 0917 1006 0925 0915"
    " 1003 0922 0912 1001 0919 0908 0927 0916 1004 0924 0913 1002 0920",
}


class UnknownYearError(ConfigurationError):
    """The world lasts into a year of which the dates of the lunar holidays aren't known here."""


@dataclass(frozen=True)
class Feast:
    """A holiday or shopping day of every year.

    `month_day` is its day, None where the lunar calendar tells it. `factors` are what orders and visits are multiplied by,
    by days from that day (below 0 before it); those of no feast leave its year. `days_off` are the first and the last of
    the days that the holiday itself lasts.
    """

    name: str
    kind: str
    month_day: tuple[int, int] | None
    factors: dict[int, float]
    days_off: tuple[int, int] = (0, 0)

    def day_in(self, year: int) -> date:
        """The day of the feast in a year.

        Raises:
            UnknownYearError: it is a lunar one, and the year is in no table.
        """
        if self.month_day:
            return date(year, *self.month_day)
        told = LUNAR_DATES[self.name].split()
        place = year - FIRST_LUNAR_YEAR
        if not 0 <= place < len(told):
            last = FIRST_LUNAR_YEAR + len(told) - 1
            raise UnknownYearError(
                f"the {self.name} is known from {FIRST_LUNAR_YEAR} to {last}, not of {year}: let the world begin and end, with"
                " the weeks that its truth foresees, in these years (world.start_date, world.weeks), or add the date"
            )
        return date(year, int(told[place][:2]), int(told[place][2:]))


def from_day(first: int, *factors: float) -> dict[int, float]:
    """The factors of consecutive days, from the first."""
    return {first + place: factor for place, factor in enumerate(factors)}


def flat(first: int, last: int, factor: float) -> dict[int, float]:
    """One factor for each day from the first to the last."""
    return dict.fromkeys(range(first, last + 1), factor)


FEASTS = (
    Feast("New Year", WESTERN, (1, 1), {0: 1.1}),
    # The fortnight before the eve people shop; the eve and the week after they rest.
    Feast("Spring Festival", CHINESE, None, flat(-15, -2, 1.35) | flat(-1, 6, 0.5), (-1, 6)),
    Feast("Valentine's Day", WESTERN, (2, 14), from_day(-3, 1.04, 1.08, 1.12, 1.1)),
    Feast("Labour Day", CHINESE, (5, 1), from_day(0, 1.25, 1.2, 1.15, 1.1, 1.05), (0, 4)),
    Feast("Dragon Boat Festival", CHINESE, None, from_day(-3, 1.05, 1.08, 1.1, 1.04)),
    Feast("618", SHOPPING, (6, 18), from_day(-2, 1.2, 1.4, 2.0, 1.3, 1.1)),
    # Presents are bought in the week before; on the day itself families sit together.
    Feast("Mid-Autumn Festival", CHINESE, None, flat(-7, -1, 1.12) | {0: 0.9}),
    Feast("National Day", CHINESE, (10, 1), from_day(0, 1.3, 1.25, 1.2, 1.2, 1.15, 1.1, 1.05), (0, 6)),
    Feast("Halloween", WESTERN, (10, 31), from_day(-1, 1.02, 1.03)),
    Feast("Singles Day", SHOPPING, (11, 11), from_day(-2, 1.3, 1.6, 2.8, 1.5, 1.2)),
    Feast("Double Twelve", SHOPPING, (12, 12), from_day(-1, 1.2, 1.7, 1.1)),
    Feast("Christmas", WESTERN, (12, 25), from_day(-2, 1.05, 1.12, 1.08)),
)


def feast_factor(day: date) -> float:
    """By how much all feasts together lift (above 1) or dampen (below 1) a day."""
    factor = 1.0
    for feast in FEASTS:
        factor *= feast.factors.get((day - feast.day_in(day.year)).days, 1.0)
    return factor


def feast_days(first: date, last: date) -> list[tuple[date, Feast]]:
    """Each day of each feast between two days, both included, in the order of days."""
    found = []
    for year in range(first.year, last.year + 1):
        for feast in FEASTS:
            begin, end = feast.days_off
            days = [feast.day_in(year) + timedelta(days=number) for number in range(begin, end + 1)]
            found += [(day, feast) for day in days if first <= day <= last]
    return sorted(found, key=lambda told: (told[0], told[1].name))
