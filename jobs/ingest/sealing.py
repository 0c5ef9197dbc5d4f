"""Sealing: what records leave in bronze and in the vault, each value by its token and each line by its record, once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import reduce
from typing import NamedTuple

from pyspark.sql import DataFrame

from jobs.ingest.records import as_bronze, has_payload, payloads, personal_values
from jobs.lakehouse.caching import written_down
from jobs.lakehouse.keys import Keys
from jobs.lakehouse.personal import sealed
from jobs.lakehouse.sources import Source
from jobs.lakehouse.tables import Write
from jobs.lakehouse.vault import PAYLOADS, VALUES

# How rows enter a table: run.publish, or run.add for the batches of a stream.
Send = Callable[[str, DataFrame, Write], None]


class Written(NamedTuple):
    """What records bring: rows of bronze, and sealed for the vault their values and their lines, None where there are none."""

    bronze: DataFrame
    values: DataFrame | None
    lines: DataFrame | None


def written_records(records: DataFrame, plain: DataFrame, source: Source, keys: Keys, path: str) -> Written:
    """What records bring, read and tokenised once; what is sealed waits beside their rows.

    Args:
        records: the records with tokens and ids.
        plain: with ids, at least those that did not parse or have undeclared fields. No disk may see these as they came, so
            they are read again where there are any.
        source: the feed.
        keys: the keys.
        path: where the rows are written down.
    """
    written = written_down(as_bronze(records, source), path)
    has_none = written.where(has_payload()).isEmpty()
    return Written(
        written.select(*source.bronze_contract.column_names),
        personal_values(written, source, keys.key_id),
        None if has_none else sealed_payloads(plain, source, keys),
    )


def sealed_payloads(records: DataFrame, source: Source, keys: Keys) -> DataFrame:
    """One row per record that did not parse, or that has undeclared fields, with these sealed; records alike share one."""
    return sealed(payloads(records, source, keys.key_id), keys, "plain", "record_id")


def send_sealed(send: Send, values: Iterable[DataFrame | None], lines: Iterable[DataFrame | None]) -> None:
    """Give the vault what it does not have yet of the values and the lines of some feeds; None brings nothing.

    A value is told by many records, and is dropped to one here; of lines each has its record, and sealing has dropped
    those of records alike in one file.
    """
    if told := [rows for rows in values if rows is not None]:
        send(VALUES, reduce(DataFrame.union, told).dropDuplicates(["token"]), Write("insert"))
    if kept := [rows for rows in lines if rows is not None]:
        send(PAYLOADS, reduce(DataFrame.union, kept), Write("insert"))
