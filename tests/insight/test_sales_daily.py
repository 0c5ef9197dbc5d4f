"""Daily sales are, to the penny, what SQL in DuckDB says of the same lines."""

import datetime as dt
from decimal import Decimal

import duckdb
from pyspark.sql import SparkSession

from jobs.insight.build_sales_daily import as_daily_sales
from jobs.lakehouse.tables import conform
from tests.rows import arrow_of, contract_of, frame_of, order_line, random_order_lines

QUERY = """
select ordered_date, store_id, product_id, line_kind, currency_code,
       count(distinct order_id) filter (quantity > 0),
       coalesce(sum(quantity) filter (quantity > 0), 0),
       -coalesce(sum(quantity) filter (quantity < 0), 0),
       round(coalesce(sum(quantity * unit_price_amount) filter (quantity > 0), 0), 2),
       round(coalesce(sum(quantity * unit_price_amount) filter (quantity < 0), 0), 2),
       round(sum(quantity * unit_price_amount), 2)
from lines where superseded_at is null group by all
"""


def test_daily_sales_of_random_lines_are_those_of_duckdb_to_the_penny(spark: SparkSession) -> None:
    lines = random_order_lines(5, 1500, dt.date(2025, 2, 25), 12)
    with duckdb.connect() as engine:
        engine.register("lines", arrow_of("silver.order_lines", *lines))
        expected = {row[:5]: row[5:] for row in engine.execute(QUERY).fetchall()}
    sales = conform(as_daily_sales(frame_of(spark, "silver.order_lines", *lines)), contract_of("gold.sales_daily"))
    found = {tuple(row)[:5]: tuple(row)[5:] for row in sales.collect()}
    assert found.keys() == expected.keys()
    wrong = {key: (found[key], row) for key, row in expected.items() if found[key] != row}
    assert not wrong, (
        f"{len(wrong)} of {len(expected)} rows differ; Spark and DuckDB on the first: {min(wrong.items())}"
    )
    assert any(row[4] < 0 and row[3] > 0 for row in found.values()), "no day has both sales and returns"


def test_returns_are_negative_and_no_order_and_a_superseded_line_is_no_sale(spark: SparkSession) -> None:
    lines = [
        order_line(order_line_id="1", order_id="a", quantity=3, unit_price_amount=Decimal("0.0150")),
        order_line(order_line_id="2", order_id="a", quantity=1, unit_price_amount=Decimal("1.0000")),
        order_line(order_line_id="3", order_id="b", quantity=-2, unit_price_amount=Decimal("0.5050")),
        order_line(order_line_id="4", order_id="c", quantity=100, superseded_at=dt.datetime(2025, 1, 2)),
    ]
    sales = conform(as_daily_sales(frame_of(spark, "silver.order_lines", *lines)), contract_of("gold.sales_daily"))
    (row,) = sales.collect()
    # 1.045 less 1.01 is 0.035: rounded once, not as 1.05 less 1.01.
    assert (row["gross_amount"], row["return_amount"], row["net_amount"]) == (
        Decimal("1.05"),
        Decimal("-1.01"),
        Decimal("0.04"),
    )
    assert (row["order_count"], row["sold_piece_count"], row["returned_piece_count"]) == (1, 4, 2)
