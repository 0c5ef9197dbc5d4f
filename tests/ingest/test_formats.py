"""Formats of files: Parquet of changing types, text without a header or parted by tabs, and several rows from one record."""

import datetime as dt
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from jobs.lakehouse.settings import Settings
from tests.ingest.bazaar import deliver
from tests.lakes import conf_with, run_job, settings_in, table

NOON = "timestamp'2025-01-01 12:00:00'"


def feed(files: str, names: tuple[str, ...], tables: dict[str, Any], **more: Any) -> dict[str, Any]:
    declared = [{"name": name, "description": f"{name}."} for name in names]
    return {"files": files, "arrival": NOON, "fields": declared, "tables": tables, **more}


FOOTFALL = {"columns": {"store_id": "store", "counted_at": "try_to_timestamp(hour)", "visitor_count": "count"}}
FEEDS = {
    "counters": feed("counters/*.parquet", ("store", "hour", "count"), {"footfall": FOOTFALL}, format="parquet"),
    "kiosks": feed(
        "kiosks/*.tsv*",
        ("store", "hour", "count"),
        {"footfall": FOOTFALL},
        delimiter="\t",
        header=False,
        multi_line=False,
    ),
    "indices": feed(
        "indices/*.txt",
        ("day", "rain", "heat"),
        {
            "trends": [
                {
                    "where": f"{name} is not null",
                    "columns": {
                        "series_name": f"'{name}'",
                        "period_start_date": "day",
                        "period_kind": "'day'",
                        "value": name,
                    },
                }
                for name in ("rain", "heat")
            ]
        },
        delimiter=";",
    ),
}


@pytest.fixture(scope="module")
def loaded(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("formats")
    settings = settings_in(folder, "formats", conf_with(folder, "formats", FEEDS))
    data = folder / "data"
    hour = dt.datetime(2025, 1, 1, 9)
    write_parquet(data / "counters/ints.parquet", store=["s1"], hour=[hour], count=pa.array([7], pa.int64()))
    write_parquet(data / "counters/texts.parquet", count=["8"], hour=["2025-01-01 10:00:00"], store=["s1"])
    write_parquet(data / "counters/lacks.parquet", store=["s1"], count=[9])
    deliver(data, "counters/no.parquet", "this is no Parquet")
    deliver(data, "counters/empty.parquet", "")
    deliver(data, "kiosks/a.tsv", "s2\t2025-01-01 09:00:00\t3\ns2\t2025-01-01 10:00:00\tmany\n")
    deliver(data, "kiosks/b.tsv.gz", "s2\t2025-01-01 11:00:00\t4\textra\tfields\n")
    deliver(data, "indices/a.txt", "day;rain;heat\n2025-01-01;1.5;\n2025-01-02;0.5;20\nbroken;1;2;3\n")
    for job in ("ingest.load_files", "ingest.clean_context"):
        run_job(spark, settings, job)
    return settings


def write_parquet(file: Path, **columns: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), file)


def rows(spark: SparkSession, settings: Settings, name: str, *columns: str) -> list[tuple[Any, ...]]:
    return sorted((tuple(row) for row in table(spark, settings, name).select(*columns).collect()), key=str)


def test_parquet_is_read_whatever_the_types_and_order_of_its_columns(spark: SparkSession, loaded: Settings) -> None:
    told = rows(spark, loaded, "silver.footfall", "store_id", "counted_at", "visitor_count")
    assert [row for row in told if row[0] == "s1"] == [
        ("s1", dt.datetime(2025, 1, 1, 10), 8),
        ("s1", dt.datetime(2025, 1, 1, 9), 7),
    ]


def test_files_that_are_no_parquet_or_lack_columns_are_quarantined(spark: SparkSession, loaded: Settings) -> None:
    refused = dict(rows(spark, loaded, "ops.deliveries", "file", "reason"))
    reasons = {name: reason for name, reason in refused.items() if reason}
    assert set(reasons) == {"counters/lacks.parquet", "counters/no.parquet", "counters/empty.parquet"}
    assert reasons["counters/lacks.parquet"] == "columns missing: hour"
    assert reasons["counters/no.parquet"].startswith("unreadable as parquet")


def test_text_without_a_header_has_the_fields_in_their_order(spark: SparkSession, loaded: Settings) -> None:
    told = rows(spark, loaded, "silver.footfall", "store_id", "counted_at", "visitor_count")
    assert told[2:] == [("s2", dt.datetime(2025, 1, 1, 9), 3)]
    reasons = sorted(
        reason for (found,) in rows(spark, loaded, "silver.footfall_rejected", "reasons") for reason in found
    )
    assert reasons == ["record_unparseable", "visitor_count_unreadable"]


def test_a_record_gives_a_row_by_each_mapping_and_a_broken_one_is_counted_once(
    spark: SparkSession, loaded: Settings
) -> None:
    told = rows(spark, loaded, "silver.trends", "series_name", "period_start_date", "value")
    first, second = dt.date(2025, 1, 1), dt.date(2025, 1, 2)
    assert told == sorted([("heat", second, 20.0), ("rain", first, 1.5), ("rain", second, 0.5)], key=str)
    assert rows(spark, loaded, "silver.trends_rejected", "reasons") == [(["record_unparseable"],)]
