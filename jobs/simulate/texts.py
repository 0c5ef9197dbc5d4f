"""Numbers into the texts that sources write: ids, names, phones in mixed formats, e-mails, times, spoilt values."""

from collections.abc import Sequence

from pyspark.sql import Column
from pyspark.sql import functions as F

from jobs.simulate.names import LETTERS, SURNAMES

EMAIL_DOMAINS = ("qq.com", "163.com", "126.com", "sina.com", "outlook.com", "gmail.com")
# Source, medium and name, as links are tagged (UTM).
CAMPAIGNS = (
    ("baidu", "cpc", "brand_search"),
    ("wechat", "social", "official_account"),
    ("newsletter", "email", "weekly_letter"),
    ("douyin", "video", "short_videos"),
)
BAD_DATES = ("2025-02-31 10:00:00", "31/13/2024", "", "0000-00-00 00:00:00", "yesterday", "2024-13-01 08:15:00")
BAD_PRICES = ("abc", "N/A")
USER_AGENTS = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148 ShopApp/6.2",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 Version/17.5 Mobile Safari/604.1",
    "Mozilla/5.0 (Linux; Android 14; SM-S9210) AppleWebKit/537.36 Chrome/124.0 Mobile Safari/537.36",
    "Mozilla/5.0 (Linux; Android 13; M2012K11AC) AppleWebKit/537.36 Chrome/116.0 Mobile ShopApp/6.1",
    "Mozilla/5.0 (Linux; Android 12; ANA-AN00) AppleWebKit/537.36 MicroMessenger/8.0.49 MiniProgramEnv/android",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 16_6 like Mac OS X) AppleWebKit/605.1.15 MicroMessenger/8.0.49 MiniProgramEnv",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/125.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/17.4 Safari/605.1.15",
)
# What collects the events of each agent, by its place in USER_AGENTS; crawlers run none of these.
LIBRARIES = (
    *("analytics-ios", "analytics.js", "analytics.js", "analytics-android"),
    *("analytics-miniprogram", "analytics-miniprogram", "analytics.js", "analytics.js"),
)
DISTRICTS = ("朝阳区", "浦东新区", "西湖区", "南山区", "武侯区", "江汉区", "天河区", "海淀区")
STREETS = ("人民路", "中山路", "解放路", "建设路", "和平街", "长江路", "文化路", "新华街", "花园路", "滨河路")
BOT_AGENTS = (
    "Mozilla/5.0 (compatible; PriceSpider/2.1; +http://example.com/bot)",
    "python-requests/2.31.0",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 HeadlessChrome/120.0 Safari/537.36",
    "Mozilla/5.0 (compatible; ShopCrawler/1.0; bot)",
)
FULL_WIDTH_DIGITS = "０１２３４５６７８９"
# By the number of what happens: the kind of message, and of what is tracked its name.
EVENT_TYPES = (*["track"] * 5, "page", "identify")
EVENT_NAMES = ("Product Viewed", "Order Completed", "Product Added", "Checkout Started", "Payment Info Entered")
# Spoilt events: the field, and what stands there instead; nothing where the sender left it out.
BAD_EVENTS = (
    ("timestamp", "yesterday"),
    ("timestamp", "2025-02-31T10:00:00.000Z"),
    ("timestamp", "0000-00-00T00:00:00.000Z"),
    ("messageId", None),
    ("messageId", ""),
    ("type", "trakc"),
    ("type", None),
)


def listed(texts: Sequence[str], index: Column) -> Column:
    """The text at this place of a list, counted from 0; null where the place is below 0 or behind its end."""
    return F.when(
        (index >= 0) & (index < len(texts)),
        F.element_at(F.array(*[F.lit(text) for text in texts]), index.cast("int") + 1),
    )


def numbered(prefix: str, number: str, digits: int) -> Column:
    """An id like C0000000042; null where the number is below 0."""
    text = F.concat(F.lit(prefix), F.lpad(F.col(number).cast("string"), digits, "0"))
    return F.when(F.col(number) >= 0, text)


