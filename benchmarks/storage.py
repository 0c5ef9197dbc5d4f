"""What events take on disk: raw JSON lines, hot bronze as written, then packed warm and cold; MB per million events, side by side.

    python benchmarks/storage.py [--customers 20000] [--weeks 52]

The events are the simulated world's web and app events (some 50 to a customer and year), the tiers those of the suite, run on
the same table one after the other. `read` is a full read of all columns, `written in` what the step itself took.
"""

from __future__ import annotations

import argparse
import datetime as dt
import gzip
import shutil
import sys
import time
from pathlib import Path

import yaml
from pyspark.sql import SparkSession

from jobs.ingest import load_files
from jobs.lakehouse.job import NamedJob, execute
from jobs.lakehouse.session import open_session
from jobs.lakehouse.settings import Settings, load_settings
from jobs.lakehouse.storage import size_of, tier_tables
from jobs.lakehouse.storage_settings import StorageSettings
from jobs.lakehouse.tables import Lake, read_table
from jobs.simulate.events import app_events
from jobs.simulate.folders import file_system
from jobs.simulate.raw_files import delivered_with_copies, write_months

CHECKOUT = Path(__file__).resolve().parents[1]
FEED, TABLE = "app_events", "bronze.app_events"
CLUSTERED = {"cluster_by": ["context_device_id_token", "anonymousId_token"]}
LONG_AFTER = dt.datetime(2100, 1, 1)


def settings_for(folder: Path, customers: int, weeks: int) -> Settings:
    """The world's settings with this one feed."""
    conf_dir = folder / "conf"
    shutil.copytree(CHECKOUT / "conf", conf_dir, ignore=shutil.ignore_patterns("datasets"))
    (conf_dir / "datasets/bench").mkdir(parents=True)
    world = yaml.safe_load((CHECKOUT / "conf/datasets/world/dataset.yaml").read_text("utf-8"))
    (conf_dir / "datasets/bench/dataset.yaml").write_text(yaml.safe_dump({**world, "simulated": False}), "utf-8")
    shutil.copy2(CHECKOUT / f"conf/datasets/world/{FEED}.yaml", conf_dir / "datasets/bench")
    told = {f"paths.{name}": f"{folder}/{name}" for name in ("lake", "data")}
    size = {"world.customers": customers, "world.weeks": weeks}
    return load_settings("local", "bench", str(conf_dir), {**told, **size, "paths.jars": str(CHECKOUT / "jars")})


def seconds_to_read(spark: SparkSession, path: str) -> float:
    """How long a full read of the table takes."""
    began = time.perf_counter()
    read_table(spark, path).write.format("noop").mode("overwrite").save()
    return time.perf_counter() - began


def tell(name: str, size_bytes: int, events: int, raw: int, more: str = "") -> None:
    """One line of the table."""
    saved = 1 - size_bytes / raw
    print(
        f"{name:<34} {size_bytes / 1e6:>9.1f} MB {size_bytes / events:>8.1f} MB per million {saved:>8.1%} less {more}"
    )
    sys.stdout.flush()


def measure(folder: Path, customers: int, weeks: int) -> None:
    """Write the events, load them, and pack them in each way."""
    settings = settings_for(folder, customers, weeks)
    spark, data = open_session(settings, "benchmark of storage"), settings.path("data")
    deliveries = delivered_with_copies(app_events(spark, settings.world)).select("value", "delivery_month")
    write_months(file_system(spark, data), data, FEED, deliveries)
    named = NamedJob("ingest.load_files", load_files.__doc__ or "", load_files.JOB, load_files.build)
    began = time.perf_counter()
    execute(named, spark, settings, settings.world.last_day)
    seconds = time.perf_counter() - began

    path = Lake(settings.path("lake")).path(TABLE)
    files = sorted((folder / "data" / FEED).iterdir())
    raw, events = sum(file.stat().st_size for file in files), size_of(spark, path).rows
    print(f"{events:,} events of {customers:,} customers in {weeks} weeks")
    tell("raw JSON lines", raw, events, raw)
    tell("raw JSON lines, gzip -6", sum(len(gzip.compress(file.read_bytes(), 6)) for file in files), events, raw)

    def told(name: str, seconds: float) -> None:
        size = size_of(spark, path)
        assert size.rows == events, "a tier lost or doubled events"
        more = f"{size.files:>4} files, written in {seconds:>6.1f} s, read in {seconds_to_read(spark, path):>5.1f} s"
        tell(name, size.size_bytes, events, raw, more)

    told("hot: bronze as written (snappy)", seconds)
    ways = {
        "warm, sorted by arrival alone": {"cold_after_days": None, "tables": {}},
        "warm: by visitor, zstd 3": {"cold_after_days": None, "tables": {TABLE: CLUSTERED}},
        "cold: by visitor, zstd 12": {"cold_level": 12, "tables": {TABLE: CLUSTERED}},
        "cold: by visitor, zstd 19": {"tables": {TABLE: CLUSTERED}},
    }
    for name, ages in ways.items():
        # Without the memory of what was packed before, all is packed again.
        shutil.rmtree(folder / "lake/ops/storage", ignore_errors=True)
        packed = settings.model_copy(update={"storage": StorageSettings.model_validate(ages)})
        began = time.perf_counter()
        (_,) = tier_tables(spark, packed, LONG_AFTER, {})
        told(name, time.perf_counter() - began)
    spark.stop()


def main() -> None:
    """Read the command line, measure, and clear up."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--customers", type=int, default=20_000)
    parser.add_argument("--weeks", type=int, default=52)
    parser.add_argument("--folder", type=Path, default=Path(".cache/benchmarks/storage"), help="emptied first and last")
    told = parser.parse_args()
    shutil.rmtree(told.folder, ignore_errors=True)
    told.folder.mkdir(parents=True)
    try:
        measure(told.folder.resolve(), told.customers, told.weeks)
    finally:
        shutil.rmtree(told.folder, ignore_errors=True)


if __name__ == "__main__":
    main()
