"""How well the marks on rows follow the world's truth: precision and recall of each kind, by what is counted."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.evaluate.scoreboard import Score, shared
from jobs.lakehouse.keys import Keys
from jobs.lakehouse.personal import tokenised

PROMISE = "3 cleaning"
GOAL, RING_GOAL = 0.95, 0.97


def mark_scores(
    true_ids: DataFrame, found_ids: DataFrame, kind: str, level: str, goal: float | None, note: str
) -> list[Score]:
    """Precision and recall of one kind of mark.

    The intervals take what stands or falls together as one: clusters of different sizes are worth fewer than they are (Kish 1965).

    Args:
        true_ids: `id`: what bears the mark in truth and is held by silver; and maybe `cluster`, with which it stands or falls.
        found_ids: `id`, and maybe `cluster`: what bears it in silver.
        kind: what is marked.
        level: what an id stands for.
        goal: of both.
        note: for a reader.
    """
    true = _clustered(true_ids).withColumnsRenamed({"cluster": "true_cluster"}).withColumn("is_true", F.lit(True))
    found = _clustered(found_ids).withColumnsRenamed({"cluster": "found_cluster"}).withColumn("is_found", F.lit(True))
    by_cluster = (
        true.join(found, on="id", how="full")
        .groupBy(F.coalesce("true_cluster", "found_cluster").alias("cluster"))
        .agg(
            F.count_if(F.col("is_true") & F.col("is_found")).alias("right"),
            F.count("is_true").alias("true"),
            F.count("is_found").alias("found"),
        )
    )
    sums = [F.sum(name) for name in ("right", "true", "found")]
    squares = [F.sum(F.col(name) * F.col(name)) for name in ("true", "found")]
    right, true_count, found_count, true_squares, found_squares = (
        number or 0 for number in by_cluster.agg(*sums, *squares).first() or (0,) * 5
    )
    told = f"{right:,} right of {found_count:,} found and {true_count:,} true{'; ' if note else ''}{note}"

    def of(metric: str, trials: int, of_squares: int) -> Score:
        worth = trials * trials / of_squares if of_squares else None
        return shared(PROMISE, metric, level, right, trials, "world", goal=goal, note=told, independent=worth)

    return [
        of(f"{kind}: precision", found_count, found_squares),
        of(f"{kind}: recall", true_count, true_squares),
    ]


def _clustered(ids: DataFrame) -> DataFrame:
    """The distinct ids, each with its cluster, or alone."""
    return ids.withColumn("cluster", F.col("cluster" if "cluster" in ids.columns else "id")).dropDuplicates(["id"])


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
    of_device = as_id("event_id"), F.col("device_token").alias("cluster")
    by_event = mark_scores(of_bots.select(*of_device), marked.select(*of_device), "bots", "events", GOAL, "")
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
    ring = F.col("ring_id").cast("string").alias("cluster")
    accounts = members.select(as_id("account_id", "web_accounts:"), ring)
    orders = brushed.select(as_id("order_id", "web_orders:"), ring)
    return [
        *mark_scores(
            accounts.join(held.select(as_id("account_id")), on="id", how="left_semi"),
            marked.select(as_id("account_id")),
            "brushing", "accounts", RING_GOAL, "",
        ),
        *mark_scores(
            orders.join(held.select(as_id("order_id")), on="id", how="left_semi"),
            marked.select(as_id("order_id")),
            "brushing", "orders", RING_GOAL, "",
        ),
    ]  # fmt: skip


def copy_scores(near: DataFrame, lines: DataFrame, line_flags: DataFrame) -> list[Score]:
    """Order lines that came again: marked under another number, and without a revision of their own in other words."""
    line_id = as_id(F.concat_ws(":", "order_id", "line_no"), F.concat(F.col("feed"), F.lit(":")))
    true = near.select(line_id, (F.col("kind") == "numbered anew").alias("is_renumbered"))
    held = lines.groupBy(as_id("order_line_id")).agg(F.max("revision").alias("revisions"))
    known = true.join(held, on="id", how="inner")
    renumbered = known.where("is_renumbered").select("id")
    found = line_flags.where("is_near_duplicate").select(as_id("order_line_id"))
    told_again = known.where("not is_renumbered")
    hits, trials = told_again.agg(F.count_if(F.col("revisions") == 1), F.count("*")).first() or (0, 0)
    note = "told in other words a day later, and recognised as the same"
    return [
        *mark_scores(renumbered, found, "near duplicates", "order lines", GOAL, "under another line number"),
        shared(PROMISE, "near duplicates: told again", "order lines", hits, trials, "world", goal=GOAL, note=note),
    ]


def outlier_scores(outliers: DataFrame, lines: DataFrame, line_flags: DataFrame) -> list[Score]:
    """Mistyped quantities and prices by order line."""
    line_id = as_id(F.concat_ws(":", "order_id", "line_no"), F.concat(F.col("feed"), F.lit(":")))
    true = outliers.select(line_id).join(lines.select(as_id("order_line_id")), on="id", how="left_semi")
    found = line_flags.where("is_outlier").select(as_id("order_line_id"))
    return mark_scores(true, found, "outliers", "order lines", GOAL, "of mistyped quantities and prices")


def return_scores(
    persons: DataFrame,
    accounts: DataFrame,
    members: DataFrame,
    lines: DataFrame,
    order_flags: DataFrame,
    least_lines: int,
) -> list[Score]:
    """Abnormal returns by account; brushing rings, which return as well, are left aside.

    The goal holds for the accounts that the rule judges at all. Those with fewer lines have a row of their own: two returns of two
    lines tell nobody from bad luck.

    Args:
        persons: the true persons.
        accounts: `account_id` as silver names it and `person_id`.
        members: the true members of rings.
        lines: silver order lines.
        order_flags: silver order flags.
        least_lines: so many lines sold, and the rule judges an account.
    """
    sold = lines.where("not is_return").groupBy("account_id").agg(F.count_distinct("order_line_id").alias("lines"))
    of_rings = members.select(as_id("account_id", "web_accounts:").alias("account_id"))
    honest = sold.join(accounts, on="account_id", how="inner").join(of_rings, on="account_id", how="left_anti")
    true = honest.join(persons.where("is_return_abuser").select("person_id"), on="person_id", how="left_semi")
    marked = lines.join(order_flags.where("is_abnormal_return").select("order_id"), on="order_id", how="left_semi")
    found = honest.join(marked.select("account_id").distinct(), on="account_id", how="left_semi")

    def scored(kept: Column, level: str, goal: float | None, note: str) -> list[Score]:
        true_ids, found_ids = (rows.where(kept).select(as_id("account_id")) for rows in (true, found))
        return mark_scores(true_ids, found_ids, "abnormal returns", level, goal, note)

    judged = scored(F.col("lines") >= least_lines, "accounts", GOAL, f"accounts with {least_lines} lines or more")
    _, recall_of_all = scored(F.lit(True), "all accounts", None, "with however few lines")
    return [*judged, recall_of_all]


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
