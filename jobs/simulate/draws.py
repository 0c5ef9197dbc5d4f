"""Counter-based randomness: each draw is a hash of (seed, stream, entity, index), whatever the partition or batch."""

from enum import StrEnum
from functools import cache
from hashlib import blake2b
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special

Words = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Columns = dict[str, npt.NDArray[Any]]

WORD_MASK = 2**64 - 1
GOLDEN_STEP = 0x9E3779B97F4A7C15  # 2**64 / golden ratio, the step of splitmix64 (Steele, Lea, Flood 2014)
INDEX_STEP = 0xD1342543DE82EF95  # an odd multiplier of good spectrum (Steele, Vigna 2021)


class Stream(StrEnum):
    """A named source of randomness; two uses never share a stream."""

    JOINED_BEFORE = "joined before"
    JOINED_DAY = "joined day"
    JOINED_TIME = "joined time"
    ORDER_RATE = "order rate"
    DROPOUT_RATE = "dropout rate"
    LIFETIME = "lifetime"
    VISIT_RATE = "visit rate"
    ONLINE_SHARE = "online share"
    HOME_STORE = "home store"
    BASKET_SIZE = "basket size"
    HAS_ACCOUNT = "has account"
    HAS_CARD = "has card"
    SURNAME = "surname"
    GIVEN_NAME = "given name"
    PHONE_CHANGES = "phone changes"
    PHONE_CHANGE_DAY = "phone change day"
    CARD_ON_PARTNER_PHONE = "card on partner phone"
    CARD_WITHOUT_PHONE = "card without phone"
    SECOND_EMAIL = "second e-mail"
    SECOND_ACCOUNT = "second account"
    SECOND_ACCOUNT_DAY = "second account day"
    SECOND_DEVICE = "second device"
    SHARED_DEVICE = "shared device"
    ACCOUNT_TEXT = "account text"
    ORDER_COUNT = "order count"
    ORDER_DAY = "order day"
    ORDER_TIME = "order time"
    ORDER_CHANNEL = "order channel"
    ORDER_IDENTIFIED = "order identified"
    ORDER_ACCOUNT = "order account"
    ORDER_TEXT = "order text"
    LINE_COUNT = "line count"
    LINE_PRODUCT = "line product"
    LINE_QUANTITY = "line quantity"
    LINE_RETURNED = "line returned"
    LINE_RETURNED_PART = "line returned in part"
    LINE_RETURN_DELAY = "line return delay"
    LINE_DIRT = "line dirt"
    LINE_DIRT_KIND = "line dirt kind"
    LINE_COPY = "line copy"
    LATE = "late"
    LATE_DAYS = "late days"
    VISIT_COUNT = "visit count"
    VISIT_DAY = "visit day"
    VISIT_TIME = "visit time"
    VISIT_DEVICE = "visit device"
    VISIT_LOGGED_IN = "visit logged in"
    VISIT_CAMPAIGN = "visit campaign"
    VIEW_COUNT = "view count"
    VIEW_PRODUCT = "view product"
    VIEW_GAP = "view gap"
    EAGER = "eager shopper"
    FUNNEL = "funnel"
    EVENT_DIRT = "event dirt"
    EVENT_DELAY = "event delay"
    EVENT_COPY = "event copy"
    STORE_TABLET = "store tablet"
    PAGE = "page"
    LOG_IN = "log-in"
    PRODUCT_PRICE = "product price"
    PRODUCT_LAUNCH = "product launch"
    PRODUCT_RANK = "product rank"
    PROMOTION = "promotion"
    PROMOTION_DEPTH = "promotion depth"
    LIST_PRICE_CHANGE = "list price change"
    STORE_MIX = "store mix"
    STOCK_OUT = "stock-out"
    STOCK_LEVEL = "stock level"
    CATEGORY_TASTE = "category taste"
    HOUR_TASTE = "hour taste"
    PRICE_SENSITIVITY = "price sensitivity"
    RETURN_ABUSE = "return abuse"
    DROPOUT_CAUSE = "dropout cause"
    SATISFACTION = "satisfaction"
    NEAR_COPY = "near copy"
    OUTLIER = "outlier"
    REPEATED_CLICK = "repeated click"
    USER_AGENT = "user agent"
    NETWORK = "network"
    BOT = "bot"
    BOT_SESSION = "bot session"
    BOT_VIEW = "bot view"
    RING = "ring"
    RING_ORDER = "ring order"
    ADDRESS = "address"
    DORMITORY = "dormitory"
    BIRTH_DATE_TOLD = "birth date told"
    NAME_SLIP = "name slip"
    CONSENT = "consent"
    CONSENT_CHANGE = "consent change"
    CAMPAIGN_TARGET = "campaign target"
    CAMPAIGN_ORDER = "campaign order"
    CONTACT_EVENT = "contact event"
    COUPON = "coupon"
    PAYMENT = "payment"
    POINTS = "points"
    REVIEW = "review"
    SURVEY = "survey"
    TICKET = "ticket"
    CREDIT = "credit"
    MISSING = "missing value"
    DEMOGRAPHICS = "demographics"
    AD_SPEND = "ad spend"
    FOOTFALL = "footfall"
    KIOSK = "kiosk"
    TREND = "trend"
    WEATHER = "weather"
    INTEREST = "interest"
    CONTACT_CHANNEL = "contact channel"


