"""What is sold where, at what price, and how likely each product is chosen: small tables by product, store and week."""

from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache

import numpy as np

from jobs.lakehouse.settings import WorldSettings
from jobs.simulate.draws import Flags, Integers, Numbers, Stream, chosen, uniform

CATEGORIES = ("Tea", "Snacks", "Skin care", "Home", "Outdoor", "Baby")
NOUNS = (
    ("Oolong", "Pu'er", "Jasmine tea", "Longjing"),
    ("Nut mix", "Rice crackers", "Dried mango", "Seaweed"),
    ("Face cream", "Sun lotion", "Cleanser", "Sheet mask"),
    ("Storage box", "Desk lamp", "Bath towel", "Tea set"),
    ("Rucksack", "Rain jacket", "Camping stove", "Water bottle"),
    ("Nappies", "Milk powder", "Play mat", "Baby lotion"),
)
BRANDS = ("Yunshan", "Haiyue", "Qinghe", "Beidou", "Lanting", "Songfeng", "Mingyue")
MEDIAN_PRICES = (68.0, 26.0, 118.0, 89.0, 239.0, 149.0)  # by category, in the world's currency
PRICE_SPREAD = 0.45  # standard deviation of the logarithm of the price
RANK_EXPONENT = 0.8  # Zipf: popularity falls with the rank to this power
LAUNCHED_LATER_SHARE = 0.15
PROMOTED_SHARE = 0.08
PROMOTION_DEPTHS = (0.20, 0.30)  # the least and the greatest cut in price
PROMOTION_LIFT = 1.8
CATEGORY_WAVE = 0.35  # half the swing of a category's share over the year
STORE_MIX_RANGE = (0.7, 1.4)
WEB_STORE_ID = "WEB"
CITIES = (
    ("Shanghai", "East"),
    ("Hangzhou", "East"),
    ("Shenzhen", "South"),
    ("Chengdu", "West"),
    ("Beijing", "North"),
    ("Wuhan", "Centre"),
)


@dataclass(frozen=True, eq=False)
class Assortment:
    """The goods of a world: by product, by [week, product], and `choice` by [store, week, product], web shop last."""

    category: Integers
    list_cents: Integers
    launch_week: Integers
    launched_on: list[date]
    promoted: Flags
    price_cents: Integers
    choice: Numbers
    choice_totals: Numbers

    def chosen_products(self, probability: Numbers, stores: Integers, weeks: Integers) -> Integers:
        """The product of each line, by store and week, from a uniform draw."""
        _, week_count, product_count = self.choice.shape
        row = stores * week_count + weeks
        found: Integers = np.searchsorted(self.choice_totals, row + probability) - row * product_count
        return np.clip(found, 0, product_count - 1)


def store_ids(settings: WorldSettings) -> list[str]:
    """The ids of the stores in the order of their index; the last one is the web shop."""
    return [f"S{number:03d}" for number in range(1, settings.stores + 1)] + [WEB_STORE_ID]


def store_weights(settings: WorldSettings) -> Numbers:
    """How many customers are at home in each physical store, relative to each other."""
    return np.arange(1, settings.stores + 1, dtype=np.float64) ** -0.5


def product_ids(settings: WorldSettings) -> list[str]:
    """The ids of the products in the order of their index."""
    return [f"P{number:04d}" for number in range(1, settings.products + 1)]


def launch_weeks(settings: WorldSettings, products: Integers) -> Integers:
    """The week of the world in which each product comes to market; below 0 for those that were there before."""
    draw = uniform(settings.seed, Stream.PRODUCT_LAUNCH, products)
    later = (draw < LAUNCHED_LATER_SHARE) & (products > 0)  # the first product is always there: a week is never empty
    weeks_later = 1 + draw / LAUNCHED_LATER_SHARE * (settings.weeks * 0.8)
    weeks_before = 1 + uniform(settings.seed, Stream.PRODUCT_LAUNCH, products, 1) * 120
    return np.where(later, weeks_later, -weeks_before).astype(np.int64)


def list_price_cents(settings: WorldSettings, products: Integers, category: Integers) -> Integers:
    """The list price of each product in cents, log-normal around the median of its category."""
    first, second = (uniform(settings.seed, Stream.PRODUCT_PRICE, products, index) for index in (0, 1))
    normal = np.sqrt(-2 * np.log(first)) * np.cos(2 * np.pi * second)
    prices: Numbers = np.array(MEDIAN_PRICES)[category] * np.exp(PRICE_SPREAD * normal)
    return np.round(prices * 100).astype(np.int64)


