"""From PostgreSQL to bronze and silver: new, changed and deleted rows, each once, whatever happens to the database."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from jobs.__main__ import main
from jobs.lakehouse.databases import Bounds, opened_snapshot
from jobs.lakehouse.errors import ConfigurationError, DataError, LakehouseError, QualityGateError
from jobs.lakehouse.job import Result
from jobs.lakehouse.keys import load_keys
from jobs.lakehouse.personal import opened, token_of
from jobs.lakehouse.settings import Settings
from jobs.lakehouse.wire_settings import DatabaseSettings
from tests.lakes import KEY, conf_with, run_job, settings_in
from tests.servers import CHECKOUT, PASSWORD, Database, wait_until

pytestmark = pytest.mark.long

JOB = "ingest.load_tables"
MEMBERS = """
DROP TABLE IF EXISTS {name} CASCADE;
CREATE TABLE {name} (member_no int PRIMARY KEY, phone text, tier text, points numeric, updated_at timestamptz, note text);
INSERT INTO {name} SELECT n, '1380000' || lpad(n::text, 4, '0'), 'silver', 1.50, '2025-01-01 08:00+08', 'free text'
  FROM generate_series(1, 20) AS n;
"""


def feed(name: str, **table: Any) -> dict[str, Any]:
    """A feed of members."""
    return {
        "table": {"name": f"public.{name}", "key": ["member_no"], "cursor": "updated_at", **table},
        "arrival": "try_to_timestamp(updated_at)",
        "fields": [
            {"name": "member_no", "description": "Member."},
            {"name": "phone", "personal": "phone", "description": "Phone."},
            {"name": "tier", "description": "Tier."},
            {"name": "points", "description": "Points."},
            {"name": "updated_at", "description": "Last change, UTC."},
        ],
        "tables": {
            "accounts": {
                "columns": {
                    "account_id": "concat('club:', member_no)",
                    "account_kind": "'card'",
                    "phone_token": "phone_token",
                    "phone_masked": "phone_masked",
                }
            }
        },
    }


class Club:
    """A lake that is fed by one table of the database."""

    def __init__(self, spark: SparkSession, database: Database, folder: Path, name: str, **table: Any) -> None:
        self.spark, self.name, self.database = spark, name, database
        self.conf_dir = conf_with(folder, "club", {name: feed(name, **table)})
        self.settings = settings_in(folder, "club", self.conf_dir, {"database.url": database.url})

    def load(self, settings: Settings | None = None) -> Result:
        return run_job(self.spark, settings or self.settings, JOB)

    def rows(self, table: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.delta(table).to_pyarrow_table().to_pylist()
        return rows

    def delta(self, table: str) -> DeltaTable:
        return DeltaTable(f"{self.settings.path('lake')}/{table.replace('.', '/')}")

    def heard(self, load: int) -> list[tuple[str, str, bool]]:
        """What one load left in bronze: member, tier and whether it was deleted."""
        told = [
            (row["member_no"], row["tier"], row["_is_deleted"])
            for row in self.rows(f"bronze.{self.name}")
            if row["_delivery_id"] == f"{self.name}/{load:08d}"
        ]
        return sorted(told)


def accounted(result: Result) -> tuple[int, int, int]:
    """What the ledger says came in, was written to bronze, and was held there already."""
    record = result.record
    assert record is not None
    (bronze,) = (output for output in record.outputs if output.table.startswith("bronze."))
    assert record.rows_read == bronze.rows_written + bronze.rows_deduplicated
    return record.rows_read, bronze.rows_written, bronze.rows_deduplicated


def test_a_table_is_read_in_parts_and_as_one_snapshot(spark: SparkSession, database: Database) -> None:
    database.sql(MEMBERS.format(name="parted"))
    settings = DatabaseSettings(url=database.url)
    with opened_snapshot(spark, settings) as snapshot:
        query = "SELECT member_no AS part, CAST(member_no AS text) AS member_no FROM parted"
        rows = snapshot.read(query, 3, Bounds("part", "1", "20", 4))
        assert rows.rdd.getNumPartitions() == 4
        database.sql("DELETE FROM parted WHERE member_no > 5")
        assert sorted(int(row["member_no"]) for row in rows.collect()) == list(range(1, 21))
        shown = rows._jdf.queryExecution().toString()
    assert "numPartitions=4" in shown
    assert PASSWORD not in shown


def test_new_changed_and_deleted_rows_come_once(
    spark: SparkSession, database: Database, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """One test, for its steps build on each other."""
    database.sql(MEMBERS.format(name="members"))
    club = Club(spark, database, tmp_path, "members", partition_column="member_no", partitions=4, fetch_size=3)
    first = club.load()
    assert first.record is not None
    assert first.record.rows_read == 20
    assert "all rows compared, 0 deleted" in first.record.message
    assert club.heard(1) == sorted((str(n), "silver", False) for n in range(1, 21))
    row = next(row for row in club.rows("bronze.members") if row["member_no"] == "7")
    assert (row["points"], row["updated_at"], row["_is_unparseable"]) == ("1.50", "2025-01-01 00:00:00", False)

    # Nothing new: bronze keeps its version, and what follows has nothing to do.
    assert run_job(spark, club.settings, "ingest.clean_accounts").outcome == "done"
    version = club.delta("bronze.members").version()
    assert accounted(club.load()) == (20, 0, 20)
    assert club.delta("bronze.members").version() == version
    assert run_job(spark, club.settings, "ingest.clean_accounts").outcome == "already done"

    # A changed row, one changed with the cursor that was already read, a new one with that cursor, and one gone.
    database.sql(
        """UPDATE members SET tier = 'gold', phone = '13911112222', updated_at = '2025-03-01 08:00+08' WHERE member_no = 3;
        UPDATE members SET tier = 'gold' WHERE member_no = 4;
        INSERT INTO members VALUES (21, null, 'silver', 0, '2025-01-01 08:00+08');
        DELETE FROM members WHERE member_no = 5;"""
    )
    assert accounted(club.load()) == (21, 4, 17), "twenty rows and a deletion"
    assert club.heard(2) == [
        ("21", "silver", False),
        ("3", "gold", False),
        ("4", "gold", False),
        ("5", "silver", True),
    ]

    # Committed long after its cursor, and a row that came back as it was.
    database.sql(
        """INSERT INTO members VALUES (22, null, 'late', 0, '2024-06-01 08:00+08');
        INSERT INTO members VALUES (5, '13800000005', 'silver', 1.50, '2025-01-01 08:00+08');
        INSERT INTO members VALUES (23, null, 'no time', 0, null);"""
    )
    club.load()
    assert club.heard(3) == [("22", "late", False), ("23", "no time", False), ("5", "silver", False)]

    database.sql("DELETE FROM members WHERE member_no = 6")
    club.load()
    club.load()
    assert club.heard(4) == [("6", "silver", True)]
    assert Counter(row["_delivery_id"][-1] for row in club.rows("bronze.members")) == {"1": 20, "2": 4, "3": 3, "4": 1}
    assert len({row["_record_id"] for row in club.rows("bronze.members")}) == 28

    run_job(spark, club.settings, "ingest.clean_accounts")
    held = {row["account_id"] for row in club.rows("silver.accounts") if row["superseded_at"] is None}
    assert held == {f"club:{n}" for n in (*range(1, 6), *range(7, 23))}, "6 is gone, 5 is back, 23 has no arrival"
    keys = load_keys(club.settings.privacy, "local")
    changed = [row for row in club.rows("silver.accounts") if row["account_id"] == "club:3"]
    token = token_of(keys, "phone", "+8613911112222")
    assert [row["phone_token"] for row in sorted(changed, key=lambda row: row["revision"])][1:] == [token]
    vault = {row["token"]: row["_ciphertext"] for row in club.rows("vault.personal_values")}
    assert len(vault) == 21
    assert opened(keys, vault[token], token) == "+8613911112222"

    told = capfd.readouterr()
    assert_untold(tmp_path, told.out + told.err, PASSWORD)
    assert_untold(tmp_path, told.out + told.err, "13911112222")


def test_a_key_that_rows_share_is_refused(spark: SparkSession, database: Database, tmp_path: Path) -> None:
    database.sql(MEMBERS.format(name="twins"))
    database.sql(
        "ALTER TABLE twins DROP CONSTRAINT twins_pkey; INSERT INTO twins SELECT * FROM twins WHERE member_no < 3"
    )
    club = Club(spark, database, tmp_path, "twins")
    with pytest.raises(
        QualityGateError, match=r"22 rows of public.twins have 20 keys \(member_no\), nothing was loaded"
    ):
        club.load()
    assert not (tmp_path / "lake/bronze/twins").exists()


@pytest.mark.parametrize("cursor", ["points", "updated_at"])
def test_a_change_that_was_committed_long_after_its_cursor_is_loaded_once(
    spark: SparkSession, database: Database, tmp_path: Path, cursor: str
) -> None:
    """Of two transactions the later one, by number or time, is loaded while the earlier one is still open."""
    database.sql(MEMBERS.format(name="late"))
    club = Club(spark, database, tmp_path, "late", cursor=cursor)
    club.load()
    earlier = "points = 100, updated_at = '2025-03-01 08:00+08'"
    later = "points = 101, updated_at = '2025-04-01 08:00+08'"
    database.sql(f"UPDATE late SET tier = 'gold', {later} WHERE member_no = 8")
    club.load()
    assert club.heard(2) == [("8", "gold", False)]
    database.sql(f"UPDATE late SET tier = 'gold', {earlier} WHERE member_no = 7")
    found = club.load()
    assert club.heard(3) == [("7", "gold", False)]
    assert found.record is not None
    assert "all rows compared" in found.record.message
    again = club.load()
    assert club.heard(4) == []
    assert again.record is not None
    assert "all rows compared" not in again.record.message, "what was found is not looked for again"


def test_a_load_after_a_restore_brings_what_is_missing(spark: SparkSession, database: Database, tmp_path: Path) -> None:
    database.sql(MEMBERS.format(name="restored"))
    club = Club(spark, database, tmp_path, "restored")
    club.load()
    for tier in ("gold", "black"):
        database.sql(f"UPDATE restored SET tier = '{tier}', updated_at = now() WHERE member_no = 3")
        club.load()
    where = ["--dataset", "club", "--conf-dir", str(club.conf_dir), "--lake", club.settings.path("lake")]
    assert main(["restore", "bronze.restored", "--version", "1", *where]) == 0
    club.load()
    assert club.heard(2) == [("3", "black", False)]
    database.sql("UPDATE restored SET tier = 'none', updated_at = now() WHERE member_no = 3")
    club.load()
    assert club.heard(3) == [("3", "none", False)]


def assert_untold(folder: Path, said: str, secret: str) -> None:
    """The secret stands neither in what was said, nor in the lake's rows, logs and statistics."""
    assert secret not in said
    for file in (folder / "lake").rglob("*"):
        if file.is_file():
            assert secret.encode() not in file.read_bytes(), file
    for table in ("bronze.members", "silver.accounts", "ops.runs"):
        rows = DeltaTable(f"{folder}/lake/{table.replace('.', '/')}").to_pyarrow_table().to_pylist()
        assert secret not in repr(rows), table


