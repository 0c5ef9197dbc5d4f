"""Extreme values: whatever the fields of any feed hold, a row is kept or refused; none ends the run that reads it."""

import random
import re
from collections.abc import Callable, Mapping
from decimal import Decimal

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, BinaryType, MapType, StructType

from jobs.ingest.clean_events import with_event_date
from jobs.ingest.clean_order_lines import with_line_facts
from jobs.ingest.lookups import with_looked_up
from jobs.ingest.mapping import as_mapped, as_told
from jobs.ingest.records import with_arrival
from jobs.ingest.revisions import TELLER
from jobs.ingest.times import in_calendar
from jobs.lakehouse.contracts import read_contracts
from jobs.lakehouse.local_rows import local_rows
from jobs.lakehouse.quality import REASONS, RECORD, with_reject_reasons
from jobs.lakehouse.sources import LOOKED_UP, Source, read_sources
from tests.rows import CONF_DIR, NOON, contract_of, frame_of, order_line, row_of

POWERS = [f"{sign}{10**power}" for power in range(39) for sign in ("", "-")]
# The ends of what each type holds, and what stands beyond them.
NUMBERS = [
    *("0", "0.00005", "-0.0", "1e13", "1e308", "-1e308", "1e-308", "1e400", "NaN", "Infinity", "-Infinity"),
    *("2147483647", "-2147483648", "2147483648", "9223372036854775807", "-9223372036854775808", "9223372036854775808"),
    *("99999999999999.9999", "-99999999999999.9999", "9" * 38, f"-{'9' * 38}"),
]
DATES = ["0001-01-01", "9999-12-31", "10000-01-01", "99999-12-31", "294247-01-10", "999999-01-01", "5881580-07-11"]
TIMES = [
    *("-290308-12-21 19:59:05.224192", "294247-01-10 04:00:54.775807", "+999999-12-31 23:59:59"),
    *("-290308-12-21 19:59:06", "+294247-01-10 04:00:54", "0001-01-01 00:00:00", "9999-12-31 23:59:59"),
]
PLAIN = [None, "", " ", "1", "2", "true", "false", "day", "web", "CNY", "\x00", "'", "字" * 10_000, "2025-01-01"]
EXTREMES = [*POWERS, *NUMBERS, *DATES, *TIMES, *PLAIN]
DRAWN = 300
OUT_OF_REACH = [text for text in (*DATES, *TIMES) if not re.match(r"[0-9]{4}-", text)]
# A feed of another dataset that differs in its files or its topic alone has nothing else to say.
FEEDS = {
    source.model_dump_json(exclude={"files", "topic", "format"}): (dataset.name, source.source)
    for dataset in sorted((CONF_DIR / "datasets").iterdir())
    for source in read_sources(CONF_DIR, dataset.name).values()
}
DERIVED: Mapping[str, Callable[[DataFrame], DataFrame]] = {
    "order_lines": lambda lines: with_line_facts(lines, "America/Chicago"),
    "events": lambda events: with_event_date(events, "Asia/Shanghai"),
}


def extremes(spark: SparkSession, names: list[str]) -> DataFrame:
    """Rows that hold each extreme in all of their fields, and rows in which they meet as a fixed seed draws them."""
    draw = random.Random(7)
    alike = [[value] * len(names) for value in EXTREMES]
    drawn = [draw.choices(EXTREMES, k=len(names)) for _ in range(DRAWN)]
    return local_rows(spark, alike + drawn, ", ".join(f"`{name}` string" for name in names))


def bronze_of(told: DataFrame, source: Source) -> DataFrame:
    """Bronze records of a feed with such fields; tokens and masks are the values themselves."""
    records = with_arrival(told, source, NOON)
    kept = [
        F.col(field.column).alias(f"{field.column}{ending}")
        for field in source.fields
        for ending in (("_token", "_masked") if field.personal else ("",))
    ]
    technical = {"_record_id": F.lit("r"), "_is_unparseable": F.lit(False), "_is_deleted": F.lit(True)}
    return records.select(*kept, "_arrived_at").withColumns(technical)


def columns_of(source: Source) -> list[str]:
    return [field.column for field in source.fields]


def evaluate(rows: DataFrame) -> None:
    """Reckon every column of every row."""
    rows.write.format("noop").mode("overwrite").save()


