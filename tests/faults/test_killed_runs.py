"""Killed at named points of each kind of write, and started again: the same tables as of an undisturbed run."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.system.corner_shop import (
    CHECKOUT,
    DATA_JOBS,
    CornerShop,
    differences,
    transactions_committed_twice,
    unaccounted_versions,
)

# In the order of the chain: each run begins where the one before it was killed.
KILLS = (
    ("between_tables", "ingest.load_files", 1),  # the append is there, the vault and the list of deliveries are not
    ("before_commit", "ops.deliveries", 1),  # the vault's insert is there, the list of deliveries is not
    ("before_ledger", "ingest.load_files", 1),  # everything is there, and the ledger does not know
    ("before_commit", "silver.order_lines", 1),  # the rejected rows are replaced, the table is not
    ("after_stage", "gold.customer_features", 1),  # staged, nothing committed
    ("before_commit", "gold.customer_features", 1),  # audited, the slices not replaced
    ("before_ledger", "features.build_customer_features", 1),  # the slices are replaced, and the ledger does not know
)


def run_killed(shop: CornerShop, lake: Path, point: str, place: str, nth: int) -> int:
    """Run the jobs in a process group of its own, which is killed at the point; tell how it ended."""
    words = [sys.executable, str(CHECKOUT / "tests/faults/killed_run.py"), point, place, str(nth)]
    with (lake.parent / f"{lake.name}.log").open("a") as log:
        process = subprocess.Popen(
            [*words, *shop.command(*DATA_JOBS)], env=shop.environment(lake), cwd=shop.folder, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip
        return process.wait(timeout=300)


@pytest.mark.slow
def test_a_killed_run_started_again_leaves_the_tables_of_an_undisturbed_one(
    shop: CornerShop, undisturbed: Path
) -> None:
    lake = shop.folder / "killed"
    for point, place, nth in KILLS:
        ended = run_killed(shop, lake, point, place, nth)
        log = (shop.folder / "killed.log").read_text("utf-8")
        assert ended == -signal.SIGKILL, f"{point} {place} was not reached: {log[-3000:]}"
    shop.run(lake, *DATA_JOBS)
    assert differences(lake, undisturbed) == {}
    assert transactions_committed_twice(lake) == []
    assert unaccounted_versions(lake) == []
