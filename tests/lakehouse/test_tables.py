"""Delta tables at paths: made from contracts, written in one commit, read at a version by any reader."""

import datetime as dt
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable
from pyspark.sql import DataFrame, SparkSession

from jobs.lakehouse.contracts import Contract, ContractColumn, RowRule
from jobs.lakehouse.errors import ConfigurationError, ContractError, DataError
from jobs.lakehouse.local_rows import empty_rows
from jobs.lakehouse.tables import (
    Lake,
    Mode,
    Write,
    conform,
    count_rows,
    date_slices,
    ensure_table,
    read_table,
    table_exists,
    table_version,
    write_table,
)
from tests.rows import frame_of, row_of

DAYS = [dt.date(2025, 1, day) for day in (1, 2, 3)]


def thing(contract: Contract, number: int, weight: int = 1, day: int = 1) -> dict[str, Any]:
    return row_of(contract, thing_id=f"t{number}", weight=weight, made_on=DAYS[day - 1])


def held(path: str, version: int | None = None) -> list[tuple[str, int]]:
    """Ids and weights, read without Spark."""
    rows = DeltaTable(path, version=version).to_pyarrow_table(columns=["thing_id", "weight"]).to_pylist()
    return sorted((row["thing_id"], row["weight"]) for row in rows)


@pytest.fixture
def path(spark: SparkSession, tmp_path: Path, things: Contract) -> str:
    """An empty table of things."""
    ensure_table(spark, f"{tmp_path}/things", things)
    return f"{tmp_path}/things"


def frame(spark: SparkSession, contract: Contract, *numbers_and_weights: tuple[int, ...]) -> DataFrame:
    return frame_of(spark, contract, *[thing(contract, *told) for told in numbers_and_weights]).coalesce(1)


def test_a_table_is_made_as_its_contract_says_and_is_plain_delta(
    spark: SparkSession, path: str, things: Contract
) -> None:
    table = DeltaTable(path)
    assert [field.name for field in table.schema().fields] == things.column_names
    assert {field.name: field.metadata["comment"] for field in table.schema().fields}["thing_id"] == "It's its id."
    assert [field.name for field in table.schema().fields if not field.nullable] == ["thing_id", "weight"]
    assert table.metadata().partition_columns == ["made_on"]
    assert table.metadata().description == "One row per thing."
    configuration = table.metadata().configuration
    assert configuration["delta.constraints.weight_positive"] == "coalesce(weight > 0, true)"
    assert configuration["delta.enableDeletionVectors"] == "false"
    assert table.protocol().reader_features in (None, [])
    with pytest.raises(Exception, match="weight_positive"):
        write_table(frame(spark, things, (1, -1)), path, Write("append"), (), "run")


def test_modes_of_writing_and_versions(spark: SparkSession, path: str, things: Contract) -> None:
    key = things.key
    write_table(frame(spark, things, (1, 1, 1), (2, 2, 2)), path, Write(), key, "run 1")
    write_table(frame(spark, things, (3, 3, 2)), path, date_slices("made_on", [DAYS[1]]), key, "run 2")
    assert held(path) == [("t1", 1), ("t3", 3)], "replace_where leaves the other days"
    write_table(frame(spark, things, (1, 10, 1), (4, 4, 3)), path, Write("merge"), key, "run 3")
    assert held(path) == [("t1", 10), ("t3", 3), ("t4", 4)], "merge updates by key and inserts"
    write_table(frame(spark, things, (1, 99, 1), (5, 5, 3)), path, Write("insert"), key, "run 4")
    assert held(path) == [("t1", 10), ("t3", 3), ("t4", 4), ("t5", 5)], "insert leaves what is there"
    for _ in range(2):
        write_table(frame(spark, things, (6, 6)), path, Write("append", transaction="slice 6"), key, "run 5")
    write_table(frame(spark, things, (7, 7)), path, Write("append", transaction="slice 0"), key, "run 6")
    assert held(path)[-2:] == [("t6", 6), ("t7", 7)], "a slice enters once, whatever the order of slices"
    assert table_version(spark, path) == 6

    assert read_table(spark, path, 1).count() == 2
    assert held(path, 2) == [("t1", 1), ("t3", 3)]
    assert DeltaTable(path).history(1)[0]["userMetadata"] == "run 6"


@pytest.mark.parametrize("mode", ["replace", "merge", "insert"])
def test_the_first_rows_of_a_table_are_added_and_later_ones_enter_as_they_should(
    spark: SparkSession, path: str, things: Contract, mode: Mode
) -> None:
    def how() -> str:
        (told,) = DeltaTable(path).history(1)
        return str(told["operationParameters"].get("mode", told["operation"]))

    write_table(frame(spark, things, (1, 1), (2, 2)), path, Write(mode), things.key, "run 1")
    assert held(path) == [("t1", 1), ("t2", 2)]
    assert how() == "Append"
    write_table(frame(spark, things, (1, 9), (3, 3)), path, Write(mode), things.key, "run 2")
    later = {"replace": [("t1", 9), ("t3", 3)], "merge": [("t1", 9), ("t2", 2), ("t3", 3)]}
    assert held(path) == later.get(mode, [("t1", 1), ("t2", 2), ("t3", 3)])
    assert how() == {"replace": "Overwrite"}.get(mode, "MERGE")


