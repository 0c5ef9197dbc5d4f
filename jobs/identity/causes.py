"""Causes: by which links, words and accounts that came, went or are judged otherwise customers are others than were published.

They are told from the links as published and as judged now, so that a run over all accounts and an increment tell the same.
"""

from __future__ import annotations

from typing import NamedTuple

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from jobs.identity.changes import CAME, OTHERWISE, RENAME, SHIFT, SPLIT, held_by_level
from jobs.identity.evidence import Links
from jobs.identity.links import OVERRIDE, TAKEN_BACK, setting_of
from jobs.identity.overrides import ALWAYS_JOIN, AS_FOUND, NEVER_JOIN, Words
from jobs.lakehouse.caching import few
from jobs.lakehouse.local_rows import local_rows

LINK = ("account_id", "rule", "identifier_value")
JOINS, GONE, ACCOUNT_GONE, NOT_EXACT = "joins", "gone", "account_gone", "not_exact"
# Which of an account's two sides a cause is about: links that held it to others before, or that hold it to others now.
CUT, TIE = "cut", "tie"
WEAKEST = 1_000_000


class Judged(NamedTuple):
    """The links, and what was said, by which customers changed.

    Args:
        before: rows of silver.identity_edges as they were published last; at least those of the customers that changed.
        now: the same as they are judged now.
        words: what persons said of pairs of accounts.
        links: the settings of each kind of link.
    """

    before: DataFrame
    now: DataFrame
    words: Words
    links: Links


def judged_since(
    published: DataFrame | None, found: DataFrame, touched: DataFrame | None, words: Words, links: Links
) -> Judged | None:
    """The links before and now; None before the first run.

    Args:
        published: rows of silver.identity_edges as they were published last.
        found: the links of those who were resolved anew.
        touched: these, by `account_id`; all others keep the links that were published. None where it is all.
        words: what persons said of pairs of accounts.
        links: the settings of each kind of link.
    """
    if published is None:
        return None
    if touched is not None:
        stay = published.join(touched.select("account_id"), on="account_id", how="left_anti")
        found = found.unionByName(stay, allowMissingColumns=True)
    return Judged(published, found, words, links)


def with_causes(shifts: DataFrame, before: DataFrame, now: DataFrame, judged: Judged | None) -> DataFrame:
    """The changes with `cause` and `cause_detail`: the rule of the strongest link that parted, or joined, the accounts they are about.

    Of a split it is a link that joined accounts which left to those that did not, and no longer does; of a merge one that joins them
    to others and did not; a word that parts accounts comes before links.

    Args:
        shifts: the rows of `as_moves` and `as_renames`, read more than once.
        before: the customer ids as they were published last.
        now: the customer ids, under the names that are kept.
        judged: links and words; None where nothing is known of them.
    """
    if judged is None or shifts.isEmpty():
        return shifts.withColumns({"cause": F.lit(OTHERWISE), "cause_detail": F.lit(None).cast("string")})
    sides = with_sides(shifts, before, now).checkpoint()
    found = through_links(sides, link_states(sides, judged), judged.links)
    if judged.words:
        found = found.unionByName(through_words(sides, judged.words))
    kinds = shifts.select(*SHIFT, "change_kind")
    way = F.when(F.col("change_kind").isin(SPLIT, RENAME), CUT).otherwise(TIE)
    order = (F.desc(F.col("_way") == way), "_priority", "cause", "cause_detail")
    ranked = found.join(few(kinds), on=list(SHIFT), how="inner").withColumn(
        "_place", F.row_number().over(Window.partitionBy(*SHIFT).orderBy(*order))
    )
    best = ranked.where("_place = 1").select(*SHIFT, "cause", "cause_detail")
    told = shifts.join(best, on=list(SHIFT), how="left")
    return told.withColumn("cause", F.coalesce("cause", F.lit(OTHERWISE)))


def with_sides(shifts: DataFrame, before: DataFrame, now: DataFrame) -> DataFrame:
    """One row per change and account of the customer before or since: `account_id`, `_was_in`, `_is_in`, `_is_known`.

    A rename is about one customer, before and now. `_is_known` tells whether there is such an account now.
    """
    first = F.when(F.col("change_kind") == RENAME, F.col("to_customer_id")).otherwise(F.col("from_customer_id"))
    ends = [
        few(shifts.select(*SHIFT, end.alias("_id")).checkpoint())
        for end in (first, F.col("to_customer_id"))
    ]  # fmt: skip
    held = [held_by_level(rows).withColumnRenamed("identifier_value", "account_id") for rows in (before, now)]
    was, is_now = (
        rows.join(end, on=["level", "_id"], how="inner").select(*SHIFT, "account_id", F.lit(True).alias(name))
        for rows, end, name in zip(held, ends, ("_was_in", "_is_in"), strict=True)
    )
    sides = was.join(is_now, on=[*SHIFT, "account_id"], how="full").na.fill(False, ["_was_in", "_is_in"]).checkpoint()
    known = held[1].select("account_id").distinct().withColumn("_is_known", F.lit(True))
    known = known.join(few(sides.select("account_id").distinct().checkpoint()), on="account_id", how="left_semi")
    return sides.join(known, on="account_id", how="left").na.fill(False, ["_is_known"])


