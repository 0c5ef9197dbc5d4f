"""What a small table costs whatever is in it: made, staged, counted, audited, written, read anew, and told of in the ledger.

    python benchmarks/tables.py [--tables 20] [--folder F]

Every step is done for as many tables, of six rows each, one after the other; after a first round to warm up, the second one is
told, in seconds by the clock and by the processors of the JVM. Ends with a table in Markdown.
"""

from __future__ import annotations

import argparse
import datetime as dt
import secrets
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import psutil
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.lakehouse.contracts import Contract, read_contracts
from jobs.lakehouse.job import ledger_of
from jobs.lakehouse.ledger import Ledger, RunRecord
from jobs.lakehouse.quality import audit
from jobs.lakehouse.session import open_session
from jobs.lakehouse.settings import load_settings
from jobs.lakehouse.staging import count_staged, stage, staged_rows, valid_rows
from jobs.lakehouse.tables import Write, ensure_table, read_table, write_table

CHECKOUT = Path(__file__).resolve().parents[1]
ROWS = 6
DAY = dt.datetime(2025, 1, 1)
LITERALS = {"timestamp": "timestamp'2025-01-01'", "date": "date'2025-01-01'"}


def six_rows(spark: SparkSession, contract: Contract) -> DataFrame:
    """Rows that fit a contract: what must be there is the row's number, or a day."""
    told = {
        field.name: LITERALS.get(field.dataType.simpleString(), "id") if not field.nullable else "null"
        for field in contract.schema
    }
    columns = [F.expr(told[field.name]).cast(field.dataType).alias(field.name) for field in contract.schema]
    return spark.range(ROWS).select(*columns)


def steps(
    spark: SparkSession, contract: Contract, ledger: Ledger, folder: Path
) -> Mapping[str, Callable[[int], object]]:
    """What is done for the table of a number, in this order."""
    rows, docs = six_rows(spark, contract), folder / "docs"

    def path(number: int) -> str:
        return str(folder / f"table-{number}")

    def staged(number: int) -> DataFrame:
        return staged_rows(spark, f"{path(number)}-staged", contract)

    def written(write: Write, number: int) -> None:
        write_table(valid_rows(staged(number), contract), path(number), write, contract.key, "benchmark")

    def noted(number: int) -> None:
        ledger.append(
            RunRecord(
                run_id=secrets.token_hex(16), job=f"bench.table_{number}", dataset="world", environment="local",
                run_date=DAY.date(), fingerprint="-", outcome="succeeded", exit_code=0, message="", started_at=DAY,
                finished_at=DAY, seconds=0.0, peak_memory_mib=0, rows_read=ROWS, rows_written=ROWS, rows_rejected=0,
                rows_deduplicated=0,
            )
        )  # fmt: skip

    return {
        "made": lambda number: ensure_table(spark, path(number), contract),
        "staged": lambda number: stage(rows, contract, f"{path(number)}-staged"),
        "counted": lambda number: count_staged(staged(number)),
        "audited": lambda number: audit(valid_rows(staged(number), contract), contract, docs),
        "written first": partial(written, Write()),
        "read anew": lambda number: read_table(spark, path(number), 1).collect(),
        "counted in Delta's log": lambda number: read_table(spark, path(number), 1).count(),
        "replaced": partial(written, Write()),
        "appended to": partial(written, Write("append")),
        "inserted into": partial(written, Write("insert")),
        "a row of the ledger": noted,
    }


def measure(folder: Path, tables: int) -> None:
    """Two rounds; the second one is told."""
    settings = load_settings(
        "local",
        "world",
        str(CHECKOUT / "conf"),
        {"paths.lake": str(folder / "lake"), "paths.jars": str(CHECKOUT / "jars")},
    )
    spark = open_session(settings, "benchmark")
    # The rules of rows cost what they ask; here is only what every table pays.
    contract = replace(read_contracts(CHECKOUT / "conf")["silver.customer_ids"], row_rules=())
    (java,) = [child for child in psutil.Process().children(recursive=True) if child.name() == "java"]
    told = steps(spark, contract, ledger_of(spark, settings), folder)
    for number in range(2):
        sys.stdout.write("| step | s | s of the JVM's processors |\n| --- | ---: | ---: |\n" if number else "")
        for name, step in told.items():
            began, busy = time.perf_counter(), sum(java.cpu_times()[:2])
            for table in range(number * tables, (number + 1) * tables):
                step(table)
            spent = [(time.perf_counter() - began) / tables, (sum(java.cpu_times()[:2]) - busy) / tables]
            if number:
                sys.stdout.write(f"| {name} | {spent[0]:.2f} | {spent[1]:.2f} |\n")
                sys.stdout.flush()


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=int, default=20, help="in each of two rounds")
    parser.add_argument("--folder", type=Path, default=Path(".cache/benchmarks/tables"), help="emptied first and last")
    options = parser.parse_args()
    shutil.rmtree(options.folder, ignore_errors=True)
    folder = options.folder.resolve()
    folder.mkdir(parents=True)
    try:
        measure(folder, options.tables)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
