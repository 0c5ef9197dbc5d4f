"""Orders: the sum of their current lines, in one currency; one in two currencies is refused, and nothing in gold sums them."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from jobs.features.currency import refuse_other_currencies
from jobs.ingest.collect_orders import MIXED, TOO_LARGE, as_orders
from jobs.lakehouse.errors import DataError
from jobs.lakehouse.quality import REASONS, with_reject_reasons
from tests.ingest.bazaar import csv_text, deliver, feed, line
from tests.lakes import conf_with, run_job, settings_in, table
from tests.rows import NOON, Row, contract_of, frame_of, order_line


def priced(order: str, number: int, price: str, currency: str, **overrides: Any) -> Row:
    return order_line(
        order_id=order,
        order_line_id=f"{order}:{number}",
        unit_price_amount=Decimal(price),
        currency_code=currency,
        **overrides,
    )


def test_an_order_in_two_currencies_is_refused_and_never_summed(spark: SparkSession) -> None:
    lines = frame_of(
        spark,
        "silver.order_lines",
        priced("plain", 1, "2", "CNY"),
        priced("plain", 2, "3", "CNY"),
        priced("dollars", 1, "7", "USD"),
        priced("mixed", 1, "2", "CNY"),
        priced("mixed", 2, "3", "USD"),
    )
    judged = with_reject_reasons(as_orders(lines), contract_of("silver.orders")).collect()
    found = {row["order_id"]: (row["order_amount"], row["currency_code"], row[REASONS]) for row in judged}
    assert found["plain"] == (Decimal(5), "CNY", [])
    assert found["dollars"] == (Decimal(7), "USD", []), "an order in another currency is an order"
    assert found["mixed"] == (None, "CNY", [MIXED])


def test_an_order_of_more_than_an_amount_can_hold_is_refused(spark: SparkSession) -> None:
    lines = [priced("huge", number, "60000000000000", "CNY") for number in (1, 2)]
    rows = frame_of(spark, "silver.order_lines", *lines, priced("plain", 1, "2", "CNY"))
    judged = with_reject_reasons(as_orders(rows), contract_of("silver.orders")).collect()
    found = {row["order_id"]: (row["order_amount"], row[REASONS]) for row in judged}
    assert found == {"huge": (None, [TOO_LARGE]), "plain": (Decimal(2), [])}


def test_product_lines_in_another_currency_than_the_datasets_are_refused_by_number_and_name(
    spark: SparkSession,
) -> None:
    own = [priced("o", 1, "2", "CNY"), priced("o", 2, "1", "USD", line_kind="service")]
    refuse_other_currencies(frame_of(spark, "silver.order_lines", *own), "silver.order_lines", "CNY")
    others = [priced("p", 1, "3", "USD"), priced("p", 2, "3", "USD"), priced("q", 1, "3", "EUR", superseded_at=NOON)]
    with pytest.raises(DataError, match=r"silver.order_lines: .*CNY: 1 in EUR, 2 in USD\..*mapping"):
        refuse_other_currencies(frame_of(spark, "silver.order_lines", *own, *others), "silver.order_lines", "CNY")


def test_two_currencies_from_files_to_gold(spark: SparkSession, tmp_path: Path) -> None:
    """The price's last letters are its currency, so that a till may mix them."""
    fields = feed("tills", "Asia/Shanghai", has_phones=False)
    columns = fields["tables"]["order_lines"]["columns"]
    columns |= {"unit_price_amount": "split_part(price, ' ', 1)", "currency_code": "split_part(price, ' ', 2)"}
    calendar = {"time_zone": "Asia/Shanghai", "currency_code": "CNY", "phone_region": "CN"}
    conf_dir = conf_with(tmp_path, "bazaar", {"tills": fields}, calendar=calendar)
    settings = settings_in(tmp_path, "bazaar", conf_dir, {"features.exclude_flagged": False})
    told = [
        line("plain", price="1.50 CNY"),
        line("mixed", price="1.50 CNY"),
        line("mixed", line_no="2", price="1.50 USD"),
    ]
    deliver(tmp_path / "data", "tills/1.csv", csv_text(*told))
    for name in ("ingest.load_files", "ingest.clean_order_lines", "ingest.collect_orders"):
        run_job(spark, settings, name)
    (order,) = table(spark, settings, "silver.orders").collect()
    assert (order["order_id"], order["order_amount"]) == ("tills:plain", 3)
    (refused,) = table(spark, settings, "silver.orders_rejected").collect()
    assert refused["reasons"] == [MIXED]
    assert '"order_id":"tills:mixed"' in refused["record"]
    assert "order_amount" not in refused["record"], "no sum of two currencies stands anywhere"
    with pytest.raises(DataError, match="1 in USD"):
        run_job(spark, settings, "features.build_demand_history")
