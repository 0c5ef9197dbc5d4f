"""How well rows follow the world's truth, one by one: which are captured, which are refused, and which are taken for copies."""

from __future__ import annotations

from collections.abc import Collection

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.evaluate.scoreboard import Score, counted, shared
from jobs.lakehouse.local_rows import local_rows
from jobs.lakehouse.tables import Lake, read_table, table_version

CAPTURE, CLEANING = "1 capture", "3 cleaning"
CAPTURE_GOAL, COPY_GOAL = 0.99, 0.95
EVENTS, LINES = "events", "order lines"
# Where the id of a row lies in the record that silver refused.
ORDER_FIELDS = {"web_orders": "order_id", "pos_receipts": "receipt_id"}


def refused_rows(table: DataFrame, path: str) -> DataFrame:
    """One row per record that a table of silver refused: `record`, its JSON; none where it never refused any.

    Args:
        table: any frame of the session.
        path: where the refused rows of the table lie.
    """
    spark = table.sparkSession
    version = table_version(spark, path)
    if version is None:
        return local_rows(spark, [], "record string")
    return read_table(spark, path, version).select("record")


def as_true_rows(feed_rows: DataFrame, near: DataFrame, keyed: Collection[str] = ()) -> DataFrame:
    """One row per id under which rows come: `level`, `id`, `true_rows`, `copies`, `spoilt_rows`.

    A line told again in other words is a copy under its own id; one numbered anew is a row under another id, and no true one.

    Args:
        feed_rows: the truth about rows.
        near: the truth about near duplicates.
        keyed: feeds that come by tables, whose keys make one row of copies to the letter before any job sees them.
    """
    letter_copies = F.when(F.col("feed").isin(*keyed), 0).otherwise(F.col("copies"))
    level = F.when(F.col("feed") == "app_events", EVENTS).otherwise(LINES).alias("level")
    of_line = F.concat_ws(":", "feed", "row_id")
    told = feed_rows.select(
        level,
        F.when(F.col("feed") == "app_events", F.col("row_id")).otherwise(of_line).alias("id"),
        F.lit(1).alias("true_rows"),
        (letter_copies + F.coalesce((F.col("near_copy") == "told again").cast("int"), F.lit(0))).alias("copies"),
        F.col("spoilt_field").isNotNull().cast("int").alias("spoilt_rows"),
    )
    anew = near.where("kind = 'numbered anew'").select(
        F.lit(LINES).alias("level"),
        F.concat_ws(":", "feed", "order_id", "line_no").alias("id"),
        *[F.lit(0).alias(name) for name in ("true_rows", "copies", "spoilt_rows")],
    )
    counts = [F.sum(name).alias(name) for name in ("true_rows", "copies", "spoilt_rows")]
    return told.unionByName(anew).groupBy("level", "id").agg(*counts)


def as_held_rows(events: DataFrame, lines: DataFrame, refused_events: DataFrame, refused_lines: DataFrame) -> DataFrame:
    """One row per id that silver holds or has refused: `level`, `id`, `valid_rows`, `refused_rows`.

    Args:
        events: silver events.
        lines: silver order lines, all revisions.
        refused_events: the records that silver events refused.
        refused_lines: the records that silver order lines refused.
    """
    record = _fields("messageId", "receivedAt", *ORDER_FIELDS.values(), "line_no")
    told, numbered = F.trim(record["messageId"]), record["line_no"]
    received = F.concat(F.lit("received at "), record["receivedAt"])
    of_event = F.when(told != "", told).otherwise(received)
    of_line = F.coalesce(
        *[
            F.when(record[field].isNotNull(), F.concat_ws(":", F.lit(feed), record[field], numbered))
            for feed, field in ORDER_FIELDS.items()
        ]
    )
    parts = [
        (EVENTS, events, F.col("event_id"), 1),
        (LINES, lines, F.col("order_line_id"), 1),
        (EVENTS, refused_events, of_event, 0),
        (LINES, refused_lines, of_line, 0),
    ]
    rows = [
        frame.select(
            F.lit(level).alias("level"),
            name.alias("id"),
            F.lit(valid).alias("valid"),
            F.lit(1 - valid).alias("refused"),
        )
        for level, frame, name, valid in parts
    ]
    told_rows = rows[0].unionByName(rows[1]).unionByName(rows[2]).unionByName(rows[3])
    return told_rows.groupBy("level", "id").agg(
        F.sum("valid").alias("valid_rows"), F.sum("refused").alias("refused_rows")
    )


def _fields(*names: str) -> dict[str, Column]:
    return {name: F.get_json_object("record", f"$.{name}") for name in names}


