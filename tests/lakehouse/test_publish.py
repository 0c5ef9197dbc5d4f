"""Write, audit, publish: good rows get in, bad ones are kept with their reasons, and a bad table changes nothing."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.lakehouse.contracts import Contract
from jobs.lakehouse.days import end_of_day
from jobs.lakehouse.errors import ConfigurationError, ContractError, DataError, LakehouseError, QualityGateError
from jobs.lakehouse.job import Job, NamedJob
from jobs.lakehouse.quality import DUPLICATE, REASONS, UNPARSEABLE, with_reject_reasons
from jobs.lakehouse.run import Run
from jobs.lakehouse.settings import ChurnSettings, DemandSettings, Settings
from tests.lakes import RUN_DATE, ledger_of, run_job, settings_in, table
from tests.rows import frame_of, row_of

CANARY = "canary yellow"


def making(rows: DataFrame, rows_in: int | None = None) -> NamedJob:
    """A job that replaces gold.things by these rows."""
    return NamedJob(
        "insight.make_things",
        "Make things.",
        Job(writes=("gold.things",)),
        lambda run: run.publish("gold.things", rows, rows_in=rows_in),
    )


@dataclass(frozen=True)
class Shop:
    """A lake into which things with good and bad rows were published once."""

    settings: Settings
    lake: Path
    things: Contract

    def rows(self, spark: SparkSession, *rows: dict[str, Any]) -> DataFrame:
        return frame_of(spark, self.things, *[row_of(self.things, **row) for row in rows]).coalesce(1)

    @property
    def path(self) -> str:
        return str(self.lake / "gold/things")


@pytest.fixture(scope="module")
def shop(spark: SparkSession, shop_conf: Path, things: Contract, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    folder = tmp_path_factory.mktemp("publish")
    shop = Shop(settings_in(folder, "shop", shop_conf), folder / "lake", things)
    rows = shop.rows(
        spark,
        {"thing_id": "good 1", "weight": 1, "colour": CANARY},
        {"thing_id": "good 2", "weight": 2},
        {"thing_id": "light", "weight": -1},
        {"thing_id": "void", "weight": None, "colour": 'say "hi",\n王'},
        {"thing_id": None, "weight": 0},
        {"thing_id": "good 2", "weight": 2},
    )
    is_copy: Column = F.monotonically_increasing_id() == 5
    run_job(spark, shop.settings, making(rows.withColumn(DUPLICATE, is_copy), rows_in=6))
    return shop


def test_good_rows_are_published_and_bad_ones_kept_with_their_reasons(spark: SparkSession, shop: Shop) -> None:
    assert {row["thing_id"] for row in DeltaTable(shop.path).to_pyarrow_table().to_pylist()} == {"good 1", "good 2"}
    rejected = DeltaTable(f"{shop.path}_rejected").to_pyarrow_table().to_pylist()
    by_id = {json.loads(row["record"]).get("thing_id"): row for row in rejected}
    assert {thing: sorted(row["reasons"]) for thing, row in by_id.items()} == {
        "light": ["weight_positive"],
        "void": ["weight_missing"],
        None: ["thing_id_missing", "weight_positive"],
    }
    assert json.loads(by_id["void"]["record"])["colour"] == 'say "hi",\n王'
    run = table(spark, shop.settings, "ops.runs").first()
    assert run is not None
    assert {row["_run_id"] for row in rejected} == {run["run_id"]}
    assert (run["rows_read"], run["rows_written"], run["rows_rejected"], run["rows_deduplicated"]) == (6, 2, 3, 1)
    assert run["outputs"][0].asDict() == {
        "table": "gold.things", "version": 1, "rows_written": 2, "rows_rejected": 3, "rows_deduplicated": 1
    }  # fmt: skip


def test_the_result_of_the_audit_is_kept_and_tells_no_value(shop: Shop) -> None:
    docs = shop.lake / "ops/data_docs"
    results = [file for file in docs.rglob("*.json") if "validations" in file.parts]
    assert len(results) == 1, f"one audit, one result below {docs}"
    told = json.loads(results[0].read_text())
    assert {entry["expectation_config"]["type"]: entry["success"] for entry in told["results"]} == {
        "expect_table_row_count_to_be_between": True,
        "expect_column_values_to_be_unique": True,
    }
    for file in docs.rglob("*"):
        assert not file.is_file() or CANARY.encode() not in file.read_bytes(), file


def test_nothing_staged_is_left_behind(shop: Shop) -> None:
    assert list((shop.lake / "_staging").glob("*")) == []


@pytest.mark.parametrize(
    ("rows", "rows_in", "told"),
    [
        ([{"weight": -1}], None, r"expect_table_row_count_to_be_between.*observed 0"),
        ([{"weight": 1}, {"weight": 2}], None, r"expect_column_values_to_be_unique.*thing_id"),
        ([{"weight": 1}], 2, r"2 rows went in, but 1 valid \+ 0 rejected \+ 0 duplicates = 1 came out"),
    ],
    ids=["too few rows", "key twice", "row lost"],
)
def test_a_failed_gate_leaves_the_table_as_it_was(
    spark: SparkSession, shop: Shop, rows: list[dict[str, Any]], rows_in: int | None, told: str
) -> None:
    before = DeltaTable(shop.path).version(), DeltaTable(f"{shop.path}_rejected").version()
    with pytest.raises(QualityGateError, match=rf"gold\.things: .*{told}") as caught:
        run_job(spark, shop.settings, making(shop.rows(spark, *rows), rows_in), force=True)
    assert caught.value.exit_code == 3
    assert (DeltaTable(shop.path).version(), DeltaTable(f"{shop.path}_rejected").version()) == before
    last = table(spark, shop.settings, "ops.runs").orderBy(F.desc("finished_at")).first()
    assert last is not None
    assert (last["outcome"], last["exit_code"], last["outputs"]) == ("failed", 3, [])
    assert last["message"].startswith("QualityGateError: gold.things: ")
    assert ledger_of(spark, shop.settings).good_versions() == {"gold.things": 1}
    audits = table(spark, shop.settings, "ops.audits").where(F.col("run_id") == last["run_id"]).collect()
    held = {row["expectation"].split("{")[0]: row["is_met"] for row in audits}
    broken = re.search(r"expect_\w+", told)
    assert [name for name, is_met in held.items() if not is_met] == ([broken[0]] if broken else [])


def test_a_clean_replacement_empties_the_rejected_table(spark: SparkSession, shop: Shop) -> None:
    result = run_job(spark, shop.settings, making(shop.rows(spark, {"weight": 1})), force=True)
    assert result.outcome == "done"
    assert DeltaTable(f"{shop.path}_rejected").to_pyarrow_table().num_rows == 0
    assert DeltaTable(f"{shop.path}_rejected", version=1).to_pyarrow_table().num_rows == 3


def test_reasons_add_up_and_none_is_told_twice(spark: SparkSession, things: Contract) -> None:
    known = F.when(F.col("thing_id") == "b", F.array(F.lit("weight_unreadable"))).when(
        F.col("thing_id") == "c", F.array(F.lit(UNPARSEABLE))
    )
    rows = frame_of(
        spark, things, *[row_of(things, thing_id=thing_id, weight=None) for thing_id in ("a", "b", "c")]
    ).withColumn(REASONS, F.coalesce(known, F.array().cast("array<string>")))
    found = {row["thing_id"]: row[REASONS] for row in with_reject_reasons(rows, things).collect()}
    assert found == {"a": ["weight_missing"], "b": ["weight_unreadable"], "c": [UNPARSEABLE]}


def undeclaring_run(spark: SparkSession, shop: Shop) -> Run:
    return Run(
        spark, shop.settings, "insight.count", RUN_DATE, "run", "fingerprint", ("gold.th*",), ("gold.counts",),
        (ChurnSettings,), {"gold.things": shop.things}, {},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("act", "error", "told"),
    [
        (lambda run: run.read("silver.orders"), ContractError, "reads silver.orders but does not declare it"),
        (lambda run: run.publish("gold.things", None), ContractError, "writes gold.things but does not declare it"),
        (lambda run: run.publish("gold.counts", None), ContractError, "gold.counts has no contract"),
        (lambda run: run.read("gold.things"), DataError, "gold.things was never published; run its job first"),
        (lambda run: run.part(DemandSettings), ConfigurationError, "does not declare DemandSettings"),
    ],
)
def test_a_job_gets_what_it_declares_and_nothing_else(
    spark: SparkSession, shop: Shop, act: Any, error: type[LakehouseError], told: str
) -> None:
    with pytest.raises(error, match=told):
        act(undeclaring_run(spark, shop))
    assert undeclaring_run(spark, shop).part(ChurnSettings) == shop.settings.churn


@pytest.mark.parametrize(
    ("zone", "end"),
    [
        ("UTC", "2025-12-29T00:00:00"),
        ("Asia/Shanghai", "2025-12-28T16:00:00"),
        ("America/New_York", "2025-12-29T05:00:00"),
    ],
)
def test_a_run_knows_what_happened_until_its_day_ended_where_the_business_is(zone: str, end: str) -> None:
    assert end_of_day(RUN_DATE, zone).isoformat() == end
