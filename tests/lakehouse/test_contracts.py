"""Contracts: every one that ships is whole and says what it means; one with a fault is refused by name."""

import copy
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from pyspark.sql import SparkSession
from pyspark.sql.types import BooleanType, DateType, DecimalType, TimestampType

from jobs.lakehouse.contracts import Contract, read_contract, read_contracts, rejected_contract, split_table
from jobs.lakehouse.errors import ContractError
from tests.lakehouse.conftest import THINGS
from tests.rows import CONF_DIR, contract_of

EVERY = [pytest.param(contract, id=table) for table, contract in read_contracts(CONF_DIR).items()]


def written(folder: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """The file of gold.things after a change."""
    content = copy.deepcopy(THINGS)
    change(content)
    file = folder / "gold" / "things.yaml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(yaml.safe_dump(content, sort_keys=False), "utf-8")
    return file


def test_there_is_a_contract_for_each_file() -> None:
    assert set(read_contracts(CONF_DIR)) == {
        f"{file.parent.name}.{file.stem}" for file in CONF_DIR.glob("contracts/*/*.yaml")
    }
    assert {table.split(".")[0] for table in read_contracts(CONF_DIR)} == {"silver", "gold", "ops", "vault"}


@pytest.mark.parametrize("contract", EVERY)
def test_a_contract_says_what_a_row_and_each_column_mean(contract: Contract) -> None:
    assert contract.grain.startswith("One row per"), contract.grain
    assert contract.key, "a table without a key can't say what one row means"
    for column in contract.columns:
        assert len(column.comment) > 2, column.name
        assert column.comment.endswith("."), f"{column.name}: {column.comment}"
        assert re.fullmatch(r"_?[a-z][a-z0-9_]*", column.name), column.name
    names = contract.column_names
    assert len(set(names)) == len(names)
    technical = [name.startswith("_") for name in names]
    assert technical == sorted(technical), "technical columns come last"
    assert all(column.is_required for column in contract.columns if column.name in contract.key)


@pytest.mark.parametrize("contract", EVERY)
def test_types_are_known_to_spark_and_follow_the_names(spark: SparkSession, contract: Contract) -> None:
    assert contract.schema.fieldNames() == contract.column_names
    for field in contract.schema:
        expected = (
            TimestampType
            if re.search(r"_at$|^valid_(from|to)$", field.name)
            else DateType
            if field.name.endswith("_date")
            else DecimalType
            if field.name.endswith("_amount")
            else None
        )
        assert expected is None or isinstance(field.dataType, expected), f"{field.name} is {field.dataType}"
        if re.match(r"(is|has)_", field.name) and field.name != "is_churned":  # a label is a number
            assert isinstance(field.dataType, BooleanType), field.name
        assert field.metadata["comment"]


@pytest.mark.parametrize("contract", EVERY)
def test_personal_columns_are_classified_by_what_they_hold(contract: Contract) -> None:
    expected = {"_masked": "personal-masked", "_token": "personal-token", "_ciphertext": "personal-sealed"}
    for column in contract.columns:
        for ending, classification in expected.items():
            if column.name.endswith(ending):
                assert column.classification == classification, column.name
    if contract.table.startswith("gold."):
        assert not [column.name for column in contract.columns if column.classification == "personal-sealed"]


@pytest.mark.parametrize("contract", EVERY)
def test_rules_have_names_of_their_own_and_expectations_exist(contract: Contract) -> None:
    import great_expectations as gx

    names = [rule.name for rule in contract.row_rules]
    assert len(set(names)) == len(names)
    for rule in contract.critical_expectations:
        assert hasattr(gx.expectations, "".join(word.capitalize() for word in rule.type.split("_"))), rule.type


def test_a_contract_is_read_whole(things: Contract) -> None:
    assert things.table == "gold.things"
    assert things.key == ("thing_id",)
    assert things.partition_columns == ("made_on",)
    assert things.column_names == ["thing_id", "made_on", "weight", "colour"]
    assert [(rule.name, rule.condition) for rule in things.row_rules] == [("weight_positive", "weight > 0")]
    assert [rule.type for rule in things.critical_expectations] == [
        "expect_table_row_count_to_be_between",
        "expect_column_values_to_be_unique",
    ]
    assert {column.name: column.unit for column in things.columns if column.unit} == {"weight": "g"}


def test_a_key_of_several_columns_must_be_unique_together() -> None:
    rules = list(contract_of("silver.order_lines").critical_expectations)
    assert rules[-1].kwargs == {"column_list": ["order_line_id", "revision"]}


def schema_of(content: dict[str, Any]) -> dict[str, Any]:
    described: dict[str, Any] = content["schema"][0]
    return described


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda c: c.update(owner="me"), r"(?s)is no data contract.*owner.*not permitted"),
        (lambda c: schema_of(c)["properties"][2].update(requird=True), r"schema\.0\.properties\.2\.requird"),
        (lambda c: c.update(id="gold.other"), "its id must be 'gold.things' .is 'gold.other'"),
        (lambda c: c.pop("description"), "description.purpose must say"),
        (lambda c: schema_of(c)["properties"][1].pop("description"), "column 'made_on' needs a name, a physicalType"),
        (lambda c: schema_of(c)["properties"][1].pop("physicalType"), "column 'made_on' needs a name, a physicalType"),
        (lambda c: schema_of(c)["properties"][2]["quality"][0].pop("name"), "row rule of column weight needs"),
        (lambda c: schema_of(c)["quality"][0].update(engine="soda"), "a table rule needs type custom"),
        (lambda c: c["schema"].append(schema_of(c)), "it must describe one table"),
    ],
)
def test_a_contract_with_a_fault_is_refused_by_what_is_wrong(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], told: str
) -> None:
    with pytest.raises(ContractError, match=told) as caught:
        read_contract(written(tmp_path, change))
    assert "gold/things.yaml" in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_file_that_is_not_yaml_is_refused(tmp_path: Path) -> None:
    file = written(tmp_path, lambda c: None)
    file.write_text("schema: [", "utf-8")
    with pytest.raises(ContractError, match="is no data contract"):
        read_contract(file)


@pytest.mark.parametrize("table", ["things", "copper.things", "gold.", "gold.a b", "gold.a.b"])
def test_a_name_that_is_no_table_is_refused(table: str) -> None:
    with pytest.raises(ContractError, match=r"is no table; tables are named <layer>\.<name>"):
        split_table(table)


def test_the_rejected_table_keeps_record_and_reasons(things: Contract) -> None:
    rejected = rejected_contract(things)
    assert rejected.table == "gold.things_rejected"
    assert rejected.column_names == ["_record_id", "reasons", "record", "_run_id"]


@pytest.mark.long
def test_a_broken_contract_ends_the_program_with_2(tmp_path: Path, shop_conf: Path) -> None:
    conf_dir = tmp_path / "conf"
    shutil.copytree(shop_conf, conf_dir)
    with (conf_dir / "contracts/gold/things.yaml").open("a", encoding="utf-8") as file:
        file.write("owner: me\n")
    options = ["--dataset", "shop", "--conf-dir", str(conf_dir), "--lake", str(tmp_path / "lake")]
    ended = subprocess.run(
        [sys.executable, "-m", "jobs", "run", "clean_products", *options],
        capture_output=True,
        text=True,
        cwd=CONF_DIR.parent,
        env=os.environ,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 2, ended.stderr
    assert "contracts/gold/things.yaml is no data contract" in ended.stderr
    assert "owner" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "lake" / "silver").exists()
