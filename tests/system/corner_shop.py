"""A corner shop: one feed, a year, a hundred customers; commands on it in this process or another, and its tables without Spark."""

import csv
import json
import os
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable
from pyarrow import parquet

from jobs.__main__ import main
from tests.lakes import KEY, SPARK_CONF, conf_with

CHECKOUT = Path(__file__).parents[2]
DATASET = "corner_shop"
FIRST_DATE, LAST_DATE = date(2024, 12, 1), date(2024, 12, 29)
# The jobs that tests of faults run: every kind of write, and what depends on the run date.
DATA_JOBS = (
    "load_files",
    "clean_accounts",
    "clean_events",
    "clean_order_lines",
    "collect_identifiers",
    "resolve_customers",
    "build_customer_features",
)
FIELDS = ("receipt_no", "line_no", "sold_at", "card_no", "phone", "store", "sku", "quantity", "price", "exported_at")
FEED: Mapping[str, Any] = {
    "files": "tills/*.csv",
    "time_zone": "Asia/Shanghai",
    "arrival": "try_to_timestamp(exported_at)",
    "fields": [
        {"name": name, "description": f"{name}.", **({"personal": "phone"} if name == "phone" else {})}
        for name in FIELDS
    ],
    "tables": {
        "order_lines": {
            "columns": {
                "order_line_id": "concat(receipt_no, ':', line_no)",
                "order_id": "receipt_no",
                "account_id": "concat('card:', card_no)",
                "store_id": "store",
                "channel": "'store'",
                "product_id": "sku",
                "ordered_at": {"local": "sold_at"},
                "line_kind": "'product'",
                "quantity": "quantity",
                "unit_price_amount": "price",
                "currency_code": "'CNY'",
            }
        },
        "accounts": {
            "where": "card_no is not null",
            "columns": {
                "account_id": "concat('card:', card_no)",
                "account_kind": "'card'",
                "phone_token": "phone_token",
                "phone_masked": "phone_masked",
            },
        },
        "products": {"columns": {"product_id": "sku", "currency_code": "'CNY'", "category": "left(sku, 1)"}},
        "stores": {"columns": {"store_id": "store", "channel": "'store'"}},
    },
}
SETTINGS = {
    # The marks have tests of their own; without them these jobs are enough for features.
    "FEATURES__EXCLUDE_FLAGGED": "false",
    "FEATURES__PANEL_DATES": "6",
    "CHURN__MIN_TRAINING_ROWS": "20",
    "CHURN__ROUNDS": "10",
    "CHURN__BOOTSTRAP_REPLICATES": "20",
    "DEMAND__MIN_TRAINING_ROWS": "20",
    "DEMAND__ROUNDS": "10",
    "DEMAND__MIN_UNITS": "2",
    "DEMAND__ORIGINS": "30",
    "DEMAND__BOOTSTRAP_REPLICATES": "20",
}


def till_lines(customers: int = 100, weeks: int = 52, seed: int = 20241229) -> Iterator[dict[str, str]]:
    """One row per line of a receipt: card holders who come at their own pace until they stop, and guests; some dirt."""
    draw = random.Random(seed)
    opening = datetime(2024, 1, 1)
    receipt = 0
    for customer in range(customers):
        pace_days, stops_after = draw.uniform(5, 40), draw.expovariate(1 / 500)
        day = draw.uniform(0, 150)
        while day < min(stops_after + 60, 7 * weeks):
            receipt += 1
            sold_at = opening + timedelta(days=day, hours=draw.uniform(0, 3) - 12 * (day % 1) / 24)
            # Two cards in one hand share a phone; every tenth customer pays without a card.
            card = f"{customer}{draw.choice('ab')}" if customer % 7 == 0 else str(customer)
            exported_at = sold_at + timedelta(days=draw.choice([0.2] * 9 + [4.0]))
            for number in range(draw.choice([1, 1, 2])):
                yield {
                    "receipt_no": f"R{receipt}",
                    "line_no": str(number),
                    "sold_at": f"{sold_at:%Y-%m-%d %H:%M:%S}",
                    "card_no": card if customer % 10 else "",
                    "phone": f"138{customer:08d}" if customer % 10 else "",
                    "store": f"S{1 + customer % 2}",
                    "sku": draw.choice(["A1", "A2", "B1", "B2"]),
                    "quantity": str(draw.choice([1, 1, 2, 3])),
                    "price": "abc" if receipt % 400 == 0 else f"{draw.choice([2, 3, 5])}.50",
                    "exported_at": f"{exported_at:%Y-%m-%d %H:%M:%S}",
                }
            day += draw.expovariate(1 / pace_days)


