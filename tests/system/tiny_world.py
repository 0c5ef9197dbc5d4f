"""A world small enough for tests, the commands that are given for it, and its tables as an independent reader sees them."""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from jobs.__main__ import all_jobs, main
from tests.lakes import KEY, SPARK_CONF

CHECKOUT = Path(__file__).parents[2]
FIRST_DATE, LAST_DATE = date(2024, 12, 1), date(2024, 12, 29)
WORLD = {
    "WORLD__CUSTOMERS": "150",
    "WORLD__WEEKS": "52",
    "WORLD__PRODUCTS": "6",
    "WORLD__STORES": "2",
    "WORLD__TRUTH_WEEKS_AHEAD": "11",
    "FEATURES__PANEL_DATES": "6",
    "CHURN__MIN_TRAINING_ROWS": "20",
    "CHURN__ROUNDS": "10",
    "CHURN__BOOTSTRAP_REPLICATES": "20",
    "DEMAND__MIN_TRAINING_ROWS": "20",
    "DEMAND__ROUNDS": "10",
    "DEMAND__MIN_UNITS": "2",
    "DEMAND__BOOTSTRAP_REPLICATES": "20",
}
# The ledger tells of runs and the scoreboard of models; both differ where runs do.
NOT_DATA = ("ops.runs",)


@dataclass(frozen=True)
class TinyWorld:
    """The folder in which a tiny world lies: raw files and truth, MLflow's store, and one or more lakes."""

    folder: Path

    @property
    def data(self) -> Path:
        """The raw files."""
        return self.folder / "data"

    @property
    def lake(self) -> Path:
        """The lake that every test may read and none may write."""
        return self.folder / "lake"

    @property
    def variables(self) -> dict[str, str]:
        """What the environment of a command says of the world, of where things lie, and of a light Spark."""
        spark_conf = {**SPARK_CONF, "spark.sql.warehouse.dir": f"{self.folder}/warehouse"}
        told = {
            **WORLD,
            "PATHS__LAKE": str(self.lake),
            "PATHS__DATA": str(self.data),
            "PATHS__TRUTH": str(self.folder / "truth"),
            "PATHS__JARS": str(CHECKOUT / "jars"),
            "TRACKING__URI": f"sqlite:///{self.folder}/mlflow.db",
            "TRACKING__ARTIFACTS": str(self.folder / "mlflow"),
            "SPARK__CONF": json.dumps(spark_conf),
        }
        return {"LAKEHOUSE_KEY": KEY, **{f"LAKEHOUSE__{name}": value for name, value in told.items()}}

    def environment(self, **more: str) -> dict[str, str]:
        """The whole environment of a process of its own."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("LAKEHOUSE_")}
        return {**kept, **self.variables, **more}

    def run(self, *words: str) -> int:
        """Give a command of `python -m jobs` in this process, whose Spark session it takes, and tell its exit code."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.variables.items():
                patch.setenv(name, value)
            return main([*words])


def jobs_before_training() -> list[str]:
    """The jobs whose tables depend on raw files and run dates alone: ingest to insight."""
    stages = ("ingest", "identity", "features", "insight")
    return [name for name in all_jobs() if name.split(".")[0] in stages]


def tables_of(lake: Path) -> list[str]:
    """Every table of a lake."""
    return sorted(f"{log.parents[1].name}.{log.parent.name}" for log in lake.glob("*/*/_delta_log"))


def rows_of(lake: Path, table: str, columns: Iterable[str] | None = None) -> list[str]:
    """The rows of a table in all columns without a leading underscore, sorted, read without Spark."""
    held = DeltaTable(str(lake.joinpath(*table.split("."))))
    told = [field.name for field in held.schema().fields if not field.name.startswith("_")]
    return sorted(map(repr, held.to_pyarrow_table(columns=list(columns or told)).to_pylist()))


def differing_tables(lake: Path, reference: Path, tables: Iterable[str] | None = None) -> dict[str, str]:
    """The tables that are not equal row for row in two lakes, each with how many rows are missing and too many."""
    told = {}
    for table in tables or sorted({*tables_of(lake), *tables_of(reference)} - {*NOT_DATA}):
        found, wanted = rows_of(lake, table), rows_of(reference, table)
        if found != wanted:
            lost, extra = _without(wanted, found), _without(found, wanted)
            told[table] = f"{len(lost)} rows lost, {len(extra)} too many of {len(wanted)}: {[*lost[:1], *extra[:1]]}"
    return told


def transactions_committed_twice(lake: Path) -> list[tuple[str, str, int]]:
    """The (table, txnAppId, txnVersion) that a Delta log holds more than once."""
    seen: set[tuple[str, str, int]] = set()
    twice = []
    for table in tables_of(lake):
        for action in _log_actions(lake.joinpath(*table.split("."))):
            if transaction := action.get("txn"):
                told = (table, transaction["appId"], transaction["version"])
                twice += [told] if told in seen else []
                seen.add(told)
    return twice


def _log_actions(table: Path) -> Iterable[Mapping[str, Any]]:
    for commit in sorted(table.glob("_delta_log/*.json")):
        yield from map(json.loads, commit.read_text("utf-8").splitlines())


def _without(some: list[str], others: list[str]) -> list[str]:
    from collections import Counter

    return list((Counter(some) - Counter(others)).elements())