def link_states(sides: DataFrame, judged: Judged) -> DataFrame:
    """One row per id and link of these accounts: `level`, whether it joined (`_was`), whether it joins (`_is`), and what became of it."""
    accounts = few(sides.select("account_id").distinct().checkpoint())
    told = [*LINK, "identifier_kind", "is_accepted", "is_exact"]
    was, is_now = (
        rows.join(accounts, on="account_id", how="left_semi") for rows in (judged.before, judged.now)
    )  # fmt: skip
    before = was.select(*told).withColumnsRenamed({name: f"_{name}" for name in told[3:]})
    both = before.join(is_now.select(*told, "refusal_reason"), on=list(LINK), how="full")
    levels = [
        F.struct(F.lit("customer_id").alias("level"), _joins("_is_accepted").alias("_was"), _joins("is_accepted").alias("_is")),
        F.struct(
            F.lit("customer_id_exact").alias("level"),
            _joins("_is_accepted", "_is_exact").alias("_was"),
            _joins("is_accepted", "is_exact").alias("_is"),
        ),
    ]  # fmt: skip
    is_taken_back = (F.col("rule") == OVERRIDE) & (F.col("refusal_reason") == TAKEN_BACK)
    left = (
        F.when(F.col("is_accepted").isNull(), GONE)
        .when(is_taken_back, AS_FOUND)
        .otherwise(F.coalesce("refusal_reason", F.lit(NOT_EXACT)))
    )
    came = F.when(F.col("rule") == OVERRIDE, ALWAYS_JOIN).when(F.col("_is_accepted").isNull(), CAME).otherwise(JOINS)
    kind = F.coalesce("identifier_kind", "_identifier_kind").alias("kind")
    return both.select(*LINK, kind, F.inline(F.array(*levels)), left.alias("_left"), came.alias("_came"))


def _joins(*flags: str) -> Column:
    joins = F.lit(True)
    for flag in flags:
        joins = joins & F.coalesce(F.col(flag), F.lit(False))
    return joins


def through_links(sides: DataFrame, states: DataFrame, links: Links) -> DataFrame:
    """One row per change and way in which links of a rule explain it, with `cause`, `cause_detail` and the rule's priority.

    A thing explains a change if it joined those who moved to those who did not, and a link to it is lost; or if it joins those who
    moved to others, and a link to it is new.

    Args:
        sides: the rows of `with_sides`.
        states: the rows of `link_states`.
        links: the settings of each kind of link.
    """
    is_pair = F.col("kind") == "account"
    ends = F.when(is_pair, F.array("account_id", "identifier_value")).otherwise(F.array("account_id"))
    thing = F.concat_ws("\0", "identifier_value", F.when(is_pair, F.col("account_id")))
    held = states.select(
        "level", "rule", thing.alias("_thing"), "_was", "_is", "_left", "_came", F.explode(ends).alias("account_id")
    )
    placed = held.join(sides, on=["level", "account_id"], how="inner")
    moved, was, is_now = F.col("_was_in") & F.col("_is_in"), F.col("_was"), F.col("_is")
    lost, gained = F.col("_was_in") & was & ~is_now, F.col("_is_in") & is_now & ~was
    fate = F.when((F.col("_left") == GONE) & ~F.col("_is_known"), ACCOUNT_GONE).otherwise(F.col("_left"))
    seen = placed.groupBy(*SHIFT, "rule", "_thing").agg(
        (F.max(moved & was) & F.max(F.col("_was_in") & ~F.col("_is_in") & was) & F.max(lost)).alias("_is_cut"),
        (F.max(moved & is_now) & F.max(F.col("_is_in") & ~F.col("_was_in") & is_now) & F.max(gained)).alias("_is_tie"),
        F.min(F.when(lost, fate)).alias("_left"),
        F.min(F.when(gained, F.col("_came"))).alias("_came"),
    )
    ways = [
        F.struct(F.lit(way).alias("_way"), F.when(F.col(told), F.col(detail)).alias("cause_detail"))
        for way, told, detail in ((CUT, "_is_cut", "_left"), (TIE, "_is_tie", "_came"))
    ]
    priority = F.coalesce(setting_of(links, "priority"), F.lit(WEAKEST)).alias("_priority")
    return seen.select(*SHIFT, F.col("rule").alias("cause"), priority, F.inline(F.array(*ways))).where(
        "cause_detail is not null"
    )


def through_words(sides: DataFrame, words: Words) -> DataFrame:
    """One row per change that parted two accounts of which a person says that they are never one customer."""
    apart = [sorted(pair) for pair, said in words.items() if said[-1][1] == NEVER_JOIN]
    pairs = [(one, other) for first, second in apart for one, other in ((first, second), (second, first))]
    said = local_rows(sides.sparkSession, pairs, "account_id string, other_id string")
    moved = sides.where("_was_in and _is_in").join(F.broadcast(said), on="account_id", how="inner")
    stayed = sides.where("_was_in and not _is_in").select(*SHIFT, F.col("account_id").alias("other_id"))
    parted = moved.join(stayed, on=[*SHIFT, "other_id"], how="left_semi").select(*SHIFT).distinct()
    told = {"cause": F.lit(OVERRIDE), "_priority": F.lit(0), "_way": F.lit(CUT), "cause_detail": F.lit(NEVER_JOIN)}
    return parted.withColumns(told)
