"""How well rows are captured and marked in simulated worlds of several seeds, measured against their truth.

    python benchmarks/world_marks.py --folder /tmp/world-marks [--seeds 4711 7 99] [--customers 5000] [--weeks 26]

Runs the jobs up to the marks on events and orders. There are four times as many bots and brushing rings as in the default world, and
eight times as many dormitories, or a world of this size had a handful of each. Each seed ends with a table in Markdown: the scores,
and which kinds of bots and rings were found. The exit code is 1 where a goal is missed.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from benchmarks.world_identity import jobs_up_to, line_of, settings_for
from jobs.evaluate.scoreboard import Score, shared
from jobs.evaluate.true_marks import (
    bot_devices,
    bot_scores,
    click_scores,
    copy_scores,
    outlier_scores,
    ring_scores,
)
from jobs.evaluate.true_rows import scores_of_rows
from jobs.lakehouse.chain import run_chain
from jobs.lakehouse.keys import load_keys
from jobs.lakehouse.session import open_session
from jobs.lakehouse.settings import Settings
from jobs.lakehouse.tables import Lake, read_table

LAST = ("ingest.flag_events", "ingest.flag_orders")
MORE_BAD_ACTORS = {"world.persons_per_bot": 125, "world.persons_per_ring": 250, "world.dormitory_share": 0.04}


def by_kind(true: DataFrame, found: DataFrame, what: str) -> list[Score]:
    """The recall of each kind of bad actor.

    Args:
        true: `id` and `kind` of each that silver knows.
        found: `id` of each that bears the mark.
        what: what is counted.
    """
    held = found.select("id").distinct().withColumn("is_found", F.lit(1))
    counts = true.distinct().join(held, on="id", how="left").groupBy("kind").agg(F.count("*"), F.count("is_found"))
    return [
        shared("3 cleaning", f"recall of: {kind}", what, hits, trials, "world", goal=None, note="")
        for kind, trials, hits in counts.orderBy("kind").collect()
    ]


def scores_of(spark: SparkSession, settings: Settings) -> list[Score]:
    """All scores of one world."""
    lake, truth = Lake(settings.path("lake")), settings.path("truth")
    events, lines, event_flags, order_flags, line_flags = (
        read_table(spark, lake.path(f"silver.{name}"))
        for name in ("events", "order_lines", "event_flags", "order_flags", "order_line_flags")
    )

    def known(name: str) -> DataFrame:
        return spark.read.parquet(f"{truth}/{name}")

    keys = load_keys(settings.privacy, settings.environment)
    bots = bot_devices(known("bots"), keys, settings.calendar.phone_region).select("device_token", "kind")
    scores = scores_of_rows(known("feed_rows"), known("near_duplicates"), events, lines, lake)
    scores += bot_scores(bots, events, event_flags)
    scores += click_scores(known("repeated_clicks"), events, event_flags)
    scores += ring_scores(known("brushing_rings"), known("brushed_orders"), lines, order_flags)
    scores += copy_scores(known("near_duplicates"), lines, line_flags)
    scores += outlier_scores(known("outliers"), lines, line_flags)
    marked = events.join(event_flags.where("is_bot").select("event_id"), on="event_id", how="left_semi")
    true_events = events.join(bots, on="device_token", how="inner").select(F.col("event_id").alias("id"), "kind")
    scores += by_kind(true_events, marked.select(F.col("event_id").alias("id")), "events of bots")
    kind = F.when(F.col("is_camouflaged"), F.concat(F.lit("camouflaged, own "), F.col("not_shared"))).otherwise("plain")
    members = known("brushing_rings").select(
        F.concat(F.lit("web_accounts:"), "account_id").alias("id"), kind.alias("kind")
    )
    brushed = lines.join(order_flags.where("is_brushing").select("order_id"), on="order_id", how="left_semi")
    ordered = members.join(lines.select(F.col("account_id").alias("id")), on="id", how="left_semi")
    return scores + by_kind(ordered, brushed.select(F.col("account_id").alias("id")), "accounts of rings")


def measure(folder: Path, seed: int, customers: int, weeks: int) -> bool:
    """Run the jobs on a world of this seed, and hold what they marked against the truth: whether all goals are met."""
    settings = settings_for(folder, customers, weeks, {"world.seed": seed, **MORE_BAD_ACTORS})
    spark = open_session(settings, "benchmark of marks in a world")
    for ended in run_chain(jobs_up_to(*LAST), spark, settings, settings.world.last_day):
        assert ended.record is not None, f"{ended.name}: {ended.outcome}"
    print(f"\nSeed {seed}\n\n| metric | level | value | 95% interval | goal |\n| --- | --- | ---: | --- | --- |")
    scores = scores_of(spark, settings)
    for score in scores:
        print(line_of(score), flush=True)
    return all(score.is_met is not False for score in scores)


def main() -> int:
    """Read the command line, measure, and clear up; 1 where a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="a folder that is not there yet; removed afterwards")
    parser.add_argument("--seeds", type=int, nargs="+", default=[4711, 7, 99])
    parser.add_argument("--customers", type=int, default=5_000)
    parser.add_argument("--weeks", type=int, default=26)
    parser.add_argument("--keep", action="store_true", help="leave the folder")
    told = parser.parse_args()
    told.folder.mkdir(parents=True)
    try:
        met = [measure(told.folder.resolve() / str(seed), seed, told.customers, told.weeks) for seed in told.seeds]
    finally:
        if not told.keep:
            shutil.rmtree(told.folder, ignore_errors=True)
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