def mixed(words: Words) -> Words:
    """Each word scrambled by the splitmix64 finaliser, a bijection of the 64-bit words."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


@cache
def stream_key(seed: int, stream: str) -> int:
    """The 64-bit key of a stream in the world of this seed."""
    return int.from_bytes(blake2b(f"{seed}/{stream}".encode(), digest_size=8).digest(), "big")


def keyed_hash(seed: int, stream: Stream, entity: Integers, index: Integers | int = 0) -> Words:
    """A 64-bit hash per entity and index, the same wherever and in whatever order it is asked for."""
    with np.errstate(over="ignore"):
        start = np.asarray(entity).astype(np.uint64) * np.uint64(GOLDEN_STEP) + np.uint64(stream_key(seed, stream))
        return mixed(mixed(start) + np.asarray(index).astype(np.uint64) * np.uint64(INDEX_STEP))


def uniform(seed: int, stream: Stream, entity: Integers, index: Integers | int = 0) -> Numbers:
    """A uniform draw in the open interval (0, 1) per entity and index."""
    top_bits = keyed_hash(seed, stream, entity, index) >> np.uint64(12)
    return (top_bits.astype(np.float64) + 0.5) * 2.0**-52


def chosen(seed: int, stream: Stream, entity: Integers, count: int, index: Integers | int = 0) -> Integers:
    """A whole number from 0 to count - 1 per entity and index, all equally likely."""
    return (uniform(seed, stream, entity, index) * count).astype(np.int64)


def happens(seed: int, stream: Stream, entity: Integers, probability: float | Numbers) -> Flags:
    """Whether something of this probability is true of each entity."""
    return np.asarray(uniform(seed, stream, entity) < probability, dtype=np.bool_)


def gamma_quantile(probability: Numbers, shape: float, mean: float) -> Numbers:
    """The value of a gamma distribution of this shape and mean below which the given probability lies."""
    return np.asarray(special.gammaincinv(shape, probability) * (mean / shape), dtype=np.float64)


def lognormal_quantile(probability: Numbers, median: float, spread: float) -> Numbers:
    """The value of a lognormal distribution below which the given probability lies; `spread` is the deviation of its logarithm."""
    return np.asarray(median * np.exp(spread * special.ndtri(probability)), dtype=np.float64)


def correlated(probability: Numbers, other: Numbers, correlation: float) -> Numbers:
    """Even draws that follow others, both given as independent even draws: of their normal scores this is the correlation."""
    score = correlation * special.ndtri(other) + np.sqrt(1 - correlation**2) * special.ndtri(probability)
    return np.asarray(special.ndtr(score), dtype=np.float64)


def exponential_quantile(probability: Numbers, rate: Numbers) -> Numbers:
    """The waiting time, in the inverse unit of the rate, within which the event has come with the given probability."""
    return -np.log1p(-probability) / rate


def beta_quantile(probability: Numbers, alpha: float, beta: float) -> Numbers:
    """The share of a beta distribution below which the given probability lies."""
    return np.asarray(special.betaincinv(alpha, beta, probability), dtype=np.float64)


def poisson_quantile(probability: Numbers, mean: Numbers) -> Integers:
    """The smallest count whose cumulative Poisson probability reaches the given one; 0 where the mean is 0."""
    safe_mean = np.maximum(mean, 1e-12)
    upper = np.ceil(np.nan_to_num(special.pdtrik(probability, safe_mean)))
    lower = np.maximum(upper - 1, 0)
    counts = np.where(special.pdtr(lower, safe_mean) >= probability, lower, upper)
    return np.where(mean > 0, counts, 0).astype(np.int64)


def small_count(probability: Numbers, mean: float) -> Integers:
    """A Poisson count by table look-up, for one mean below 5; counts end at 30."""
    table = special.pdtr(np.arange(30), mean)
    return np.searchsorted(table, probability).astype(np.int64)


def weighted_choice(probability: Numbers, weights: Numbers) -> Integers:
    """The index of the weight into whose share of the total the given probability falls."""
    shares = np.cumsum(weights) / np.sum(weights)
    return np.minimum(np.searchsorted(shares, probability), len(weights) - 1).astype(np.int64)


def scrambled(seed: int, space: str, numbers: Integers, bits: int) -> Integers:
    """A number of this many bits per input, by a bijection: distinct inputs of no more bits give distinct numbers."""
    key = stream_key(seed, f"numbers of {space}")
    with np.errstate(over="ignore"):
        words = numbers.astype(np.uint64) * np.uint64(GOLDEN_STEP) + np.uint64(key)
    return (words & np.uint64(2**bits - 1)).astype(np.int64)


def word_numbers(seed: int, space: str, numbers: Integers) -> Integers:
    """A signed 64-bit number per input by a bijection, for identifiers that are shown in hexadecimal."""
    with np.errstate(over="ignore"):
        words = numbers.astype(np.uint64) + np.uint64(stream_key(seed, f"words of {space}"))
    return mixed(words).view(np.int64)
