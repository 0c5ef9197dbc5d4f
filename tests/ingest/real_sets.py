"""Real public data sets for tests: their lakes, each filled once by the command line, and DuckDB over the raw files as the oracle."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml
from deltalake import DeltaTable

from jobs.__main__ import main
from tests.lakes import SPARK_CONF
from tests.rows import CONF_DIR

# Of the big files a part is taken: SQL over the raw file that keeps some rows. `make test-sets WHOLE=1` takes them whole.
WHOLE = bool(os.environ.get("LAKEHOUSE_WHOLE_SETS"))
OLIST_ORDERS = "read_csv('{folder}/olist_orders_dataset.csv.gz', all_varchar = true)"
SOME_ORDERS = "FROM raw WHERE starts_with(order_id, '0')"
SOME_PRODUCTS = "FROM raw WHERE product_id LIKE '%1'"
CUTS: Mapping[str, Mapping[str, str]] = {
    "olist": {
        "olist_orders_dataset.csv.gz": SOME_ORDERS,
        "olist_order_items_dataset.csv.gz": SOME_ORDERS,
        "olist_order_payments_dataset.csv.gz": SOME_ORDERS,
        "olist_customers_dataset.csv.gz": f"FROM raw WHERE customer_id IN (SELECT customer_id {SOME_ORDERS.replace('raw', OLIST_ORDERS)})",
        "olist_geolocation_dataset.csv.gz": "FROM raw LIMIT 20000",
    },
    "complete-journey-sample": {
        "transactions_sample.csv.gz": SOME_PRODUCTS,
        "products.csv.gz": SOME_PRODUCTS,
        "coupons.csv.gz": SOME_PRODUCTS,
        "promotions_sample.csv.gz": "FROM raw WHERE week IN ('1', '2', '53')",
    },
    "m5-monthly": {
        "monthly_sales.parquet": "FROM raw WHERE item_id = 'FOODS_1_001' OR (store_id = 'CA_1' AND dept_id = 'FOODS_1')",
        "sell_prices.parquet": "FROM raw WHERE store_id = 'CA_1' AND starts_with(item_id, 'FOODS_1_')",
    },
    "dominicks-orange-juice": {"yx.csv.gz": "FROM raw WHERE store IN ('2', '5', '8', '9', '12', '14')"},
}
INGEST = [
    f"ingest.{file.stem}"
    for file in sorted((CONF_DIR.parent / "jobs/ingest").glob("clean_*.py"))
    if file.stem != "clean_events"
]


@dataclass(frozen=True)
class RealSet:
    """A data set in a lake of its own, its raw files as they were loaded, and both as DuckDB sees them."""

    lake: Path
    data: Path
    database: duckdb.DuckDBPyConnection = field(default_factory=duckdb.connect)

    def query(self, sql: str) -> Any:
        """The rows that a query gives; `<layer>_<table>` is a table of the lake, a view is a raw file."""
        return self.database.execute(sql).fetchall()

    def one(self, sql: str) -> Any:
        """The first row of a query, or its only value."""
        (row,) = self.query(sql)
        return row[0] if len(row) == 1 else row

    def outputs(self) -> dict[str, tuple[int, int, int]]:
        """Rows valid, rejected and repeated of every table, as the ledger has them."""
        runs = DeltaTable(self.lake / "ops/runs").to_pyarrow_table().to_pylist()
        return {
            output["table"]: (output["rows_written"], output["rows_rejected"], output["rows_deduplicated"])
            for run in runs
            for output in run["outputs"]
        }


def loaded_set(folder: Path, test_data: Path, name: str, jobs: list[str], views: Mapping[str, str]) -> RealSet:
    """Run jobs on a data set and make its raw files views: `view` to a file, with options of DuckDB's reader after a `?`."""
    raw = test_data / name
    if not raw.is_dir():
        pytest.skip(f"no real data set at {raw}; name the folder above it by LAKEHOUSE_TEST_DATA")
    data = _delivered(folder, raw, {} if WHOLE else CUTS.get(name, {}))
    place = [
        "--dataset",
        name,
        "--conf-dir",
        str(_light_conf(folder)),
        "--lake",
        str(folder / "lake"),
        "--data",
        str(data),
    ]
    assert main(["run", *jobs, *place]) == 0
    made = RealSet(folder / "lake", data)
    made.database.execute("SET TimeZone = 'UTC'")
    for view, file in views.items():
        made.database.execute(f"CREATE VIEW {view} AS FROM {_reader(data, file)}")
    for path in sorted((folder / "lake").glob("*/*")):
        if (path / "_delta_log").is_dir():
            made.database.register(f"{path.parent.name}_{path.name}", DeltaTable(path).to_pyarrow_dataset())
    return made


def _delivered(folder: Path, raw: Path, cuts: Mapping[str, str]) -> Path:
    """The set's files in a folder: as they are, or cut."""
    data = folder / "data"
    data.mkdir()
    for file in sorted(raw.iterdir()):
        if file.name not in cuts:
            (data / file.name).symlink_to(file)
            continue
        database = duckdb.connect()
        database.execute(f"CREATE VIEW raw AS FROM {_reader(raw, file.name)}")
        kept = data / file.name.removesuffix(".gz")
        options = "FORMAT parquet" if kept.suffix == ".parquet" else "HEADER"
        database.execute(f"COPY ({cuts[file.name].format(folder=raw)}) TO '{kept}' ({options})")
    return data


def _reader(folder: Path, file: str) -> str:
    name, _, options = file.partition("?")
    found = sorted(folder.glob(name)) or sorted(folder.glob(name.removesuffix(".gz")))
    paths = ", ".join(f"'{path}'" for path in found)
    if name.endswith(".parquet"):
        return f"read_parquet([{paths}])"
    return f"read_csv([{paths}], header = true, all_varchar = true{f', {options}' if options else ''})"


def _light_conf(folder: Path) -> Path:
    """A copy of conf/ whose environment `local` has the session of the tests, so that the command line leaves that as it is."""
    conf_dir = folder / "conf"
    shutil.copytree(CONF_DIR, conf_dir)
    local = {
        "privacy": {"key_file": None},
        "paths": {"jars": str(CONF_DIR.parent / "jars")},
        "spark": {"conf": {**SPARK_CONF, "spark.sql.warehouse.dir": f"{folder}/warehouse"}},
        "tracking": {"uri": f"sqlite:///{folder}/mlflow.db", "artifacts": f"{folder}/mlflow"},
    }
    (conf_dir / "environments/local.yaml").write_text(yaml.safe_dump(local), "utf-8")
    return conf_dir
