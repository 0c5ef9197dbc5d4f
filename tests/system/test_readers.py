"""Gold without Spark, by deltalake and DuckDB, and as BI tools see it, by beeline through the Thrift server."""

import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from tests.rows import contract_of
from tests.system.corner_shop import CHECKOUT, DATASET, CornerShop, opened, tables_of
from tests.system.processes import LIGHT_JVM, SPARK_HOME, free_port, running, wait_for

pytestmark = pytest.mark.long

NOT_PLAIN = {"deletionVectors", "columnMapping", "v2Checkpoint"}


def gold_tables(lake: Path) -> list[str]:
    return [table for table in tables_of(lake) if table.startswith("gold.") and not table.endswith("_rejected")]


def test_every_gold_table_is_plain_delta_with_comments(lake: Path) -> None:
    assert len(gold_tables(lake)) >= 10
    for table in gold_tables(lake):
        held, contract = opened(lake, table), contract_of(table)
        protocol = held.protocol()
        features = {*(protocol.reader_features or []), *(protocol.writer_features or [])}
        assert not features & NOT_PLAIN, table
        assert held.metadata().description == contract.grain
        comments = {field.name: field.metadata.get("comment") for field in held.schema().fields}
        assert comments == {column.name: column.comment for column in contract.columns}


def test_duckdb_reads_gold_through_arrow_and_sums_to_the_penny(lake: Path) -> None:
    sales = opened(lake, "gold.sales_daily").to_pyarrow_dataset()
    lines = opened(lake, "silver.order_lines").to_pyarrow_dataset()
    with duckdb.connect() as engine:
        engine.register("sales", sales)
        engine.register("lines", lines)
        summed = engine.execute("select sum(net_amount), sum(gross_amount) from sales").fetchone()
        told = engine.execute(
            "select sum(line_amount), sum(line_amount) filter (not is_return) from lines where superseded_at is null"
        ).fetchone()
    assert summed == told
    assert summed is not None
    assert summed[0] > 0


@pytest.fixture(scope="module")
def thrift_port(shop: CornerShop, lake: Path) -> Iterator[int]:
    """The port of a Thrift server as `make thrift` starts it, over the tables of the lake."""
    folder = shop.folder / "thrift"
    folder.mkdir()
    (folder / "jars").symlink_to(CHECKOUT / "jars")
    (folder / "conf").symlink_to(CHECKOUT / "conf")
    environment = shop.environment(lake, SPARK_LOCAL_IP="127.0.0.1")
    register = ["-m", "jobs", "register", "--dataset", DATASET, "--conf-dir", str(shop.conf_dir)]
    subprocess.run(
        [sys.executable, *register], cwd=folder, env=environment, check=True, capture_output=True, timeout=200
    )
    port, log = free_port(), folder / "thrift.log"
    options = {
        "spark.hadoop.hive.server2.thrift.port": str(port),
        "spark.sql.warehouse.dir": str(shop.folder / "warehouse"),
        "spark.driver.extraJavaOptions": LIGHT_JVM,
    }
    server = [
        str(SPARK_HOME / "bin/spark-submit"), "--properties-file", "conf/thrift.conf",
        *[word for key, value in options.items() for word in ("--conf", f"{key}={value}")],
        "--class", "org.apache.spark.sql.hive.thriftserver.HiveThriftServer2", "spark-internal",
    ]  # fmt: skip
    with running(server, log, folder, environment) as process:
        wait_for(port, process, log)
        yield port


def beeline(port: int, sql: str, shop: CornerShop) -> list[list[str]]:
    """The rows that beeline prints for a statement."""
    words = [
        str(SPARK_HOME / "bin/beeline"),
        "-u",
        f"jdbc:hive2://127.0.0.1:{port}",
        "--silent=true",
        "--showHeader=false",
    ]
    found = subprocess.run(
        [*words, "--outputformat=tsv2", "-e", sql], cwd=shop.folder, env=shop.environment(shop.folder), check=True,
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    # beeline puts a NUL around a field that has a quotation mark.
    return [line.replace("\0", "").split("\t") for line in found.stdout.splitlines() if line]


def test_beeline_sees_what_deltalake_sees(thrift_port: int, shop: CornerShop, lake: Path) -> None:
    table = f"{DATASET}_gold.sales_daily"
    rows = beeline(
        thrift_port, f"select count(*), sum(net_amount) from {table}; describe table extended {table};", shop
    )
    sales = opened(lake, "gold.sales_daily").to_pyarrow_table()
    net = sum(sales["net_amount"].to_pylist(), Decimal(0))
    assert [int(rows[0][0]), Decimal(rows[0][1])] == [sales.num_rows, net]
    told = {row[0].strip(): row for row in rows[1:]}
    contract = contract_of("gold.sales_daily")
    assert told["net_amount"][2] == next(column.comment for column in contract.columns if column.name == "net_amount")
    assert told["Comment"][1] == contract.grain