def test_a_table_that_is_nearly_empty_is_taken_for_a_fault(
    spark: SparkSession, database: Database, tmp_path: Path
) -> None:
    database.sql(MEMBERS.format(name="emptied"))
    club = Club(spark, database, tmp_path, "emptied")
    club.load()
    database.sql("DELETE FROM emptied WHERE member_no > 5")
    with pytest.raises(QualityGateError, match="15 of 20 rows are gone from the database, nothing was loaded"):
        club.load()
    assert club.heard(2) == []
    meant = settings_in(
        tmp_path, "club", club.conf_dir, {"database.url": database.url, "database.max_deleted_share": 1.0}
    )
    club.load(meant)
    assert len(club.heard(2)) == 15


def test_a_database_that_stops_in_mid_read_leaves_nothing_and_the_next_run_loads_all(
    spark: SparkSession, database: Database, tmp_path: Path
) -> None:
    database.sql(
        MEMBERS.format(name="steady")
        + "CREATE VIEW halting AS SELECT s.*, pg_sleep(0.3) IS NULL AS slept FROM steady s;"
    )
    club = Club(spark, database, tmp_path, "halting", fetch_size=1)

    def is_reading() -> bool:
        client = "application_name = 'customer-lakehouse' AND state = 'active'"
        return bool(database.sql(f"SELECT 1 FROM pg_stat_activity WHERE {client} AND query LIKE '%AS source%'"))

    with ThreadPoolExecutor(max_workers=1) as pool:
        running = pool.submit(club.load)
        wait_until(is_reading)
        with database.stopped():
            told = r"the database at jdbc:postgresql://.* failed: .*Nothing was half written"
            with pytest.raises(DataError, match=told) as failed:
                running.result(timeout=120)
            assert failed.value.exit_code == 5
            assert not (tmp_path / "lake/bronze").exists()
            with pytest.raises(DataError, match=r"Connection to 127.0.0.1:.* refused"):
                club.load()
    (last,) = {row["exit_code"] for row in club.rows("ops.runs")}
    assert last == 5
    database.sql("CREATE OR REPLACE VIEW halting AS SELECT s.*, pg_sleep(0) IS NULL AS slept FROM steady s")
    club.load()
    assert len(club.heard(1)) == 20


