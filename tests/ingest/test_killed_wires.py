"""Loads from Kafka and PostgreSQL, killed at every step and begun again where they were killed: nothing is lost, nothing comes twice."""

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from tests.ingest.clicks import JOB as STREAM
from tests.ingest.clicks import Clicks, event
from tests.ingest.test_load_tables import JOB as LOAD
from tests.ingest.test_load_tables import MEMBERS, Club
from tests.lakes import KEY, run_job
from tests.servers import CHECKOUT, Broker, Database
from tests.system.corner_shop import transactions_committed_twice, unaccounted_versions

# A dozen starts of Spark, one after the other: three minutes, but ten on a busy machine.
pytestmark = [pytest.mark.long, pytest.mark.soak, pytest.mark.timeout(1200)]

KILLED_RUN = str(CHECKOUT / "tests/faults/killed_run.py")
# Point, place and how often it is passed before.
STREAM_KILLS = (
    ("before_commit", "vault.personal_values", 1),  # staged, and nothing is committed
    ("before_commit", "vault.payloads", 1),  # the vault has the values; of the refused messages nothing
    ("after_batch", "bronze.clicks", 1),  # the first batch is in bronze; the checkpoint lacks it
    ("half_written", "bronze.clicks", 2),  # the first is told again and falls away, the second is half written
    ("before_ledger", STREAM, 1),  # all batches are in bronze and in the checkpoint; the ledger lacks them
)
LOAD_KILLS = (
    ("before_commit", "vault.personal_values", 1),  # staged, and nothing is committed
    ("half_written", "bronze.steps", 1),  # the vault has the values; files of bronze that no log tells of
    ("before_ledger", LOAD, 1),  # bronze has the rows; the ledger lacks them
)
# What happens in the database between the two loads that are killed so.
CHANGES = """
UPDATE steps SET tier = 'gold', updated_at = '2025-03-01 08:00+08' WHERE member_no = 3;
DELETE FROM steps WHERE member_no = 4;
INSERT INTO steps VALUES (21, '13800000021', 'silver', 1.50, '2025-03-01 08:00+08', 'free text');
"""


def kill(clicks: Clicks, folder: Path, point: tuple[str, str, int], job: str = "stream_topics", **kafka: str) -> None:
    """Run a job until it is killed at a point."""
    with clicks.process(folder, [KILLED_RUN, *map(str, point)], None, job, **kafka) as process:
        ended = process.wait(timeout=120)
    assert ended == -signal.SIGKILL, f"{point} was not reached: {(folder / 'log').read_text('utf-8')[-3000:]}"


def test_a_stream_that_is_killed_at_every_step_brings_each_message_once(
    spark: SparkSession, broker: Broker, tmp_path: Path
) -> None:
    clicks = Clicks(spark, broker, tmp_path, "steps", max_offsets_per_trigger=4)
    # Of each batch of four one is refused.
    clicks.send(*["torn" if number % 4 == 1 else event(number) for number in range(12)])
    for point in STREAM_KILLS:
        kill(clicks, tmp_path, point, MAX_OFFSETS_PER_TRIGGER="4")
    clicks.send(event(12), event(1), partition=1)
    # One without end is accounted for batch by batch: bronze has this one, neither ledger nor checkpoint does.
    kill(clicks, tmp_path, ("before_ledger", STREAM, 1), TRIGGER="continuous", INTERVAL_SECONDS="1")
    clicks.send(event(5), partition=1)
    clicks.stream()

    kept = sorted(f"m{number}" for number in (0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12))
    assert clicks.ids() == kept
    bronze = clicks.rows("bronze.clicks")
    places = {f"steps/0/{offset}" for offset in range(12)} | {f"steps/1/{offset}" for offset in range(3)}
    assert sorted(row["_delivery_id"] for row in bronze) == sorted(places)
    refused = {row["_record_id"] for row in bronze if row["_is_unparseable"]}
    assert sorted(row["record_id"] for row in clicks.rows("vault.payloads")) == sorted(refused)
    assert len(refused) == 3
    tokens = [row["token"] for row in clicks.rows("vault.personal_values")]
    assert len(tokens) == len(set(tokens)) == len(kept) + 1, "phones and the device"

    # The rejected rows are there, the events are not.
    kill(clicks, tmp_path, ("before_commit", "silver.events", 1), "clean_events")
    run_job(spark, clicks.settings, "ingest.clean_events")
    assert sorted(row["event_id"] for row in clicks.rows("silver.events")) == kept
    rejected = clicks.rows("silver.events_rejected")
    assert {row["_record_id"] for row in rejected} == refused
    assert Counter(reason for row in rejected for reason in row["reasons"]) == {"record_unparseable": 3}
    assert transactions_committed_twice(clicks.lake) == unaccounted_versions(clicks.lake) == []


def test_a_load_of_a_table_that_is_killed_at_every_step_brings_each_row_once(
    spark: SparkSession, database: Database, tmp_path: Path
) -> None:
    database.sql(MEMBERS.format(name="steps"))
    club = Club(spark, database, tmp_path, "steps")

    def kill_load(point: tuple[str, str, int]) -> None:
        log = tmp_path / "log"
        environment = {
            **os.environ,
            "LAKEHOUSE_KEY": KEY,
            "LAKEHOUSE__PATHS__LAKE": club.settings.path("lake"),
            "LAKEHOUSE__DATABASE__URL": database.url,
        }
        words = [KILLED_RUN, *map(str, point), "run", "load_tables", "--dataset", "club"]
        with log.open("wb") as output:
            ended = subprocess.run(
                [sys.executable, *words, "--conf-dir", str(club.conf_dir)],
                env=environment, cwd=CHECKOUT, stdout=output, stderr=output, start_new_session=True, timeout=120, check=False,
            ).returncode  # fmt: skip
        assert ended == -signal.SIGKILL, f"{point} was not reached: {log.read_text('utf-8')[-3000:]}"

    for point in LOAD_KILLS:
        kill_load(point)
    club.load()
    assert club.heard(1) == sorted((str(number), "silver", False) for number in range(1, 21))
    database.sql(CHANGES)
    for point in LOAD_KILLS:
        kill_load(point)
    club.load()
    assert club.heard(2) == [("21", "silver", False), ("3", "gold", False), ("4", "silver", True)]
    assert len(club.rows("bronze.steps")) == 23
    tokens = [row["token"] for row in club.rows("vault.personal_values")]
    assert len(tokens) == len(set(tokens)) == 21
    lake = Path(club.settings.path("lake"))
    assert transactions_committed_twice(lake) == unaccounted_versions(lake) == []
