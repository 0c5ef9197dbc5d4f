"""How long a large simulated world takes to write: rows, bytes and seconds.

python benchmarks/world.py --folder /tmp/world-benchmark [--customers 1000000] [--weeks 11]
"""

import argparse
import shutil
import time
from pathlib import Path

from jobs.lakehouse.session import open_session
from jobs.lakehouse.settings import load_settings
from jobs.simulate.raw_files import write_raw_files

LINES_READ_AT_ONCE = 2**24


def line_count(folder: Path) -> int:
    """The lines of all files in a folder."""
    count = 0
    for file in folder.glob("*.*"):
        if file.name.startswith("."):
            continue
        with file.open("rb") as opened:
            while block := opened.read(LINES_READ_AT_ONCE):
                count += block.count(b"\n")
    return count


def measure(folder: Path, customers: int, weeks: int) -> None:
    """Write the world's raw files once and print what came of it; lines count headers and line breaks in texts."""
    settings = load_settings("local", "world", overrides={"world.customers": customers, "world.weeks": weeks})
    spark = open_session(settings, "benchmark of the world")
    began = time.monotonic()
    write_raw_files(spark, settings.world, str(folder))
    seconds = time.monotonic() - began
    spark.stop()
    feeds = sorted(path for path in folder.iterdir() if path.is_dir())
    print(f"{customers:,} customers, {weeks} weeks: {seconds:.0f} s")
    for feed in feeds:
        size = sum(file.stat().st_size for file in feed.iterdir())
        print(f"  {feed.name:14} {line_count(feed):>12,} lines {size / 1e6:>9,.1f} MB")


def main() -> None:
    """Read the command line, measure, and clear up."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="a folder that is not there yet; removed afterwards")
    parser.add_argument("--customers", type=int, default=1_000_000)
    parser.add_argument("--weeks", type=int, default=11, help="11 give a million customers some ten million events")
    told = parser.parse_args()
    try:
        measure(told.folder.resolve(), told.customers, told.weeks)
    finally:
        shutil.rmtree(told.folder, ignore_errors=True)


if __name__ == "__main__":
    main()
