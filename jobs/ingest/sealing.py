"""Sealing: what records leave in the vault, each value by its token and each line by its record, once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce

from pyspark.sql import DataFrame

from jobs.ingest.records import payloads
from jobs.lakehouse.keys import Keys
from jobs.lakehouse.personal import sealed
from jobs.lakehouse.sources import Source
from jobs.lakehouse.tables import Write
from jobs.lakehouse.vault import PAYLOADS, VALUES

# How rows enter a table: run.publish, or run.add for the batches of a stream.
Send = Callable[[str, DataFrame, Write], None]


def sealed_payloads(records: DataFrame, source: Source, keys: Keys) -> DataFrame:
    """One row per record that did not parse, or that has undeclared fields, with these sealed; records alike share one."""
    return sealed(payloads(records, source, keys.key_id), keys, "plain", "record_id")


def send_sealed(send: Send, values: Sequence[DataFrame], lines: Sequence[DataFrame]) -> None:
    """Give the vault what it does not have yet of the values and the lines of some feeds.

    A value is told by many records, and is dropped to one here; of lines each has its record, and sealing has dropped
    those of records alike in one file.
    """
    if values:
        send(VALUES, reduce(DataFrame.union, values).dropDuplicates(["token"]), Write("insert"))
    if lines:
        send(PAYLOADS, reduce(DataFrame.union, lines), Write("insert"))
