"""The real set Online Retail: every one of its 541,909 lines is accounted for, to the penny."""

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from jobs.lakehouse.ledger import RunRecord
from tests.lakes import run_job, settings_in

pytestmark = pytest.mark.sets

LINES, DUPLICATES = 541_909, 5_268
TOTAL, TOTAL_ONCE = "9747747.9340", "9726006.9540"


@dataclass(frozen=True)
class Loaded:
    """The lake's folder, the raw file and the ledger row of clean_order_lines."""

    lake: Path
    raw: Path
    record: RunRecord


@pytest.fixture(scope="module")
def loaded(compiling_spark: SparkSession, test_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    data = test_data / "online-retail"
    if not data.is_dir():
        pytest.skip(f"no real data set at {data}; name the folder above it by LAKEHOUSE_TEST_DATA")
    folder = tmp_path_factory.mktemp("online-retail")
    settings = settings_in(folder, "online-retail", overrides={"paths.data": str(data)})
    run_job(compiling_spark, settings, "ingest.load_files")
    result = run_job(compiling_spark, settings, "ingest.clean_order_lines")
    assert result.record is not None
    return Loaded(folder / "lake", data / "online_retail.csv.gz", result.record)


@pytest.fixture(scope="module")
def sums(loaded: Loaded) -> dict[str, tuple[int, str]]:
    """Rows and quantity times price of the raw file, its distinct lines, and the valid and rejected rows of silver."""
    database = duckdb.connect()
    valid = DeltaTable(loaded.lake / "silver/order_lines").to_pyarrow_dataset()
    rejected = DeltaTable(loaded.lake / "silver/order_lines_rejected").to_pyarrow_dataset()
    database.register("valid", valid)
    database.register("rejected", rejected)
    database.execute(f"CREATE VIEW raw AS SELECT * FROM read_csv('{loaded.raw}', header = true, all_varchar = true)")
    times = "CAST({} AS DECIMAL(18, 4)) * CAST({} AS INTEGER)"
    fields = times.format("UnitPrice", "Quantity")
    json_fields = times.format("record ->> '$.UnitPrice'", "record ->> '$.Quantity'")
    queries = {
        "raw": f"SELECT count(*), sum({fields}) FROM raw",
        "distinct": f"SELECT count(*), sum({fields}) FROM (SELECT DISTINCT * FROM raw)",
        "valid": "SELECT count(*), sum(line_amount) FROM valid",
        "rejected": f"SELECT count(*), sum({json_fields}) FROM rejected",
        "revised": "SELECT count(*), max(revision) FROM valid",
    }
    found = {name: database.execute(query).fetchall()[0] for name, query in queries.items()}
    return {name: (count, str(total)) for name, (count, total) in found.items()}


def test_every_line_is_valid_rejected_or_a_duplicate(loaded: Loaded, sums: dict[str, tuple[int, str]]) -> None:
    record = loaded.record
    assert (record.rows_read, record.rows_deduplicated) == (LINES, DUPLICATES)
    assert record.rows_written + record.rows_rejected + DUPLICATES == LINES
    assert sums["raw"][0] == LINES
    assert sums["distinct"][0] == LINES - DUPLICATES
    assert (sums["valid"][0], sums["rejected"][0]) == (record.rows_written, record.rows_rejected)
    assert sums["revised"][1] == "1", "a line is known by all its fields, so none is ever revised"


def test_the_money_adds_up_to_the_penny(sums: dict[str, tuple[int, str]]) -> None:
    assert sums["raw"][1] == TOTAL
    assert sums["distinct"][1] == TOTAL_ONCE
    assert Decimal(sums["valid"][1]) + Decimal(sums["rejected"][1]) == Decimal(TOTAL_ONCE)


def test_reasons_are_those_of_the_dataset(loaded: Loaded) -> None:
    rejected = DeltaTable(loaded.lake / "silver/order_lines_rejected").to_pyarrow_table()
    found = {reason for row in rejected.column("reasons").to_pylist() for reason in row}
    assert found <= {"stock_write_off", "stock_correction", "bad_debt_adjustment", "unit_price_not_negative"}
