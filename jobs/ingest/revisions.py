"""Revisions: repeated deliveries of a row are marked, and a changed one supersedes the one before."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from jobs.lakehouse.quality import DUPLICATE, REASONS, RECORD, UNPARSEABLE, is_rejected
from jobs.lakehouse.sources import DELETED

# What may differ between two deliveries of the same content; two feeds that say the same of a thing say it once.
NOT_CONTENT = ("source", "arrived_at", "_record_id", "_reject_reasons", RECORD, DELETED.name)


def as_revisions(rows: DataFrame, key: tuple[str, ...]) -> DataFrame:
    """One row per delivery, with `revision`, `superseded_at` and `_is_duplicate`.

    In order of arrival a row that says the same as the one before it, under the same key, is a duplicate; one that says
    something else is the next revision. So silver can be read as of any time: a revision holds from its `arrived_at`
    until its `superseded_at`. Rejected rows don't supersede; those alike to the letter are duplicates of each other, unless
    they could not be parted into fields: nobody knows what these say.
    What arrived at the same time is ordered by what it says, so that neither its split into files nor its way in changes anything.
    A deletion is a last revision that ends when it begins, so that none holds after it.
    """
    deletions = [F.coalesce(name, F.lit(False)) for name in (DELETED.name,) if name in rows.columns]
    is_deleted = deletions[0] if deletions else F.lit(False)
    said = [F.col(name) for name in rows.columns if name not in NOT_CONTENT]
    content = F.when(is_deleted, F.xxhash64(*said, F.lit(True))).otherwise(F.xxhash64(*said))
    raw = _as_it_came()
    told = _lighter(rows.withColumn("_content", F.when(is_rejected(), raw).otherwise(content)))
    identity = F.when(is_rejected(), F.concat_ws(" ", F.lit("rejected"), raw)).otherwise(_joined(key))
    arrivals = Window.partitionBy("_identity").orderBy("arrived_at", "_content", "_record_id")
    marked = told.withColumn("_identity", identity).withColumn(
        DUPLICATE, F.coalesce(F.col("_content") == F.lag("_content").over(arrivals), F.lit(False))
    )
    kept_first = Window.partitionBy("_identity").orderBy(DUPLICATE, "arrived_at", "_content", "_record_id")
    is_next_kept = F.lead(DUPLICATE).over(kept_first) == F.lit(False)
    return (
        marked.withColumn("revision", F.row_number().over(kept_first))
        .withColumn("superseded_at", F.when(is_next_kept, F.lead("arrived_at").over(kept_first)))
        .withColumn("superseded_at", F.when(is_deleted, F.col("arrived_at")).otherwise(F.col("superseded_at")))
        .drop("_identity", "_content", DELETED.name)
    )


def as_first_arrivals(rows: DataFrame, key: tuple[str, ...]) -> DataFrame:
    """One row per delivery of things that never change, such as events: all but the first arrival are duplicates.

    That they were deleted somewhere doesn't undo that they happened: a deletion is a duplicate as well.
    """
    identity = F.when(is_rejected(), _as_it_came().cast("string")).otherwise(_joined(key))
    told = _lighter(rows.withColumns({"_identity": identity, "_content": F.xxhash64(RECORD)}))
    arrivals = Window.partitionBy("_identity").orderBy("arrived_at", "_content", "_record_id")
    marked = told.withColumn(DUPLICATE, F.row_number().over(arrivals) > 1)
    return marked.drop("_identity", "_content", DELETED.name)


def _lighter(rows: DataFrame) -> DataFrame:
    """The rows with `_record` where they are rejected only: nobody asks for the others', and rows are sorted that are half as wide."""
    return rows.withColumn(RECORD, F.when(is_rejected(), F.col(RECORD)))


def current(revisions: DataFrame) -> DataFrame:
    """The revisions that hold now."""
    return revisions.where(F.col("superseded_at").isNull())


def _as_it_came() -> Column:
    """By what rejected rows are told apart: their fields, or their records' ids where there are no fields."""
    is_unparseable = F.array_contains(REASONS, UNPARSEABLE)
    return F.when(is_unparseable, F.xxhash64("_record_id")).otherwise(F.xxhash64(RECORD))


def _joined(key: tuple[str, ...]) -> Column:
    return F.concat_ws("\x1f", *[F.col(name).cast("string") for name in key])