def account_id(number: str) -> Column:
    """The id of a web account."""
    return numbered("A", number, 10)


def card_no(number: str) -> Column:
    """The number of a member card."""
    return numbered("C", number, 10)


def order_id(is_online: str, number: str) -> Column:
    """The id of an order of the web shop or of a receipt of a till; null where the number is below 0."""
    return F.when(F.col(is_online), numbered("W", number, 14)).otherwise(numbered("T", number, 14))


def hexadecimal(number: str) -> Column:
    """Sixteen lower-case hexadecimal digits of a 64-bit number."""
    return F.lower(F.lpad(F.hex(F.col(number)), 16, "0"))


def message_id(number: str) -> Column:
    """The id of an event's message."""
    return F.concat(F.lit("m-"), hexadecimal(number))


def network_address(number: str) -> Column:
    """An address like 10.1.2.0: the collector keeps the network and drops what tells one household from another."""
    high, middle, low = F.shiftright(F.col(number), 16), F.shiftright(F.col(number), 8) % 256, F.col(number) % 256
    return F.concat_ws(".", (high + 16).cast("string"), middle.cast("string"), low.cast("string"), F.lit("0"))


def device_id(number: str) -> Column:
    """The id of a device; null where the number is 0."""
    return F.when(F.col(number) != 0, F.concat(F.lit("d-"), hexadecimal(number)))


def payer(number: str) -> Column:
    """What a wallet or card is known by to the shop: the payment provider's reference."""
    return F.concat(F.lit("pay-"), hexadecimal(number))


def full_name(surname: str, given_name: str) -> Column:
    """A Chinese name, surname first."""
    return _name(surname, given_name, *([entry[0] for entry in entries] for entries in (SURNAMES, LETTERS)))


def _name(surname: str, given_name: str, surnames: Sequence[str], letters: Sequence[str]) -> Column:
    """A name in one way of writing, from the numbers that `names` gives."""
    first, behind = F.col(given_name) % len(letters), F.floor(F.col(given_name) / len(letters))
    second = F.coalesce(listed(letters, behind - 1), F.lit(""))
    return F.concat(listed(surnames, F.col(surname)), listed(letters, first), second)


def as_mistyped(name: Column, slip: str) -> Column:
    """A name with one letter dropped, doubled or swapped with the next; as it is where the slip is below 0.

    The slip is the kind (0, 1, 2) plus three times the place; a place behind the last letter counts from the first again.
    """
    length = F.length(name)
    kind, place = F.col(slip) % 3, 1 + F.floor(F.col(slip) / 3) % length
    first = 1 + F.floor(F.col(slip) / 3) % F.greatest(length - 1, F.lit(1))
    before, letter, after = (
        name.substr(F.lit(1), place - 1),
        name.substr(place, F.lit(1)),
        name.substr(place + 1, length),
    )
    swapped = F.concat(
        name.substr(F.lit(1), first - 1),
        name.substr(first + 1, F.lit(1)),
        name.substr(first, F.lit(1)),
        name.substr(first + 2, length),
    )
    return (
        F.when(F.col(slip) < 0, name)
        .when(kind == 0, F.concat(before, after))
        .when(kind == 1, F.concat(before, letter, letter, after))
        .otherwise(swapped)
    )


def birth_date(digits: str, separator: str) -> Column:
    """A date like 1985-03-12 from its eight digits; null where there are none."""
    text = F.col(digits).cast("string")
    parts = [F.substring(text, *part) for part in ((1, 4), (5, 2), (7, 2))]
    return F.when(F.col(digits) > 0, F.concat_ws(separator, *parts))


def email(surname: str, given_name: str, number: str) -> Column:
    """The e-mail address of a person, normalised; null where the number is below 0."""
    spelled = _name(surname, given_name, *([entry[1:] for entry in entries] for entries in (SURNAMES, LETTERS)))
    mailbox = F.concat(
        spelled,
        F.lower(F.conv(F.col(number).cast("string"), 10, 36)),
    )
    domain = listed(EMAIL_DOMAINS, F.col(number) % len(EMAIL_DOMAINS))
    return F.when(F.col(number) >= 0, F.concat(mailbox, F.lit("@"), domain))


