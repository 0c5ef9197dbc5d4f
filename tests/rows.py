"""Rows for tests, made from the contracts: a valid base row per table, and overrides for what a test is about."""

import datetime as dt
import random
import re
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import (
    ArrayType,
    BinaryType,
    BooleanType,
    DataType,
    DateType,
    DecimalType,
    NumericType,
    StringType,
    StructField,
    StructType,
    TimestampType,
)

from jobs.lakehouse.contracts import Contract, read_contracts
from jobs.lakehouse.local_rows import local_rows

Row = dict[str, Any]
CONF_DIR = Path(__file__).parents[1] / "conf"
NOON = dt.datetime(2025, 1, 1, 12)

# Where the base value of a type would break a rule of the contract, or mislead.
BASE: Mapping[str, Any] = {
    "currency_code": "CNY",
    "return_amount": Decimal(0),
    "revision": 1,
    "is_churned": 0,
    "is_bot": True,
    "is_near_duplicate": True,
    "outcome": "succeeded",
}


def contract_of(table: str) -> Contract:
    """The contract of a table in conf/contracts."""
    return read_contracts(CONF_DIR)[table]


def row_of(contract: Contract | str, **overrides: Any) -> Row:
    """A row that meets the contract: required columns filled by their type, the others null."""
    known = contract_of(contract) if isinstance(contract, str) else contract
    unknown = sorted(set(overrides) - set(known.column_names))
    assert not unknown, f"{known.table} has no column {', '.join(unknown)}"
    allowed = dict(_allowed_values(known))
    row: Row = {}
    for field in known.schema:
        base = allowed.get(field.name, BASE.get(field.name, _base_value(field.dataType, field.name)))
        row[field.name] = overrides.get(field.name, None if field.nullable else base)
    return row


def frame_of(spark: SparkSession, contract: Contract | str, *rows: Row) -> DataFrame:
    """The rows as a frame with the contract's columns and types; a column may be null here, whatever the contract says."""
    known = contract_of(contract) if isinstance(contract, str) else contract
    fields = [StructField(field.name, field.dataType) for field in known.schema]
    return local_rows(spark, [tuple(row[field.name] for field in fields) for row in rows], StructType(fields))


def order_line(**overrides: Any) -> Row:
    """A row of silver.order_lines, its amount, business day and return flag following from the rest."""
    line = row_of("silver.order_lines", **overrides)
    has_amount = line["quantity"] is not None and line["unit_price_amount"] is not None
    followed = {
        "line_amount": line["quantity"] * Decimal(line["unit_price_amount"]) if has_amount else None,
        "ordered_date": line["ordered_at"].date() if line["ordered_at"] else None,
        "is_return": line["quantity"] < 0 if line["quantity"] is not None else None,
    }
    return {**line, **followed, **overrides}


def order(**overrides: Any) -> Row:
    """A row of silver.orders."""
    made = row_of("silver.orders", **overrides)
    return {**made, "ordered_date": made["ordered_at"].date(), **overrides}


def account(**overrides: Any) -> Row:
    """A row of silver.accounts."""
    return row_of("silver.accounts", **overrides)


def identifier(**overrides: Any) -> Row:
    """A row of silver.identifiers: a phone of an account."""
    return row_of("silver.identifiers", **{"identifier_kind": "phone", "identifier_value": "phone 1", **overrides})


def event(**overrides: Any) -> Row:
    """A row of silver.events."""
    made = row_of("silver.events", **overrides)
    return {**made, "event_date": made["event_at"].date(), **overrides}


def product(**overrides: Any) -> Row:
    """A row of silver.products."""
    return row_of("silver.products", **overrides)


def store(**overrides: Any) -> Row:
    """A row of silver.stores."""
    return row_of("silver.stores", **overrides)


def customer_id(**overrides: Any) -> Row:
    """A row of silver.customer_ids: an account that belongs to a customer from noon on."""
    return row_of(
        "silver.customer_ids",
        **{"identifier_kind": "account", "identifier_value": "account_id 1", **overrides},
    )