def row_scores(true_rows: DataFrame, held_rows: DataFrame) -> list[Score]:
    """Capture, refusal of what is spoilt, and removal of copies, each counted id by id.

    Of an id that came so many times, what is neither held nor refused was removed: that many copies are right, what is more
    was no copy. A row that silver holds under no true id, or once more than it came, captures nothing: it was never told.

    Args:
        true_rows: as `as_true_rows` gives them.
        held_rows: as `as_held_rows` gives them.
    """
    joined = true_rows.withColumn("_is_known", F.lit(True)).join(held_rows, on=["level", "id"], how="full")
    names = ("true_rows", "copies", "spoilt_rows", "valid_rows", "refused_rows")
    told = joined.withColumns({name: F.coalesce(name, F.lit(0)) for name in names})
    came = F.greatest(F.col("true_rows"), F.col("_is_known").cast("int")) + F.col("copies")
    held = F.col("valid_rows") + F.col("refused_rows")
    removed = F.when(F.col("_is_known"), F.greatest(came - held, F.lit(0)))
    never_told = F.when(F.col("_is_known").isNull(), held).otherwise(F.greatest(held - came, F.lit(0)))
    good = F.col("true_rows") - F.col("spoilt_rows")
    totals = (
        told.withColumn("removed", F.coalesce(removed, F.lit(0)))
        .groupBy("level")
        .agg(
            *[F.sum(name).alias(name) for name in (*names, "removed")],
            F.sum(F.greatest(F.least(good, "valid_rows"), F.lit(0))).alias("captured"),
            F.sum(F.least("spoilt_rows", "refused_rows")).alias("rightly_refused"),
            F.sum(F.least("copies", "removed")).alias("rightly_removed"),
            F.sum(never_told).alias("never_told"),
        )
    )
    scores: list[Score] = []
    for row in totals.where("true_rows > 0").orderBy("level").collect():
        counts = {name: int(row[name]) for name in row.asDict() if name != "level"}
        scores += _capture_scores(row["level"], counts) + _copy_scores(row["level"], counts)
    return scores


def scores_of_rows(
    feed_rows: DataFrame, near: DataFrame, events: DataFrame, lines: DataFrame, lake: Lake, keyed: Collection[str] = ()
) -> list[Score]:
    """How silver holds the true events and order lines, id by id: captured, refused, removed as copies.

    Args:
        feed_rows: the truth about rows.
        near: the truth about near duplicates.
        events: silver events.
        lines: silver order lines, all revisions.
        lake: where what these refused lies beside them.
        keyed: as for `as_true_rows`.
    """
    refused = [
        refused_rows(rows, lake.path(f"{table}_rejected"))
        for table, rows in (("silver.events", events), ("silver.order_lines", lines))
    ]
    return row_scores(as_true_rows(feed_rows, near, keyed), as_held_rows(events, lines, *refused))


def _capture_scores(level: str, counts: dict[str, int]) -> list[Score]:
    true, valid, refused = counts["true_rows"], counts["captured"], counts["rightly_refused"]
    spoilt = counts["spoilt_rows"]
    held = counts["valid_rows"] + counts["refused_rows"]
    told_rows = held - counts["never_told"]
    note = (
        f"{valid:,} of {true:,}; {spoilt:,} are spoilt on purpose; of the others {true - spoilt - valid:,} are missing"
    )
    held_note = f"{told_rows:,} of {held:,} valid and refused rows; the others are of no row that came, or of one once too often"
    because = f"{refused:,} right of {counts['refused_rows']:,} refused and {spoilt:,} spoilt"
    return [
        counted(CAPTURE, "share valid of true rows", level, valid / true, "world", CAPTURE_GOAL, note),
        shared(CAPTURE, "share told of rows held", level, told_rows, held, "world", goal=1.0, note=held_note),
        shared(CAPTURE, "spoilt rows refused: precision", level, refused, counts["refused_rows"], "world", goal=CAPTURE_GOAL, note=because),
        shared(CAPTURE, "spoilt rows refused: recall", level, refused, spoilt, "world", goal=CAPTURE_GOAL, note=because),
    ]  # fmt: skip


def _copy_scores(level: str, counts: dict[str, int]) -> list[Score]:
    right, removed, copies = counts["rightly_removed"], counts["removed"], counts["copies"]
    note = f"{right:,} right of {removed:,} removed and {copies:,} copies, counted under each row's id"
    return [
        shared(CLEANING, "duplicates: precision", level, right, removed, "world", goal=COPY_GOAL, note=note),
        shared(CLEANING, "duplicates: recall", level, right, copies, "world", goal=COPY_GOAL, note=note),
    ]
