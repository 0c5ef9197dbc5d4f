"""Kill jobs at random moments for as long as told (make chaos MINUTES=30), and compare with an undisturbed run.

Not collected by itself: pytest tests/faults/chaos.py --minutes 30 [--seed 1].
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from jobs.__main__ import all_jobs
from tests.system.corner_shop import (
    CornerShop,
    deliveries_committed_twice,
    differences,
    opened,
    transactions_committed_twice,
    unaccounted_versions,
)

STAGES = ("ingest", "identity", "features", "insight")
# A run is killed up to this long after its first commit; the longest job takes about as long.
SECONDS_TO_LIVE = 25.0
MOST_KILLS_PER_LAKE = 12


def commits(lake: Path) -> int:
    """How many commits the tables of the lake hold."""
    return sum(1 for _ in lake.glob("*/*/_delta_log/*.json"))


def was_killed(shop: CornerShop, lake: Path, jobs: list[str], seconds_to_live: float | None) -> bool:
    """Run the jobs in a process group of its own; kill it that long after its first new commit, if it still runs then."""
    before, log = commits(lake), lake.with_suffix(".log")
    with log.open("a") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "jobs", *shop.command(*jobs)],
            env=shop.environment(lake), cwd=shop.folder, stdout=output, stderr=output, start_new_session=True,
        )  # fmt: skip
        while process.poll() is None and (seconds_to_live is None or commits(lake) == before):
            time.sleep(0.05)
        try:
            ended = process.wait(timeout=seconds_to_live)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            ended = process.wait()
    assert ended in (0, -signal.SIGKILL), f"ended with {ended}: {log.read_text('utf-8')[-5000:]}"
    return ended != 0


def tell(capsys: pytest.CaptureFixture[str], line: str) -> None:
    """Say how it goes while it goes."""
    with capsys.disabled():
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


@pytest.mark.timeout(0)
def test_chaos(
    spark: SparkSession, shop: CornerShop, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = [name for name in all_jobs() if name.split(".")[0] in STAGES]
    seed = request.config.getoption("--seed")
    seed = random.SystemRandom().randrange(1_000_000) if seed is None else seed
    draw, until = random.Random(seed), time.monotonic() + 60 * request.config.getoption("--minutes")
    tell(capsys, f"\nchaos with --seed {seed}")
    reference = shop.folder / "chaos_reference"
    shop.run(reference, *jobs)
    kills = runs = lakes = 0
    while lakes == 0 or time.monotonic() < until:
        lake = shop.folder / f"chaos-{lakes}"
        for _ in range(MOST_KILLS_PER_LAKE):
            if time.monotonic() > until or not was_killed(shop, lake, jobs, draw.uniform(0, SECONDS_TO_LIVE)):
                break
            kills += 1
        assert not was_killed(shop, lake, jobs, None)
        assert differences(lake, reference) == {}
        assert transactions_committed_twice(lake) == deliveries_committed_twice(lake) == []
        assert unaccounted_versions(lake) == []
        outcomes = opened(lake, "ops.runs").to_pyarrow_table(columns=["outcome"])["outcome"].to_pylist()
        assert {*outcomes} == {"succeeded"}
        runs, lakes = runs + len(outcomes), lakes + 1
        tell(capsys, f"{kills} kills, {runs} jobs, 0 rows lost or doubled")
