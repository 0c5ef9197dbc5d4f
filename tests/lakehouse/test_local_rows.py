"""Frames of the few rows that the driver holds: the same as Spark makes of them by itself."""

import datetime as dt
from decimal import Decimal

import pytest
from pyspark.sql import SparkSession

from jobs.lakehouse.local_rows import empty_rows, local_rows
from tests.rows import contract_of

SCHEMA = (
    "id long, name string, amount decimal(18,2), at timestamp, day date, share double, is_good boolean, "
    "tags array<string>, outputs array<struct<table: string, version: long>>, counts map<string, long>"
)
ROWS = [
    (
        1, "一", Decimal("1.50"), dt.datetime(2025, 1, 1, 23, 59, 59, 999999), dt.date(2025, 1, 1), 0.5, True,
        ["a", None], [("t", 1), ("u", 2)], {"x": 1},
    ),
    (2, None, None, None, None, None, None, None, None, None),
]  # fmt: skip


def test_rows_are_those_that_spark_makes_of_them_and_no_worker_brings_them(spark: SparkSession) -> None:
    local, usual = local_rows(spark, ROWS, SCHEMA), spark.createDataFrame(ROWS, SCHEMA)
    assert local.schema == usual.schema
    assert local.collect() == usual.collect()
    assert "LocalTableScan" in local._jdf.queryExecution().executedPlan().toString()


def test_an_instant_with_a_zone_is_that_instant(spark: SparkSession) -> None:
    shanghai = dt.timezone(dt.timedelta(hours=8))
    (row,) = local_rows(spark, [(dt.datetime(2025, 1, 2, 7, tzinfo=shanghai),)], "at timestamp").collect()
    assert row["at"] == dt.datetime(2025, 1, 1, 23)


def test_no_rows_have_the_columns_of_their_contract(spark: SparkSession) -> None:
    contract = contract_of("silver.orders")
    assert empty_rows(spark, contract).schema == contract.schema
    assert empty_rows(spark, contract).isEmpty()


def test_a_value_of_another_type_is_refused(spark: SparkSession) -> None:
    with pytest.raises(Exception, match="one"):
        local_rows(spark, [("one",)], "id long")
