"""The world's feeds: each is declared as it is written, and its rows read as the silver table that they are for."""

import csv
import json
from pathlib import Path

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.ingest.mapping import as_mapped
from jobs.lakehouse.contracts import read_contracts
from jobs.lakehouse.quality import REASONS, with_reject_reasons
from jobs.lakehouse.settings import WorldSettings
from jobs.lakehouse.sources import Source, read_sources
from jobs.simulate import raw_files, truth
from jobs.simulate.texts import BOT_AGENTS, CAMPAIGNS
from tests.rows import CONF_DIR

SETTINGS = WorldSettings(
    seed=5, customers=500, weeks=40, truth_weeks_ahead=2, persons_per_ring=250, persons_per_bot=250
)
SOURCES = read_sources(CONF_DIR, "world")
CONTRACTS = read_contracts(CONF_DIR)
SPOILT_ON_PURPOSE = {"web_orders": "order_lines", "pos_receipts": "order_lines", "app_events": "events"}


@pytest.fixture(scope="module")
def world(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("feeds")
    assert raw_files.write_raw_files(spark, SETTINGS, f"{folder}/raw")
    return folder / "raw"


def as_bronze(spark: SparkSession, world: Path, source: Source) -> DataFrame:
    """The fields of a feed as bronze has them, a personal value standing for its own token."""
    if source.format == "json":
        rows = spark.read.option("primitivesAsString", True).json(f"{world}/{source.source}")
    else:
        rows = spark.read.options(header=True, multiLine=True, quote='"', escape='"').csv(f"{world}/{source.source}")
    columns = []
    for field in source.fields:
        if field.personal:
            columns += [F.col(field.name).alias(f"{field.column}_{kind}") for kind in ("token", "masked")]
        else:
            columns.append(F.col(field.name).alias(field.column))
    return rows.select(
        *columns,
        F.expr(source.arrival).alias("_arrived_at"),
        F.lit("1").alias("_record_id"),
        F.lit(False).alias("_is_unparseable"),
    )


def field_names(value: object, prefix: str = "") -> set[str]:
    """The dotted names of the leaves of a JSON value."""
    if not isinstance(value, dict):
        return {prefix}
    return set().union(*(field_names(below, f"{prefix}.{name}".strip(".")) for name, below in value.items()))


def test_every_feed_is_declared_with_its_very_fields(world: Path) -> None:
    assert {folder.name for folder in world.iterdir() if folder.is_dir()} == set(SOURCES)
    for source in SOURCES.values():
        declared = [field.name for field in source.fields]
        for file in (world / source.source).iterdir():
            if file.name.startswith("."):
                continue
            with file.open(encoding="utf-8", newline="") as text:
                if source.format == "json":
                    assert set().union(*(field_names(json.loads(line)) for line in text)) <= set(declared), file
                else:
                    assert next(csv.reader(text)) == declared, file


def test_few_files_a_feed(world: Path) -> None:
    counts = {
        name: len([file for file in (world / name).iterdir() if not file.name.startswith(".")]) for name in SOURCES
    }
    monthly = {"web_orders", "pos_receipts", "app_events", "web_accounts", "member_cards"}
    assert {name for name, count in counts.items() if count > 1} == monthly


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_rows_read_as_their_silver_tables(spark: SparkSession, world: Path, name: str) -> None:
    source = SOURCES[name]
    bronze = as_bronze(spark, world, source)
    assert not bronze.isEmpty()
    assert bronze.where("_arrived_at is null").isEmpty()
    for table, mapping in ((table, mapping) for table, told in source.tables.items() for mapping in told):
        contract = CONTRACTS[f"silver.{table}"]
        rows = as_mapped(bronze.where(mapping.where), source, mapping, contract)
        if SPOILT_ON_PURPOSE.get(name) == table:
            continue
        derived = {"events": "event_date", "order_lines": "ordered_date"}
        if table in derived:
            rows = rows.withColumn(derived[table], F.to_date(F.lit("2024-01-01")))
        judged = with_reject_reasons(rows, contract)
        reasons = judged.select(F.explode(REASONS).alias("reason")).distinct().collect()
        assert not reasons, [row.reason for row in reasons]
        keys = [name for name in contract.key if name != "revision"]
        assert rows.where(" or ".join(f"{key} is null" for key in keys)).isEmpty()


def test_events_of_each_type_come_from_each_channel_with_their_campaign(spark: SparkSession, world: Path) -> None:
    source = SOURCES["app_events"]
    (mapping,) = source.tables["events"]
    bronze = as_bronze(spark, world, source)
    told = as_mapped(bronze, source, mapping, CONTRACTS["silver.events"]).dropDuplicates(["event_id"]).toPandas()
    told = told[told["event_type"].isin(["track", "page", "identify"])]  # the others are spoilt on purpose
    campaigns = ("campaign_source", "campaign_medium", "campaign_name")
    for event_type in ("track", "page", "identify"):
        rows = told[told["event_type"] == event_type]
        assert set(rows["channel"].dropna()) == {"web", "app", "mini_program"}, event_type
        brought = rows[list(campaigns)].dropna(how="all")
        assert set(brought.itertuples(index=False, name=None)) == set(CAMPAIGNS), event_type
    tracked, pages = told["event_type"] == "track", told["event_type"] == "page"
    assert told.loc[tracked, "event_name"].notna().all()
    assert set(told.loc[pages, "event_name"]) == {"Home", "Landing Page"}
    assert told.loc[~tracked, ["product_id", "order_id"]].isna().all(axis=None)
    logins = told[told["event_type"] == "identify"]
    assert logins["event_name"].isna().all()
    assert logins["account_id"].notna().all()
    assert told["cookie_token"].str.startswith("n-").all()
    assert (told["cookie_token"] != told["device_token"]).all(), "a cookie is told beside the device"
    is_crawler = told["user_agent"].isin(BOT_AGENTS)
    assert (told["channel"].isna() == is_crawler).all()
    of_persons = bronze.select("type", "traits_email_token", "traits_phone_token").toPandas()
    kind = of_persons.pop("type")
    identified = kind == "identify"
    assert of_persons[kind.isin(["track", "page"])].isna().all(axis=None)
    assert of_persons.loc[identified, "traits_phone_token"].notna().all()
    assert 0.3 < of_persons.loc[identified, "traits_email_token"].notna().mean() < 0.7


def test_the_truth_is_written_beside_the_feeds(spark: SparkSession, tmp_path: Path) -> None:
    small = SETTINGS.model_copy(update={"customers": 100, "weeks": 8})
    assert truth.write_truth(spark, small, f"{tmp_path}/truth")
    tables = {folder.name for folder in (tmp_path / "truth").iterdir() if folder.is_dir()}
    assert tables == {
        *("persons", "identifiers", "calendar", "demand", "feeds", "feed_rows", "drop_offs"),
        *("bots", "brushing_rings", "brushed_orders", "repeated_clicks", "near_duplicates", "outliers", "holes"),
        *("contact_effects", "ad_effects", "surveys", "category_trends", "weather"),
    }
    for name in tables:
        assert spark.read.parquet(f"{tmp_path}/truth/{name}").columns
