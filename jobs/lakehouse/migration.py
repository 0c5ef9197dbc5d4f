"""The migrate command: a table whose contract has changed more than by new columns is written anew in one commit, or left as it is."""

from __future__ import annotations

import argparse
import sys
import uuid
from collections.abc import Iterator
from typing import Any

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StringType

from jobs.lakehouse.archive import archive_contract
from jobs.lakehouse.changes import record_change
from jobs.lakehouse.cli import add_lake_options, settings_of
from jobs.lakehouse.contracts import Contract
from jobs.lakehouse.days import utc_now
from jobs.lakehouse.errors import ConfigurationError, DataError
from jobs.lakehouse.job import all_contracts
from jobs.lakehouse.ledger import Output
from jobs.lakehouse.locks import locked
from jobs.lakehouse.session import open_session
from jobs.lakehouse.settings import Settings
from jobs.lakehouse.table_rules import Breach, breach_of, drop_rules, rules_held
from jobs.lakehouse.tables import Lake, ensure_table, read_table, table_exists, table_version

NAME = "lakehouse.migrate"


def add_commands(commands: Any) -> None:
    """Add migrate to the command line."""
    told = "write a table anew whose contract lost a column or changed a type; nothing is written where a value would be lost"
    parser = commands.add_parser("migrate", help=told)
    parser.add_argument("table", help="layer.name")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done")
    add_lake_options(parser)
    parser.set_defaults(command=migrate)


def migrate(options: argparse.Namespace) -> int:
    """Bring a table, and of bronze its archive, under the contract that it breaks, and say what became of it.

    Raises:
        ConfigurationError: no contract has that name.
        DataError: there is no such table, or a value does not fit its new type.
        LockedError: the table is being written.
    """
    settings = settings_of(options)
    contracts = all_contracts(settings)
    if options.table not in contracts:
        raise ConfigurationError(f"no contract of dataset {settings.dataset} is named {options.table}")
    contract, spark = contracts[options.table], open_session(settings, "customer-lakehouse")
    if not table_exists(spark, Lake(settings.path("lake")).path(contract.table)):
        raise DataError(f"there is no table {contract.table} in {settings.path('lake')}")
    companions = [archive_contract(contract)] if contract.table.startswith("bronze.") else []
    for told in migrated(spark, settings, [*companions, contract], options.dry_run):
        sys.stdout.write(f"{told}\n")
    return 0


def migrated(
    spark: SparkSession, settings: Settings, contracts: list[Contract], dry_run: bool = False
) -> Iterator[str]:
    """Write each table that is there anew where it breaks its contract; gives a line for each.

    Raises:
        DataError: a value does not fit its new type; that table, and those after it, stay as they are.
        LockedError: a table is being written.
    """
    lake = Lake(settings.path("lake"))
    for contract in contracts:
        path = lake.path(contract.table)
        if not table_exists(spark, path):
            continue
        with locked(lake.locks, [] if dry_run else [contract.table]):
            rows, version = read_table(spark, path), table_version(spark, path)
            breach = breach_of(rows, contract)
            if not breach:
                yield f"{contract.table}: already done, it fits its contract"
                continue
            refuse_loss(rows, contract, breach)
            if dry_run:
                yield f"{contract.table}: would be written anew {breach}"
                continue
            started, run_id = utc_now(), uuid.uuid4().hex
            # What Delta holds a column to that goes would be in the way.
            drop_rules(spark, path, [*rules_held(spark, path)])
            overwrite_schema(as_declared(rows, contract, breach), path, contract, run_id)
            ensure_table(spark, path, contract)
            told = f"{contract.table}: written anew {breach}; version {version} has it as it was"
            newest = table_version(spark, path)
            assert newest is not None
            record_change(spark, settings, NAME, run_id, started, told, [Output(contract.table, newest, 0)])
            yield told


def overwrite_schema(rows: DataFrame, path: str, contract: Contract, run_id: str) -> None:
    """Replace a table by rows of other columns, in one commit. Delta then takes every column for one that may be null."""
    writer = rows.write.format("delta").mode("overwrite").option("overwriteSchema", "true")
    writer.option("userMetadata", run_id).partitionBy(*contract.partition_columns).save(path)


def as_declared(rows: DataFrame, contract: Contract, breach: Breach) -> DataFrame:
    """The rows with those of the contract's columns that they have, each in its type and with its comment."""
    fields = [field for field in contract.schema if field.name in rows.columns]
    typed = [
        (rows[field.name].try_cast(field.dataType) if field.name in breach.retyped else rows[field.name]).alias(
            field.name, metadata=field.metadata
        )
        for field in fields
    ]
    return rows.select(*typed)


def refuse_loss(rows: DataFrame, contract: Contract, breach: Breach) -> None:
    """Let nothing be written where a value would become another, or none.

    Raises:
        DataError: there are such values; it tells in which columns, and how many.
    """
    if not breach.retyped:
        return
    counts = [F.count_if(_is_lost(rows, name, contract)).alias(name) for name in breach.retyped]
    found = rows.agg(*counts).first()
    lost = {name: found[name] for name in breach.retyped} if found else {}
    told = [
        f"{count:,} values of {name} can't be {contract.schema[name].dataType.simpleString()}"
        for name, count in lost.items()
        if count
    ]
    if told:
        raise DataError(
            f"{contract.table}: {'; '.join(told)} without loss, nothing was changed. Mend the contract, "
            "or the values in the job that writes them"
        )


def _is_lost(rows: DataFrame, name: str, contract: Contract) -> Column:
    """Whether a value is not told by its new type; of text, whether it can't be read as such."""
    held = rows[name]
    cast = held.try_cast(contract.schema[name].dataType)
    if isinstance(rows.schema[name].dataType, StringType):
        return held.isNotNull() & cast.isNull()
    return ~cast.try_cast(rows.schema[name].dataType).eqNullSafe(held)
