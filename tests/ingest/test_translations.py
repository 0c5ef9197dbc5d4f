"""Codes and units of a source: translated, marked, and refused where nobody said what they mean."""

from typing import Any

import pytest
from pyspark.sql import SparkSession

from jobs.ingest.mapping import as_mapped
from jobs.lakehouse.errors import ConfigurationError
from jobs.lakehouse.sources import Source
from tests.rows import contract_of

UNITS = {"PCS": 1, "CTN": 12, "KIT": 0.5}
COUNTS = Source.model_validate(
    {
        "source": "counts",
        "description": "Counts.",
        "files": "*.csv",
        "arrival": "now",
        "fields": [{"name": name, "description": name} for name in ("product", "count", "unit", "price")],
        "tables": {
            "stock": {"columns": {"on_hand_quantity": {"told": "count", "unit": "unit", "factors": UNITS}}},
            "order_lines": {
                "columns": {
                    "quantity": {"told": "count", "unit": "unit", "factors": UNITS},
                    "unit_price_amount": {"told": "price", "unit": "unit", "factors": UNITS, "is_rate": True},
                    "channel": {"told": "product", "codes": {"01": "store", "online": "online"}},
                }
            },
            "footfall": {"columns": {"visitor_count": {"told": "count", "unit": "unit", "factors": UNITS}}},
        },
    }
)


def mapped(spark: SparkSession, table: str, **told: str | None) -> dict[str, Any]:
    fields = {"product": None, "count": None, "unit": None, "price": None, **told}
    bronze = spark.createDataFrame(
        [(*fields.values(), "r", None, False)],
        "product string, count string, unit string, price string, _record_id string, _arrived_at timestamp,"
        " _is_unparseable boolean",
    )
    row = as_mapped(bronze, COUNTS, COUNTS.tables[table][0], contract_of(f"silver.{table}")).first()
    assert row is not None
    return row.asDict()


@pytest.mark.parametrize(
    ("count", "unit", "pieces", "translated", "reasons"),
    [
        pytest.param("7", "PCS", 7, [], [], id="our own unit: no mark"),
        pytest.param(" 3 ", " CTN ", 36, ["on_hand_quantity"], [], id="another, with blanks"),
        pytest.param("0", "CTN", 0, ["on_hand_quantity"], [], id="none of them"),
        pytest.param("8", "KIT", 4, ["on_hand_quantity"], [], id="a part of ours"),
        pytest.param("7", "KIT", None, [], ["on_hand_quantity_unreadable"], id="no whole number of ours"),
        pytest.param("3", "BOX", None, [], ["on_hand_quantity_unknown_unit"], id="a unit that is not listed"),
        pytest.param("3", None, None, [], ["on_hand_quantity_unknown_unit"], id="no unit"),
        pytest.param("many", "CTN", None, [], ["on_hand_quantity_unreadable"], id="no number"),
        pytest.param("", "CTN", None, [], [], id="nothing told"),
    ],
)
def test_a_number_is_told_in_our_unit(
    spark: SparkSession, count: str, unit: str | None, pieces: int | None, translated: list[str], reasons: list[str]
) -> None:
    row = mapped(spark, "stock", count=count, unit=unit)
    assert (row["on_hand_quantity"], row["translated_columns"], row["_reject_reasons"]) == (pieces, translated, reasons)


def test_a_price_of_a_carton_is_that_of_its_pieces(spark: SparkSession) -> None:
    row = mapped(spark, "order_lines", count="2", unit="CTN", price="30.00", product="01")
    assert (row["quantity"], float(row["unit_price_amount"]), row["channel"]) == (24, 2.5, "store")
    assert row["translated_columns"] == ["channel", "quantity", "unit_price_amount"]
    assert row["_record"]["count"] == "2", "as it came"


@pytest.mark.parametrize(
    ("code", "channel", "translated", "reasons"),
    [
        pytest.param("01", "store", ["channel"], [], id="a code"),
        pytest.param("online", "online", [], [], id="our own word: no mark"),
        pytest.param("1", None, [], ["channel_unknown_code"], id="a code that is not listed"),
        pytest.param(None, None, [], [], id="none"),
    ],
)
def test_a_code_becomes_the_word_for_it(
    spark: SparkSession, code: str | None, channel: str | None, translated: list[str], reasons: list[str]
) -> None:
    row = mapped(spark, "order_lines", product=code)
    assert (row["channel"], row["translated_columns"], row["_reject_reasons"]) == (channel, translated, reasons)


def test_a_table_without_the_mark_takes_no_translation(spark: SparkSession) -> None:
    with pytest.raises(ConfigurationError, match=r"translates columns of silver.footfall, .* no translated_columns"):
        mapped(spark, "footfall", count="1", unit="CTN")
