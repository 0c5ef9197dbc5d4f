"""Looking at and after tables: show, restore, register in a catalog, vacuum, and what a full run has built."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from delta.tables import DeltaTable
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from rich.console import Console

from jobs.lakehouse.archive import archive_contract
from jobs.lakehouse.changes import record_restore
from jobs.lakehouse.cli import add_lake_options, settings_of
from jobs.lakehouse.contracts import Contract, rejected_contract, split_table
from jobs.lakehouse.errors import ConfigurationError, DataError
from jobs.lakehouse.job import all_contracts
from jobs.lakehouse.ledger import RUNS, Ledger
from jobs.lakehouse.quality import DOCS_FOLDER, build_data_docs
from jobs.lakehouse.session import open_session
from jobs.lakehouse.settings import Settings
from jobs.lakehouse.tables import Lake, read_table, restore_table, table_exists, table_version
from jobs.lakehouse.tracking import Tracking

HOURS_KEPT = 168


def add_commands(commands: Any) -> None:
    """Add show, restore, register and vacuum to the command line."""
    for name, command, told, takes_table in (
        ("show", show, "contract and first rows of a table", True),
        ("restore", restore, "make an older version of a table the newest", True),
        ("register", register, "make a catalog of all tables from their paths", False),
        ("vacuum", vacuum, "drop files that no kept version needs; versions that a live model cites are kept", False),
    ):
        parser = commands.add_parser(name, help=told)
        if takes_table:
            parser.add_argument("table", help="layer.name")
        if name == "restore":
            parser.add_argument("--version", type=int, required=True, help="the version to go back to")
        add_lake_options(parser)
        parser.set_defaults(command=command)


def show(options: argparse.Namespace) -> int:
    """Print a table's grain, columns and first rows."""
    settings, spark = _opened(options)
    path = Lake(settings.path("lake")).path(options.table)
    contract = all_contracts(settings).get(options.table)
    rows = read_table(spark, path)
    if contract:
        sys.stdout.write(f"{contract.table}: {contract.grain}\nkey: {', '.join(contract.key) or '–'}\n")
        for column in contract.columns:
            unit = f" [{column.unit}]" if column.unit else ""
            sys.stdout.write(f"  {column.name:<28} {column.data_type:<16} {column.comment}{unit}\n")
    sys.stdout.write(f"version {table_version(spark, path)}, {rows.count():,} rows\n")
    rows.show(10, truncate=28)
    return 0


def restore(options: argparse.Namespace) -> int:
    """Make an older version of a table the newest, and tell the ledger, so that jobs read it."""
    settings, spark = _opened(options)
    path = Lake(settings.path("lake")).path(options.table)
    if not table_exists(spark, path):
        raise DataError(f"there is no table {options.table} at {path}")
    newest = table_version(spark, path)
    if newest is None or not 0 <= options.version <= newest:
        raise ConfigurationError(f"{options.table} has the versions 0 to {newest}, not {options.version}")
    record_restore(spark, settings, options.table, path, lambda: restore_table(spark, path, options.version))
    sys.stdout.write(
        f"{options.table} is at version {table_version(spark, path)}, equal to version {options.version}\n"
    )
    return 0


def register(options: argparse.Namespace) -> int:
    """Make a schema per layer and a table per path in the session's catalog; the paths stay the truth."""
    settings = settings_of(options)
    derby = {"spark.sql.catalogImplementation": "hive"}
    persistent = settings.spark.model_copy(update={"conf": {**settings.spark.conf, **derby}})
    spark = open_session(settings.model_copy(update={"spark": persistent}), "register")
    lake = Lake(settings.path("lake"))
    prefix = "" if settings.dataset == "world" else f"{settings.dataset.replace('-', '_')}_"
    count = 0
    for table in sorted(all_contracts(settings)):
        layer, name = split_table(table)
        path = lake.path(table)
        if layer == "vault" or not table_exists(spark, path):
            continue
        spark.sql(f"CREATE SCHEMA IF NOT EXISTS `{prefix}{layer}`")
        spark.sql(f"DROP TABLE IF EXISTS `{prefix}{layer}`.`{name}`")
        absolute = DeltaTable.forPath(spark, path).detail().select("location").first()[0]
        spark.sql(f"CREATE TABLE `{prefix}{layer}`.`{name}` USING delta LOCATION '{absolute}'")
        count += 1
    sys.stdout.write(
        f"{count} tables registered in schemas {prefix}bronze, {prefix}silver, {prefix}gold, {prefix}ops\n"
    )
    return 0


