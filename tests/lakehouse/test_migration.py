"""Migrations: a table that its contract breaks is written anew whole, or left as it is."""

from dataclasses import replace
from pathlib import Path

import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from jobs.__main__ import main
from jobs.lakehouse.contracts import Contract, ContractColumn, RowRule
from jobs.lakehouse.errors import DataError
from jobs.lakehouse.migration import migrated
from jobs.lakehouse.settings import Settings
from jobs.lakehouse.tables import Lake, ensure_table, table_version, write_table
from jobs.lakehouse.tables import Write as Writing
from tests.conftest import MakeSettings
from tests.lakes import ledger_of

OLD = Contract(
    table="gold.things",
    grain="One row per thing.",
    key=("thing_id",),
    columns=(
        ContractColumn("thing_id", "string", "Id.", is_required=True),
        ContractColumn("weight", "string", "Grams, as told."),
        ContractColumn("colour", "string", "Colour."),
    ),
    row_rules=(RowRule("colour_known", "colour <> ''"),),
)
NEW = replace(
    OLD,
    columns=(OLD.columns[0], ContractColumn("weight", "int", "Grams."), ContractColumn("made_on", "date", "Day.")),
    row_rules=(RowRule("weight_positive", "weight > 0"),),
)


@pytest.fixture
def lake(spark: SparkSession, settings: MakeSettings) -> Settings:
    """A lake with a table of things under the old contract."""
    made = settings()
    path = Lake(made.path("lake")).path(OLD.table)
    ensure_table(spark, path, OLD)
    rows = [("a", "7", "red"), ("b", None, "blue")]
    write_table(spark.createDataFrame(rows, OLD.schema), path, Writing(), OLD.key, "run")
    return made


def held(lake: Settings) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = DeltaTable(Lake(lake.path("lake")).path(OLD.table)).to_pyarrow_table().to_pylist()
    return sorted(rows, key=lambda row: str(row["thing_id"]))


def test_a_table_is_brought_under_its_contract_in_one_commit_and_once(spark: SparkSession, lake: Settings) -> None:
    path = Lake(lake.path("lake")).path(OLD.table)
    before = table_version(spark, path)
    (told,) = migrated(spark, lake, [NEW], dry_run=True)
    assert told == "gold.things: would be written anew without colour and weight as the contract types it"
    assert table_version(spark, path) == before
    (told,) = migrated(spark, lake, [NEW])
    assert told.endswith(f"version {before} has it as it was")
    assert held(lake) == [
        {"thing_id": "a", "weight": 7, "made_on": None}, {"thing_id": "b", "weight": None, "made_on": None},
    ]  # fmt: skip
    table = DeltaTable(path)
    assert {field.name: field.metadata["comment"] for field in table.schema().fields}["weight"] == "Grams."
    rules = [name for name in table.metadata().configuration if name.startswith("delta.constraints.")]
    assert rules == ["delta.constraints.weight_positive"]
    assert ledger_of(spark, lake).good_versions()[OLD.table] == table_version(spark, path), "jobs read what it left"
    (told,) = migrated(spark, lake, [NEW])
    assert told == "gold.things: already done, it fits its contract"


@pytest.mark.parametrize(
    ("value", "data_type", "told"),
    [("7.5 kg", "int", "1 values of weight can't be int"), ("2025-02-31", "date", "1 values of weight can't be date")],
)
def test_nothing_is_written_where_a_value_would_be_lost(
    spark: SparkSession, lake: Settings, value: str, data_type: str, told: str
) -> None:
    path = Lake(lake.path("lake")).path(OLD.table)
    write_table(spark.createDataFrame([("c", value, "red")], OLD.schema), path, Writing(), OLD.key, "run")
    before = held(lake)
    retyped = replace(NEW, columns=(OLD.columns[0], replace(OLD.columns[1], data_type=data_type)))
    with pytest.raises(DataError, match=told):
        list(migrated(spark, lake, [retyped]))
    assert held(lake) == before


def test_a_fraction_that_a_whole_number_would_drop_is_a_loss(spark: SparkSession, lake: Settings) -> None:
    weights = replace(
        OLD, table="gold.weights", columns=(replace(OLD.columns[1], data_type="double"),), row_rules=(), key=()
    )
    path = Lake(lake.path("lake")).path(weights.table)
    ensure_table(spark, path, weights)
    whole = replace(weights, columns=(replace(OLD.columns[1], data_type="int"),))
    write_table(spark.createDataFrame([(7.5,), (2.0,)], weights.schema), path, Writing(), (), "run")
    with pytest.raises(DataError, match="1 values of weight can't be int without loss"):
        list(migrated(spark, lake, [whole]))


@pytest.mark.parametrize(
    ("table", "code", "told"), [("gold.nothing", 2, "no contract"), ("gold.customers", 5, "there is no table")]
)
def test_the_command_says_what_is_not_there(
    spark: SparkSession, tmp_path: Path, table: str, code: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["migrate", table, "--lake", str(tmp_path / "lake")]) == code
    assert told in capsys.readouterr().err