def email_as_typed(address: Column, style: Column) -> Column:
    """An address as people type it: capitals here and there, blanks around it; style is a number from 0 to 99."""
    return (
        F.when(style < 4, F.upper(address))
        .when(style < 10, F.initcap(address))
        .when(style < 14, F.concat(F.lit(" "), address))
        .when(style < 18, F.concat(address, F.lit("  ")))
        .otherwise(address)
    )


def phone_as_typed(number: str, style: Column) -> Column:
    """A phone as people type it, in one of six formats; null where the number is below 0; style is from 0 to 99."""
    digits = F.col(number).cast("string")
    first, middle, last = F.substring(digits, 1, 3), F.substring(digits, 4, 4), F.substring(digits, 8, 4)
    written = (
        F.when(style < 12, F.concat(F.lit("+86 "), first, F.lit("-"), middle, F.lit("-"), last))
        .when(style < 18, F.concat(F.lit("0086 "), F.concat_ws(" ", first, middle, last)))
        .when(style < 30, F.concat_ws(" ", first, middle, last))
        .when(style < 34, F.translate(digits, "0123456789", FULL_WIDTH_DIGITS))
        .when(style < 44, F.concat(F.lit("+86"), digits))
        .otherwise(digits)
    )
    return F.when(F.col(number) >= 0, written)


def phone_e164(number: str) -> Column:
    """A phone in international form; null where the number is below 0."""
    return F.when(F.col(number) >= 0, F.concat(F.lit("+86"), F.col(number).cast("string")))


def delivery_address(number: str, style: Column) -> Column:
    """An address as people type it, district first; the digits are full-width for some; null where there is none."""
    place = F.col(number)
    house, rest = place % 2000, F.floor(place / 2000)
    building, room = rest % 40, F.floor(rest / 40) % 400
    far = F.floor(rest / 16_000)
    street = F.concat(listed(DISTRICTS, far % 8), listed(STREETS, F.floor(far / 8) % 10))
    area = F.floor(far / 80)  # what is left makes the address unlike any other
    flat = F.concat_ws("-", (building + 1).cast("string"), (room + 101).cast("string"))
    block = F.concat(F.lit("第"), area.cast("string"), F.lit("小区"))
    written = F.concat(street, (house + 1).cast("string"), F.lit("号"), block, F.lit(" "), flat)
    spelt = (
        F.when(style < 10, F.translate(written, "0123456789", FULL_WIDTH_DIGITS))
        .when(style < 20, F.concat(F.lit(" "), written))
        .when(style < 28, F.replace(written, F.lit(" "), F.lit("  ")))
        .otherwise(written)
    )
    return F.when(place >= 0, spelt)


def utc_text(moment: str) -> Column:
    """A UTC time like 2024-05-01T18:00:00Z."""
    return F.concat(F.translate(F.col(moment).cast("string"), " ", "T"), F.lit("Z"))


def utc_text_with_millis(moment: str) -> Column:
    """A UTC time like 2024-05-01T03:04:05.123Z, of a moment that has a fraction of a second."""
    return F.concat(F.rpad(F.translate(F.col(moment).cast("string"), " ", "T"), 23, "0"), F.lit("Z"))


def amount(cents: str) -> Column:
    """An amount with two decimals from whole cents."""
    return (F.col(cents).cast("decimal(18,0)") / 100).cast("decimal(18,2)").cast("string")


def spoilt_in_event(text: Column, field: str, kind: str) -> Column:
    """The text of an event's field, or what stands in its place where BAD_EVENTS, at place `kind`, names this field."""
    for place, (name, bad_text) in enumerate(BAD_EVENTS):
        if name == field:
            text = F.when(F.col(kind) == place, F.lit(bad_text)).otherwise(text)
    return text


def spoilt(text: Column, bad_texts: Sequence[str], kind: str) -> Column:
    """The text, or the bad one at place `kind` of the list where that is not below 0."""
    return F.coalesce(listed(bad_texts, F.col(kind)), text)
