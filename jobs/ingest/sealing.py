"""Sealing: what records leave in bronze and in the vault, each value by its token and each line by its record, once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import reduce
from typing import NamedTuple

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.ingest.records import as_bronze, has_payload, only_with_payload, payloads, personal_values
from jobs.lakehouse.caching import written_down
from jobs.lakehouse.errors import QualityGateError
from jobs.lakehouse.keys import Keys
from jobs.lakehouse.personal import sealed
from jobs.lakehouse.sources import Source
from jobs.lakehouse.tables import Write
from jobs.lakehouse.vault import PAYLOADS, VALUES

# How rows enter a table: run.publish, or run.add for the batches of a stream.
Send = Callable[[str, DataFrame, Write], None]


class Written(NamedTuple):
    """What records bring: rows of bronze and how many, and sealed for the vault their values and lines, None where there are none."""

    bronze: DataFrame
    row_count: int
    values: DataFrame | None
    lines: DataFrame | None


def written_records(
    read: DataFrame, made_of: Callable[[DataFrame], DataFrame], source: Source, keys: Keys, path: str
) -> Written:
    """What records bring, read and tokenised once; what is sealed waits beside their rows.

    Args:
        read: the records as the source tells them. No disk may see those that did not parse or have undeclared fields, so they
            are read again where there are any.
        made_of: gives such records their tokens and ids.
        source: the feed.
        keys: the keys.
        path: where the rows are written down.
    """
    written = written_down(as_bronze(made_of(read), source), path)
    row_count, with_payload = written.agg(F.count("*"), F.count_if(has_payload())).first() or (0, 0)
    return Written(
        written.select(*source.bronze_contract.column_names),
        row_count,
        personal_values(written, source, keys.key_id),
        None if with_payload == 0 else sealed_payloads(made_of(only_with_payload(read)), source, keys),
    )


def all_written(
    read: DataFrame, made_of: Callable[[DataFrame], DataFrame], source: Source, keys: Keys, path: str
) -> Written:
    """What records bring, where each that the source tells must be there, once.

    They are counted by themselves, at the source: an observation of the pass that writes them would leave in the session what
    Spark can't send to its workers, and training would fail.

    Raises:
        QualityGateError: fewer or more rows wait to be published than the source has.
    """
    written, count = written_records(read, made_of, source, keys, path), read.count()
    if written.row_count != count:
        raise QualityGateError(
            f"{source.bronze_table}: {count} records were read of feed {source.source}, but {written.row_count} came out of it; "
            "nothing was published"
        )
    return written


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
