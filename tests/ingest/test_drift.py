"""A source that changes: new fields are kept and told, missing ones end in quarantine, changed kinds are told."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs.__main__ import main
from jobs.ingest.deliveries import Delivery, new_deliveries
from jobs.ingest.mapping import as_mapped
from jobs.ingest.records import read_records, with_record_id, with_tokens
from jobs.ingest.shapes import (
    json_field,
    retyped,
    shape_of,
    shown,
    shown_name,
    spelled,
    spelled_keys,
    steps_of,
    undeclared_in_json,
)
from jobs.lakehouse.files import list_files
from jobs.lakehouse.keys import load_keys
from jobs.lakehouse.personal import opened
from jobs.lakehouse.settings import Settings
from jobs.lakehouse.sources import Source
from tests.lakes import conf_with, run_job, settings_in, table
from tests.rows import contract_of
from tests.system.aftermath import events_in

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
    "tables": {"products": {"columns": {"product_id": "id", "list_price_amount": "amount", "currency_code": "'CNY'"}}},
}
TILLS: dict[str, Any] = {
    "files": "tills/*.csv",
    "arrival": "now",
    "fields": [{"name": name, "description": f"{name}."} for name in ("id", "amount")],
    "tables": {"products": {"columns": {"product_id": "id", "list_price_amount": "amount", "currency_code": "'CNY'"}}},
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


def source_of(name: str, declared: dict[str, Any]) -> Source:
    return Source.model_validate({"source": name, "description": "Rows.", **declared})


def reasons_against(spark: SparkSession, folder: Path, source: Source, **files: str) -> dict[str, str | None]:
    """Why each of the files of CSV is not taken, by its name."""
    (folder / "tills").mkdir()
    for name, text in files.items():
        (folder / f"tills/{name}.csv").write_text(text, "utf-8")
    found = new_deliveries(spark, source, list_files(spark, str(folder), source.files), {})
    return {Path(delivery.entry.name).stem: delivery.reason for delivery in found}


def test_what_stands_twice_in_a_header_is_named_only_where_it_is_declared(spark: SparkSession, tmp_path: Path) -> None:
    source = source_of("tills", TILLS)
    headless = f"{SECRET},7,{SECRET}\n{SECRET},8,{SECRET}\n"
    reasons = reasons_against(spark, tmp_path, source, headless=headless, doubled="id,amount,id,x,x\n1,2,3,4,5\n")
    assert reasons == {
        "headless": "columns missing: id, amount; columns twice: 1 undeclared",
        "doubled": "columns twice: id, 1 undeclared",
    }


def test_columns_that_differ_by_case_alone_cost_their_file_and_no_other(spark: SparkSession, tmp_path: Path) -> None:
    reasons = reasons_against(
        spark, tmp_path, source_of("tills", TILLS), odd="id,amount,Amount\n1,2,3\n", good="id,amount\n1,2\n"
    )
    assert reasons == {"odd": "columns twice: amount, 1 undeclared", "good": None}


@pytest.mark.long
def test_a_quarantined_file_is_taken_once_it_is_repaired_or_its_feed_asks_for_less(
    spark: SparkSession, tmp_path: Path
) -> None:
    """One test, for its steps build on each other."""

    def lax(feed: dict[str, Any]) -> dict[str, Any]:
        return {**feed, "fields": [{**field, "optional": field["name"] != "id"} for field in feed["fields"]]}

    feeds = {"clicks": {**CLICKS, "tables": {}}, "tills": {**TILLS, "tables": {}}}
    first, later = (
        settings_in(tmp_path, "shop", conf_with(tmp_path / name, "shop", declared), {"ingest.max_quarantined_files_share": 1.0})
        for name, declared in (
            ("first", feeds),
            ("later", {name: lax(feed) for name, feed in feeds.items()}),
        )
    )  # fmt: skip

    def loaded(settings: Settings, **files: str) -> str:
        for name, text in files.items():
            feed, ending = ("clicks", "json") if text.startswith("{") else ("tills", "csv")
            (tmp_path / "data" / feed).mkdir(parents=True, exist_ok=True)
            (tmp_path / f"data/{feed}/{name}.{ending}").write_text(text, "utf-8")
        record = run_job(spark, settings, "ingest.load_files").record
        return record.message.split(";")[0] if record else "already done"

    assert loaded(first, a="id\n1\n", b="id\n2\n", c='{"id": 3}', d='{"id": 4}') == "files: 0 loaded, 4 quarantined"
    assert loaded(first, e="id,amount\n5,1\n") == "files: 1 loaded, 0 quarantined", "what was told is not told again"
    assert loaded(first, b="id,amount\n2,1\n", d='{"id": 4, "amount": 1}') == "files: 2 loaded, 0 quarantined"
    assert loaded(later) == "files: 2 loaded, 0 quarantined"
    held = {row["id"] for name in feeds for row in table(spark, later, f"bronze.{name}").collect()}
    assert held == {"1", "2", "3", "4", "5"}
    told = Counter((Path(row["file"]).stem, row["outcome"]) for row in table(spark, later, "ops.deliveries").collect())
    outcomes = [(name, "loaded") for name in "abcde"] + [(name, "quarantined") for name in "bd"]
    assert told == Counter(outcomes)


@pytest.mark.long
def test_what_a_restore_took_out_of_bronze_is_read_again_by_the_next_load(spark: SparkSession, tmp_path: Path) -> None:
    settings = settings_in(tmp_path, "shop", conf_with(tmp_path, "shop", {"tills": {**TILLS, "tables": {}}}))
    (tmp_path / "data/tills").mkdir(parents=True)

    def load(name: str) -> Counter[str]:
        (tmp_path / f"data/tills/{name}.csv").write_text(f"id,amount\n{name},1\n", "utf-8")
        assert run_job(spark, settings, "ingest.load_files").outcome == "done"
        return Counter(row["id"] for row in table(spark, settings, "bronze.tills").collect())

    load("a")
    assert load("b") == Counter("ab")
    where = ["--dataset", "shop", "--conf-dir", settings.conf_dir, "--lake", settings.path("lake")]
    assert main(["restore", "bronze.tills", "--version", "1", *where]) == 0
    assert load("c") == Counter("abc")
    assert main(["restore", "bronze.tills", "--version", "1", *where]) == 0
    assert load("d") == Counter("abcd"), "what was taken out twice is read again twice"


@pytest.mark.long
def test_a_key_that_is_a_value_is_named_nowhere(spark: SparkSession, tmp_path: Path) -> None:
    fields = [
        {"name": "id", "description": "Id."},
        {"name": "chats.kind", "description": "Kind.", "optional": True},
    ]
    conf_dir = conf_with(tmp_path, "shop", {"clicks": {**CLICKS, "fields": fields, "tables": {}}})
    settings = settings_in(tmp_path, "shop", conf_dir)
    (tmp_path / "data/clicks").mkdir(parents=True)
    chats = {SECRET: "hello", "wang@example.com": 1, "kind": "k", "colour": "red"}
    (tmp_path / "data/clicks/1.json").write_text(json.dumps({"id": "a", "chats": chats}), "utf-8")
    with events_in(tmp_path / "events", spark):
        run_job(spark, settings, "ingest.load_files")
    assert rows_by_id(spark, settings, "bronze.clicks")["a"]["_undeclared_fields"] == ["***", "***", "chats.colour"]
    (told,) = table(spark, settings, "ops.audits").where("not is_met").collect()
    assert told["observed"] == "***, chats.colour"
    (delivery,) = table(spark, settings, "ops.deliveries").collect()
    assert {field["name"]: field["kind"] for field in delivery["fields"]} == {
        "id": "string", "chats.kind": "string", "chats.colour": "string", "***": "mixed",
    }  # fmt: skip
    assert list((tmp_path / "events").iterdir())
    for file in (path for folder in ("lake", "events") for path in (tmp_path / folder).rglob("*")):
        content = file.read_bytes() if file.is_file() else b""
        assert not [secret for secret in (SECRET, "wang@") if secret.encode() in content], file


def test_fields_whose_names_are_values_are_kept_and_told_apart_by_no_plan(spark: SparkSession) -> None:
    fields = [{"name": name, "description": name} for name in ("id", "chats.kind", "d20250101.n")]
    source = source_of("s", {**CLICKS, "fields": fields})
    names = [f"chats.{SECRET}", "chats.colour", "chats.`wang@example.com`", SECRET, "d20250102"]
    line = (
        f'{{"id": "a", "chats": {{"{SECRET}": 1, "{SECRET}": {{"x": 2}}, "wang@example.com": null, "kind": "k", "colour": 3}},'
        ' "13912345678": [4], "d20250101": {"n": 1}, "d20250102": 5}'
    )
    lines = spark.createDataFrame([(line,), ("no json",), ('{"chats": 7}',)], "value string")
    kept = lines.select(undeclared_in_json(names, source).alias("kept"))
    told = [row["kept"] and json.loads(row["kept"]) for row in kept.collect()]
    assert told == [
        {"13912345678": "[4]", "d20250102": "5", f"chats.{SECRET}": "1", "chats.colour": "3"}, None, None,
    ]  # fmt: skip
    plan = kept._jdf.queryExecution().analyzed().toString()
    assert "colour" in plan
    assert not [name for name in (SECRET, "wang@", "d20250102") if name in plan.partition("LocalRelation")[0]]


@pytest.mark.parametrize(
    ("name", "is_hidden"),
    [("13812345678", True), ("138-1234 5678", True), ("x.a@b.cn", True), ("d.3F1c9a7e55b04d21", True),
     ("utm_source", False), ("address_line_2", False), ("col_202501", False)],
)  # fmt: skip
def test_a_name_is_hidden_where_it_looks_like_a_value(name: str, is_hidden: bool) -> None:
    assert shown_name(name) == ("***" if is_hidden else name)


def test_a_declared_field_is_always_named() -> None:
    source = source_of("s", {**CLICKS, "fields": [{"name": "d20250101", "description": "Day."}]})
    assert shown({"d20250101": "number", "d20250102": "number"}, source) == {"d20250101": "number", "***": "number"}


ODD_KEYS = ("a.b", "it's", "what?", "*", "back`tick", "back\\slash", "", "a b", "数量")


def test_a_key_is_one_step_of_a_name_whatever_stands_in_it(spark: SparkSession) -> None:
    assert [steps_of(f"user.{spelled(key)}") for key in ODD_KEYS] == [["user", key] for key in ODD_KEYS]
    line = json.dumps({"user": {key: {"id": number} for number, key in enumerate(ODD_KEYS)}})
    text = F.lit(line)
    row = spark.range(1).select(
        *[json_field(text, ["user", key]) for key in ODD_KEYS],
        *[json_field(text, ["user", key, "id"]) for key in ODD_KEYS],
        spelled_keys(F.json_object_keys(F.get_json_object(text, "$.user"))),
    ).first()  # fmt: skip
    assert row is not None
    *objects, names = list(row)
    numbers = range(len(ODD_KEYS))
    assert objects == [f'{{"id":{number}}}' for number in numbers] + [str(number) for number in numbers]
    assert names == [spelled(key) for key in ODD_KEYS]


@pytest.mark.long
def test_a_key_with_a_dot_is_no_nested_field_and_is_kept(spark: SparkSession, tmp_path: Path) -> None:
    feeds = {"clicks": {**CLICKS, "tables": {}}, "tills": {**TILLS, "tables": {}}}
    feeds["tills"]["fields"] = [*TILLS["fields"], {"name": "till.name", "description": "Till."}]
    settings = settings_in(tmp_path, "shop", conf_with(tmp_path, "shop", feeds))
    for name in feeds:
        (tmp_path / "data" / name).mkdir(parents=True)
    lines = [
        {"id": "flat", "amount": 1, "user.name": "u", "utm.source": "mail", "it's": 1},
        {"id": "nested", "amount": 1, "user": {"name": "u", "first.seen": "today"}},
    ]
    (tmp_path / "data/clicks/1.json").write_text("\n".join(map(json.dumps, lines)), "utf-8")
    (tmp_path / "data/tills/1.csv").write_text("id,amount,till.name,utm.source\nt,1,left,mail\n", "utf-8")
    run_job(spark, settings, "ingest.load_files")
    clicks = rows_by_id(spark, settings, "bronze.clicks")
    assert {key: (row["user_name"], sorted(row["_undeclared_fields"])) for key, row in clicks.items()} == {
        "flat": (None, ["`user.name`", "`utm.source`", "it's"]),
        "nested": ("u", ["user.`first.seen`"]),
    }
    keys = load_keys(settings.privacy, settings.environment)
    sealed = table(spark, settings, "vault.payloads").collect()
    assert sorted(opened(keys, bytes(row["_ciphertext"]), row["record_id"]) for row in sealed) == [
        '{"`user.name`":"u","`utm.source`":"mail","it\'s":"1"}',
        '{"user.`first.seen`":"today"}',
        '{"utm.source":"mail"}',
    ]
    assert rows_by_id(spark, settings, "bronze.tills")["t"]["till_name"] == "left", "a column of CSV holds no others"
    where = ["--dataset", "shop", "--conf-dir", settings.conf_dir, "--lake", settings.path("lake")]
    assert main(["requeue", "bronze.clicks", *where]) == 0
    flat = rows_by_id(spark, settings, "bronze.clicks")["flat"]
    assert (flat["user_name"], sorted(flat["_undeclared_fields"])) == ("u", ["`utm.source`", "it's"])


@pytest.mark.parametrize(
    ("way", "reasons"),
    [({"files": "c/*.json", "format": "json"}, ["amount_missing"]),
     ({"topic": {"name": "c"}}, ["amount_missing"]), ({"files": "c/*.csv"}, [])],
)  # fmt: skip
def test_a_record_that_lacks_a_field_which_its_feed_must_have_is_refused(
    spark: SparkSession, way: dict[str, Any], reasons: list[str]
) -> None:
    """The column may be null, and yet nothing becomes null in silence; an empty cell of CSV is told, and so is what may be left out."""
    fields = [
        {"name": "id", "description": "Id."},
        {"name": "amount", "description": "Amount."},
        {"name": "note", "description": "Note.", "optional": True},
        {"name": "phone", "description": "Phone.", "personal": "phone"},
    ]
    source = Source.model_validate(
        {"source": "c", "description": "Rows.", "arrival": "now", **way, "fields": fields, "tables": CLICKS["tables"]}
    )
    columns = "id string, amount string, note string, phone_token string, phone_masked string, _record_id string"
    bronze = spark.createDataFrame(
        [("a", "1", None, None, None, "r1", None, False), ("b", None, None, None, None, "r2", None, False)],
        f"{columns}, _arrived_at timestamp, _is_unparseable boolean",
    )
    rows = as_mapped(bronze, source, source.tables["products"][0], contract_of("silver.products")).collect()
    assert {row["product_id"]: row["_reject_reasons"] for row in rows} == {"a": [], "b": reasons}
