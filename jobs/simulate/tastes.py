"""What each person likes and does again and again, drawn so that the total over persons stays what it would be without."""

from dataclasses import dataclass

import numpy as np

from jobs.lakehouse.settings import WorldSettings
from jobs.simulate.draws import Flags, Integers, Numbers, Stream, happens, lognormal_quantile, uniform, weighted_choice
from jobs.simulate.people import People

CATEGORY_HABIT_SHARE = 0.25  # of the lines, those that follow the person's taste
CATEGORY_HABIT_WIDTH = 1 / 6  # of the line on which all categories lie
HOUR_HABIT_SHARE = 0.4
HOUR_HABIT_WIDTH = 0.12  # of the day's business
PRICE_HABIT_SHARE = 0.5
PRICE_HABIT_WIDTH = 0.5
USUAL_EXTRA_LINES = 0.44
BASKET_SPREAD = 1.2  # of the logarithm of a person's extra lines
MOST_EXTRA_LINES = 20.0
RETURN_ABUSER_SHARE = 0.004
ABUSER_RETURNED_SHARE = 0.6
RETURNED_SHARE = 0.04
DROPOUT_CAUSES = ("no more need", "service", "price", "moved away", "competitor")
PRICE_CAUSE = DROPOUT_CAUSES.index("price")
SERVICE_CAUSE = DROPOUT_CAUSES.index("service")


@dataclass(frozen=True, eq=False)
class Tastes:
    """The tastes of some persons, one entry per person in each array; places lie evenly between 0 and 1.

    `price_sensitivity` is the person's rank among all, from 0 (doesn't look at prices) to 1. `dropout_cause` is the
    reason for which the person leaves, whenever that is.
    """

    category_place: Numbers
    hour_place: Numbers
    price_sensitivity: Numbers
    returned_share: Numbers
    is_return_abuser: Flags
    dropout_cause: Integers


def tastes(settings: WorldSettings, persons: Integers) -> Tastes:
    """The tastes of the persons with these numbers."""
    seed = settings.seed
    sensitivity = uniform(seed, Stream.PRICE_SENSITIVITY, persons)
    is_abuser = happens(seed, Stream.RETURN_ABUSE, persons, RETURN_ABUSER_SHARE)
    # Who looks at prices leaves for a price more often; the other causes share what is left.
    leaves_for_price = happens(seed, Stream.DROPOUT_CAUSE, persons, 0.05 + 0.4 * sensitivity)
    other = weighted_choice(uniform(seed, Stream.DROPOUT_CAUSE, persons, 1), np.array([0.3, 0.35, 0.0, 0.15, 0.2]))
    return Tastes(
        category_place=uniform(seed, Stream.CATEGORY_TASTE, persons),
        hour_place=uniform(seed, Stream.HOUR_TASTE, persons),
        price_sensitivity=sensitivity,
        returned_share=np.where(is_abuser, ABUSER_RETURNED_SHARE, RETURNED_SHARE),
        is_return_abuser=is_abuser,
        dropout_cause=np.where(leaves_for_price, PRICE_CAUSE, other),
    )


def lines_per_order(settings: WorldSettings, persons: Integers) -> Numbers:
    """How many lines an order of each person has on average: at least one, as much more as they are used to buy at once."""
    extra = lognormal_quantile(uniform(settings.seed, Stream.BASKET_SIZE, persons), USUAL_EXTRA_LINES, BASKET_SPREAD)
    return 1.0 + np.minimum(extra, MOST_EXTRA_LINES)


def steered(draw: Numbers, habit: Numbers, place: Numbers, share: float, width: float, is_round: bool) -> Numbers:
    """Draws of which a share lies around each person's place; over all persons they stay even between 0 and 1.

    Args:
        draw: a fresh draw per row.
        habit: a second one: below `share` the row follows the person.
        place: the person's place, per row; even over persons.
        share: how many rows follow.
        width: how far around the place they lie.
        is_round: whether 1 meets 0, as midnight does; else rows that would fall off an end are mirrored back.
    """
    near = place + width * (draw - 0.5)
    if is_round:
        near = near % 1.0
    else:
        near = np.abs(near)
        near = np.where(near > 1, 2 - near, near)
    return np.where(habit < share, near, draw)


def hour_draws(settings: WorldSettings, crowd: People, owners: Integers, stream: Stream, keys: Integers) -> Numbers:
    """Where in the day's business each visit or order lies."""
    place = uniform(settings.seed, Stream.HOUR_TASTE, crowd.person_id)[owners]
    fresh, habit = uniform(settings.seed, stream, keys), uniform(settings.seed, stream, keys, 2)
    return steered(fresh, habit, place, HOUR_HABIT_SHARE, HOUR_HABIT_WIDTH, is_round=True)


def product_draws(
    settings: WorldSettings, persons: Integers, stream: Stream, keys: Integers
) -> tuple[Numbers, Numbers]:
    """Two draws per line or view, by its person: which category, and where in it (promotions come first)."""
    seed = settings.seed
    taste, calm = uniform(seed, Stream.CATEGORY_TASTE, persons), 1 - uniform(seed, Stream.PRICE_SENSITIVITY, persons)
    fresh, habit, inner, inner_habit = (uniform(seed, stream, keys, index) for index in range(4))
    of_category = steered(fresh, habit, taste, CATEGORY_HABIT_SHARE, CATEGORY_HABIT_WIDTH, is_round=True)
    within = steered(inner, inner_habit, calm, PRICE_HABIT_SHARE, PRICE_HABIT_WIDTH, is_round=False)
    return of_category, within
