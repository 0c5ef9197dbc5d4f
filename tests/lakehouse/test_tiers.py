"""Tiers: old months of bronze packed tighter, archived and brought back; no reader sees other rows, and a kill loses and doubles none."""

import datetime as dt
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs.__main__ import main
from jobs.lakehouse import archive, catalog, storage
from jobs.lakehouse.errors import ConfigurationError, DataError, LockedError
from jobs.lakehouse.keys import load_keys
from jobs.lakehouse.rotation import rotate
from jobs.lakehouse.settings import PrivacySettings, Settings
from jobs.lakehouse.storage import Tiered, return_archived, tier_tables
from jobs.lakehouse.storage_settings import Ages, StorageSettings
from jobs.lakehouse.tables import Lake
from jobs.lakehouse.tiers import Month, Settled, content_of, in_months, months_due, tier_of
from tests.lakehouse.test_locks import held_by_another_process
from tests.lakes import conf_with, ledger_of, run_job, settings_in, table

pytestmark = pytest.mark.long

AS_OF = dt.datetime(2025, 9, 1)
FIELDS = ("id", "device", "phone", "at")
FEED = {
    "files": "clicks/*.csv",
    "arrival": "try_to_timestamp(at)",
    "fields": [
        {"name": name, "description": f"{name}.", **({"personal": "phone"} if name == "phone" else {})}
        for name in FIELDS
    ],
    "tables": {
        "events": {
            "columns": {
                "event_id": "id",
                "event_type": "'track'",
                "device_token": "device",
                "account_id": "phone_token",
                "event_at": "try_to_timestamp(at)",
            }
        }
    },
}
AGES = {"warm_after_days": 31, "cold_after_days": 92, "tables": {"bronze.clicks": {"cluster_by": ["device"]}}}
# Two months to a file, so that a month's rows must be parted from its neighbours'.
FILES = {"spring": (1, 2), "mild": (3, 4), "warm": (5, 6), "summer": (7, 8)}


def month(number: int, **overrides: Any) -> Month:
    """A month of 2025."""
    base = {"rows": 10, "files": 1, "size_bytes": 1000, "files_digest": "as packed"}
    return Month(month=dt.date(2025, number, 1), **{**base, **overrides})


def lines(months: Iterable[int], prefix: str = "c") -> list[str]:
    """Twenty clicks a month, of four devices in turn; one of all of them tells no time."""
    told = [
        f"{prefix}{number}-{click},d{click % 4},1381234{click % 7:04d},2025-{number:02d}-{1 + click:02d} 10:00:00"
        for number in months
        for click in range(20)
    ]
    return [",".join(FIELDS), *told, *([f"{prefix}-timeless,d1,,never"] if 8 in months else [])]


def deliver(settings: Settings, name: str, rows: list[str]) -> None:
    (Path(settings.path("data")) / f"clicks/{name}.csv").write_text("\n".join(rows), "utf-8")


def with_storage(settings: Settings, **ages: Any) -> Settings:
    """The same lake under other ages."""
    told = StorageSettings.model_validate({**AGES, **ages})
    return settings.model_copy(update={"storage": told})


