"""Who is who in a large simulated world, measured against its truth: the jobs up to households, their seconds and memory, and the scores.

    python benchmarks/world_identity.py --folder /tmp/world-identity [--customers 200000] [--weeks 26]

Identity needs neither models nor features; fewer weeks than the default world's 104 leave the persons, and what they are known by, as
they are, with fewer events and orders each. The scores go into gold.scoreboard of the world's lake, which stays with --keep.
Ends with two tables in Markdown.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

from jobs.__main__ import all_jobs
from jobs.evaluate.scoreboard import Score, score_rows
from jobs.evaluate.true_customers import account_persons, identity_scores
from jobs.evaluate.true_households import household_scores
from jobs.lakehouse.chain import run_chain
from jobs.lakehouse.contracts import read_contracts
from jobs.lakehouse.graph import upstream
from jobs.lakehouse.job import NamedJob
from jobs.lakehouse.keys import load_keys
from jobs.lakehouse.session import open_session
from jobs.lakehouse.settings import Settings, load_settings
from jobs.lakehouse.tables import Lake, date_slices, ensure_table, read_table, write_table

BOARD = "gold.scoreboard"
LAST = ("identity.group_households", "identity.queue_reviews")


def jobs_up_to(*names: str) -> list[NamedJob]:
    """These jobs and all that they wait for in a world of files, in the order of a full run."""
    jobs = all_jobs()
    by_wire = {
        name for name, named in jobs.items() if any(told.startswith(("topics.", "database.")) for told in named.reads)
    }
    above, wanted, waiting = upstream(list(jobs.values())), set[str](), [*names]
    while waiting:
        name = waiting.pop()
        if name not in wanted | by_wire:
            wanted.add(name)
            waiting += above[name]
    return [named for name, named in jobs.items() if name in wanted]


def settings_for(folder: Path, customers: int, weeks: int, others: Mapping[str, Any] | None = None) -> Settings:
    """The world's settings with everything in one folder, and others by their dotted names."""
    told = {"paths.lake": f"{folder}/lake", "paths.data": f"{folder}/raw"}
    return load_settings(
        "local", "world", overrides={**told, "world.customers": customers, "world.weeks": weeks, **(others or {})}
    )


def measure(folder: Path, customers: int, weeks: int) -> None:
    """Run the jobs, and hold what they made against the truth."""
    settings = settings_for(folder, customers, weeks)
    spark = open_session(settings, "benchmark of identity in a world")
    print("| job | rows out | seconds | peak MiB |\n| --- | ---: | ---: | ---: |", flush=True)
    for ended in run_chain(jobs_up_to(*LAST), spark, settings, settings.world.last_day):
        assert ended.record is not None, f"{ended.name}: {ended.outcome}"
        told = f"{ended.record.rows_written:,} | {ended.record.seconds:,.0f} | {ended.record.peak_memory_mib:,}"
        print(f"| {ended.name} | {told} |", flush=True)
    lake, truth = Lake(settings.path("lake")), settings.path("truth")
    customer_ids, households = (
        read_table(spark, lake.path(f"silver.{name}")) for name in ("customer_ids", "households")
    )
    keys = load_keys(settings.privacy, settings.environment)
    accounts = account_persons(
        spark.read.parquet(f"{truth}/identifiers"), keys, settings.calendar.phone_region
    ).persist()
    scores = identity_scores(customer_ids, accounts, "world")
    scores += household_scores(households, customer_ids, accounts, spark.read.parquet(f"{truth}/persons"), "world")
    accounts.unpersist()
    keep_scores(spark, settings, scores)
    print("\n| metric | level | value | 95% interval | goal |\n| --- | --- | ---: | --- | --- |")
    for score in scores:
        print(line_of(score))


def keep_scores(spark: SparkSession, settings: Settings, scores: list[Score]) -> None:
    """Put the scores into gold.scoreboard, as the job does that measures all promises."""
    contract, path = read_contracts(Path(settings.conf_dir))[BOARD], Lake(settings.path("lake")).path(BOARD)
    ensure_table(spark, path, contract)
    day = settings.world.last_day
    rows = score_rows(spark, scores, day, contract)
    write_table(rows, path, date_slices("run_date", [day]), contract.key, "benchmark")


def line_of(score: Score) -> str:
    """A score as a row of the table."""
    low, high = score.value_low, score.value_high
    interval = "" if low is None or high is None else f"{low:.4f} – {high:.4f}"
    goal = "" if score.goal is None else f"{score.goal}: {'met' if score.is_met else '**not met**'}"
    return f"| {score.metric} | {score.level} | {score.value:.4f} | {interval} | {goal} |"


def main() -> int:
    """Read the command line, measure, and clear up."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="a folder that is not there yet; removed afterwards")
    parser.add_argument("--customers", type=int, default=200_000)
    parser.add_argument("--weeks", type=int, default=26)
    parser.add_argument("--keep", action="store_true", help="leave the folder")
    told = parser.parse_args()
    told.folder.mkdir(parents=True)
    try:
        measure(told.folder.resolve(), told.customers, told.weeks)
    finally:
        if not told.keep:
            shutil.rmtree(told.folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
