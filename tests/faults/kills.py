"""Jobs of the corner shop that are killed at named points of each kind of write, one process after the other."""

import signal
import subprocess
import sys
from collections.abc import Mapping
from datetime import date
from pathlib import Path

from tests.system.corner_shop import CHECKOUT, CornerShop

# Point, place and how often it is passed before, run after run: each begins where the one before it was killed.
Kills = tuple[tuple[str, str, int], ...]
INGEST = ("load_files", "clean_order_lines")
INGEST_KILLS: Kills = (
    ("between_tables", "ingest.load_files", 1),  # inserted into the vault; bronze and the list of deliveries lack it
    ("between_tables", "ingest.load_files", 2),  # appended to bronze too; the list of deliveries lacks it
    ("before_ledger", "ingest.load_files", 1),  # it is in the list too, and the ledger does not know
    ("after_stage", "silver.order_lines", 1),  # nothing of the table is committed
    ("before_commit", "silver.order_lines", 1),  # the rejected rows are replaced, the table is not
)
FEATURES = ("build_customer_features",)
FEATURES_KILLS: Kills = (
    ("before_commit", "gold.customer_features", 1),  # audited, and the slices are not replaced
    ("before_ledger", "features.build_customer_features", 1),  # replaced, and the ledger does not know
)


def killed(
    shop: CornerShop, lake: Path, jobs: tuple[str, ...], run_date: date, kills: Kills, environment: Mapping[str, str]
) -> Path:
    """Run the jobs again and again, each time in a process group of its own that is killed at the next point."""
    log = shop.folder / f"{lake.name}.log"
    for point, place, nth in kills:
        words = [sys.executable, str(CHECKOUT / "tests/faults/killed_run.py"), point, place, str(nth)]
        with log.open("a") as output:
            process = subprocess.Popen(
                [*words, *shop.command(*jobs, run_date=run_date)],
                env=environment, cwd=shop.folder, stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip
            ended = process.wait(timeout=300)
        assert ended == -signal.SIGKILL, f"{point} {place} was not reached: {log.read_text('utf-8')[-3000:]}"
    return lake
