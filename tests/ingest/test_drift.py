"""A source that changes: new fields are kept and told, missing ones end in quarantine, changed kinds are told."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from jobs.ingest.deliveries import Delivery, new_deliveries
from jobs.ingest.records import read_records, with_record_id, with_tokens
from jobs.ingest.shapes import retyped, shape_of
from jobs.lakehouse.files import list_files
from jobs.lakehouse.keys import load_keys
from jobs.lakehouse.personal import opened
from jobs.lakehouse.settings import Settings
from jobs.lakehouse.sources import Source
from tests.lakes import conf_with, run_job, settings_in, table

SECRET = "+8613800001234"
CLICKS: dict[str, Any] = {
    "files": "clicks/*.json",
    "format": "json",
    "arrival": "now",
    "fields": [
        {"name": "id", "description": "Id."},
        {"name": "user.name", "description": "User.", "optional": True},
        {"name": "amount", "description": "Amount."},
    ],
    "tables": {"products": {"columns": {"product_id": "id", "list_price_amount": "amount"}}},
}
TILLS: dict[str, Any] = {
    "files": "tills/*.csv",
    "arrival": "now",
    "fields": [{"name": name, "description": f"{name}."} for name in ("id", "amount")],
    "tables": {"products": {"columns": {"product_id": "id", "list_price_amount": "amount"}}},
}
LINES: dict[str, list[dict[str, Any]]] = {
    "clicks/1.json": [{"id": "a", "amount": 1}, {"id": "b", "amount": 2.5, "user": {"name": "u"}}],
    "clicks/2.json": [
        {"id": "c", "amount": "three", "user": {"name": "u", "phone": SECRET}, "tags": ["x"]},
        {"id": "d", "amount": "4"},
    ],
    "clicks/3.json": [{"id": "e"}, {"id": "f", "amounts": 5}],
}


@pytest.fixture(scope="module")
def changed(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("drift")
    settings = settings_in(folder, "shop", conf_with(folder, "shop", {"clicks": CLICKS, "tills": TILLS}))
    data = folder / "data"
    for name, records in LINES.items():
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).write_text("\n".join(json.dumps(record) for record in records) + "\n", "utf-8")
    (data / "clicks/4.json").write_text("no json\n42\n", "utf-8")
    (data / "tills").mkdir()
    (data / "tills/1.csv").write_text(f"id,amount,contact\ng,6,{SECRET}\nh,7,\n", "utf-8")
    run_job(spark, settings, "ingest.load_files")
    run_job(spark, settings, "ingest.clean_products")
    return settings


def rows_by_id(spark: SparkSession, settings: Settings, name: str) -> dict[str, Any]:
    return {row["id"]: row for row in table(spark, settings, name).where("not _is_unparseable").collect()}


def test_new_fields_are_told_of_each_record(spark: SparkSession, changed: Settings) -> None:
    clicks = rows_by_id(spark, changed, "bronze.clicks")
    assert {key: row["_undeclared_fields"] for key, row in clicks.items()} == {
        "a": None, "b": None, "c": ["tags", "user.phone"], "d": None,
    }  # fmt: skip
    tills = rows_by_id(spark, changed, "bronze.tills")
    assert {key: row["_undeclared_fields"] for key, row in tills.items()} == {"g": ["contact"], "h": None}


def test_new_fields_are_kept_sealed_for_nobody_has_said_whether_they_are_personal(
    spark: SparkSession, changed: Settings
) -> None:
    keys = load_keys(changed.privacy, changed.environment)
    sealed = table(spark, changed, "vault.payloads").where("payload_kind = 'undeclared_fields'").collect()
    kept = sorted(opened(keys, bytes(row["_ciphertext"]), row["record_id"]) for row in sealed)
    assert [json.loads(text) for text in kept] == [
        {"contact": SECRET},
        {"tags": '["x"]', "user.phone": SECRET},
    ]
    for file in Path(changed.path("lake")).rglob("*"):
        assert not file.is_file() or SECRET.encode() not in file.read_bytes(), file


@pytest.mark.parametrize("name", ["clicks", "tills"])
def test_a_record_read_beside_others_is_the_record_read_alone(
    spark: SparkSession, changed: Settings, name: str
) -> None:
    declared = {"clicks": CLICKS, "tills": TILLS}[name]
    source = Source.model_validate({"source": name, "description": "Rows.", **declared})
    entries = list_files(spark, str(changed.path("data")), source.files)
    found = [delivery for delivery in new_deliveries(spark, source, entries, {}) if not delivery.reason]
    keys = load_keys(changed.privacy, changed.environment)

    def ids(deliveries: list[Delivery]) -> Counter[str]:
        made = with_record_id(with_tokens(read_records(spark, source, deliveries), source, keys, "CN"), source)
        return Counter(row["_record_id"] for row in made.collect())

    beside = ids(found)
    assert len(beside) == table(spark, changed, f"bronze.{name}").count()
    assert beside == sum((ids([delivery]) for delivery in found), Counter())
    assert set(beside) == {row["_record_id"] for row in table(spark, changed, f"bronze.{name}").collect()}


def test_a_file_without_a_field_that_must_be_there_is_quarantined(spark: SparkSession, changed: Settings) -> None:
    deliveries = {row["file"]: row for row in table(spark, changed, "ops.deliveries").collect()}
    assert {name: row["reason"] for name, row in deliveries.items() if row["reason"]} == {
        "clicks/3.json": "columns missing: amount"
    }
    kinds = {field["name"]: field["kind"] for field in deliveries["clicks/2.json"]["fields"]}
    assert kinds == {"id": "string", "amount": "string", "user.name": "string", "user.phone": "string", "tags": "array"}


def test_lines_that_are_no_objects_are_told_line_by_line(spark: SparkSession, changed: Settings) -> None:
    assert table(spark, changed, "bronze.clicks").where("_is_unparseable").count() == 2


def test_values_of_a_changed_kind_are_read_or_refused_but_never_silently_null(
    spark: SparkSession, changed: Settings
) -> None:
    prices = {
        row["product_id"]: str(row["list_price_amount"]) for row in table(spark, changed, "silver.products").collect()
    }
    assert prices == {"a": "1.0000", "b": "2.5000", "d": "4.0000", "g": "6.0000", "h": "7.0000"}
    rejected = table(spark, changed, "silver.products_rejected").collect()
    assert sorted(reason for row in rejected for reason in row["reasons"]) == [
        "list_price_amount_unreadable", "record_unparseable", "record_unparseable",
    ]  # fmt: skip


def test_the_audit_says_what_changed(spark: SparkSession, changed: Settings) -> None:
    audits = table(spark, changed, "ops.audits").where("not is_met").collect()
    assert {(row["table_name"], row["expectation"], row["severity"], row["observed"]) for row in audits} == {
        ("bronze.clicks", "every field is declared", "warning", "tags, user.phone"),
        ("bronze.clicks", "fields keep their kinds", "warning", "amount: number, now string"),
        ("bronze.tills", "every field is declared", "warning", "contact"),
    }


def test_a_shape_reads_what_spark_writes() -> None:
    source = Source.model_validate({"source": "clicks", "description": "Clicks.", **CLICKS})
    schema = "OBJECT<amount: DECIMAL(2,1), note: VOID, user: OBJECT<name: STRING, `odd name`: BOOLEAN>, x: OBJECT<y: BIGINT>>"
    assert shape_of(schema, source) == {
        "amount": "number", "note": "null", "user.name": "string", "user.odd name": "boolean", "x": "object",
    }  # fmt: skip


def test_a_field_that_was_empty_has_not_changed_its_kind() -> None:
    assert retyped({"a": "null", "b": "number", "c": "number"}, {"a": "string", "b": "string", "d": "object"}) == [
        "b: number, now string"
    ]
