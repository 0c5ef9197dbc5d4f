"""Table changes: how the rows of a database's table differ from what bronze last heard of them."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.lakehouse.sources import DELETED, Source

WITHIN_CURSOR, CURSOR = "_is_within_cursor", "_cursor"
TIMES = ("timestamp without time zone", "timestamp with time zone", "date")
NUMBERS = ("smallint", "integer", "bigint", "numeric")


@dataclass(frozen=True)
class Counts:
    """How many rows bronze holds as there, how many of them are gone, and how many it missed below the cursor.

    It missed those that it does not hold, and those that it holds with another cursor than they have.
    """

    held: int
    gone: int
    missed: int


def as_last_held(bronze: DataFrame, key: tuple[str, ...]) -> DataFrame:
    """One row per key: the record that the last load which spoke of it left, a deletion among them."""
    whole = F.struct(*bronze.columns)
    newest = bronze.groupBy(*key).agg(F.max_by(whole, "_delivery_id").alias("_newest"))
    return newest.select("_newest.*")


def last_load(bronze: DataFrame, cursor: str, cursor_type: str) -> tuple[int, str | None]:
    """The number of the last load that left something, 0 where none did, and the greatest cursor that was read."""
    typed = F.col(cursor).try_cast("timestamp" if cursor_type in TIMES else "decimal(38,9)")
    number = F.split("_delivery_id", "/").getItem(1).cast("int")
    found = bronze.agg(F.max(number), F.max_by(cursor, typed)).first()
    return (0, None) if found is None or found[0] is None else (found[0], found[1])


def count_changes(held: DataFrame, keys: DataFrame, key: tuple[str, ...], cursor: str) -> Counts:
    """What comparing all keys tells.

    Args:
        held: the result of as_last_held.
        keys: the keys that the table has now, with the cursor as text and whether a load by it would read the row.
        key: the columns of the key.
        cursor: the column of the cursor.
    """
    here = held.select(*key, (~F.col(DELETED.name)).alias("_is_held"), F.col(cursor).alias("_held_cursor"))
    both = here.join(keys.withColumn("_is_there", F.lit(True)), on=list(key), how="full")
    is_held, is_there = F.coalesce("_is_held", F.lit(False)), F.coalesce("_is_there", F.lit(False))
    # Bronze and the table tell the cursor in the same words, so nothing needs to be read as time or number here.
    is_known = is_held & F.col(CURSOR).eqNullSafe(F.col("_held_cursor"))
    is_missed = is_there & ~F.col(WITHIN_CURSOR) & ~is_known
    counts = both.agg(F.count_if(is_held), F.count_if(is_held & ~is_there), F.count_if(is_missed)).first()
    return Counts(*counts) if counts else Counts(0, 0, 0)


def count_repeated(held: DataFrame, keys: DataFrame, written: DataFrame, key: tuple[str, ...]) -> int:
    """How many rows that a load read are held already, and were not written again.

    Args:
        held: the result of as_last_held.
        keys: the keys of the rows that the load read.
        written: what it wrote of them.
        key: the columns of the key.
    """
    left_out = keys.select(*key).join(written.select(*key), on=list(key), how="left_anti")
    return left_out.join(held.where(~F.col(DELETED.name)).select(*key), on=list(key), how="left_semi").count()


def only_changed(arriving: DataFrame, held: DataFrame, source: Source, now: dt.datetime) -> DataFrame:
    """The arriving records that say something else than what is held of their key, or of whose key nothing is held.

    A change that by its own time would not have arrived after what it changes arrives `now`: revisions keep the order of the loads.
    """
    key = _key(source)
    known = held.select(
        *key,
        _content(source).alias("_held_content"),
        F.col(DELETED.name).alias("_was_deleted"),
        F.col("_arrived_at").alias("_held_at"),
    )
    is_later = F.col("_held_at").isNull() | (F.col("_arrived_at") > F.col("_held_at"))
    compared = arriving.withColumn("_content", _content(source)).join(known, on=list(key), how="left")
    is_same = F.coalesce(~F.col("_was_deleted") & (F.col("_content") == F.col("_held_content")), F.lit(False))
    return (
        compared.where(~is_same)
        .withColumn("_arrived_at", F.when(is_later, F.col("_arrived_at")).otherwise(F.lit(now)))
        .drop("_content", "_held_content", "_was_deleted", "_held_at")
    )


def as_deletions(held: DataFrame, keys: DataFrame, source: Source, delivery_id: str, now: dt.datetime) -> DataFrame:
    """One row per held key that the table has no more, saying what was last known of it."""
    gone = held.where(~F.col(DELETED.name)).join(keys.select(*_key(source)), on=list(_key(source)), how="left_anti")
    told = F.concat_ws("\x1f", F.lit(delivery_id), F.lit("deleted"), *_key(source))
    return gone.withColumns(
        {
            "_record_id": F.md5(told.cast("binary")),
            "_arrived_at": F.greatest(F.lit(now), F.col("_arrived_at")),
            "_delivery_id": F.lit(delivery_id),
            DELETED.name: F.lit(True),
        }
    ).select(*source.bronze_contract.column_names)


def _content(source: Source) -> Column:
    """What a record says: its fields, personal ones by their tokens."""
    columns = [f"{field.column}_token" if field.personal else field.column for field in source.fields]
    return F.md5(F.concat_ws("\x1f", *[F.coalesce(F.col(name), F.lit("\x00")) for name in columns]).cast("binary"))


def _key(source: Source) -> tuple[str, ...]:
    assert source.table is not None
    return source.table.key