def test_a_run_that_was_killed_between_vault_and_bronze_is_finished_by_the_next(
    spark: SparkSession, database: Database, tmp_path: Path
) -> None:
    database.sql(MEMBERS.format(name="killed"))
    club = Club(spark, database, tmp_path, "killed")
    words = [sys.executable, str(CHECKOUT / "tests/faults/killed_run.py"), "between_tables", JOB, "2"]
    chosen = ["run", "load_tables", "--dataset", "club", "--conf-dir", str(club.conf_dir)]
    environment = {
        **os.environ,
        "LAKEHOUSE_KEY": KEY,
        "LAKEHOUSE__PATHS__LAKE": club.settings.path("lake"),
        "LAKEHOUSE__DATABASE__URL": database.url,
    }
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [*words, *chosen], env=environment, cwd=CHECKOUT, stdout=log, stderr=log, start_new_session=True
        )
        ended = process.wait(timeout=120)
    assert ended == -signal.SIGKILL, (tmp_path / "log").read_text("utf-8")[-3000:]
    assert len(club.rows("vault.personal_values")) == 20
    club.load()
    assert len(club.heard(1)) == 20
    assert len(club.rows("vault.personal_values")) == 20


@pytest.mark.parametrize(
    ("sql", "error", "told"),
    [
        ("DROP TABLE odd", DataError, "has no table public.odd that lakehouse may see"),
        ("ALTER TABLE odd DROP COLUMN tier", DataError, "public.odd lacks columns of feed odd: tier"),
        (
            "ALTER TABLE odd ALTER COLUMN updated_at TYPE text",
            ConfigurationError,
            "the cursor updated_at is text; it must be a time or a number",
        ),
    ],
)
def test_a_table_that_is_not_as_declared_is_told(
    spark: SparkSession, database: Database, tmp_path: Path, sql: str, error: type[LakehouseError], told: str
) -> None:
    database.sql(MEMBERS.format(name="odd") + sql)
    with pytest.raises(error, match=told):
        Club(spark, database, tmp_path, "odd").load()