def test_rows_of_a_version_are_counted_with_the_checksum_of_its_commit_and_without(
    spark: SparkSession, path: str, things: Contract
) -> None:
    write_table(frame(spark, things, (1, 1), (2, 2)), path, Write("append"), things.key, "run 1")
    write_table(frame(spark, things, (3, 3)), path, Write("append"), things.key, "run 2")
    write_table(frame(spark, things, (1, 9)), path, Write("replace"), things.key, "run 3")
    assert [count_rows(spark, path, version) for version in range(4)] == [0, 2, 3, 1]
    log = Path(path, "_delta_log")
    told = json.loads((log / f"{1:020d}.crc").read_text())
    assert "allFiles" in told
    # A commit to a table of many files lists none, and other writers write no checksum at all. Hadoop's own go with them.
    for version in (1, 2):
        for checksum in (f"{version:020d}.crc", f".{version:020d}.crc.crc"):
            (log / checksum).unlink(missing_ok=True)
    (log / f"{1:020d}.crc").write_text(json.dumps({name: value for name, value in told.items() if name != "allFiles"}))
    assert [count_rows(spark, path, version) for version in range(4)] == [0, 2, 3, 1]


def test_a_table_that_is_not_there_is_missing_data(spark: SparkSession, tmp_path: Path) -> None:
    nowhere = str(tmp_path / "nowhere")
    assert not table_exists(spark, nowhere)
    assert table_version(spark, nowhere) is None
    with pytest.raises(DataError, match="run the job that writes it first") as caught:
        read_table(spark, nowhere)
    assert caught.value.exit_code == 5


def test_a_contract_grows_by_columns_and_breaks_by_nothing_else(
    spark: SparkSession, path: str, things: Contract
) -> None:
    write_table(frame(spark, things, (1, 1)), path, Write(), things.key, "run")
    before = table_version(spark, path)
    assert before is not None
    ensure_table(spark, path, things)
    assert table_version(spark, path) == before, "an unchanged contract makes no commit"

    quoted = ContractColumn("price_amount", "decimal(18,4)", "The shop's price; \\ is no escape.")
    grown = replace(things, columns=(*things.columns, quoted))
    ensure_table(spark, path, grown)
    assert table_version(spark, path) == before + 1
    field = DeltaTable(path).schema().fields[-1]
    assert (field.name, field.metadata["comment"]) == ("price_amount", quoted.comment)
    assert held(path) == [("t1", 1)]

    retyped = replace(
        things, columns=(*things.columns[:2], replace(things.columns[2], data_type="bigint"), *things.columns[3:])
    )
    for contract, told in ((things, "price_amount"), (replace(retyped, columns=(*retyped.columns, quoted)), "weight")):
        with pytest.raises(ContractError, match=f"breaks the table at .* in {told};.*jobs migrate"):
            ensure_table(spark, path, contract)
    assert table_version(spark, path) == before + 1


def test_a_table_follows_the_rules_of_its_contract(spark: SparkSession, path: str, things: Contract) -> None:
    write_table(frame(spark, things, (1, 1)), path, Write(), things.key, "run")
    relaxed = replace(things, row_rules=(RowRule("weight_known", "weight > -5"),))
    ensure_table(spark, path, relaxed)
    write_table(frame(spark, things, (2, -1)), path, Write("append"), (), "run")
    with pytest.raises(Exception, match="weight_known"):
        write_table(frame(spark, things, (3, -9)), path, Write("append"), (), "run")
    version = table_version(spark, path)
    ensure_table(spark, path, relaxed)
    assert table_version(spark, path) == version, "rules that are held make no commit"

    priced = replace(
        relaxed,
        columns=(*things.columns, ContractColumn("price", "int", "Price.")),
        row_rules=(*relaxed.row_rules, RowRule("price_positive", "price > 0")),
    )
    ensure_table(spark, path, priced)
    assert "delta.constraints.price_positive" in DeltaTable(path).metadata().configuration
    things = replace(priced, row_rules=things.row_rules)

    ensure_table(spark, path, things)
    write_table(frame(spark, things, (4, -1)), path, Write(), (), "run")
    assert held(path) == [("t4", -1)], "rows of before break the rule, which waits"
    write_table(frame(spark, things, (5, 5)), path, Write(), (), "run")
    ensure_table(spark, path, things)
    with pytest.raises(Exception, match="weight_positive"):
        write_table(frame(spark, things, (6, -1)), path, Write("append"), (), "run")


def test_rows_are_brought_into_the_contracts_order_and_types(spark: SparkSession, things: Contract) -> None:
    rows = spark.createDataFrame(
        [("red", "5", "t1", None)], "colour string, weight string, thing_id string, made_on date"
    )
    conformed = conform(rows, things)
    assert conformed.columns == things.column_names
    assert conformed.first() == ("t1", None, 5, "red")
    with pytest.raises(ContractError, match="missing colour; undeclared size"):
        conform(rows.withColumnRenamed("colour", "size"), things)
    assert conform(rows.selectExpr("*", "1 as _working"), things, ("_working", "_other")).columns[-1] == "_working"
    assert empty_rows(spark, things).columns == things.column_names


def test_a_table_lies_at_root_layer_name() -> None:
    lake = Lake("s3a://bucket/lake")
    assert lake.path("gold.things") == "s3a://bucket/lake/gold/things"
    assert lake.staging_path("insight.make", "gold.things") == "s3a://bucket/lake/_staging/insight.make/gold.things"


def test_locks_lie_in_a_folder_and_a_lake_that_is_none_is_refused() -> None:
    assert Lake("/lakes/shop").locks == Lake("file:/lakes/shop").locks == Path("/lakes/shop/_locks")
    assert Lake("lake/a:b").locks == Path("lake/a:b/_locks")
    with pytest.raises(ConfigurationError, match=r"the lake s3a://bucket/lake is no folder.*that the driver and all"):
        _ = Lake("s3a://bucket/lake").locks


def test_slices_name_their_days() -> None:
    assert date_slices("made_on", DAYS[:2]).condition == "made_on in (date'2025-01-01', date'2025-01-02')"