def vacuum(options: argparse.Namespace) -> int:
    """Drop files older than a week that no version needs, except in tables whose cited version would be lost."""
    settings, spark = _opened(options)
    lake = Lake(settings.path("lake"))
    cited = Tracking(settings.tracking, settings.dataset).cited_versions()
    for table in _with_companions(all_contracts(settings)):
        path = lake.path(table)
        if not table_exists(spark, path):
            continue
        newest = table_version(spark, path)
        if any(version != newest for version in cited.get(table, set())):
            sys.stdout.write(f"{table}: kept whole, a champion cites versions {sorted(cited[table])}\n")
            continue
        DeltaTable.forPath(spark, path).vacuum(HOURS_KEPT)
        sys.stdout.write(f"{table}: vacuumed, {HOURS_KEPT} hours kept\n")
    return 0


def _with_companions(contracts: Mapping[str, Contract]) -> list[str]:
    """Every table, with those of its refused and its archived rows."""
    refused = {rejected_contract(contract).table for contract in contracts.values()}
    archived = {archive_contract(contracts[table]).table for table in contracts if table.startswith("bronze.")}
    return sorted({*contracts, *refused, *archived})


def tell_what_was_built(settings: Settings) -> None:
    """After a full run: the scoreboard, and where to look."""
    spark = open_session(settings, "customer-lakehouse")
    lake = Lake(settings.path("lake"))
    ledger = Ledger(spark, lake, all_contracts(settings)[RUNS])
    console = Console(highlight=False)
    version = ledger.good_versions().get("gold.scoreboard")
    if version is not None:
        _show_scoreboard(console, spark, lake.path("gold.scoreboard"), version)
    docs = build_data_docs(Path(lake.root) / DOCS_FOLDER, all_contracts(settings).values())
    console.print(
        f"tables      {lake.root}/gold/*, silver/*, bronze/*   (python -m jobs show gold.churn_scores)", soft_wrap=True
    )
    console.print(f"runs        {lake.path(RUNS)}   (python -m jobs show ops.runs)", soft_wrap=True)
    console.print(f"Data Docs   {docs}", soft_wrap=True)
    console.print("MLflow      make mlflow, then http://127.0.0.1:5000", soft_wrap=True)


def _show_scoreboard(console: Console, spark: SparkSession, path: str, version: int) -> None:
    rows = read_table(spark, path, version)
    newest = (rows.agg(F.max("run_date")).first() or [None])[0]
    console.print(f"\nscoreboard of {newest}", markup=False)
    for row in rows.where(F.col("run_date") == F.lit(newest)).orderBy("promise", "metric", "level").collect():
        interval = "" if row["value_low"] is None else f" [{row['value_low']:.4f}, {row['value_high']:.4f}]"
        value = "–" if row["value"] is None else f"{row['value']:.4f}{interval}"
        baseline = "" if row["baseline"] is None else f"   {row['baseline']} {_number(row['baseline_value'])}"
        goal = "" if row["goal"] is None else f"   goal {row['goal']:g}: {_verdict(row['is_met'])}"
        console.print(
            f"  {row['promise']:<28} {row['metric']:<34} {row['level']:<26} {value}{baseline}{goal}",
            markup=False,
            soft_wrap=True,
        )
    console.print()


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _verdict(is_met: bool | None) -> str:
    return {True: "met", False: "not met", None: "not measured"}[is_met]


def _opened(options: argparse.Namespace) -> tuple[Settings, SparkSession]:
    settings = settings_of(options)
    return settings, open_session(settings, "customer-lakehouse")
