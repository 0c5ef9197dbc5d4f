"""What is sold where, at what price, and how likely each product is chosen: small tables by product, store and week."""

from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache

import numpy as np

from jobs.lakehouse.settings import WorldSettings
from jobs.simulate.draws import Flags, Integers, Numbers, Stream, chosen, uniform
from jobs.simulate.market import CATEGORIES, category_weights

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
PROMOTION_DEPTHS = (0.10, 0.40)  # the least and the greatest cut in price
LIST_PRICE_CHANGES_PER_YEAR = 0.7
LIST_PRICE_STEPS = (0.92, 1.12)  # the new list price over the one before
PRICE_ELASTICITIES = (2.2, 3.2, 1.8, 2.4, 2.0, 2.8)  # by category: so many per cent more for a price one per cent lower
STORE_MIX_RANGE = (0.7, 1.4)
STOCK_OUT_SHARE = 0.01  # of the weeks of a product in a store
SOLD_OF_STOCK_OUT_WEEK = 0.25  # of a week's demand, what is sold before the shelf is empty
WEEKS_OF_YEAR = 52
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
    """The goods of a world: by product, by [week, product], and `choice` by [store, week, product], web shop last.

    `price_factor` is what the price of a week does to how often a product is chosen, beside its first list price.
    `choice` counts what a store is out of; `full_choice` doesn't. A draw walks the products of a week in `order`: by
    category, in each what is on promotion first, so that a person's tastes can steer draws and leave the total as it is.
    """

    category: Integers
    list_cents: Integers
    launch_week: Integers
    launched_on: list[date]
    promoted: Flags
    price_cents: Integers
    price_factor: Numbers
    is_stocked_out: Flags
    full_choice: Numbers
    choice: Numbers
    order: Integers
    choice_totals: Numbers
    category_ends: Numbers

    def chosen_products(self, probability: Numbers, stores: Integers, weeks: Integers) -> Integers:
        """The product of each line, by store and week, from a uniform draw."""
        _, week_count, product_count = self.choice.shape
        row = stores * week_count + weeks
        found: Integers = np.searchsorted(self.choice_totals, row + probability) - row * product_count
        return self.order[weeks, np.clip(found, 0, product_count - 1)]

    def draw_at(self, of_category: Numbers, within: Numbers, stores: Integers, weeks: Integers) -> Numbers:
        """One uniform draw from two: the first picks the category, the second the place in it, promotions first."""
        ends = self.category_ends[stores, weeks]
        picked = np.minimum((of_category[:, None] > ends).sum(axis=1), ends.shape[1] - 1)
        row = np.arange(len(picked))
        begin = np.where(picked > 0, ends[row, picked - 1], 0.0)
        return np.asarray(begin + within * (ends[row, picked] - begin))

    def categories_at(self, places: Numbers) -> Integers:
        """The category that lies at each place of the line from 0 to 1 on which categories have their mean share."""
        return np.searchsorted(self.category_ends.mean(axis=(0, 1))[:-1], places).astype(np.int64)


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


def first_list_prices(settings: WorldSettings, products: Integers, category: Integers) -> Numbers:
    """The list price of each product before any change, in cents, log-normal around the median of its category."""
    first, second = (uniform(settings.seed, Stream.PRODUCT_PRICE, products, index) for index in (0, 1))
    normal = np.sqrt(-2 * np.log(first)) * np.cos(2 * np.pi * second)
    prices: Numbers = np.array(MEDIAN_PRICES)[category] * np.exp(PRICE_SPREAD * normal)
    return prices * 100


def list_price_levels(settings: WorldSettings, products: Integers, weeks: Integers) -> Numbers:
    """The list price over the first one, by [week, product]: now and then it goes up a little, more rarely down."""
    draw = uniform(settings.seed, Stream.LIST_PRICE_CHANGE, products[None, :], weeks[:, None])
    changes = draw < LIST_PRICE_CHANGES_PER_YEAR / WEEKS_OF_YEAR
    least, greatest = LIST_PRICE_STEPS
    step = least + (greatest - least) * draw * WEEKS_OF_YEAR / LIST_PRICE_CHANGES_PER_YEAR
    return np.asarray(np.cumprod(np.where(changes, step, 1.0), axis=0), dtype=np.float64)