@pytest.fixture(scope="module")
def loaded(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Eight months of clicks in bronze, and silver made from them."""
    folder = tmp_path_factory.mktemp("loaded")
    conf_dir = conf_with(folder, "clicks", {"clicks": FEED}, storage=AGES)
    settings = settings_in(folder, "clicks", conf_dir)
    (folder / "data/clicks").mkdir(parents=True)
    for name, months in FILES.items():
        deliver(settings, name, lines(months))
    run_job(spark, settings, "ingest.load_files")
    run_job(spark, settings, "ingest.clean_events")
    return settings


def copied(settings: Settings, folder: Path) -> Settings:
    """The same lake and deliveries in a folder of their own."""
    for name in ("lake", "data"):
        shutil.copytree(settings.path(name), folder / name)
    return settings_in(folder, "clicks", Path(settings.conf_dir))


def told(spark: SparkSession, settings: Settings, name: str) -> list[str]:
    """The rows of a table as sorted texts."""
    return sorted(
        row["told"] for row in table(spark, settings, name).select(F.to_json(F.struct("*")).alias("told")).collect()
    )


def moved(spark: SparkSession, settings: Settings, as_of: dt.datetime = AS_OF) -> Tiered:
    """What became of the clicks, the only table."""
    (tiered,) = tier_tables(spark, settings, as_of, {})
    return tiered


def files_of(settings: Settings) -> dict[str, set[int]]:
    """The months of arrival in each file of bronze.clicks by its codec and name, read without Spark."""
    held = {}
    for file in DeltaTable(Lake(settings.path("lake")).path("bronze.clicks")).file_uris():
        codec = pq.ParquetFile(file).metadata.row_group(0).column(0).compression
        times = pq.read_table(file, columns=["_arrived_at"])["_arrived_at"].to_pylist()
        held[f"{codec} {Path(file).name}"] = {time.month for time in times if time}
    return held


def loaded_again(spark: SparkSession, settings: Settings) -> int:
    """How many rows the job that takes files in writes, made to look at them all again."""
    record = run_job(spark, settings, "ingest.load_files", force=True).record
    assert record is not None
    return record.rows_written


def rebuilt(spark: SparkSession, settings: Settings) -> list[str]:
    """Silver made from bronze as it is now."""
    assert run_job(spark, settings, "ingest.clean_events").outcome == "done"
    return told(spark, settings, "silver.events")


@dataclass(frozen=True)
class Packed:
    """A lake whose old months were packed once, and what was said of it."""

    settings: Settings
    dry: Tiered
    tiered: Tiered


@pytest.fixture(scope="module")
def packed(spark: SparkSession, loaded: Settings, tmp_path_factory: pytest.TempPathFactory) -> Packed:
    settings = copied(loaded, tmp_path_factory.mktemp("packed"))
    (dry,) = tier_tables(spark, settings, AS_OF, {}, dry_run=True)
    assert files_of(settings) == files_of(loaded)
    return Packed(settings, dry, moved(spark, settings))


def test_a_value_that_moves_to_another_column_changes_the_content(spark: SparkSession) -> None:
    there, moved = (spark.createDataFrame([row], "id string, device string") for row in (("a", None), (None, "a")))
    assert content_of(there) != content_of(moved)


def test_a_month_is_as_old_as_its_last_day() -> None:
    ages = Ages(warm_after_days=31, cold_after_days=92)
    tiers = [tier_of(month(number), dt.datetime(2025, 9, 1), ages) for number in range(1, 10)]
    assert tiers == ["cold", "cold", "cold", "cold", "cold", "warm", "warm", None, None]
    assert tier_of(month(5), dt.datetime(2025, 8, 31, 23), ages) == "warm", "an hour short of 92 days"
    assert tier_of(month(1), AS_OF, Ages(warm_after_days=None, cold_after_days=None)) is None
    assert month(12).following == dt.date(2026, 1, 1)


def test_a_month_is_packed_once_unless_its_files_changed_or_it_grew_old() -> None:
    months = [month(1), month(2, files_digest="new"), month(3), month(4), month(7), month(8)]
    settled = {dt.date(2025, number, 1): Settled("cold", "as packed") for number in (1, 2, 7)}
    settled[dt.date(2025, 3, 1)] = Settled("warm", "as packed")
    due = months_due(months, settled, AS_OF, Ages(warm_after_days=31, cold_after_days=92))
    assert {tier: [entry.month.month for entry in entries] for tier, entries in due.items()} == {"cold": [2, 3, 4]}, (
        "January is settled, July is packed tighter than it has to be, August is hot"
    )


def test_neighbouring_months_are_one_span() -> None:
    condition = in_months([month(12), month(3), month(2)])
    assert condition == (
        "(_arrived_at >= timestamp'2025-02-01 00:00:00' and _arrived_at < timestamp'2025-04-01 00:00:00')"
        " or (_arrived_at >= timestamp'2025-12-01 00:00:00' and _arrived_at < timestamp'2026-01-01 00:00:00')"
    )


def test_a_table_has_its_own_ages_and_else_those_of_all() -> None:
    settings = StorageSettings(cold_after_days=200, tables={"bronze.clicks": Ages(warm_after_days=7)})
    assert settings.of("bronze.clicks") == Ages(warm_after_days=7, cold_after_days=200)
    assert settings.of("bronze.other") == Ages(warm_after_days=31, cold_after_days=200)
    for wrong, why in (
        ({"warm_after_days": 93}, "must follow in this order"),
        ({"tables": {"bronze.clicks": {"archive_after_days": 9}}}, "bronze.clicks: warm, cold"),
        ({"delete_after_days": 900}, "needs archive_after_days"),
    ):
        with pytest.raises(ValueError, match=why):
            StorageSettings.model_validate(wrong)


def test_what_is_set_for_a_table_that_is_none_is_refused(spark: SparkSession, loaded: Settings) -> None:
    with pytest.raises(ConfigurationError, match=r"bronze.clocks has no tiers; .* bronze.clicks"):
        moved(spark, with_storage(loaded, tables={"bronze.clocks": {}}))
    with pytest.raises(ConfigurationError, match=r"bronze\.clicks is to be clustered by colour, which it lacks"):
        moved(spark, with_storage(loaded, tables={"bronze.clicks": {"cluster_by": ["colour"]}}))


def test_old_months_are_packed_and_no_reader_sees_other_rows(
    spark: SparkSession, loaded: Settings, packed: Packed
) -> None:
    settings, tiered = packed.settings, packed.tiered
    assert all(name.startswith("SNAPPY") for name in files_of(loaded))
    assert str(packed.dry) == "bronze.clicks: would be packed: 2 months warm, 5 months cold"
    assert (dict(tiered.months), tiered.before.rows, tiered.after.rows) == ({"warm": 2, "cold": 5}, 161, 161)
    assert told(spark, settings, "bronze.clicks") == told(spark, loaded, "bronze.clicks")
    assert rebuilt(spark, settings) == told(spark, loaded, "silver.events")
    held = files_of(settings)
    alone = sorted(number for months in held.values() for number in months)
    assert alone == [1, 2, 3, 4, 5, 6, 7, 8], "a file has one month, and a month one file"
    assert all(name.startswith("ZSTD") for name, months in held.items() if months != {8})

    february = table(spark, settings, "bronze.clicks").where("month(_arrived_at) = 2").select("device").collect()
    assert [row["device"] for row in february] == [f"d{number}" for number in range(4) for _ in range(5)], (
        "as clustered"
    )
    remembered = table(spark, settings, "ops.storage").orderBy("arrival_month").collect()
    assert [(row["tier"], row["row_count"], row["file_count"]) for row in remembered] == (
        [("cold", 20, 1)] * 5 + [("warm", 20, 1)] * 2
    )
    assert sum(row["size_bytes"] for row in remembered) <= tiered.after.size_bytes
    version = ledger_of(spark, settings).good_versions()["bronze.clicks"]
    assert version == DeltaTable(Lake(settings.path("lake")).path("bronze.clicks")).version()
    assert moved(spark, settings).note == "already done"
    assert loaded_again(spark, settings) == 0


def test_late_arrivals_are_packed_into_their_month_alone(spark: SparkSession, packed: Packed, tmp_path: Path) -> None:
    settings = copied(packed.settings, tmp_path)
    before = files_of(settings)
    deliver(settings, "late", lines([2], "late"))
    run_job(spark, settings, "ingest.load_files")
    tiered = moved(spark, settings)
    assert (dict(tiered.months), tiered.after.rows) == ({"cold": 1}, 181)
    assert {name for name, held in before.items() if held != {2}} <= {*files_of(settings)}, "the others stay"


def test_what_a_model_cites_and_what_is_half_loaded_stays_as_it_is(
    spark: SparkSession, loaded: Settings, tmp_path: Path
) -> None:
    settings = copied(loaded, tmp_path)
    before = files_of(settings)
    (cited,) = tier_tables(spark, settings, AS_OF, {"bronze.clicks": {0, 1}})
    assert cited.note == "left as it is, a champion cites versions [0, 1]"
    path = Lake(settings.path("lake")).path("bronze.clicks")
    table(spark, settings, "bronze.clicks").limit(1).write.format("delta").mode("append").save(path)
    assert "its last load did not end" in moved(spark, settings).note
    assert {*before} <= {*files_of(settings)}
    with (
        held_by_another_process(Path(settings.path("lake")) / "_locks", "bronze.clicks"),
        pytest.raises(LockedError, match=r"bronze.clicks is being written"),
    ):
        moved(spark, settings)


class KilledError(BaseException):
    """What no handler catches."""


def dying(*_: Any, **__: Any) -> None:
    raise KilledError


def test_a_move_that_is_killed_again_and_again_loses_and_doubles_nothing(
    spark: SparkSession, loaded: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed with rows in both tables, in the archive alone, packed without the ledger, and with it."""
    settings = with_storage(copied(loaded, tmp_path), warm_after_days=None, archive_after_days=180)
    bronze, good = told(spark, settings, "bronze.clicks"), ledger_of(spark, settings).good_versions()
    points = ((archive, "_delete"), (storage, "pack"), (storage, "record_change"), (storage, "_remember"))
    for owner, point in points:
        with monkeypatch.context() as patch:
            patch.setattr(owner, point, dying)
            with pytest.raises(KilledError):
                moved(spark, settings)
        kept, archived = told(spark, settings, "bronze.clicks"), told(spark, settings, "archive.clicks")
        assert sorted({*kept, *archived}) == bronze, point
        assert len(archived) == 40, "January and February came in one delivery"
        if point != "_remember":
            assert ledger_of(spark, settings).good_versions() == good, "jobs read what was there before"
    assert dict(moved(spark, settings).months) == {"cold": 3}
    assert sorted(told(spark, settings, "bronze.clicks") + archived) == bronze


def test_what_was_archived_comes_back_once_or_is_deleted_for_ever(
    spark: SparkSession, loaded: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = copied(loaded, tmp_path)
    bronze, silver = told(spark, settings, "bronze.clicks"), told(spark, settings, "silver.events")
    with pytest.raises(DataError, match=r"nothing of bronze\.clicks was ever archived"):
        return_archived(spark, settings, "bronze.clicks")
    archiving = with_storage(settings, warm_after_days=None, archive_after_days=100)
    assert moved(spark, archiving).rows_archived == 80, "May and June came together, and June is younger"
    assert len(rebuilt(spark, settings)) == 80, "what left bronze has left silver; the timeless click is refused"
    assert loaded_again(spark, settings) == 0
    with monkeypatch.context() as patch:
        patch.setattr(archive, "_same_content", dying)
        with pytest.raises(KilledError):
            return_archived(spark, settings, "bronze.clicks")
    assert return_archived(spark, settings, "bronze.clicks") == 80
    assert return_archived(spark, settings, "bronze.clicks") == 0
    assert told(spark, settings, "bronze.clicks") == bronze
    assert rebuilt(spark, settings) == silver

    moved(spark, archiving)
    deleted = moved(spark, with_storage(settings, warm_after_days=None, archive_after_days=100, delete_after_days=180))
    assert (deleted.rows_archived, deleted.rows_deleted) == (0, 40)
    assert return_archived(spark, settings, "bronze.clicks") == 40
    assert len(told(spark, settings, "bronze.clicks")) == 121


def test_a_rotation_of_the_key_reaches_the_archive(spark: SparkSession, loaded: Settings, tmp_path: Path) -> None:
    settings = copied(loaded, tmp_path)
    moved(spark, with_storage(settings, warm_after_days=None, cold_after_days=None, archive_after_days=180))
    old = load_keys(PrivacySettings(), "local")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAKEHOUSE_KEY", "5a" * 32)
        new = load_keys(PrivacySettings(), "local")
    rotate(spark, settings, old, new)
    return_archived(spark, settings, "bronze.clicks")
    tokens = table(spark, settings, "bronze.clicks").where("phone_token is not null")
    assert tokens.count() == 160
    assert tokens.where(F.col("phone_token").startswith(new.key_id)).select("phone_token").distinct().count() == 7


def test_the_commands_move_free_and_bring_back(
    spark: SparkSession,
    loaded: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    settings = copied(loaded, tmp_path)
    bronze = told(spark, settings, "bronze.clicks")
    for name, value in (("URI", settings.tracking.uri), ("ARTIFACTS", settings.tracking.artifacts)):
        monkeypatch.setenv(f"LAKEHOUSE__TRACKING__{name}", value)
    place = [
        "--dataset",
        "clicks",
        "--conf-dir",
        settings.conf_dir,
        "--lake",
        settings.path("lake"),
    ]
    dated = [*place, "--run-date", "2025-08-31"]
    monkeypatch.setenv("LAKEHOUSE__STORAGE__ARCHIVE_AFTER_DAYS", "180")
    assert main(["tier", *dated]) == 0
    said = capfd.readouterr().out
    assert "bronze.clicks: 2 months warm, 3 months cold, 40 rows archived; 121 rows; MB per million rows " in said
    assert main(["tier", *dated, "--bring-back", "bronze.clicks"]) == 0
    assert "bronze.clicks: 40 rows came back" in capfd.readouterr().out
    assert main(["tier", *dated, "--bring-back", "silver.events"]) == 2
    # As if a week had gone by.
    monkeypatch.setattr(catalog, "HOURS_KEPT", 0)
    spark.conf.set("spark.databricks.delta.retentionDurationCheck.enabled", "false")
    try:
        assert main(["vacuum", *place]) == 0
    finally:
        spark.conf.unset("spark.databricks.delta.retentionDurationCheck.enabled")
    assert "archive.clicks: vacuumed" in capfd.readouterr().out
    root = Path(settings.path("lake"))
    assert {file.name for file in (root / "bronze/clicks").glob("*.parquet")} == {
        name.split(" ")[1] for name in files_of(settings)
    }
    assert list((root / "archive/clicks").glob("*.parquet")) == []
    assert told(spark, settings, "bronze.clicks") == bronze