@pytest.mark.long
@pytest.mark.parametrize(("dataset", "feed"), FEEDS.values())
def test_no_value_of_a_feed_ends_the_run_that_reads_it(spark: SparkSession, dataset: str, feed: str) -> None:
    sources = read_sources(CONF_DIR, dataset)
    source = sources[feed]
    bronze = found = as_told(bronze_of(extremes(spark, columns_of(source)), source))
    evaluate(bronze)
    for lookup in source.lookups:
        other = sources[lookup.source]
        known = as_told(bronze_of(extremes(spark, columns_of(other)), other))
        found = with_looked_up(found, known, lookup, source.arrival != LOOKED_UP)
    for table, mappings in source.tables.items():
        contract = contract_of(f"silver.{table}")
        for mapping in mappings:
            evaluate(bronze.select(F.expr(mapping.where)))
            rows = as_mapped(found, source, mapping, contract)
            judged = with_reject_reasons(DERIVED[table](rows) if table in DERIVED else rows, contract)
            evaluate(judged)


@pytest.mark.long
@pytest.mark.parametrize(("dataset", "feed"), FEEDS.values())
def test_a_blank_field_says_what_a_missing_one_says(spark: SparkSession, dataset: str, feed: str) -> None:
    """So none becomes a part of an id, which all records without it would share."""
    source = read_sources(CONF_DIR, dataset)[feed]
    columns = columns_of(source)
    blank = local_rows(
        spark, [[text] * len(columns) for text in (None, "", "  ")], ", ".join(f"`{name}` string" for name in columns)
    )
    looked_up = {name: F.lit(None).cast("string") for lookup in source.lookups for name in lookup.fields}
    bronze = as_told(bronze_of(blank, source)).withColumns({"_arrived_at": F.lit(NOON), **looked_up})
    for table, mappings in source.tables.items():
        for mapping in mappings:
            mapped = as_mapped(bronze, source, mapping, contract_of(f"silver.{table}")).drop(RECORD, REASONS, TELLER)
            assert len({str(row) for row in mapped.collect()}) == 1, table
            assert len(set(bronze.select(F.expr(mapping.where)).collect())) == 1, table


def test_an_event_of_nobody_has_no_account(spark: SparkSession) -> None:
    source = read_sources(CONF_DIR, "world")["app_events"]
    events = [row_of(source.bronze_contract, userId=user, _is_unparseable=False) for user in ("", " ", "A1")]
    bronze = frame_of(spark, source.bronze_contract, *events)
    rows = as_mapped(bronze, source, source.tables["events"][0], contract_of("silver.events")).collect()
    assert [row["account_id"] for row in rows] == [None, None, "web_accounts:A1"]
    assert [row[RECORD]["userId"] for row in rows] == ["", " ", "A1"], "as it came"


@pytest.mark.parametrize("table", [name for name, known in read_contracts(CONF_DIR).items() if known.row_rules])
def test_no_value_that_a_column_can_hold_ends_the_judging_of_a_row(spark: SparkSession, table: str) -> None:
    contract = contract_of(table)
    told = extremes(spark, contract.column_names)
    typed = [
        F.lit(None).cast(field.dataType).alias(field.name)
        if isinstance(field.dataType, ArrayType | MapType | StructType | BinaryType)
        else F.col(field.name).try_cast(field.dataType).alias(field.name)
        for field in contract.schema
    ]
    evaluate(with_reject_reasons(told.select(*typed), contract))


def test_a_time_beyond_the_calendar_can_not_be_read(spark: SparkSession) -> None:
    times = local_rows(spark, [(text,) for text in (*DATES, *TIMES)], "told string")
    read = times.select("told", in_calendar(F.col("told").try_cast("timestamp")).alias("time"))
    found = {row["told"] for row in read.where("time is null").collect()}
    assert found == set(OUT_OF_REACH)


def test_a_quantity_at_the_end_of_its_range_is_judged_as_any_other(spark: SparkSession) -> None:
    least = frame_of(spark, "silver.order_lines", order_line(quantity=-(2**31), unit_price_amount=Decimal("0.0001")))
    assert reasons(least, "silver.order_lines") == [[]]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_trend_without_a_finite_value_is_refused(spark: SparkSession, value: float) -> None:
    trend = frame_of(spark, "silver.trends", row_of("silver.trends", value=value))
    assert reasons(trend, "silver.trends") == [["trend_value_is_a_number"]]


def reasons(rows: DataFrame, table: str) -> list[list[str]]:
    return [row[REASONS] for row in with_reject_reasons(rows, contract_of(table)).select(REASONS).collect()]
