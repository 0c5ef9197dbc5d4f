"""What moves the demand for each category from outside, week by week: the year, people's interest, a competitor's prices."""

import numpy as np

from jobs.lakehouse.settings import WorldSettings
from jobs.simulate.draws import Integers, Numbers, Stream, uniform

CATEGORIES = ("Tea", "Snacks", "Skin care", "Home", "Outdoor", "Baby")
CATEGORY_WAVE = 0.35  # half the swing of a category's weight over the year
TREND_SWING = 0.35  # the logarithm of the weight of a category at its most fashionable, besides the year
TREND_WEEKS = 10  # from one turn of a trend to the next
COMPETITOR_PRICES = (0.97, 1.03)  # the least and the greatest, as a share of ours, where it has no promotion
COMPETITOR_PRICE_WEEKS = 4  # its prices are set anew every so many weeks
COMPETITOR_PROMOTED_SHARE = 0.1  # of categories and fortnights
COMPETITOR_PROMOTION_WEEKS = 2
COMPETITOR_DEPTHS = (0.15, 0.3)
CROSS_ELASTICITY = 0.6  # by how many per cent our demand falls where the competitor's price falls by one
SEARCH_LEADS_WEEKS = 2  # people search before they buy
SEARCH_NOISE = 0.1
PRICE_DRAWS_FROM, PROMOTION_DRAWS_FROM, DEPTH_DRAWS_FROM = 10_000, 20_000, 30_000  # places in the stream of trends


def interest(settings: WorldSettings, weeks: Integers) -> Numbers:
    """How much people want each category, by [week, category], around 1: the wave of the year, and a slow trend.

    The trend goes smoothly from one drawn level to the next; each category has its own.
    """
    category = np.arange(len(CATEGORIES))[None, :]
    year_share = (settings.start_date.timetuple().tm_yday + 7 * weeks[:, None]) / 365.25 - category / len(CATEGORIES)
    turn, progress = weeks[:, None] // TREND_WEEKS, weeks[:, None] % TREND_WEEKS / TREND_WEEKS
    before, after = (2 * uniform(settings.seed, Stream.INTEREST, category, turn + later) - 1 for later in (0, 1))
    level = before + (after - before) * (1 - np.cos(np.pi * progress)) / 2
    return np.asarray((1 + CATEGORY_WAVE * np.cos(2 * np.pi * year_share)) * np.exp(TREND_SWING * level))


def search_index(settings: WorldSettings, weeks: Integers) -> Numbers:
    """How much is searched, by [week, category], 50 in the middle: the interest of two weeks later, with noise."""
    noise = uniform(settings.seed, Stream.TREND, np.arange(len(CATEGORIES))[None, :], weeks[:, None])
    return 50 * interest(settings, weeks + SEARCH_LEADS_WEEKS) * (1 + SEARCH_NOISE * (2 * noise - 1))


def competitor_prices(settings: WorldSettings, weeks: Integers) -> Numbers:
    """What a competitor asks, as a share of our list prices, by [week, category]; in some fortnights it has a promotion."""
    category, week = np.arange(len(CATEGORIES))[None, :], weeks[:, None]

    def drawn(least: float, greatest: float, place: Integers) -> Numbers:
        return least + (greatest - least) * uniform(settings.seed, Stream.TREND, category, place)

    fortnight = week // COMPETITOR_PROMOTION_WEEKS
    usual = drawn(*COMPETITOR_PRICES, PRICE_DRAWS_FROM + week // COMPETITOR_PRICE_WEEKS)
    depth = drawn(*COMPETITOR_DEPTHS, DEPTH_DRAWS_FROM + fortnight)
    is_promoted = drawn(0, 1, PROMOTION_DRAWS_FROM + fortnight) < COMPETITOR_PROMOTED_SHARE
    return np.asarray(usual * np.where(is_promoted, 1 - depth, 1.0))


def competitor_factors(settings: WorldSettings, weeks: Integers) -> Numbers:
    """What the competitor's prices leave of (or add to) the demand for each category, by [week, category]."""
    return np.asarray(competitor_prices(settings, weeks) ** CROSS_ELASTICITY)


def competitor_season(settings: WorldSettings, weeks: Integers) -> Numbers:
    """What the competitor leaves of all demand in each week: the mean over categories.

    With it a promotion there costs us about what the category loses; the other categories keep what they had.
    """
    return np.asarray(competitor_factors(settings, weeks).mean(axis=1))


def category_weights(settings: WorldSettings, weeks: Integers) -> Numbers:
    """The weight with which each category is chosen, by [week, category]."""
    return interest(settings, weeks) * competitor_factors(settings, weeks)
