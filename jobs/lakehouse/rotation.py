"""Rotation of the key: every token of the lake and every sealed value of the vault goes over from an old key to a new one."""

from __future__ import annotations

import argparse
import datetime as dt
import sys
from typing import Any

from cryptography.exceptions import InvalidTag
from delta.tables import DeltaTable
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StringType

from jobs.lakehouse.archive import archive_contract
from jobs.lakehouse.changes import record_change
from jobs.lakehouse.cli import add_lake_options, settings_of
from jobs.lakehouse.contracts import Contract, rejected_contract, split_table
from jobs.lakehouse.errors import ConfigurationError, DataError
from jobs.lakehouse.files import delete_folder
from jobs.lakehouse.job import all_contracts
from jobs.lakehouse.keys import Keys, load_keys, load_old_keys
from jobs.lakehouse.ledger import RUNS, Ledger, Output
from jobs.lakehouse.locks import locked
from jobs.lakehouse.personal import opened, origin_of, resealed_payloads, resealed_values
from jobs.lakehouse.session import open_session
from jobs.lakehouse.settings import Settings
from jobs.lakehouse.tables import (
    Lake,
    Write,
    ensure_table,
    read_table,
    rows_in_last_commit,
    table_exists,
    table_version,
    write_table,
)
from jobs.lakehouse.vault import PAYLOADS, VALUES

NAME = "lakehouse.rotate_keys"
LAYERS = ("bronze", "silver", "gold")
# What persons said of accounts, whose ids may hold tokens; commands of identity add to it.
WORDS = "ops.identity_overrides"


def add_commands(commands: Any) -> None:
    """Add rotate-keys to the command line."""
    told = "give the lake's tokens and the vault a new key: the old one in LAKEHOUSE_OLD_KEY or LAKEHOUSE_OLD_KEY_FILE"
    parser = commands.add_parser("rotate-keys", help=told)
    add_lake_options(parser)
    parser.set_defaults(command=rotate_keys)


def rotate_keys(options: argparse.Namespace) -> int:
    """Rotate the key of a dataset's lake, and say which tables were rewritten."""
    settings = settings_of(options)
    old, new = load_old_keys(settings.environment), load_keys(settings.privacy, settings.environment)
    outputs = rotate(open_session(settings, "customer-lakehouse"), settings, old, new)
    for output in outputs:
        sys.stdout.write(f"{output.table}: version {output.version}, {output.rows_written:,} rows\n")
    sys.stdout.write(
        f"key {old.key_id} was replaced by {new.key_id}; older versions of these tables keep the old tokens until vacuum\n"
        if outputs
        else f"already done: the lake's key is {new.key_id}\n"
    )
    return 0


def rotate(spark: SparkSession, settings: Settings, old: Keys, new: Keys) -> list[Output]:
    """Replace every token of the old key by the new key's token of the same value, and seal the vault anew.

    The vault goes last: as long as it knows the old tokens, a rotation that was broken off can be taken up again. Jobs go on
    reading the versions of before until the ledger has the rotation's row, which names all new ones at once.

    Returns:
        What was rewritten, by this attempt and those that were broken off; nothing where all was done before.

    Raises:
        ConfigurationError: the keys are the same, or the vault was sealed by neither of them.
        DataError: a table holds an old token that the vault does not know.
    """
    contracts = all_contracts(settings)
    lake, run_id = Lake(settings.path("lake")), f"{NAME}/{old.key_id}-{new.key_id}"
    started = dt.datetime.now(dt.UTC).replace(tzinfo=None)
    tables = _tables_with_tokens(spark, lake, list(contracts.values()))
    vault = [table for table in (VALUES, PAYLOADS) if table_exists(spark, lake.path(table))]
    # The ledger takes its own lock for the moment of its writing.
    written = [table for table in contracts if not table.startswith("ops.")]
    with locked(lake.locks, [*tables, *vault, *written]):
        if VALUES in vault:
            ensure_table(spark, lake.path(VALUES), contracts[VALUES])
        held = {table: _sealed_by(spark, lake.path(table), old, new) for table in vault}
        if held.get(VALUES):
            tokens = _staged_tokens(spark, lake, old, new)
            for table in tables:
                _retoken(spark, lake.path(table), tokens, old.key_id, run_id)
            _replace(spark, lake.path(VALUES), _values_under(read_table(spark, lake.path(VALUES)), tokens, new), run_id)
        if held.get(PAYLOADS):
            payloads = read_table(spark, lake.path(PAYLOADS))
            sealed_by_old = resealed_payloads(payloads.where(F.col("key_id") == old.key_id), old, new)
            kept = payloads.where(F.col("key_id") != old.key_id)
            _replace(spark, lake.path(PAYLOADS), kept.unionByName(sealed_by_old), run_id)
        outputs = [output for table in [*tables, *vault] if (output := _output(spark, lake, table, run_id))]
        good = Ledger(spark, lake, contracts[RUNS]).good_versions()
        if all(good.get(output.table) == output.version for output in outputs):
            return []
        record_change(spark, settings, NAME, run_id, started, f"key {old.key_id} replaced by {new.key_id}", outputs)
        delete_folder(spark, lake.staging_path(NAME, "tokens"))
    return outputs


