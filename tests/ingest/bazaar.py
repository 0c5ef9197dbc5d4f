"""A made-up retailer: two feeds with tiny files that hold every kind of dirt, and what should become of each line."""

import gzip
from pathlib import Path
from typing import Any

FIELDS = ("order_no", "line_no", "ordered_at", "phone", "sku", "quantity", "price", "exported_at")
HEADER = ",".join(FIELDS)
GUESTS = {
    "where": "phone_token is not null",
    "columns": {
        "account_id": "concat('contact:', phone_token)",
        "account_kind": "'contact'",
        "phone_token": "phone_token",
        "phone_masked": "phone_masked",
    },
}


def feed(folder: str, time_zone: str, *, has_phones: bool = True) -> dict[str, Any]:
    """A feed of order lines whose times are local; a guest is known by a phone, unless the feed tells of none."""
    return {
        "files": f"{folder}/*.csv*",
        "time_zone": time_zone,
        "arrival": "try_to_timestamp(exported_at)",
        "fields": [
            {
                "name": name,
                "description": f"{name}.",
                **({"personal": "phone"} if name == "phone" and has_phones else {}),
            }
            for name in FIELDS
        ],
        "tables": {
            "order_lines": {
                "reject": {"sample_order": "order_no like 'SAMPLE%'"},
                "columns": {
                    "order_line_id": f"concat('{folder}:', order_no, ':', line_no)",
                    "order_id": f"concat('{folder}:', order_no)",
                    "account_id": "concat('contact:', phone_token)" if has_phones else "null",
                    "store_id": "'WEB'",
                    "channel": "'online'",
                    "product_id": "sku",
                    "ordered_at": {"local": "ordered_at", "formats": ["yyyy-MM-dd HH:mm:ss", "dd/MM/yyyy HH:mm"]},
                    "line_kind": "'product'",
                    "quantity": "quantity",
                    "unit_price_amount": "price",
                    "currency_code": "'CNY'",
                },
            },
            **({"accounts": GUESTS} if has_phones else {}),
        },
    }


FEEDS = {"shanghai": feed("shanghai", "Asia/Shanghai"), "london": feed("london", "Europe/London")}


def line(order_no: str = "1", **overrides: str) -> str:
    """A line of a file: a good one, with what a test is about told otherwise."""
    base = {
        "order_no": order_no,
        "line_no": "1",
        "ordered_at": "2025-01-01 08:00:00",
        "phone": "",
        "sku": "P1",
        "quantity": "2",
        "price": "1.50",
        "exported_at": "2025-01-02 00:00:00",
    }
    assert set(overrides) <= set(base), overrides
    return ",".join({**base, **overrides}.values())


def csv_text(*lines: str, header: str = HEADER, end: str = "\n") -> str:
    """A file of such lines."""
    return end.join((header, *lines, ""))


def deliver(folder: Path, name: str, text: str, cut: int | None = None) -> Path:
    """Write a file, packed where its name says so, cut short after `cut` bytes where told."""
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    content = text.encode()
    packed = gzip.compress(content, mtime=0) if name.endswith(".gz") else content
    file.write_bytes(packed[:cut])
    return file