def customer(**overrides: Any) -> Row:
    """A row of silver.customers."""
    return row_of("silver.customers", **overrides)


SHANGHAI = "Asia/Shanghai"


def local(text: str, time_zone: str = SHANGHAI) -> dt.datetime:
    """The instant, in UTC without a zone, of a business's local time like `2025-03-10 23:30`."""
    return dt.datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(time_zone)).astimezone(dt.UTC).replace(tzinfo=None)


def local_date(instant: dt.datetime, time_zone: str = SHANGHAI) -> dt.date:
    """The business day of an instant in UTC."""
    return instant.replace(tzinfo=dt.UTC).astimezone(ZoneInfo(time_zone)).date()


def arrow_of(table: str, *rows: Row) -> Any:
    """The rows as an Arrow table with the contract's types, for a second engine; timestamps are UTC without a zone."""
    typed = to_arrow_schema(contract_of(table).schema)
    fields = [
        pa.field(field.name, pa.timestamp("us") if pa.types.is_timestamp(field.type) else field.type) for field in typed
    ]
    return pa.Table.from_pylist(list(rows), schema=pa.schema(fields))


def random_order_lines(seed: int, count: int, first_day: dt.date, days: int) -> list[Row]:
    """Order lines of the Shanghai business over some days: returns, services, prices of four digits, late and corrected lines.

    A line is late by up to two weeks, or corrected within three days; not both.
    """
    draw, lines = random.Random(seed), []
    for number in range(count):
        ordered_at = dt.datetime.combine(first_day, dt.time()) + dt.timedelta(seconds=draw.randrange(days * 86_400))
        price = Decimal(draw.randrange(0, 900_000)).scaleb(-4)
        first: Row = {
            "order_line_id": f"line {number}",
            "order_id": f"order {draw.randrange(max(1, count // 2))}",
            "store_id": draw.choice(["s1", "s2", "web"]),
            "product_id": draw.choice(["p1", "p2", "p3", "数码"]),
            "ordered_at": ordered_at,
            "ordered_date": local_date(ordered_at),
            "line_kind": draw.choices(["product", "service", "adjustment"], [8, 1, 1])[0],
            "quantity": draw.choice([-5, -1, 1, 1, 2, 3, 12]),
            "unit_price_amount": price,
            "list_price_amount": draw.choice([None, price, price * 2]),
            "arrived_at": ordered_at + dt.timedelta(hours=draw.choice([0, 1, 20])),
        }
        fate = draw.random()
        if fate < 0.1:
            first["arrived_at"] += dt.timedelta(days=draw.randrange(14))
        if 0.1 < fate < 0.2:
            corrected_at = first["arrived_at"] + dt.timedelta(hours=draw.randrange(1, 48))
            lines.append(order_line(**first, superseded_at=corrected_at))
            first |= {"revision": 2, "arrived_at": corrected_at, "quantity": draw.choice([-2, 1, 4])}
        lines.append(order_line(**first))
    return lines


def _allowed_values(contract: Contract) -> list[tuple[str, str]]:
    """The first value that each rule `column in ('a', 'b')` allows."""
    found = [re.match(r"(\w+) in \('([^']*)'", rule.condition) for rule in contract.row_rules]
    return [(match[1], match[2]) for match in found if match]


def _base_value(data_type: DataType, name: str) -> Any:
    plain: Mapping[type[DataType], Any] = {
        StringType: f"{name} 1",
        BooleanType: False,
        DateType: NOON.date(),
        TimestampType: NOON,
        DecimalType: Decimal(1),
        ArrayType: [],
        BinaryType: b"1",
    }
    if isinstance(data_type, NumericType) and not isinstance(data_type, DecimalType):
        return 1 if data_type.simpleString() not in ("float", "double") else 1.0
    return plain[type(data_type)]