def choice_table(settings: WorldSettings, category: Integers, promoted: Flags, launch_week: Integers) -> Numbers:
    """The probability that a line names a product, by [store, week, product]; each [store, week] sums to 1."""
    products, weeks, stores = np.arange(settings.products), np.arange(len(promoted)), np.arange(settings.stores + 1)
    ranks = 1 + np.argsort(np.argsort(uniform(settings.seed, Stream.PRODUCT_RANK, products)))
    popularity = ranks.astype(np.float64) ** -RANK_EXPONENT
    first_year_day = settings.start_date.timetuple().tm_yday
    year_share = (first_year_day + 7 * weeks[:, None]) / 365.25 - category[None, :] / len(CATEGORIES)
    weekly = popularity * (1 + CATEGORY_WAVE * np.cos(2 * np.pi * year_share)) * np.where(promoted, PROMOTION_LIFT, 1.0)
    weekly = np.where(weeks[:, None] >= launch_week[None, :], weekly, 0.0)
    least, greatest = STORE_MIX_RANGE
    mix = least + (greatest - least) * uniform(settings.seed, Stream.STORE_MIX, stores[:, None], products[None, :])
    weights = weekly[None, :, :] * mix[:, None, :]
    return np.asarray(weights / weights.sum(axis=2, keepdims=True))


def running_totals(choice: Numbers) -> Numbers:
    """The choice probabilities summed along the products, row n of the [store, week] rows lifted by n: sorted."""
    rows = choice.reshape(-1, choice.shape[2])
    return np.asarray(np.cumsum(rows, axis=1) + np.arange(len(rows))[:, None]).ravel()


@lru_cache(maxsize=8)
def assortment(settings: WorldSettings) -> Assortment:
    """The assortment of a world through the last week that the truth foresees."""
    products = np.arange(settings.products)
    weeks = np.arange(settings.weeks + settings.truth_weeks_ahead)
    category = products % len(CATEGORIES)
    list_cents = list_price_cents(settings, products, category)
    launch_week = launch_weeks(settings, products)
    promoted = uniform(settings.seed, Stream.PROMOTION, products[None, :], weeks[:, None]) < PROMOTED_SHARE
    least, greatest = PROMOTION_DEPTHS
    depth = least + (greatest - least) * uniform(
        settings.seed, Stream.PROMOTION_DEPTH, products[None, :], weeks[:, None]
    )
    price_cents = np.round(list_cents * np.where(promoted, 1 - depth, 1.0)).astype(np.int64)
    choice = choice_table(settings, category, promoted, launch_week)
    return Assortment(
        category=category,
        list_cents=list_cents,
        launch_week=launch_week,
        launched_on=[settings.start_date + timedelta(weeks=int(week)) for week in launch_week],
        promoted=promoted,
        price_cents=price_cents,
        choice=choice,
        choice_totals=running_totals(choice),
    )


def product_rows(settings: WorldSettings) -> list[dict[str, str]]:
    """One row per product, as the product feed names it."""
    goods = assortment(settings)
    brands = chosen(settings.seed, Stream.PRODUCT_RANK, np.arange(settings.products), len(BRANDS), 1)
    rows = []
    for number, product_id in enumerate(product_ids(settings)):
        category, brand = int(goods.category[number]), BRANDS[int(brands[number])]
        noun = NOUNS[category][number // len(CATEGORIES) % len(NOUNS[category])]
        rows.append(
            {
                "product_id": product_id,
                "name": f'{brand} {noun}, "No. {number + 1}"',
                "category": CATEGORIES[category],
                "brand": brand,
                "list_price": f"{int(goods.list_cents[number]) / 100:.2f}",
                "currency": settings.currency_code,
                "launched_on": goods.launched_on[number].isoformat(),
                "exported_at": f"{max(goods.launched_on[number], settings.start_date).isoformat()}T00:00:00Z",
            }
        )
    return rows


def store_rows(settings: WorldSettings) -> list[dict[str, str]]:
    """One row per store and one for the web shop, as the store feed names them."""
    rows = []
    for number, store_id in enumerate(store_ids(settings)):
        is_web = store_id == WEB_STORE_ID
        city, region = ("", "") if is_web else CITIES[number % len(CITIES)]
        rows.append(
            {
                "store_id": store_id,
                "name": "Web shop" if is_web else f"{city} {number // len(CITIES) + 1}",
                "city": city,
                "region": region,
                "channel": "online" if is_web else "store",
                "opened_on": (settings.start_date - timedelta(days=900 + 37 * number)).isoformat(),
                "exported_at": f"{settings.start_date.isoformat()}T00:00:00Z",
            }
        )
    return rows
