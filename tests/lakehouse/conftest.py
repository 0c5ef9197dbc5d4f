"""A small shop for the tests of the lakehouse room: one feed, and contracts of the tests' own: `gold.things` and `gold.marks`."""

from pathlib import Path

import pytest
import yaml

from jobs.lakehouse.contracts import Contract, read_contract
from tests.lakes import conf_with

FEED = {
    "files": "things/*.csv",
    "arrival": "now",
    "fields": [{"name": "thing_id", "description": "Id."}],
    "tables": {"products": {"columns": {"product_id": "thing_id"}}},
}
THINGS = {
    "apiVersion": "v3.1.0",
    "kind": "DataContract",
    "id": "gold.things",
    "version": "1.0.0",
    "status": "active",
    "description": {"purpose": "One row per thing."},
    "schema": [
        {
            "name": "things",
            "physicalType": "table",
            "properties": [
                {"name": "thing_id", "physicalType": "string", "primaryKey": True, "description": "It's its id."},
                {
                    "name": "made_on",
                    "physicalType": "date",
                    "partitioned": True,
                    "partitionKeyPosition": 1,
                    "description": "Day it was made.",
                },
                {
                    "name": "weight",
                    "physicalType": "int",
                    "required": True,
                    "description": "Weight.",
                    "customProperties": [{"property": "unit", "value": "g"}],
                    "quality": [{"type": "sql", "name": "weight_positive", "severity": "error", "query": "weight > 0"}],
                },
                {"name": "colour", "physicalType": "string", "description": "Colour."},
            ],
            "quality": [
                {
                    "type": "custom",
                    "engine": "greatExpectations",
                    "implementation": {
                        "type": "expect_table_row_count_to_be_between",
                        "kwargs": {"min_value": 1},
                    },
                }
            ],
        }
    ],
}

# A table without key or rules: nothing of it is audited, so that tests about other things are quick.
MARKS = {
    **{key: value for key, value in THINGS.items() if key != "schema"},
    "id": "gold.marks",
    "description": {"purpose": "One row per mark."},
    "schema": [
        {
            "name": "marks",
            "physicalType": "table",
            "properties": [{"name": "mark", "physicalType": "int", "description": "Mark."}],
        }
    ],
}


@pytest.fixture(scope="session")
def shop_conf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration folder with the dataset `shop` and the contracts of gold.things and gold.marks."""
    conf_dir = conf_with(tmp_path_factory.mktemp("shop"), "shop", {"things": FEED})
    for name, contract in (("things", THINGS), ("marks", MARKS)):
        (conf_dir / f"contracts/gold/{name}.yaml").write_text(yaml.safe_dump(contract, sort_keys=False), "utf-8")
    return conf_dir


@pytest.fixture(scope="session")
def things(shop_conf: Path) -> Contract:
    """The contract of gold.things."""
    return read_contract(shop_conf / "contracts/gold/things.yaml")