def _tables_with_tokens(spark: SparkSession, lake: Lake, contracts: list[Contract]) -> list[str]:
    """The tables that may hold tokens: also of rejected rows, of what persons said, and the archives of bronze; those that are there."""
    named = [contract for contract in contracts if split_table(contract.table)[0] in LAYERS or contract.table == WORDS]
    tables = [table for contract in named for table in (contract.table, rejected_contract(contract).table)]
    tables += [archive_contract(contract).table for contract in named if contract.table.startswith("bronze.")]
    return sorted(table for table in tables if table_exists(spark, lake.path(table)))


def _sealed_by(spark: SparkSession, path: str, old: Keys, new: Keys) -> bool:
    """Whether the table has rows that the old key sealed, and it opens them."""
    rows = read_table(spark, path)
    strange = rows.where(~F.col("key_id").isin(old.key_id, new.key_id)).select("key_id").first()
    if old.key_id == new.key_id or strange:
        why = f"rows of {path} are sealed by key {strange['key_id']}" if strange else "they are the same"
        raise ConfigurationError(f"can't rotate from key {old.key_id} to {new.key_id}: {why}")
    first = rows.where(F.col("key_id") == old.key_id).first()
    if first is None:
        return False
    try:
        opened(old, bytes(first["_ciphertext"]), first["token" if "token" in rows.columns else "record_id"])
    except InvalidTag as error:
        raise ConfigurationError(f"key {old.key_id} does not open {path}; its rows were changed or moved") from error
    return True


def _staged_tokens(spark: SparkSession, lake: Lake, old: Keys, new: Keys) -> DataFrame:
    """One row per value of the vault that the old key sealed: its row under the new key, and its `old_token`."""
    values = read_table(spark, lake.path(VALUES)).where(F.col("key_id") == old.key_id)
    known = values.withColumn("origin", F.coalesce(F.col("origin"), origin_of(F.col("token"))))
    path = lake.staging_path(NAME, "tokens")
    resealed_values(known, old, new).write.mode("overwrite").parquet(path)
    return spark.read.parquet(path)


def _values_under(values: DataFrame, tokens: DataFrame, new: Keys) -> DataFrame:
    """The vault's values under the new key; one that came in by both keys stands there once, with its origin."""
    arrived = values.where(F.col("key_id") == new.key_id).join(tokens.select("token"), on="token", how="left_anti")
    return tokens.select(*values.columns).unionByName(arrived.select(*values.columns))


def _retoken(spark: SparkSession, path: str, tokens: DataFrame, old_id: str, run_id: str) -> None:
    """Rewrite a table that holds tokens of the old key, in one commit."""
    rows = read_table(spark, path)
    retokened = with_new_tokens(rows, tokens.select("old_token", "token"), old_id)
    if retokened is rows:
        return
    _replace(spark, path, retokened, run_id)
    everything = F.to_json(F.struct(*rows.columns))
    left = read_table(spark, path).where(everything.rlike(f"{old_id}:[0-9a-f]{{32}}")).count()
    if left:
        raise DataError(
            f"{left} rows of {path} hold tokens of key {old_id} that the vault does not know; restore vault.personal_values "
            "to a version that does, and rotate again"
        )


def with_new_tokens(rows: DataFrame, tokens: DataFrame, old_id: str) -> DataFrame:
    """The rows with the new token in place of each old one, also inside of longer texts; the same frame where there is none.

    Args:
        rows: any rows.
        tokens: `old_token` and `token`, one row per value.
        old_id: id of the old key.
    """
    columns = [field.name for field in rows.schema.fields if isinstance(field.dataType, StringType)]
    if not columns:
        return rows
    pattern = F.lit(f"{old_id}:[0-9a-f]{{32}}")
    distinct = [F.array_distinct(F.regexp_extract_all(F.col(f"`{name}`"), pattern, F.lit(0))) for name in columns]
    most = rows.agg(*[F.max(F.size(found)) for found in distinct]).first() or ()
    order = rows.columns
    for name, times in zip(columns, most, strict=True):
        for _ in range(max(0, times or 0)):
            known = tokens.select(F.col("old_token").alias("_old_token"), F.col("token").alias("_new_token"))
            rows = rows.withColumn("_old_token", F.regexp_substr(F.col(f"`{name}`"), pattern))
            rows = rows.join(known, on="_old_token", how="left")
            replaced = F.replace(F.col(f"`{name}`"), F.col("_old_token"), F.col("_new_token"))
            rows = rows.withColumn(name, F.coalesce(replaced, F.col(f"`{name}`"))).select(*order)
    return rows


def _replace(spark: SparkSession, path: str, rows: DataFrame, run_id: str) -> None:
    write_table(rows.select(*read_table(spark, path).columns), path, Write(), (), run_id)


def _output(spark: SparkSession, lake: Lake, table: str, run_id: str) -> Output | None:
    """What this rotation left in a table, also in an attempt that was broken off; None where it left nothing."""
    path = lake.path(table)
    last = DeltaTable.forPath(spark, path).history(1).select("userMetadata").first()
    version = table_version(spark, path)
    if last is None or last["userMetadata"] != run_id or version is None:
        return None
    return Output(table, version, rows_in_last_commit(spark, path))
