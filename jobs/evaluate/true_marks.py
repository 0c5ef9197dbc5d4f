"""How well the marks on rows follow the world's truth: precision and recall of each kind, by what is counted."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.evaluate.scoreboard import Score, shared
from jobs.lakehouse.keys import Keys
from jobs.lakehouse.personal import tokenised

PROMISE = "3 cleaning"
GOAL, RING_GOAL = 0.95, 0.97
# Below so many lines sold nobody can tell an abuser from bad luck: 0.6 and 0.04 of five lines overlap.
LINES_THAT_TELL = 15


def mark_scores(
    true_ids: DataFrame, found_ids: DataFrame, kind: str, level: str, goal: float, note: str
) -> list[Score]:
    """Precision and recall of one kind of mark.

    Args:
        true_ids: one column, `id`: what bears the mark in truth and is held by silver.
        found_ids: one column, `id`: what bears it in silver.
        kind: what is marked.
        level: what an id stands for.
        goal: of both.
        note: for a reader.
    """
    true = true_ids.distinct().withColumn("is_true", F.lit(True))
    found = found_ids.distinct().withColumn("is_found", F.lit(True))
    counts = (
        true.join(found, on="id", how="full")
        .agg(
            F.count_if(F.col("is_true") & F.col("is_found")).alias("right"),
            F.count("is_true").alias("true"),
            F.count("is_found").alias("found"),
        )
        .first()
    )
    right, true_count, found_count = counts or (0, 0, 0)
    told = f"{right:,} right of {found_count:,} found and {true_count:,} true{'; ' if note else ''}{note}"
    return [
        shared(PROMISE, f"{kind}: precision", level, right, found_count, "world", goal=goal, note=told),
        shared(PROMISE, f"{kind}: recall", level, right, true_count, "world", goal=goal, note=told),
    ]


def as_id(column: str | Column, prefix: str | Column = "") -> Column:
    """The id of a true thing as silver names it: its feed, a colon, and the feed's own number."""
    before = F.lit(prefix) if isinstance(prefix, str) else prefix
    return F.concat(before, F.col(column) if isinstance(column, str) else column).alias("id")


def bot_devices(bots: DataFrame, keys: Keys, region: str) -> DataFrame:
    """One row per device of a bot, with `device_token`, by which silver knows it."""
    return bots.withColumn("device_token", tokenised(keys, "device_id", F.col("device_id"), region)["token"])


def bot_scores(bots: DataFrame, events: DataFrame, event_flags: DataFrame) -> list[Score]:
    """Bots by device and by event: every event of a bot's device is the bot's.

    Args:
        bots: the result of bot_devices.
        events: silver events.
        event_flags: silver event flags.
    """
    marked = events.join(event_flags.where("is_bot").select("event_id"), on="event_id", how="left_semi")
    of_bots = events.join(bots.select("device_token"), on="device_token", how="left_semi")
    by_event = mark_scores(
        of_bots.select(as_id("event_id")), marked.select(as_id("event_id")), "bots", "events", GOAL, ""
    )
    by_device = mark_scores(
        of_bots.select(as_id("device_token")), marked.select(as_id("device_token")), "bots", "devices", GOAL, ""
    )
    return [*by_device, *by_event]


def click_scores(repeated: DataFrame, events: DataFrame, event_flags: DataFrame) -> list[Score]:
    """Repeated clicks by event."""
    true = repeated.select(as_id("message_id")).join(events.select(as_id("event_id")), on="id", how="left_semi")
    found = event_flags.where("is_repeated_click").select(as_id("event_id"))
    return mark_scores(true, found, "repeated clicks", "events", GOAL, "")


def ring_scores(members: DataFrame, brushed: DataFrame, lines: DataFrame, order_flags: DataFrame) -> list[Score]:
    """Brushing by account and by order, of those of which silver holds a line."""
    held = lines.select("order_id", "account_id").distinct()
    marked = held.join(order_flags.where("is_brushing").select("order_id"), on="order_id", how="left_semi")
    accounts = members.select(as_id("account_id", "web_accounts:"))
    orders = brushed.select(as_id("order_id", "web_orders:"))
    note = "accounts of a ring are mostly found or missed together, so that the interval is narrower than chance allows"
    return [
        *mark_scores(
            accounts.join(held.select(as_id("account_id")), on="id", how="left_semi"),
            marked.select(as_id("account_id")),
            "brushing", "accounts", RING_GOAL, note,
        ),
        *mark_scores(
            orders.join(held.select(as_id("order_id")), on="id", how="left_semi"),
            marked.select(as_id("order_id")),
            "brushing", "orders", RING_GOAL, note,
        ),
    ]  # fmt: skip