def stock_outs(settings: WorldSettings, launch_week: Integers) -> Flags:
    """Whether a store runs out of a product in a week of the world, by [store, week, product]."""
    week_count = settings.weeks + settings.truth_weeks_ahead
    products, weeks, stores = np.arange(settings.products), np.arange(week_count), np.arange(settings.stores + 1)
    place = stores[:, None, None] * week_count + weeks[None, :, None]
    runs_out = uniform(settings.seed, Stream.STOCK_OUT, products[None, None, :], place) < STOCK_OUT_SHARE
    on_sale = (weeks[:, None] >= launch_week[None, :]) & (weeks[:, None] < settings.weeks)
    return np.asarray(runs_out & on_sale[None, :, :])


def choice_table(settings: WorldSettings, category: Integers, price_factor: Numbers, launch_week: Integers) -> Numbers:
    """The weight with which a line names a product where all is in stock, by [store, week, product].

    Each [store, week] sums to 1.
    """
    products, weeks, stores = np.arange(settings.products), np.arange(len(price_factor)), np.arange(settings.stores + 1)
    ranks = 1 + np.argsort(np.argsort(uniform(settings.seed, Stream.PRODUCT_RANK, products)))
    popularity = ranks.astype(np.float64) ** -RANK_EXPONENT
    weekly = popularity * category_weights(settings, weeks)[:, category] * price_factor
    weekly = np.where(weeks[:, None] >= launch_week[None, :], weekly, 0.0)
    least, greatest = STORE_MIX_RANGE
    mix = least + (greatest - least) * uniform(settings.seed, Stream.STORE_MIX, stores[:, None], products[None, :])
    weights = weekly[None, :, :] * mix[:, None, :]
    return np.asarray(weights / weights.sum(axis=2, keepdims=True))


def walking_order(category: Integers, promoted: Flags) -> Integers:
    """The products of each week in the order in which a draw walks them: by category, promotions first."""
    rank = 2 * category[None, :] + ~promoted
    return np.argsort(rank, axis=1, kind="stable").astype(np.int64)


def running_totals(ordered: Numbers) -> Numbers:
    """The choice probabilities summed along the products, row n of the [store, week] rows lifted by n: sorted."""
    rows = ordered.reshape(-1, ordered.shape[2])
    return np.asarray(np.cumsum(rows, axis=1) + np.arange(len(rows))[:, None]).ravel()


def category_totals(choice: Numbers, category: Integers) -> Numbers:
    """The shares of the categories summed up, by [store, week, category]; the last one is 1."""
    of_category = np.arange(len(CATEGORIES))[None, :] == category[:, None]
    return np.cumsum(choice @ of_category.astype(np.float64), axis=2)


@lru_cache(maxsize=8)
def assortment(settings: WorldSettings) -> Assortment:
    """The assortment of a world through the last week that the truth foresees."""
    products = np.arange(settings.products)
    weeks = np.arange(settings.weeks + settings.truth_weeks_ahead)
    category = products % len(CATEGORIES)
    first_prices = first_list_prices(settings, products, category)
    list_cents = np.round(first_prices * list_price_levels(settings, products, weeks)).astype(np.int64)
    launch_week = launch_weeks(settings, products)
    promoted = uniform(settings.seed, Stream.PROMOTION, products[None, :], weeks[:, None]) < PROMOTED_SHARE
    least, greatest = PROMOTION_DEPTHS
    depth = least + (greatest - least) * uniform(
        settings.seed, Stream.PROMOTION_DEPTH, products[None, :], weeks[:, None]
    )
    price_cents = np.round(list_cents * np.where(promoted, 1 - depth, 1.0)).astype(np.int64)
    is_stocked_out = stock_outs(settings, launch_week)
    price_factor = (price_cents / first_prices) ** -np.array(PRICE_ELASTICITIES)[category]
    full_choice = choice_table(settings, category, price_factor, launch_week)
    weights = full_choice * np.where(is_stocked_out, SOLD_OF_STOCK_OUT_WEEK, 1.0)
    choice = np.asarray(weights / weights.sum(axis=2, keepdims=True))
    order = walking_order(category, promoted)
    return Assortment(
        category=category,
        list_cents=list_cents,
        launch_week=launch_week,
        launched_on=[settings.start_date + timedelta(weeks=int(week)) for week in launch_week],
        promoted=promoted,
        price_cents=price_cents,
        price_factor=price_factor,
        is_stocked_out=is_stocked_out,
        full_choice=full_choice,
        choice=choice,
        order=order,
        choice_totals=running_totals(np.take_along_axis(choice, order[None, :, :], axis=2)),
        category_ends=category_totals(choice, category),
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
                "list_price": f"{int(goods.list_cents[max(goods.launch_week[number], 0), number]) / 100:.2f}",
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