def deliver(data: Path) -> None:
    """Write the lines, a file per month of their export; the first lines of each month come again with the next file."""
    by_month: dict[str, list[dict[str, str]]] = {}
    for line in till_lines():
        by_month.setdefault(line["exported_at"][:7], []).append(line)
    again: list[dict[str, str]] = []
    (data / "tills").mkdir(parents=True)
    for month, lines in sorted(by_month.items()):
        lines.sort(key=lambda line: (line["exported_at"], line["receipt_no"], line["line_no"]))
        with (data / "tills" / f"tills-{month}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
            writer.writeheader()
            writer.writerows([*lines, *again])
        again = lines[:3]


@dataclass(frozen=True)
class CornerShop:
    """The folder in which all of the shop lies: configuration, raw files, MLflow's store, lakes."""

    folder: Path

    @classmethod
    def opened(cls, folder: Path) -> "CornerShop":
        """The shop with its configuration and its raw files."""
        conf_with(folder, DATASET, {"tills": FEED}, calendar={"time_zone": "Asia/Shanghai", "currency_code": "CNY"})
        shop = cls(folder)
        deliver(shop.data)
        return shop

    @property
    def data(self) -> Path:
        """The raw files."""
        return self.folder / "data"

    @property
    def conf_dir(self) -> Path:
        """The configuration, with this dataset alone."""
        return self.folder / "conf"

    def variables(self, lake: Path) -> dict[str, str]:
        """What the environment of a command says of the lake, of where things lie, and of a light Spark."""
        told = {
            **SETTINGS,
            "PATHS__LAKE": str(lake),
            "PATHS__DATA": str(self.data),
            "PATHS__JARS": str(CHECKOUT / "jars"),
            "TRACKING__URI": f"sqlite:///{self.folder}/mlflow.db",
            "TRACKING__ARTIFACTS": str(self.folder / "mlflow"),
            "SPARK__CONF": json.dumps({**SPARK_CONF, "spark.sql.warehouse.dir": f"{self.folder}/warehouse"}),
        }
        return {"LAKEHOUSE_KEY": KEY, **{f"LAKEHOUSE__{name}": value for name, value in told.items()}}

    def environment(self, lake: Path, **more: str) -> dict[str, str]:
        """The whole environment of a process of its own."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("LAKEHOUSE_")}
        return {**kept, **self.variables(lake), **more}

    def command(self, *words: str, run_date: date = LAST_DATE, data: Path | None = None) -> list[str]:
        """The words of `python -m jobs run` that ask for these jobs or options."""
        where = [*(["--data", str(data)] if data else []), "--conf-dir", str(self.conf_dir)]
        return ["run", *words, "--dataset", DATASET, "--run-date", str(run_date), *where]

    def run(self, lake: Path, *words: str, run_date: date = LAST_DATE, data: Path | None = None) -> None:
        """Run jobs in this process, in the Spark session that it has; they must all end well."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.variables(lake).items():
                patch.setenv(name, value)
            assert main(self.command(*words, run_date=run_date, data=data)) == 0


@cache
def shop_in(folder: Path) -> CornerShop:
    """The one shop of a test run."""
    return CornerShop.opened(folder / DATASET)


@cache
def undisturbed_lake(shop: CornerShop) -> Path:
    """The lake that the data jobs leave when nothing disturbs them, made once in this process; tests read it."""
    lake = shop.folder / "undisturbed"
    shop.run(lake, *DATA_JOBS)
    return lake


def tables_of(lake: Path) -> list[str]:
    """Every table of a lake but those that tell of its runs, which differ from run to run."""
    return sorted({*all_tables_of(lake)} - {"ops.runs", "ops.audits"})


def all_tables_of(lake: Path) -> list[str]:
    """Every table of a lake."""
    return sorted(f"{log.parents[1].name}.{log.parent.name}" for log in lake.glob("*/*/_delta_log"))


def opened(lake: Path, table: str) -> DeltaTable:
    """A table as the deltalake library opens it, without Spark."""
    return DeltaTable(str(lake.joinpath(*table.split("."))))


def rows_of(lake: Path, table: str) -> list[str]:
    """The rows of a table in all columns without a leading underscore, as sorted text."""
    held = opened(lake, table)
    columns = [field.name for field in held.schema().fields if not field.name.startswith("_")]
    return sorted(map(repr, held.to_pyarrow_table(columns=columns).to_pylist()))


def differences(lake: Path, reference: Path, tables: Iterable[str] | None = None) -> dict[str, str]:
    """The tables that are not equal row for row in two lakes, by name, with what differs."""
    told = {}
    for table in tables or sorted({*tables_of(lake), *tables_of(reference)}):
        if not all((root / table.replace(".", "/")).exists() for root in (lake, reference)):
            told[table] = "is in one lake only"
            continue
        found, wanted = Counter(rows_of(lake, table)), Counter(rows_of(reference, table))
        lost, extra = list((wanted - found).elements()), list((found - wanted).elements())
        if lost or extra:
            told[table] = f"{len(lost)} rows lost, {len(extra)} too many, such as {[*lost[:1], *extra[:1]]}"
    return told


def transactions_committed_twice(lake: Path) -> list[str]:
    """The transactions (table, txnAppId, txnVersion) that a Delta log holds more than once."""
    held = Counter(
        f"{table} {action['txn']['appId']} {action['txn']['version']}"
        for table in all_tables_of(lake)
        for commit in lake.joinpath(*table.split("."), "_delta_log").glob("*.json")
        for action in map(json.loads, commit.read_text("utf-8").splitlines())
        if "txn" in action
    )
    return [transaction for transaction, count in held.items() if count > 1]


def deliveries_committed_twice(lake: Path) -> list[str]:
    """The deliveries (table, delivery id) whose rows more than one commit added to bronze."""
    held = Counter(
        delivery
        for log in lake.glob("bronze/*/_delta_log")
        for commit in log.glob("*.json")
        for delivery in {
            f"{log.parent.name} {row['_delivery_id']}"
            for action in map(json.loads, commit.read_text("utf-8").splitlines())
            if "add" in action
            for row in parquet.read_table(log.parent / action["add"]["path"], columns=["_delivery_id"]).to_pylist()
        }
    )
    return [delivery for delivery, count in held.items() if count > 1]


def unaccounted_versions(lake: Path) -> list[str]:
    """The tables whose newest version no successful run in the ledger left."""
    runs = opened(lake, "ops.runs").to_pyarrow_table(columns=["outcome", "outputs"]).to_pylist()
    good = {
        (output["table"], output["version"])
        for run in runs
        if run["outcome"] == "succeeded"
        for output in run["outputs"]
    }
    told = [table for table in tables_of(lake) if not table.endswith("_rejected")]
    return [table for table in told if (table, opened(lake, table).version()) not in good]


def unbalanced_runs(lake: Path, outcomes: tuple[str, ...] = ("succeeded",)) -> list[tuple[str, int, int]]:
    """The runs of loads and cleanings that so ended, whose rows in are not the rows valid, rejected and repeated: job, both numbers."""
    columns = ["job", "outcome", "rows_read", "outputs"]
    found = []
    for run in opened(lake, "ops.runs").to_pyarrow_table(columns=columns).to_pylist():
        layer = {"load": "bronze.", "stream": "bronze.", "clean": "silver."}.get(run["job"].split(".")[1].split("_")[0])
        if layer is None or run["outcome"] not in outcomes:
            continue
        kinds = ("rows_written", "rows_rejected", "rows_deduplicated")
        told = [output[kind] for output in run["outputs"] if output["table"].startswith(layer) for kind in kinds]
        if run["rows_read"] != sum(told):
            found.append((run["job"], run["rows_read"], sum(told)))
    return found
