"""From dirty files to silver: every line ends up valid, rejected with its reasons, or dropped as a duplicate."""

import datetime as dt
import json
import os
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable
from py4j.protocol import Py4JJavaError
from pyspark.sql import SparkSession

from jobs.__main__ import main
from jobs.lakehouse.errors import DataError, QualityGateError
from jobs.lakehouse.job import Result
from jobs.lakehouse.keys import load_keys
from jobs.lakehouse.personal import opened, token_of
from jobs.lakehouse.settings import Settings
from tests.ingest.bazaar import FEEDS, FIELDS, csv_text, deliver, line
from tests.lakehouse.test_locks import held_by_another_process
from tests.lakes import conf_with, run_job, settings_in

ODD_NAME = "shanghai/订单 1月 [final] {2} 100% #3.csv"
NOISE = "\n".join(f"{number:x}" for number in range(300))


@dataclass(frozen=True)
class Bazaar:
    """A lake that was loaded once, and what its jobs said."""

    settings: Settings
    data: Path
    loaded: Result
    cleaned: Result

    def rows(self, table: str) -> list[dict[str, Any]]:
        """The rows of a table, read without Spark."""
        layer, _, name = table.partition(".")
        rows: list[dict[str, Any]] = (
            DeltaTable(f"{self.settings.path('lake')}/{layer}/{name}").to_pyarrow_table().to_pylist()
        )
        return rows

    def lines(self, number: str) -> list[dict[str, Any]]:
        """The revisions of line 1 of an order, in order."""
        found = [
            row
            for row in self.rows("silver.order_lines")
            if row["order_line_id"] in (f"shanghai:{number}:1", f"london:{number}:1")
        ]
        return sorted(found, key=lambda row: row["revision"])


@pytest.fixture(scope="module")
def conf_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    calendar = {"time_zone": "Asia/Shanghai", "currency_code": "CNY", "phone_region": "CN"}
    return conf_with(tmp_path_factory.mktemp("bazaar"), "bazaar", FEEDS, calendar=calendar)