def copy_scores(near: DataFrame, lines: DataFrame, line_flags: DataFrame) -> list[Score]:
    """Order lines that came again in other words: a mark where they have another number, else no revision of their own."""
    line_id = as_id(F.concat_ws(":", "order_id", "line_no"), F.concat(F.col("feed"), F.lit(":")))
    true = near.select(line_id, (F.col("kind") == "numbered anew").alias("is_renumbered"))
    held = lines.groupBy(as_id("order_line_id")).agg(F.max("revision").alias("revisions"))
    known = true.join(held, on="id", how="inner")
    unmarked = known.where("not is_renumbered and revisions = 1").select("id")
    found = unmarked.union(line_flags.where("is_near_duplicate").select(as_id("order_line_id")))
    return mark_scores(known.select("id"), found, "near duplicates", "order lines", GOAL, "")


def outlier_scores(outliers: DataFrame, lines: DataFrame, line_flags: DataFrame) -> list[Score]:
    """Mistyped quantities and prices by order line."""
    line_id = as_id(F.concat_ws(":", "order_id", "line_no"), F.concat(F.col("feed"), F.lit(":")))
    true = outliers.select(line_id).join(lines.select(as_id("order_line_id")), on="id", how="left_semi")
    found = line_flags.where("is_outlier").select(as_id("order_line_id"))
    return mark_scores(true, found, "outliers", "order lines", GOAL, "of mistyped quantities and prices")


def return_scores(
    persons: DataFrame, accounts: DataFrame, members: DataFrame, lines: DataFrame, order_flags: DataFrame
) -> list[Score]:
    """Abnormal returns by account with enough lines to tell; brushing rings, which return as well, are left aside.

    Args:
        persons: the true persons.
        accounts: `account_id` as silver names it and `person_id`.
        members: the true members of rings.
        lines: silver order lines.
        order_flags: silver order flags.
    """
    sold = lines.where("not is_return").groupBy("account_id").agg(F.count_distinct("order_line_id").alias("lines"))
    judged = (
        sold.where(F.col("lines") >= LINES_THAT_TELL)
        .join(accounts, on="account_id", how="inner")
        .join(
            members.select(as_id("account_id", "web_accounts:").alias("account_id")), on="account_id", how="left_anti"
        )
    )
    true = judged.join(persons.where("is_return_abuser").select("person_id"), on="person_id", how="left_semi")
    marked = lines.join(order_flags.where("is_abnormal_return").select("order_id"), on="order_id", how="left_semi")
    found = judged.join(marked.select("account_id").distinct(), on="account_id", how="left_semi")
    note = f"accounts with {LINES_THAT_TELL} lines or more"
    return mark_scores(
        true.select(as_id("account_id")), found.select(as_id("account_id")), "abnormal returns", "accounts", GOAL, note
    )


def repaired_columns(holes: DataFrame, repairs: DataFrame) -> DataFrame:
    """One row per column with missing values: how many, how many repaired and right, and the error of numbers."""
    keys = ["table_name", "row_key", "column_name"]
    judged = holes.join(repairs.select(*keys, "repaired"), on=keys, how="left").withColumns(
        {
            "place": F.concat_ws(".", "table_name", "column_name"),
            "true_number": F.when(F.col("repaired").isNotNull(), F.col("true_value").try_cast("double")),
        }
    )
    off = F.abs(F.col("repaired").try_cast("double") - F.col("true_number"))
    return judged.groupBy("place").agg(
        F.count("*").alias("holes"),
        F.count("repaired").alias("repaired"),
        F.count_if(F.col("repaired") == F.col("true_value")).alias("right"),
        F.first("is_number").alias("is_number"),
        # Weighted: ten visitors too many at a full door are less than at an empty one.
        F.try_divide(F.sum(off), F.sum("true_number")).alias("error"),
    )


def repair_scores(holes: DataFrame, repairs: DataFrame) -> list[Score]:
    """The share of missing values that were repaired, and how far off those are: the share right, or the error of numbers.

    Args:
        holes: `table_name`, `row_key`, `column_name`, `true_value` as text, `is_number`.
        repairs: silver repairs.
    """
    rows = repaired_columns(holes, repairs).orderBy("place").collect()
    scores = [_share_repaired(sum(row["holes"] for row in rows), sum(row["repaired"] for row in rows), "all columns")]
    for row in rows:
        place, told = row["place"], row["repaired"]
        scores.append(_share_repaired(row["holes"], told, place))
        if row["is_number"]:
            note = "mean absolute error over the mean"
            nothing = (None, None, None, None, None, None)
            scores.append(Score(PROMISE, "repair: error", place, row["error"], *nothing, "world", note))
        else:
            note = "of the repaired"
            scores.append(
                shared(PROMISE, "repair: share right", place, row["right"], told, "world", goal=None, note=note)
            )
    return scores


def _share_repaired(holes: int, repaired: int, level: str) -> Score:
    goal = 0.85 if level == "all columns" else None
    note = f"{repaired:,} of {holes:,} missing values"
    return shared(PROMISE, "repair: share repaired", level, repaired, holes, "world", goal=goal, note=note)
