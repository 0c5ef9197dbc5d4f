"""A run of a job: what it may read, and how what it makes is staged, audited and published."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from itertools import groupby
from pathlib import Path
from typing import TypeVar

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.lakehouse.contracts import Contract, rejected_contract, split_table
from jobs.lakehouse.days import end_of_day
from jobs.lakehouse.errors import ConfigurationError, ContractError, DataError
from jobs.lakehouse.keys import Keys, load_keys
from jobs.lakehouse.ledger import Output
from jobs.lakehouse.locks import waiting_lock
from jobs.lakehouse.part import Part
from jobs.lakehouse.quality import DOCS_FOLDER, DUPLICATE, Audited, as_rejected_rows, audit, refuse_failed
from jobs.lakehouse.settings import Settings
from jobs.lakehouse.side_by_side import side_by_side
from jobs.lakehouse.sources import Source, read_sources
from jobs.lakehouse.staging import Staged, stage, staged_rows
from jobs.lakehouse.tables import (
    Lake,
    Write,
    conform,
    count_rows,
    ensure_table,
    read_table,
    refuse_if_skipped,
    rows_in_last_commit,
    table_version,
    write_table,
)
from jobs.lakehouse.tracking import Tracking
from jobs.lakehouse.vault import ADDED_TO, refuse_another_key

P = TypeVar("P", bound=Part)
R = TypeVar("R")


@dataclass
class Run:
    """One run of one job; `build` reads and publishes through it."""

    spark: SparkSession
    settings: Settings
    job: str
    run_date: dt.date
    run_id: str
    fingerprint: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    parts: tuple[type[Part], ...]
    contracts: Mapping[str, Contract]
    inputs: Mapping[str, str]
    published: Mapping[str, int] = field(default_factory=dict)
    terms: str = ""
    basis: Mapping[str, str] | None = None
    left: Mapping[str, int] = field(default_factory=dict)
    rows_accounted: int = 0
    rows_in_inputs: int = 0
    repeated: dict[str, int] = field(default_factory=dict)
    staged: list[Staged] = field(default_factory=list)
    facts: dict[str, str] = field(default_factory=dict)
    is_cut_short: bool = False
    own_keys: Keys | None = None
    audits: list[Audited] = field(default_factory=list)
    added: dict[str, int] = field(default_factory=dict)
    resources: ExitStack = field(default_factory=ExitStack)
    account: Callable[[], None] = lambda: None

    @property
    def rows_read(self) -> int:
        """The rows that the run accounts for one by one, or else those of the tables that it read."""
        return self.rows_accounted or self.rows_in_inputs

    @property
    def lake(self) -> Lake:
        """Where the dataset's tables lie."""
        return Lake(self.settings.path("lake"))

    @property
    def dataset(self) -> str:
        """The name of the dataset."""
        return self.settings.dataset

    @property
    def sources(self) -> Mapping[str, Source]:
        """The dataset's feeds, by name."""
        return read_sources(Path(self.settings.conf_dir), self.settings.dataset)

    @property
    def tracking(self) -> Tracking:
        """Where models are logged and found."""
        return Tracking(self.settings.tracking, self.settings.dataset)

    @property
    def time_zone(self) -> str:
        """The business's time zone, in which days and weeks are counted."""
        return self.settings.calendar.time_zone

    @property
    def as_of(self) -> dt.datetime:
        """The instant up to which the run may know things: the end of the run date in the business's time zone."""
        return end_of_day(self.run_date, self.time_zone)

    def part(self, kind: type[P]) -> P:
        """A section of the settings, one that the job declares."""
        if kind not in self.parts:
            raise ConfigurationError(f"{self.job} does not declare {kind.__name__} among its settings")
        return next(value for value in self.settings.__dict__.values() if isinstance(value, kind))

    def keys(self) -> Keys:
        """The secret keys, for the few jobs that touch personal values.

        Raises:
            ConfigurationError: there is no key, or the lake's tokens were made by another one.
        """
        if self.own_keys is None:
            keys = load_keys(self.settings.privacy, self.settings.environment)
            refuse_another_key(self.spark, self.lake, keys)
            self.own_keys = keys
        return self.own_keys

    def contract(self, table: str) -> Contract:
        """The contract of a table."""
        if table not in self.contracts:
            raise ContractError(f"{table} has no contract in {self.settings.conf_dir}/contracts")
        return self.contracts[table]

    def read(self, table: str) -> DataFrame:
        """The rows of a declared table, at the version that its writer's last successful run left."""
        if not any(fnmatchcase(table, pattern) for pattern in self.reads):
            raise ContractError(f"{self.job} reads {table} but does not declare it")
        version = self.inputs.get(table)
        if version is None:
            raise DataError(f"{table} was never published; run its job first (python -m jobs graph shows which)")
        path = self.lake.path(table)
        self.rows_in_inputs += count_rows(self.spark, path, int(version))
        return read_table(self.spark, path, int(version))

    def previous(self, table: str) -> DataFrame | None:
        """The rows of a table that the job itself writes, as its last successful run left them; None where there are none any more."""
        self._writable(table)
        version = self.published.get(table)
        return None if version is None else read_table(self.spark, self.lake.path(table), version)

    def has(self, table: str) -> bool:
        """Whether a declared table was ever published."""
        return table in self.inputs

    def account_for(self, rows: int, repeated: Mapping[str, int] | None = None) -> None:
        """Tell the ledger of rows that came in, each of which the run has held to be written, refused or a repetition.

        Args:
            rows: how many.
            repeated: by table, how many of them it holds already, where nothing that is published tells.
        """
        self.rows_accounted += rows
        for table, count in (repeated or {}).items():
            self.repeated[table] = self.repeated.get(table, 0) + count

    def keep(self, resource: AbstractContextManager[R]) -> R:
        """Open what the run's frames read from; it is closed when all is committed, or when the run has failed."""
        return self.resources.enter_context(resource)

    def add(self, table: str, rows: DataFrame, write: Write) -> None:
        """Commit rows at once, as the batches of a stream need it, to a table that has nothing to judge in rows that came as they are.

        Args:
            table: a declared table of bronze, or one of the vault.
            rows: the rows, with the contract's columns and no key twice.
            write: how they enter the table.
        """
        contract, path = self._writable(table), self.lake.path(table)
        with self.turn(table):
            ensure_table(self.spark, path, contract)
            before = table_version(self.spark, path)
            write_table(conform(rows, contract), path, write, contract.key, self.run_id)
            refuse_if_skipped(rows, path, write, contract, before)
            count = rows_in_last_commit(self.spark, path) if table_version(self.spark, path) != before else 0
        self.added[table] = self.added.get(table, 0) + count

    def take_added(self) -> list[Output]:
        """What was added since this was last asked."""
        added, self.added = self.added, {}
        versions = {table: table_version(self.spark, self.lake.path(table)) for table in added}
        told = [Output(table, version, added[table]) for table, version in versions.items() if version is not None]
        return self._with_repeated(told)

    def _with_repeated(self, outputs: list[Output]) -> list[Output]:
        """The outputs with what their tables held already, which is told once."""
        held = self.repeated
        return [replace(told, rows_deduplicated=told.rows_deduplicated + held.pop(told.table, 0)) for told in outputs]

    def _writable(self, table: str) -> Contract:
        if not any(fnmatchcase(table, pattern) for pattern in self.writes):
            raise ContractError(f"{self.job} writes {table} but does not declare it")
        return self.contract(table)

    def turn(self, table: str) -> AbstractContextManager[None]:
        """The right to write a table that other jobs add to as well; the run's own tables are locked all the while."""
        return waiting_lock(self.lake.locks, table) if table in ADDED_TO else nullcontext()

    def publish(
        self, table: str, rows: DataFrame, write: Write | None = None, rows_in: int | None = None, stay: DataFrame | None = None
    ) -> None:  # fmt: skip
        """Stage rows for a table, part valid from rejected, and audit the valid ones; the commit comes when the job ends.

        Args:
            table: a table that the job declares to write.
            rows: the rows, with the contract's columns; they may carry `_reject_reasons`, `_is_duplicate` and `_record`.
            write: how they enter the table; all of it is replaced by default.
            rows_in: how many rows they were made from, where each must end up valid, rejected or a duplicate.
            stay: rows of what the job published of the table last, where the rows take the place of all others; they are not staged again.

        Raises:
            ContractError: the rows don't have the contract's columns.
            QualityGateError: a critical rule failed, or rows were lost; the table keeps its old version.
        """
        contract, how = self._writable(table), write or Write()
        if not contract.has_rules:
            self.staged.append(Staged(contract, how, conform(rows, contract), False, stay))
            return
        path = self.lake.staging_path(self.job, table)
        stage(rows, contract, path)
        staged = Staged(contract, how, staged_rows(self.spark, path, contract), True, stay).counted()
        if rows_in is not None:
            self.account_for(rows_in)
            staged.refuse_lost(rows_in)
        told = f"the table keeps its old version. The staged rows are at {path}, the Data Docs at {self.docs_folder}"
        self.judge(audit(staged.entering, contract, self.docs_folder), told)
        self.staged.append(staged)

    def judge(self, audited: list[Audited], consequence: str) -> None:
        """Keep what an audit found; say its warnings.

        Raises:
            QualityGateError: a critical expectation was not met; its message ends with the consequence.
        """
        self.audits += audited
        refuse_failed(audited, consequence)

    @property
    def docs_folder(self) -> Path:
        """Where the results of audits and their Data Docs are kept."""
        return Path(self.lake.root) / DOCS_FOLDER

    def commit(self) -> list[Output]:
        """Commit what was staged: the rejected rows first, then the tables, in the order of their publishing.

        Tables of one layer that follow each other are committed side by side.
        """
        side_by_side(self._commit_rejected, [staged for staged in self.staged if staged.is_judged])
        added = self.take_added()
        layers = groupby(self.staged, key=lambda staged: split_table(staged.contract.table)[0])
        written = [output for _, group in layers for output in side_by_side(self._commit_valid, group)]
        left = self._left_as_they_are({output.table for output in (*written, *added)})
        return [*added, *self._with_repeated([*written, *left])]

    def _left_as_they_are(self, written: set[str]) -> list[Output]:
        """The declared tables that this run found nothing to add to: their newest version is good.

        A run that was killed before its ledger row may have left it there; only audited rows are ever committed.
        """
        declared = [table for table in self.contracts if any(fnmatchcase(table, pattern) for pattern in self.writes)]
        held = {table: table_version(self.spark, self.lake.path(table)) for table in declared if table not in written}
        return [Output(table, version, 0) for table, version in held.items() if version is not None]

    def _commit_rejected(self, staged: Staged) -> None:
        contract = rejected_contract(staged.contract)
        path = self.lake.path(contract.table)
        is_there = staged.write.mode == "replace" and table_version(self.spark, path) is not None
        if not staged.rows_rejected and not is_there:
            return
        ensure_table(self.spark, path, contract)
        # Rejects of a slice are known by run only, so a slice's rejects are added once and a full table's are replaced.
        once = Write("append", transaction=f"{self.job}/{contract.table}/{self.fingerprint}")
        write = Write() if staged.write.mode == "replace" else once
        write_table(as_rejected_rows(staged.rows.where(~F.col(DUPLICATE)), self.run_id), path, write, (), self.run_id)

    def _commit_valid(self, staged: Staged) -> Output:
        path, contract = self.lake.path(staged.contract.table), staged.contract
        with self.turn(contract.table):
            ensure_table(self.spark, path, contract)
            before = table_version(self.spark, path)
            write_table(staged.entering, path, staged.write, contract.key, self.run_id)
            refuse_if_skipped(staged.entering, path, staged.write, contract, before)
            version = table_version(self.spark, path)
        assert version is not None
        is_counted = (staged.is_judged and staged.stay is None) or version == before
        rows_valid = staged.rows_valid if is_counted else rows_in_last_commit(self.spark, path)
        return Output(contract.table, version, rows_valid, staged.rows_rejected, staged.rows_deduplicated)