@pytest.fixture(scope="module")
def bazaar(spark: SparkSession, conf_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Bazaar:
    folder = tmp_path_factory.mktemp("lake")
    data = folder / "data"
    deliver(
        data,
        "shanghai/first.csv",
        csv_text(
            line("plain"),
            line("plain"),
            line("quoted", sku='"a ""b"", c\nd"', phone="138 1234 5678"),
            line("other format", ordered_at="15/03/2025 09:30"),
            line("corrected", price="1.00"),
            line("repeated"),
            line("abc", price="abc"),
            line("february", ordered_at="2025-02-31 10:00:00"),
            line("half", quantity="1.5"),
            line("none", quantity="", price=""),
            line("zero", quantity="0"),
            line("negative", price="-1"),
            line("huge", quantity="2147483647", price="99999999999999.9999"),
            line("SAMPLE 1"),
            line("future", ordered_at="2999-01-01 00:00:00"),
            line("long") + ",13900000000,more,fields",
            line("bad"), line("bad", quantity="x"), line("bad", quantity="x"),
            line("return", quantity="-2"),
        ),
    )  # fmt: skip
    turned = ",".join((*FIELDS[::-1], "coupon"))
    backwards = ",".join((*line("odd name", sku='"two\r\nlines"').split(",")[::-1], "SAVE10"))
    deliver(data, ODD_NAME, "\ufeff" + csv_text(backwards, header=turned, end="\r\n"))
    later, latest = "2025-01-05 00:00:00", "2025-01-09 00:00:00"
    deliver(
        data,
        "shanghai/later.csv.gz",
        csv_text(
            line("corrected", price="3.00", exported_at=latest),
            line("corrected", price="2.00", exported_at=later),
            line("repeated", exported_at=latest),
        ),
    )
    deliver(data, "shanghai/empty.csv", "")
    deliver(data, "shanghai/header.csv", csv_text())
    deliver(data, "shanghai/cut.csv.gz", csv_text(line("cut"), NOISE), cut=400)
    deliver(data, "shanghai/wrong.csv", csv_text("1,2", header="order_no,weight"))
    deliver(
        data,
        "london/a.csv",
        csv_text(
            line("winter", ordered_at="2025-01-15 12:00:00"),
            line("summer", ordered_at="2025-07-15 12:00:00"),
            line("guest", phone="+86 13812345678"),
        ),
    )
    settings = settings_in(folder, "bazaar", conf_dir)
    return Bazaar(
        settings,
        data,
        run_job(spark, settings, "ingest.load_files"),
        run_job(spark, settings, "ingest.clean_order_lines"),
    )


def test_every_line_ends_up_valid_rejected_or_duplicate(bazaar: Bazaar) -> None:
    record = bazaar.cleaned.record
    assert record is not None
    assert record.rows_read == 27
    assert record.rows_read == record.rows_written + record.rows_rejected + record.rows_deduplicated
    assert record.rows_written == len(bazaar.rows("silver.order_lines"))
    assert record.rows_rejected == len(bazaar.rows("silver.order_lines_rejected"))
    # plain and repeated came twice, the bad line of order `bad` too.
    assert record.rows_deduplicated == 3


def test_bad_values_are_kept_with_the_reason(bazaar: Bazaar) -> None:
    rejected = {}
    for row in bazaar.rows("silver.order_lines_rejected"):
        rejected[json.loads(row["record"]).get("order_no")] = sorted(row["reasons"])
    assert rejected == {
        "abc": ["line_amount_missing", "unit_price_amount_unreadable"],
        "february": ["ordered_at_unreadable", "ordered_date_missing"],
        "half": ["is_return_missing", "line_amount_missing", "quantity_unreadable"],
        "none": ["is_return_missing", "line_amount_missing", "quantity_missing", "unit_price_amount_missing"],
        "zero": ["quantity_not_zero"],
        "negative": ["unit_price_not_negative"],
        "huge": ["line_amount_missing"],
        "SAMPLE 1": ["sample_order"],
        "future": ["ordered_in_living_memory"],
        "bad": ["is_return_missing", "line_amount_missing", "quantity_unreadable"],
        None: ["record_unparseable"],
    }


def test_rejected_rows_lead_back_to_their_bronze_record(bazaar: Bazaar) -> None:
    bronze = {row["_record_id"] for name in FEEDS for row in bazaar.rows(f"bronze.{name}")}
    assert {row["_record_id"] for row in bazaar.rows("silver.order_lines_rejected")} <= bronze


def test_quotes_newlines_and_a_return_are_read_right(bazaar: Bazaar) -> None:
    (quoted,) = bazaar.lines("quoted")
    assert quoted["product_id"] == 'a "b", c\nd'
    (returned,) = bazaar.lines("return")
    assert (returned["quantity"], returned["line_amount"], returned["is_return"]) == (-2, Decimal("-3.0000"), True)
    assert bazaar.lines("bad")[0]["quantity"] == 2, "a rejected copy does not harm the good line of the same key"


@pytest.mark.parametrize(
    ("order", "in_utc", "business_day"),
    [
        ("plain", "2025-01-01T00:00:00", "2025-01-01"),
        ("other format", "2025-03-15T01:30:00", "2025-03-15"),
        ("winter", "2025-01-15T12:00:00", "2025-01-15"),
        ("summer", "2025-07-15T11:00:00", "2025-07-15"),
    ],
)
def test_local_times_become_utc_by_the_zone_of_their_source(
    bazaar: Bazaar, order: str, in_utc: str, business_day: str
) -> None:
    (found,) = bazaar.lines(order)
    assert found["ordered_at"].astimezone(dt.UTC).replace(tzinfo=None).isoformat() == in_utc
    assert found["ordered_date"].isoformat() == business_day


def test_a_correction_supersedes_and_a_late_copy_does_not(bazaar: Bazaar) -> None:
    corrected = [
        (
            row["revision"],
            row["unit_price_amount"],
            row["arrived_at"].day,
            row["superseded_at"] and row["superseded_at"].day,
        )
        for row in bazaar.lines("corrected")
    ]
    assert corrected == [(1, Decimal("1"), 2, 5), (2, Decimal("2"), 5, 9), (3, Decimal("3"), 9, None)]
    (repeated,) = bazaar.lines("repeated")
    assert (repeated["revision"], repeated["arrived_at"].day, repeated["superseded_at"]) == (1, 2, None)


def test_a_file_with_an_odd_name_other_order_bom_and_line_ends_is_read_right(bazaar: Bazaar) -> None:
    (odd,) = bazaar.lines("odd name")
    assert (odd["quantity"], odd["unit_price_amount"]) == (2, Decimal("1.5"))
    assert odd["product_id"].split() == ["two", "lines"]
    deliveries = {row["file"]: row for row in bazaar.rows("ops.deliveries")}
    by_id = {row["_record_id"]: row["_delivery_id"] for row in bazaar.rows("bronze.shanghai")}
    assert by_id[odd["_record_id"]] == deliveries[ODD_NAME]["delivery_id"]
    assert None not in by_id.values(), "every record knows its delivery"


def test_files_that_cannot_be_taken_are_quarantined_and_the_others_loaded(bazaar: Bazaar) -> None:
    deliveries = {Path(row["file"]).name: row for row in bazaar.rows("ops.deliveries")}
    quarantined = {name: row["reason"] for name, row in deliveries.items() if row["outcome"] == "quarantined"}
    assert set(quarantined) == {"cut.csv.gz", "wrong.csv"}
    assert "EOFException" in quarantined["cut.csv.gz"]
    assert quarantined["wrong.csv"] == f"columns missing: {', '.join(FIELDS[1:])}"
    assert Counter(row["outcome"] for row in deliveries.values()) == {"loaded": 6, "quarantined": 2}
    record = bazaar.loaded.record
    assert record is not None
    for told in ("6 loaded, 2 quarantined", "wrong.csv: columns missing"):
        assert told in record.message
    audits = {row["table_name"]: row["observed"] for row in bazaar.rows("ops.audits") if not row["is_met"]}
    assert audits["bronze.shanghai"] == "coupon", "a column that the feed does not declare"


def test_personal_values_are_tokens_everywhere_and_open_from_the_vault_only(bazaar: Bazaar) -> None:
    keys = load_keys(bazaar.settings.privacy, "local")
    token = token_of(keys, "phone", "+8613812345678")
    (quoted,), (guest,) = bazaar.lines("quoted"), bazaar.lines("guest")
    assert quoted["account_id"] == guest["account_id"] == f"contact:{token}"
    (value,) = bazaar.rows("vault.personal_values")
    assert (value["token"], value["kind"], value["key_id"]) == (token, "phone", keys.key_id)
    assert opened(keys, value["_ciphertext"], token) == "+8613812345678"
    (payload,) = [row for row in bazaar.rows("vault.payloads") if row["payload_kind"] == "raw_line"]
    assert opened(keys, payload["_ciphertext"], payload["record_id"]).startswith("long,1,")
    for table in (
        "bronze.shanghai",
        "bronze.london",
        "silver.order_lines",
        "silver.order_lines_rejected",
        "ops.deliveries",
        "ops.runs",
        "ops.audits",
        "vault.payloads",
        "vault.personal_values",
    ):
        told = repr(bazaar.rows(table))
        for secret in ("13812345678", "138 1234 5678", "13900000000"):
            assert secret not in told, f"{secret} in {table}"


def test_deliveries_are_known_by_name_and_content(spark: SparkSession, bazaar: Bazaar) -> None:
    """One test, for its steps build on each other: nothing new, a touched file, a new file, a file with other content."""
    before = len(bazaar.rows("bronze.shanghai"))
    assert run_job(spark, bazaar.settings, "ingest.load_files").outcome == "already done"

    os.utime(bazaar.data / "shanghai/first.csv", (1, 1))
    added = deliver(bazaar.data, "shanghai/second.csv", csv_text(line("second"), line("third")))
    result = run_job(spark, bazaar.settings, "ingest.load_files")
    assert result.record is not None
    assert result.record.message.startswith("files: 1 loaded, 0 quarantined")
    assert len(bazaar.rows("bronze.shanghai")) == before + 2, "a file that was only touched is not loaded twice"

    added.write_text(csv_text(line("second"), line("third", price="9")), "utf-8")
    with pytest.raises(
        DataError, match=r"second.csv: its content changed since it was taken in .*under a new name"
    ) as caught:
        run_job(spark, bazaar.settings, "ingest.load_files")
    assert caught.value.exit_code == 5
    assert len(bazaar.rows("bronze.shanghai")) == before + 2


def test_too_many_bad_files_stop_the_load_before_anything_is_written(
    spark: SparkSession, conf_dir: Path, tmp_path: Path
) -> None:
    deliver(tmp_path / "data", "shanghai/cut.csv.gz", csv_text(line("cut"), NOISE), cut=400)
    deliver(tmp_path / "data", "shanghai/wrong.csv", csv_text("1", header="order_no"))
    deliver(tmp_path / "data", "london/good.csv", csv_text(line()))
    settings = settings_in(tmp_path, "bazaar", conf_dir)
    with pytest.raises(
        QualityGateError, match=r"2 of 3 new files can't be taken, nothing was loaded: .*cut.csv.gz: unreadable"
    ):
        run_job(spark, settings, "ingest.load_files")
    assert {path.name for path in (tmp_path / "lake").iterdir()} == {"_locks", "ops"}


def test_the_command_line_ends_with_the_code_of_what_was_wrong(
    conf_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    place = [
        "--dataset",
        "bazaar",
        "--conf-dir",
        str(conf_dir),
        "--lake",
        str(tmp_path / "lake"),
        "--data",
        str(tmp_path / "data"),
    ]
    assert main(["run", "load_files", *place]) == 5
    assert (
        f"the data folder {tmp_path}/data is missing; name the folder of dataset bazaar with --data"
        in capfd.readouterr().err
    )

    deliver(tmp_path / "data", "shanghai/a.csv", csv_text(line()))
    assert main(["run", "load_files", *place]) == 5
    assert "no file matches london/*.csv*" in capfd.readouterr().err

    deliver(tmp_path / "data", "london/a.csv", csv_text(line()))
    with held_by_another_process(tmp_path / "lake/_locks", "ops.deliveries") as holder:
        assert main(["run", "load_files", *place]) == 4
    assert f"ops.deliveries is being written by process {holder.pid}" in capfd.readouterr().err

    monkeypatch.delenv("LAKEHOUSE_KEY")
    assert main(["run", "load_files", "--env", "cluster", *place]) == 2
    assert "environment cluster has no key" in capfd.readouterr().err
    assert not (tmp_path / "lake/bronze").exists()


def test_where_the_vault_can_not_be_written_bronze_gets_nothing(
    spark: SparkSession, conf_dir: Path, tmp_path: Path
) -> None:
    deliver(tmp_path / "data", "shanghai/first.csv", csv_text(line("guest", phone="13812345678")))
    deliver(tmp_path / "data", "london/first.csv", csv_text(line("other")))
    settings, vault = settings_in(tmp_path, "bazaar", conf_dir), tmp_path / "lake/vault"
    vault.parent.mkdir()
    vault.write_text("no folder", "utf-8")
    with pytest.raises(Py4JJavaError):
        run_job(spark, settings, "ingest.load_files")
    assert not (tmp_path / "lake/bronze").exists()
    vault.unlink()
    run_job(spark, settings, "ingest.load_files")
    for name in ("bronze/shanghai", "vault/personal_values"):
        assert DeltaTable(tmp_path / "lake" / name).to_pyarrow_table().num_rows == 1, name
