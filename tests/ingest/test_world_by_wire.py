"""The world by Kafka and PostgreSQL becomes the same silver as the world by files, in two deliveries as in one."""

import datetime as dt
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
from deltalake import DeltaTable
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.lakehouse.brokers import ensure_topic
from jobs.lakehouse.chain import run_chain
from jobs.lakehouse.databases import put_rows
from jobs.lakehouse.errors import DataError
from jobs.lakehouse.job import Result
from jobs.lakehouse.quality import UNPARSEABLE
from jobs.lakehouse.settings import Settings
from jobs.lakehouse.sources import DatabaseTable, fed_by, read_sources
from jobs.lakehouse.wire_settings import DatabaseSettings, KafkaSettings
from tests.lakes import named_job, settings_in, table
from tests.rows import CONF_DIR
from tests.servers import Broker, Database

pytestmark = [pytest.mark.long, pytest.mark.soak]

SIZE = {
    "world.customers": 300,
    "world.weeks": 12,
    "world.truth_weeks_ahead": 1,
    "world.persons_per_ring": 100,
    "world.persons_per_bot": 100,
    "world.bad_date_share": 0.01,
    "world.duplicate_share": 0.02,
    "world.near_duplicate_share": 0.02,
}
FEEDS = read_sources(CONF_DIR, "world-by-wire")
TOPICS, TABLES = fed_by(FEEDS, "topics"), fed_by(FEEDS, "database")
KEYS = {name: source.table.key for name, source in TABLES.items() if source.table}
# What is sent by the first run date, and by the world's last day.
FIRST_DATE, LAST_DATE = dt.date(2024, 2, 18), dt.date(2024, 3, 24)
LOADS = ("ingest.stream_topics", "ingest.load_tables", "ingest.load_files")
CLEANS = {
    "ingest.clean_accounts": ("silver.accounts",),
    "ingest.clean_events": ("silver.events",),
    "ingest.clean_consents": ("silver.consents", "silver.points"),
    "ingest.clean_order_lines": ("silver.order_lines",),
    "ingest.clean_payments": ("silver.payments",),
    "ingest.clean_context": ("silver.footfall",),
    "ingest.collect_orders": ("silver.orders",),
}
# The first delivery is cleaned as far as it takes to see that it is a part.
CLEANED_FIRST = ("ingest.clean_accounts", "ingest.clean_events", "ingest.clean_order_lines")
SILVER = [name for tables in CLEANS.values() for name in tables]
FIRST_SILVER = [name for job in CLEANED_FIRST for name in CLEANS[job]]


@dataclass(frozen=True)
class Twins:
    """One world in two lakes: by files, and by wire after the first delivery and after the second."""

    by_files: Settings
    by_wire: Settings
    results: dict[str, list[Result]]
    first_versions: dict[str, int]

    def lake(self, settings: Settings, name: str) -> DeltaTable:
        return DeltaTable(f"{settings.path('lake')}/{name.replace('.', '/')}")


def conf_of_twins(folder: Path) -> Path:
    """The configuration with the feeds that come by wire, and the tills' receipts: they fill the same tables by files."""
    conf_dir = folder / "conf"
    shutil.copytree(CONF_DIR, conf_dir)
    for name in FEEDS.keys() - {*TOPICS, *TABLES, "pos_receipts"}:
        (conf_dir / f"datasets/world/{name}.yaml").unlink()
    return conf_dir


def ran(spark: SparkSession, settings: Settings, jobs: tuple[str, ...], run_date: dt.date) -> list[Result]:
    results = list(run_chain([named_job(name) for name in jobs], spark, settings, run_date))
    assert {result.outcome for result in results} <= {"done", "nothing to do"}
    return results


@pytest.fixture(scope="module")
def twins(spark: SparkSession, broker: Broker, database: Database, tmp_path_factory: pytest.TempPathFactory) -> Twins:
    folder = tmp_path_factory.mktemp("twins")
    conf_dir = conf_of_twins(folder)
    wires = {"kafka.bootstrap_servers": broker.address, "database.url": database.url}
    by_files = settings_in(folder, "world", conf_dir, {**SIZE, "paths.lake": f"{folder}/by-files"})
    by_wire = settings_in(folder, "world-by-wire", conf_dir, {**SIZE, **wires, "paths.lake": f"{folder}/by-wire"})
    assert by_wire.world.last_day == LAST_DATE
    ran(spark, by_files, ("simulate.write_world", *LOADS, *CLEANS), LAST_DATE)
    results: dict[str, list[Result]] = {
        "first": ran(spark, by_wire, ("simulate.send_world", *LOADS, *CLEANED_FIRST), FIRST_DATE)
    }
    bronze = [source.bronze_table for source in (*TOPICS.values(), *TABLES.values())]
    twins = Twins(by_files, by_wire, results, {})
    twins.first_versions.update({name: twins.lake(by_wire, name).version() for name in (*bronze, *FIRST_SILVER)})
    results["rest"] = ran(spark, by_wire, ("simulate.send_world", *LOADS[:2], *CLEANS), LAST_DATE)
    return twins


def told(rows: DataFrame) -> DataFrame:
    """What a table tells: technical columns name the way in, such as the id of a record by its file or its place in a topic."""
    return rows.select(*[name for name in rows.columns if not name.startswith("_")])


