"""Formats of files: Parquet of changing types, text without a header or parted by tabs, and several rows from one record."""

import datetime as dt
import gzip
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from jobs.lakehouse.errors import ConfigurationError
from jobs.lakehouse.files import READ_AT_ONCE, undecodable_byte
from jobs.lakehouse.settings import Settings
from jobs.lakehouse.sources import read_sources
from tests.ingest.bazaar import deliver
from tests.lakes import conf_with, run_job, settings_in, table

pytestmark = pytest.mark.long

NOON = "timestamp'2025-01-01 12:00:00'"


def feed(files: str, names: tuple[str, ...], tables: dict[str, Any], **more: Any) -> dict[str, Any]:
    declared = [{"name": name, "description": f"{name}."} for name in names]
    return {"files": files, "arrival": NOON, "fields": declared, "tables": tables, **more}


FOOTFALL = {
    "columns": {
        "store_id": "store",
        "counted_at": "try_to_timestamp(hour)",
        "counter_id": "'door'",
        "visitor_count": "count",
    }
}
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


@pytest.mark.parametrize("multi_line", [True, False])
def test_a_record_of_very_many_fields_can_not_be_parted_and_the_others_are_read(
    spark: SparkSession, tmp_path: Path, multi_line: bool
) -> None:
    plain = {"arrival": "now", "fields": [{"name": name, "description": name} for name in ("id", "n")], "tables": {}}
    conf_dir = conf_with(tmp_path, "shop", {"tills": {"files": "*.csv", "multi_line": multi_line, **plain}})
    settings = settings_in(tmp_path, "shop", conf_dir)
    deliver(tmp_path / "data", "a.csv", f"id,n\na,1\nb{20_481 * ','}\nc,3\n")
    deliver(tmp_path / "data", "b.csv", f"n,id,{20_481 * 'x,'}\n")
    deliver(tmp_path / "data", "c.csv", "id,n\nd,4\n")
    assert run_job(spark, settings, "ingest.load_files").outcome == "done"
    told = rows(spark, settings, "bronze.tills", "id", "n", "_is_unparseable")
    assert told == [("a", "1", False), ("c", "3", False), ("d", "4", False), (None, None, True)]


CITIES = "id,city\n1,北京\n2,呼和浩特\n"


def test_text_in_another_encoding_is_quarantined_or_read_by_its_own(spark: SparkSession, tmp_path: Path) -> None:
    names = ("id", "city")
    feeds = {
        "undeclared": feed("undeclared/*", names, {}),
        "whole": feed("whole/*", names, {}, encoding="gb18030"),
        "by_line": feed("by_line/*", names, {}, encoding="gbk", multi_line=False),
    }
    settings = settings_in(tmp_path, "cities", conf_with(tmp_path, "cities", feeds))
    for folder in feeds:
        (tmp_path / "data" / folder).mkdir(parents=True)
        (tmp_path / "data" / folder / "a.csv").write_bytes(CITIES.encode("gb18030"))
        (tmp_path / "data" / folder / "b.csv.gz").write_bytes(gzip.compress(CITIES.encode("gb18030")))
    for number in range(8):
        deliver(tmp_path / "data", f"undeclared/{number}.csv", CITIES)
    run_job(spark, settings, "ingest.load_files")
    reasons = rows(spark, settings, "ops.deliveries", "file", "reason")
    assert [row for row in reasons if row[1]] == [
        (f"undeclared/{name}", "not UTF-8 (byte 10 of its text); see encoding in the feed's declaration")
        for name in ("a.csv", "b.csv.gz")
    ]
    for name, files in (("undeclared", 8), ("whole", 2), ("by_line", 2)):
        told = rows(spark, settings, f"bronze.{name}", *names)
        assert told == sorted([("1", "北京"), ("2", "呼和浩特")] * files), name


def test_the_first_byte_that_is_no_text_is_found_wherever_it_lies(spark: SparkSession, tmp_path: Path) -> None:
    begin = b"a" * (READ_AT_ONCE - 1) + "é".encode()
    for content, place in (
        (begin, None),
        (b"", None),
        (begin + b"a\xff", len(begin) + 1),
        (begin[:-1], len(begin) - 2),
    ):
        (tmp_path / "text").write_bytes(content)
        assert undecodable_byte(spark, str(tmp_path / "text"), "utf-8") == place


@pytest.mark.parametrize("wrong", [{"encoding": "gbk", "format": "json"}, {"encoding": "latin-9"}])
def test_an_encoding_that_means_nothing_is_refused(tmp_path: Path, wrong: dict[str, str]) -> None:
    conf_dir = conf_with(tmp_path, "cities", {"cities": feed("*", ("id",), {}, **wrong)})
    with pytest.raises(ConfigurationError, match="encoding"):
        read_sources(conf_dir, "cities")
