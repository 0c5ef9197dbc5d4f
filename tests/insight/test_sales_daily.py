"""Daily sales are, to the penny, what SQL in DuckDB says of the same lines."""

import datetime as dt
from decimal import Decimal

import duckdb
from pyspark.sql import DataFrame, SparkSession

from jobs.insight.build_sales_daily import as_daily_sales, with_is_clean
from jobs.lakehouse.tables import conform
from tests.rows import NOON, Row, arrow_of, contract_of, frame_of, order_line, random_order_lines, row_of

QUERY = """
select ordered_date, store_id, product_id, line_kind, currency_code,
       {measures}, {clean_measures}
from lines where superseded_at is null group by all
"""
MEASURES = """
count(distinct order_id) filter (quantity > 0 and {counts}),
coalesce(sum(quantity) filter (quantity > 0 and {counts}), 0),
-coalesce(sum(quantity) filter (quantity < 0 and {counts}), 0),
round(coalesce(sum(quantity * unit_price_amount) filter (quantity > 0 and {counts}), 0), 2),
round(coalesce(sum(quantity * unit_price_amount) filter (quantity < 0 and {counts}), 0), 2),
round(coalesce(sum(quantity * unit_price_amount) filter ({counts}), 0), 2)
"""
# In the random lines: orders that end in 7 are flagged, and lines that end in 5.
IS_CLEAN = "not order_id like '%7' and not order_line_id like '%5'"


def judged(spark: SparkSession, lines: list[Row], orders: list[Row], of_lines: list[Row]) -> DataFrame:
    """The lines with whether they are clean."""
    flags = frame_of(spark, "silver.order_flags", *orders), frame_of(spark, "silver.order_line_flags", *of_lines)
    return with_is_clean(frame_of(spark, "silver.order_lines", *lines), *flags)


def test_daily_sales_of_random_lines_are_those_of_duckdb_to_the_penny(spark: SparkSession) -> None:
    lines = random_order_lines(5, 1500, dt.date(2025, 2, 25), 12)
    with duckdb.connect() as engine:
        engine.register("lines", arrow_of("silver.order_lines", *lines))
        measures = [MEASURES.format(counts=counts) for counts in ("true", IS_CLEAN)]
        query = QUERY.format(measures=measures[0], clean_measures=measures[1])
        expected = {row[:5]: row[5:] for row in engine.execute(query).fetchall()}
    flagged_orders = {line["order_id"] for line in lines if line["order_id"].endswith("7")}
    flagged_lines = {(line["order_line_id"], line["revision"]) for line in lines if line["order_line_id"][-1] == "5"}
    orders = [row_of("silver.order_flags", order_id=order, excluded_at=NOON) for order in sorted(flagged_orders)]
    of_lines = [
        row_of("silver.order_line_flags", order_line_id=line, revision=revision)
        for line, revision in sorted(flagged_lines)
    ]
    sales = conform(as_daily_sales(judged(spark, lines, orders, of_lines)), contract_of("gold.sales_daily"))
    found = {tuple(row)[:5]: tuple(row)[5:] for row in sales.collect()}
    assert found.keys() == expected.keys()
    wrong = {key: (found[key], row) for key, row in expected.items() if found[key] != row}
    assert not wrong, (
        f"{len(wrong)} of {len(expected)} rows differ; Spark and DuckDB on the first: {min(wrong.items())}"
    )
    assert any(row[4] < 0 and row[3] > 0 for row in found.values()), "no day has both sales and returns"
    assert any(row[:6] != row[6:] and any(row[6:]) for row in found.values()), "no day is clean in part"


def test_returns_are_negative_and_no_order_and_a_superseded_line_is_no_sale(spark: SparkSession) -> None:
    lines = [
        order_line(order_line_id="1", order_id="a", quantity=3, unit_price_amount=Decimal("0.0150")),
        order_line(order_line_id="2", order_id="a", quantity=1, unit_price_amount=Decimal("1.0000")),
        order_line(order_line_id="3", order_id="b", quantity=-2, unit_price_amount=Decimal("0.5050")),
        order_line(order_line_id="4", order_id="c", quantity=100, superseded_at=dt.datetime(2025, 1, 2)),
    ]
    sales = conform(as_daily_sales(judged(spark, lines, [], [])), contract_of("gold.sales_daily"))
    (row,) = sales.collect()
    # 1.045 less 1.01 is 0.035: rounded once, not as 1.05 less 1.01.
    assert (row["gross_amount"], row["return_amount"], row["net_amount"]) == (
        Decimal("1.05"),
        Decimal("-1.01"),
        Decimal("0.04"),
    )
    assert (row["order_count"], row["sold_piece_count"], row["returned_piece_count"]) == (1, 4, 2)


def test_an_order_that_bears_a_mark_and_still_counts_is_clean(spark: SparkSession) -> None:
    lines = [order_line(order_line_id=name, order_id=name) for name in ("abnormal return", "brushing", "plain")]
    marks = [
        row_of("silver.order_flags", order_id="abnormal return", is_abnormal_return=True),
        row_of("silver.order_flags", order_id="brushing", is_brushing=True, excluded_at=NOON),
    ]
    (row,) = as_daily_sales(judged(spark, lines, marks, [])).collect()
    assert (row["order_count"], row["order_count_clean"]) == (3, 2)
    assert (row["net_amount"], row["net_amount_clean"]) == (3, 2)