@pytest.mark.parametrize("name", SILVER)
def test_silver_is_the_same_row_for_row(spark: SparkSession, twins: Twins, name: str) -> None:
    by_files, by_wire = (told(table(spark, settings, name)) for settings in (twins.by_files, twins.by_wire))
    assert by_files.count() > 100
    assert by_wire.columns == by_files.columns
    assert by_wire.exceptAll(by_files).limit(5).collect() == []
    assert by_files.exceptAll(by_wire).limit(5).collect() == []


@pytest.mark.parametrize("name", FIRST_SILVER)
def test_the_first_delivery_was_a_part_of_it(spark: SparkSession, twins: Twins, name: str) -> None:
    first = table(spark, twins.by_wire, name, twins.first_versions[name])
    assert 0 < first.count() < table(spark, twins.by_wire, name).count()


@pytest.mark.parametrize("name", [*TOPICS, *TABLES])
def test_the_second_load_brings_what_is_new_and_nothing_twice(spark: SparkSession, twins: Twins, name: str) -> None:
    whole = twins.lake(twins.by_wire, f"bronze.{name}")
    bronze = table(spark, twins.by_wire, f"bronze.{name}")
    held = table(spark, twins.by_wire, f"bronze.{name}", twins.first_versions[f"bronze.{name}"])
    assert whole.version() > twins.first_versions[f"bronze.{name}"]
    assert 0 < held.count() < bronze.count()
    assert bronze.select("_record_id").distinct().count() == bronze.count()
    assert held.select("_record_id").exceptAll(bronze.select("_record_id")).isEmpty()
    raw = table(spark, twins.by_files, f"bronze.{name}")
    if name in TOPICS:
        assert bronze.count() == raw.count(), "a topic holds every line of the files, copies among them"
    else:
        key = KEYS[name]
        assert bronze.count() == raw.select(*key).distinct().count(), "a table holds each key once"


def test_each_row_in_is_valid_rejected_or_a_duplicate(spark: SparkSession, twins: Twins) -> None:
    for result in twins.results["first"] + twins.results["rest"]:
        record = result.record
        if result.name in CLEANS and result.name != "ingest.collect_orders":
            assert record is not None
            assert record.rows_read == record.rows_written + record.rows_rejected + record.rows_deduplicated, result
    events = next(result.record for result in twins.results["rest"] if result.name == "ingest.clean_events")
    assert events is not None
    assert events.rows_deduplicated > 0
    assert events.rows_read == table(spark, twins.by_wire, "bronze.app_events").count()


def test_the_same_rows_are_rejected_for_the_same_reasons(spark: SparkSession, twins: Twins) -> None:
    def reasons(settings: Settings) -> Counter[str]:
        rejected = table(spark, settings, "silver.order_lines_rejected")
        found = rejected.select(F.array_sort("reasons").cast("string").alias("reasons")).collect()
        return Counter(row["reasons"] for row in found)

    by_wire = reasons(twins.by_wire)
    assert by_wire == reasons(twins.by_files)
    assert len(by_wire) > 1
    assert not any(UNPARSEABLE in why for why in by_wire)


def test_what_was_sent_is_not_sent_again(spark: SparkSession, twins: Twins) -> None:
    for run_date in (LAST_DATE, FIRST_DATE):
        (again,) = ran(spark, twins.by_wire, ("simulate.send_world",), run_date)
        assert again.record is not None
        counts = {entry.split(": ")[0]: entry.split(": ")[1].split()[0] for entry in again.record.message.split("; ")}
        assert counts == dict.fromkeys([*TOPICS, *TABLES], "0")


def test_a_later_state_of_a_row_updates_it_and_an_older_one_does_not(spark: SparkSession, database: Database) -> None:
    settings, members = DatabaseSettings(url=database.url), DatabaseTable(name="put", key=("no",), cursor="at")

    def put(*rows: tuple[str, str | None, str]) -> int:
        return put_rows(spark.createDataFrame(rows, "no string, tier string, at string"), settings, members)

    assert put(("1", "old", "2025-01-01T00:00:00Z"), ("2", "as it is", "2025-01-01T00:00:00Z")) == 2
    again = ("2", "as it is", "2025-01-01T00:00:00Z")
    assert put(("1", "older", "2024-12-31T00:00:00Z"), again, again) == 0
    assert (
        put(("1", "new", "2025-01-02T00:00:00Z"), ("1", "between", "2025-01-01T12:00:00Z"), ("3", None, again[2])) == 2
    )
    held = database.sql("SELECT no, tier, at AT TIME ZONE 'UTC' FROM put ORDER BY no")
    assert held == [
        ["1", "new", "2025-01-02 00:00:00"],
        ["2", "as it is", "2025-01-01 00:00:00"],
        ["3", "", "2025-01-01 00:00:00"],
    ]
    assert database.sql("SELECT 1 FROM pg_tables WHERE tablename = 'put_arriving'") == []
    database.sql("ALTER TABLE put DROP COLUMN tier")
    with pytest.raises(DataError, match=r'failed: .*column "tier"'):
        put(again)


def test_a_broker_that_is_not_there_is_told(spark: SparkSession) -> None:
    silent = KafkaSettings(bootstrap_servers="127.0.0.1:9", timeout_seconds=2)
    with pytest.raises(DataError, match=r"Kafka at 127.0.0.1:9 did not deliver"):
        ensure_topic(spark, silent, "nowhere")