def test_what_a_table_has_undeclared_is_kept_sealed_and_what_changed_is_told(
    spark: SparkSession, database: Database, tmp_path: Path
) -> None:
    database.sql(MEMBERS.format(name="drifting"))
    club = Club(spark, database, tmp_path, "drifting")
    keys = load_keys(club.settings.privacy, "local")

    def sealed_fields() -> dict[str, dict[str, Any]]:
        """What each record has undeclared, by the record's id."""
        return {
            row["record_id"]: json.loads(opened(keys, row["_ciphertext"], row["record_id"]))
            for row in club.rows("vault.payloads")
        }

    def warnings() -> dict[str, str]:
        """What the last run found against the feed."""
        told = sorted(club.rows("ops.audits"), key=lambda row: row["audited_at"])
        return {
            row["expectation"]: row["observed"]
            for row in told
            if row["run_id"] == told[-1]["run_id"] and not row["is_met"]
        }

    club.load()
    held = club.rows("bronze.drifting")
    assert {tuple(row["_undeclared_fields"]) for row in held} == {("note",)}
    assert sealed_fields() == {row["_record_id"]: {"note": "free text"} for row in held}
    assert warnings() == {"every field is declared": "note"}

    database.sql(
        """ALTER TABLE drifting ADD COLUMN mail text, ALTER COLUMN points TYPE text;
        UPDATE drifting SET mail = 'new@example.com', note = null, updated_at = '2025-03-01 08:00+08', tier = 'gold'
          WHERE member_no = 3;
        INSERT INTO drifting VALUES (21, null, 'silver', 'many', '2025-03-01 08:00+08');"""
    )
    club.load()
    (changed,) = [row for row in club.rows("bronze.drifting") if row["tier"] == "gold"]
    assert changed["_undeclared_fields"] == ["mail"]
    assert sealed_fields()[changed["_record_id"]] == {"mail": "new@example.com"}
    assert len(sealed_fields()) == 21, "the new row has nothing undeclared"
    assert warnings() == {
        "every field is declared": "mail, note",
        "fields keep their kinds": "points: numeric, now text",
    }
    for secret in ("new@example.com", "free text"):
        for file in (tmp_path / "lake").rglob("*"):
            assert not file.is_file() or secret.encode() not in file.read_bytes(), file


def test_without_a_password_nothing_is_tried(
    spark: SparkSession, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    club = Club(spark, database, tmp_path, "members")
    monkeypatch.setenv("LAKEHOUSE_DATABASE_PASSWORD", "wrong-one")
    with pytest.raises(DataError, match="password authentication failed for user") as refused:
        club.load()
    assert "wrong-one" not in str(refused.value)
    monkeypatch.delenv("LAKEHOUSE_DATABASE_PASSWORD")
    with pytest.raises(ConfigurationError, match="set LAKEHOUSE_DATABASE_PASSWORD"):
        club.load()
