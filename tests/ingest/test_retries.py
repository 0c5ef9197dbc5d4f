"""Lines that did not parse and fields that were not declared are read again by a new declaration: once, and for good."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs.__main__ import main
from jobs.ingest.retries import as_reread, left_undeclared, told_of
from jobs.lakehouse.keys import load_keys
from jobs.lakehouse.personal import opened, token_of
from jobs.lakehouse.settings import Settings
from jobs.lakehouse.sources import Source
from tests.lakes import conf_with, run_job, settings_in, table

pytestmark = pytest.mark.long

PHONE, OTHER = "+8613800001234", "+8613800005678"
COLUMNS = {"product_id": "id", "list_price_amount": "amount", "currency_code": "'CNY'"}


def field(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "description": f"{name}.", **more}


def feeds(*, is_late: bool) -> dict[str, Any]:
    """Three feeds, and what is found to be in them later."""
    phones = [field(name, personal="phone", optional=True) for name in ("contact", "user.phone", "owner.phone")]
    return {
        "clicks": {
            "files": "clicks/*.json", "format": "json", "arrival": "try_to_timestamp(at)",
            "fields": [field("id"), field("user.name", optional=True), field("amount"), field("at"), *phones[: 3 * is_late]],
            "tables": {"products": {"columns": COLUMNS}},
        },
        "tills": {
            "files": "tills/*.csv", "header": False, "arrival": "now",
            "fields": [field("id"), field("amount"), *phones[:is_late]],
            "tables": {"products": {"columns": COLUMNS}},
        },
        "desks": {
            "files": "desks/*.csv", "arrival": "now", "delimiter": ",",
            "fields": [field("id"), field("amount"), *phones[:is_late]],
            "tables": {"products": {"columns": COLUMNS}},
        },
    }  # fmt: skip


CLICKS: list[Mapping[str, Any]] = [
    {"id": "a", "amount": 1},
    {"id": "b", "amount": 2, "contact": "138 0000 1234", "tags": ["x"]},
    {"id": "c", "amount": 3, "user": {"name": "u", "phone": OTHER}},
    {"id": "d", "amount": 4, "owner": {"phone": PHONE, "since": 2020}},
    {"id": "b", "amount": 2, "contact": "138 0000 1234", "tags": ["x"]},
]


@pytest.fixture(scope="module")
def retried(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, dict[str, Any]]:
    """A lake loaded by the first declaration and tried again by the later one, and what it was before."""
    folder = tmp_path_factory.mktemp("retries")
    data = folder / "data"
    for name in ("clicks", "tills", "desks"):
        (data / name).mkdir(parents=True)
    lines = [json.dumps({**record, "at": "2025-01-01T00:00:00Z"}) for record in CLICKS]
    (data / "clicks/1.json").write_text("\n".join([*lines, "no json"]) + "\n", "utf-8")
    (data / "tills/1.csv").write_text(f"e,5\nf,6,{PHONE}\ng,7,{OTHER}\n", "utf-8")
    (data / "desks/1.csv").write_text(f"amount,contact,id\n8,{PHONE},h\n9,{OTHER},i,torn\n", "utf-8")
    first = settings_in(folder, "shop", conf_with(folder / "first", "shop", feeds(is_late=False)))
    later = settings_in(folder, "shop", conf_with(folder / "later", "shop", feeds(is_late=True)))
    run_job(spark, first, "ingest.load_files")
    run_job(spark, first, "ingest.clean_products")
    before = {
        name: {row["_record_id"]: row for row in table(spark, first, f"bronze.{name}").collect()}
        for name in ("clicks", "tills", "desks")
    }
    before["products"] = {row["product_id"]: row for row in table(spark, first, "silver.products").collect()}
    where = ["--dataset", "shop", "--conf-dir", later.conf_dir, "--lake", later.path("lake"), "--data", str(data)]
    for name in ("clicks", "tills", "desks", "clicks"):
        assert main(["requeue", f"bronze.{name}", *where]) == 0
    run_job(spark, later, "ingest.clean_products")
    return later, before


def rows(spark: SparkSession, settings: Settings, name: str) -> dict[str, Any]:
    return {row["id"]: row for row in table(spark, settings, name).where("not _is_unparseable").collect()}


def test_fields_that_are_declared_later_come_out_of_the_vault_as_tokens(
    spark: SparkSession, retried: tuple[Settings, dict[str, Any]]
) -> None:
    settings, _ = retried
    keys = load_keys(settings.privacy, settings.environment)
    phone, other = (token_of(keys, "phone", plain) for plain in (PHONE, OTHER))
    clicks = rows(spark, settings, "bronze.clicks")
    assert {key: (row["contact_token"], row["user_phone_token"], row["owner_phone_token"]) for key, row in clicks.items()} == {
        "a": (None, None, None), "b": (phone, None, None), "c": (None, other, None), "d": (None, None, phone),
    }  # fmt: skip
    assert clicks["b"]["contact_masked"] == "138****1234"
    assert {key: row["_undeclared_fields"] for key, row in clicks.items()} == {
        "a": None, "b": ["tags"], "c": None, "d": ["owner.since"],
    }  # fmt: skip
    assert clicks["c"]["user_name"] == "u"
    assert rows(spark, settings, "bronze.desks")["h"]["contact_token"] == phone
    sealed = {row["token"]: row for row in table(spark, settings, "vault.personal_values").collect()}
    assert {token: opened(keys, bytes(row["_ciphertext"]), token) for token, row in sealed.items()} == {
        phone: PHONE, other: OTHER,
    }  # fmt: skip
    lines = [row["record_id"] for row in table(spark, settings, "vault.payloads").collect()]
    assert len(lines) == len(set(lines)), "records alike in one file have one payload"
    for file in Path(settings.path("lake")).rglob("*"):
        assert not file.is_file() or b"13800001234" not in file.read_bytes(), file


def test_lines_that_can_be_read_now_are_read_and_others_stay(
    spark: SparkSession, retried: tuple[Settings, dict[str, Any]]
) -> None:
    settings, _ = retried
    tills = rows(spark, settings, "bronze.tills")
    assert {key: row["amount"] for key, row in tills.items()} == {"e": "5", "f": "6", "g": "7"}
    assert tills["f"]["contact_token"] is not None
    assert table(spark, settings, "bronze.clicks").where("_is_unparseable").count() == 1
    assert table(spark, settings, "bronze.desks").where("_is_unparseable").count() == 1, "torn still"


def test_nothing_is_doubled_and_the_next_cleaning_takes_what_was_read(
    spark: SparkSession, retried: tuple[Settings, dict[str, Any]]
) -> None:
    settings, before = retried
    for name, count in (("clicks", 6), ("tills", 3), ("desks", 2)):
        now = table(spark, settings, f"bronze.{name}").collect()
        assert len(now) == count
        assert {row["_record_id"] for row in now} == set(before[name])
        for row in now:
            held = before[name][row["_record_id"]]
            assert (row["_delivery_id"], row["_arrived_at"]) == (held["_delivery_id"], held["_arrived_at"])
    assert sorted(before["products"]) == ["a", "b", "c", "d", "e", "h"]
    products = [row["product_id"] for row in table(spark, settings, "silver.products").collect()]
    assert sorted(products) == ["a", "b", "c", "d", "e", "f", "g", "h"]
    rejected = table(spark, settings, "silver.products_rejected").collect()
    assert [list(row["reasons"]) for row in rejected] == [["record_unparseable"]] * 2


def test_a_feed_that_is_not_there_is_refused(
    retried: tuple[Settings, dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    settings, _ = retried
    assert main(["requeue", "bronze.nothing", "--dataset", "shop", "--conf-dir", settings.conf_dir]) == 2
    assert "dataset shop has no feed nothing" in capsys.readouterr().err


def test_a_message_that_was_too_long_is_read_and_one_with_broken_bytes_is_not(spark: SparkSession) -> None:
    declared = {"source": "clicks", "description": "Clicks.", "format": "json", "arrival": "now", "tables": {}}
    topic = {"name": "clicks", "max_message_bytes": 40}
    source = Source.model_validate({**declared, "fields": [field("id"), field("user.name")], "topic": topic})
    long = json.dumps({"id": "long", "note": "x" * 30, "user": {"name": "u", "age": 7}})
    waiting = spark.createDataFrame(
        [("raw_line", text) for text in (long, '{"id": "short"}', '{"id": "\ufffd"}', "no json")],
        "payload_kind string, _payload string",
    ).withColumn("_held", F.struct(F.lit("d").alias("_delivery_id")))

    def read(source: Source) -> dict[str | None, Any]:
        return {row["id"]: row for row in as_reread(waiting, source, {}).where("_raw_line is null").collect()}

    assert set(read(source)) == {"short"}
    longer = source.model_copy(update={"topic": source.topic.model_copy(update={"max_message_bytes": 200})})  # type: ignore[union-attr]
    assert set(read(longer)) == {"short", "long"}
    assert (read(longer)["long"]["user_name"], sorted(read(longer)["long"]["_left"])) == ("u", ["note", "user.age"])


def test_a_name_is_looked_up_whole_or_within_the_object_that_holds_it(spark: SparkSession) -> None:
    source = Source.model_validate(
        {"source": "s", "description": "S.", "files": "*", "arrival": "now", "tables": {}, "fields": [field("a.b.c")]}
    )
    texts = [
        '{"a.b.c": "1"}',
        '{"a.b": {"c": "2", "d": 0}}',
        '{"a": {"b": {"c": "3"}, "e": 0}}',
        '{"a": "4"}',
        '{"f": 5}',
    ]
    payloads = spark.createDataFrame([(number, text) for number, text in enumerate(texts)], "n int, p string")
    found = payloads.select(
        "n", told_of(F.col("p"), "a.b.c").alias("told"),
        F.array_sort(left_undeclared(F.json_object_keys("p"), F.col("p"), source)).alias("left"),
    ).collect()  # fmt: skip
    assert [(row["told"], row["left"]) for row in sorted(found)] == [
        ("1", []), ("2", ["a.b.d"]), ("3", ["a.e"]), (None, ["a"]), (None, ["f"]),
    ]  # fmt: skip
