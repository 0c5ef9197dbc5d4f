"""Revisions: repeated deliveries of a row are marked, and a changed one supersedes the one before."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from jobs.lakehouse.differences import digest
from jobs.lakehouse.quality import DUPLICATE, REASONS, RECORD, UNPARSEABLE, is_rejected
from jobs.lakehouse.sources import DELETED
from jobs.lakehouse.translations import TRANSLATED

# By which row of a database a record was told; null where it came another way, and then nobody takes it back.
TELLER = "_teller"
# What may differ between two deliveries of the same content; two feeds that say the same of a thing say it once.
NOT_CONTENT = ("source", "arrived_at", TRANSLATED, "_record_id", "_reject_reasons", RECORD, DELETED.name, TELLER)
ARRIVALS = ("arrived_at", "_content", "_record_id")
# A deletion comes after all else that arrived at its time: nothing of that is known to be later.
WITH_DELETIONS = ("arrived_at", DELETED.name, "_content", "_record_id")
SO_FAR = (Window.unboundedPreceding, Window.currentRow)


def as_revisions(rows: DataFrame, key: tuple[str, ...]) -> DataFrame:
    """One row per delivery, with `revision`, `superseded_at` and `_is_duplicate`.

    In order of arrival a row that says the same as the one before it, under the same key, is a duplicate; one that says
    something else is the next revision. So silver can be read as of any time: a revision holds from its `arrived_at`
    until its `superseded_at`. Rejected rows don't supersede; those alike to the letter are duplicates of each other, unless
    they could not be parted into fields: nobody knows what these say.
    What arrived at the same time is ordered by what it says, so that neither its split into files nor its way in changes anything.
    A deletion says what the newest record says that is still held of the thing. Where there is none, it is a last revision
    that ends when it begins, so that none holds after it.
    """
    said = [name for name in rows.columns if name not in NOT_CONTENT]
    raw = _as_it_came(rows)
    content = F.when(is_rejected(), raw).otherwise(digest(rows, *said))
    identity = F.when(is_rejected(), F.concat_ws(" ", F.lit("rejected"), raw)).otherwise(_joined(key))
    told = _lighter(rows.withColumns({"_identity": identity, "_content": content}))
    has_deletions = DELETED.name in rows.columns
    as_told = {"_says": F.col("_content"), "_is_over": F.lit(False)}
    told = _with_deletions_judged(told, said) if has_deletions else told.withColumns(as_told)
    order = WITH_DELETIONS if has_deletions else ARRIVALS
    arrivals = Window.partitionBy("_identity").orderBy(*order)
    marked = told.withColumn(DUPLICATE, F.coalesce(F.col("_says") == F.lag("_says").over(arrivals), F.lit(False)))
    kept_first = Window.partitionBy("_identity").orderBy(DUPLICATE, *order)
    is_next_kept = F.lead(DUPLICATE).over(kept_first) == F.lit(False)
    return (
        marked.withColumn("revision", F.row_number().over(kept_first))
        .withColumn("superseded_at", F.when(is_next_kept, F.lead("arrived_at").over(kept_first)))
        .withColumn("superseded_at", F.when(F.col("_is_over"), F.col("arrived_at")).otherwise(F.col("superseded_at")))
        .drop("_identity", "_content", "_says", "_is_over", DELETED.name, TELLER)
    )


def _with_deletions_judged(told: DataFrame, said: list[str]) -> DataFrame:
    """The rows with `_says`, a hash of what holds from each on, and `_is_over` where that is nothing; deletions say what is left."""
    replaced = [name for name in told.columns if name in (*said, "source", "_content")]
    left = _with_left(_with_held_until(told), replaced)
    is_over = F.col(DELETED.name) & F.col("_left").isNull()
    nothing = F.when(is_over & ~is_rejected(), F.xxhash64(F.lit(DELETED.name)))
    says = {"_says": F.coalesce(nothing, F.col("_left._content"), F.col("_content")), "_is_over": is_over}
    is_replaced = F.col("_left").isNotNull()
    values = {
        name: F.when(is_replaced, F.col(f"_left.{name}")).otherwise(F.col(name))
        for name in replaced
        if name != "_content"
    }
    return left.withColumns({**says, **values}).drop("_left")


def _with_held_until(told: DataFrame) -> DataFrame:
    """The rows with `_held_until`, when the row of the database that told them was deleted, and `_next_until`, that of the next."""
    # One shuffle serves the windows of things and of their tellers.
    rows = told.withColumn(DELETED.name, F.coalesce(DELETED.name, F.lit(False))).repartition("_identity")
    backwards = Window.partitionBy("_identity", TELLER).orderBy(*[F.desc(name) for name in WITH_DELETIONS])
    deleted_at = F.when(F.col(DELETED.name), F.col("arrived_at"))
    until = F.last(deleted_at, ignorenulls=True).over(backwards.rowsBetween(*SO_FAR))
    arrivals = Window.partitionBy("_identity").orderBy(*WITH_DELETIONS)
    return rows.withColumn("_held_until", until).withColumn("_next_until", F.lead("_held_until").over(arrivals))


def _with_left(held: DataFrame, told: list[str]) -> DataFrame:
    """The rows with `_left`: of a deletion, what the newest record tells that is held once all of its time has arrived.

    So of a purge of many rows comes one revision or none. A record that the next one outlives is never the newest that is
    held; the others are few, and of most things there are none.
    """
    until, next_until = F.col("_held_until"), F.col("_next_until")
    outlives_next = next_until.isNotNull() & (until.isNull() | (next_until < until))
    kept = F.when(~F.col(DELETED.name) & outlives_next, F.struct(until, *told))
    arrivals = Window.partitionBy("_identity").orderBy(*WITH_DELETIONS)

    def is_held(record: Column) -> Column:
        return record["_held_until"].isNull() | (record["_held_until"] > F.col("arrived_at"))

    outliving = held.withColumn("_outliving", F.collect_list(kept).over(arrivals.rowsBetween(*SO_FAR)))
    newest = F.try_element_at(F.filter("_outliving", is_held), F.lit(-1))
    left = outliving.withColumn("_left", F.when(F.col(DELETED.name), newest))
    return left.drop("_outliving", "_held_until", "_next_until")


def as_first_arrivals(rows: DataFrame, key: tuple[str, ...]) -> DataFrame:
    """One row per delivery of things that never change, such as events: all but the first arrival are duplicates.

    That they were deleted somewhere doesn't undo that they happened: a deletion is a duplicate as well.
    """
    identity = F.when(is_rejected(), _as_it_came(rows).cast("string")).otherwise(_joined(key))
    told = _lighter(rows.withColumns({"_identity": identity, "_content": digest(rows, RECORD)}))
    arrivals = Window.partitionBy("_identity").orderBy(*ARRIVALS)
    marked = told.withColumn(DUPLICATE, F.row_number().over(arrivals) > 1)
    return marked.drop("_identity", "_content", DELETED.name, TELLER)


def _lighter(rows: DataFrame) -> DataFrame:
    """The rows with `_record` where they are rejected only: nobody asks for the others', and rows are sorted that are half as wide."""
    return rows.withColumn(RECORD, F.when(is_rejected(), F.col(RECORD)))


def current(revisions: DataFrame) -> DataFrame:
    """The revisions that hold now."""
    return revisions.where(F.col("superseded_at").isNull())


def _as_it_came(rows: DataFrame) -> Column:
    """By what rejected rows are told apart: their fields, or their records' ids where there are no fields."""
    is_unparseable = F.array_contains(REASONS, UNPARSEABLE)
    return F.when(is_unparseable, F.xxhash64("_record_id")).otherwise(digest(rows, RECORD))


def _joined(key: tuple[str, ...]) -> Column:
    return F.concat_ws("\x1f", *[F.col(name).cast("string") for name in key])
