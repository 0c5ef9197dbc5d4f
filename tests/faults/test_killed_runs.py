"""Killed at named points of each kind of write, and started again: the same tables as of an undisturbed run."""

import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import pytest

from tests.system.corner_shop import (
    CHECKOUT,
    FIRST_DATE,
    LAST_DATE,
    CornerShop,
    differences,
    tables_of,
    transactions_committed_twice,
    unaccounted_versions,
)

# Point, place and how often it is passed before, run after run: each begins where the one before it was killed.
Kills = tuple[tuple[str, str, int], ...]
INGEST = ("load_files", "clean_order_lines")
INGEST_KILLS: Kills = (
    ("between_tables", "ingest.load_files", 1),  # appended to bronze; the vault and the list of deliveries lack it
    ("before_ledger", "ingest.load_files", 1),  # inserted there too, and the ledger does not know
    ("before_commit", "silver.order_lines", 1),  # the rejected rows are replaced, the table is not
)
FEATURES = ("build_customer_features",)
FEATURES_KILLS: Kills = (
    ("before_commit", "gold.customer_features", 1),  # audited, and the slices are not replaced
    ("before_ledger", "features.build_customer_features", 1),  # replaced, and the ledger does not know
)


def killed(shop: CornerShop, lake: Path, jobs: tuple[str, ...], run_date: date, kills: Kills) -> Path:
    """Run the jobs again and again, each time in a process group of its own that is killed at the next point."""
    log = shop.folder / f"{lake.name}.log"
    for point, place, nth in kills:
        words = [sys.executable, str(CHECKOUT / "tests/faults/killed_run.py"), point, place, str(nth)]
        with log.open("a") as output:
            process = subprocess.Popen(
                [*words, *shop.command(*jobs, run_date=run_date)],
                env=shop.environment(lake), cwd=shop.folder, stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip
            ended = process.wait(timeout=300)
        assert ended == -signal.SIGKILL, f"{point} {place} was not reached: {log.read_text('utf-8')[-3000:]}"
    return lake


@pytest.fixture(scope="module")
def killed_lakes(shop: CornerShop, undisturbed: Path) -> tuple[Path, Path]:
    """Two lakes, killed side by side: one while it is first filled, a full one while a date is added."""
    first, second = shop.folder / "killed_ingest", shop.folder / "killed_features"
    shutil.copytree(undisturbed, second)
    with ThreadPoolExecutor(max_workers=2) as pool:
        one = pool.submit(killed, shop, first, INGEST, LAST_DATE, INGEST_KILLS)
        other = pool.submit(killed, shop, second, FEATURES, FIRST_DATE, FEATURES_KILLS)
        return one.result(), other.result()


@pytest.mark.slow
def test_append_insert_and_replace_survive_kills(
    shop: CornerShop, killed_lakes: tuple[Path, Path], undisturbed: Path
) -> None:
    lake = killed_lakes[0]
    shop.run(lake, *INGEST)
    written = [table for table in tables_of(lake) if table != "ops.runs"]
    assert {"bronze.tills", "vault.personal_values", "ops.deliveries", "silver.order_lines"} <= {*written}
    assert differences(lake, undisturbed, written) == {}
    assert transactions_committed_twice(lake) == []
    assert unaccounted_versions(lake) == []


@pytest.mark.slow
def test_replaced_slices_survive_kills(shop: CornerShop, killed_lakes: tuple[Path, Path], backwards: Path) -> None:
    lake = killed_lakes[1]
    shop.run(lake, *FEATURES, run_date=FIRST_DATE)
    assert differences(lake, backwards) == {}
    assert transactions_committed_twice(lake) == []
    assert unaccounted_versions(lake) == []
