"""From Kafka to bronze and silver: each message once, poison apart, whatever happens to the stream or the broker."""

import datetime as dt
import json
import shutil
import signal
from _thread import interrupt_main
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from jobs.ingest.messages import starting_offsets
from jobs.lakehouse.archive import archive
from jobs.lakehouse.brokers import Reach, stream_options
from jobs.lakehouse.errors import DataError
from jobs.lakehouse.inputs import input_versions
from jobs.lakehouse.job import Result
from jobs.lakehouse.keys import load_keys
from jobs.lakehouse.needles import needles_of
from jobs.lakehouse.personal import opened
from jobs.lakehouse.scan import scan
from jobs.lakehouse.sources import Topic, read_sources
from jobs.lakehouse.tables import Lake
from jobs.lakehouse.wire_settings import KafkaSettings
from tests.ingest.clicks import DEVICE, Clicks, event
from tests.lakes import ledger_of, run_job, settings_in
from tests.servers import CHECKOUT, Broker, wait_until
from tests.system.corner_shop import unbalanced_runs

pytestmark = pytest.mark.long

POISON = (
    "no json 13911112222",
    '{"messageId": "cut"',
    '[{"messageId": "in a list"}]',
    '{"messageId": "flat", "context": "no object"}',
    "null",
    "",
    None,
    b'{"messageId": "\xff\xfe"}',
    json.dumps({"messageId": "long", "note": "x" * 3000}),
)


def test_each_message_comes_once_and_poison_is_set_apart(spark: SparkSession, broker: Broker, tmp_path: Path) -> None:
    """One test, for its steps build on each other."""
    clicks = Clicks(spark, broker, tmp_path, "clicks", max_offsets_per_trigger=8)
    clicks.send(*[event(number) for number in range(6)], *POISON)
    clicks.send(event(6), event(6), event(7, timestamp="2024-06-01T00:00:00Z"), partition=1)
    first = clicks.stream()
    assert first.record is not None
    assert (first.outcome, first.record.rows_read) == ("done", 9 + len(POISON))
    assert clicks.ids() == ["m0", "m1", "m2", "m3", "m4", "m5", "m6", "m6", "m7"]
    places = [row["_delivery_id"] for row in clicks.rows("bronze.clicks")]
    assert len(set(places)) == 9 + len(POISON)
    assert {"clicks/0/0", "clicks/1/2"} <= set(places)

    keys = load_keys(clicks.settings.privacy, "local")
    lines = {row["record_id"]: row["_ciphertext"] for row in clicks.rows("vault.payloads")}
    refused = {row["_record_id"]: row for row in clicks.rows("bronze.clicks") if row["_is_unparseable"]}
    assert set(lines) == set(refused)
    raw = sorted(opened(keys, ciphertext, record_id) for record_id, ciphertext in lines.items())
    whole = [text for text in POISON if isinstance(text, str)]
    assert raw == sorted([*whole, "", '{"messageId": "��"}'])
    assert all(row["phone_token"] is None and row["messageId"] is None for row in refused.values())
    assert len(clicks.rows("vault.personal_values")) == 8 + 1, "phones and the device"

    run_job(spark, clicks.settings, "ingest.clean_events")
    assert sorted(row["event_id"] for row in clicks.rows("silver.events")) == [f"m{n}" for n in range(8)]
    reasons = Counter(reason for row in clicks.rows("silver.events_rejected") for reason in row["reasons"])
    assert reasons == {"record_unparseable": len(POISON)}

    # No new message: nothing to do. New ones, late and out of order: those and no other.
    assert clicks.stream().outcome == "already done"
    clicks.send(event(9), event(8, receivedAt="2025-02-01T00:00:00Z", timestamp="2023-01-01T00:00:00Z"))
    second = clicks.stream()
    assert second.record is not None
    assert second.record.rows_read == 2
    assert clicks.ids()[-2:] == ["m8", "m9"]

    needles = needles_of([("phone", "13911112222"), ("phone", "13800000003"), ("device_id", DEVICE)])
    checkpoints = clicks.lake / "_checkpoints"
    report = scan([tmp_path], needles)
    assert report.is_clean, report
    for number, canary in enumerate(("+86 139 1111 2222", "008613800000003", DEVICE.upper())):
        original = max(checkpoints.rglob("offsets/*"), key=lambda file: file.stat().st_size)
        copy = tmp_path / f"canary-{number}" / original.name
        copy.parent.mkdir()
        copy.write_bytes(original.read_bytes() + json.dumps({"clicks": {"0": canary}}).encode())
        assert {(Path(finding.file), finding.number) for finding in scan([tmp_path], needles).findings} == {
            (copy, number)
        }
        copy.unlink()


def test_what_messages_have_undeclared_is_kept_sealed_and_what_changed_is_told(
    spark: SparkSession, broker: Broker, tmp_path: Path
) -> None:
    clicks = Clicks(spark, broker, tmp_path, "drifting")
    keys = load_keys(clicks.settings.privacy, "local")

    def warnings() -> dict[str, str]:
        """What the last run found against the feed."""
        told = sorted(clicks.rows("ops.audits"), key=lambda row: row["audited_at"])
        last = [row for row in told if row["run_id"] == told[-1]["run_id"]]
        return {row["expectation"]: row["observed"] for row in last if not row["is_met"]}

    clicks.send(event(0), event(1, mail="new@example.com"), event(2, context={"device": {"id": "d1"}, "tags": ["x"]}))
    clicks.send('{"messageId": "flat", "context": "no object"}', '{"messageId": "torn"')
    clicks.stream()
    held = {row["messageId"]: row for row in clicks.rows("bronze.clicks")}
    assert {key: row["_undeclared_fields"] for key, row in held.items() if key} == {
        "m0": None, "m1": ["mail"], "m2": ["context.tags"],
    }  # fmt: skip
    assert held["m2"]["context_device_id_token"] is not None
    sealed = {
        row["record_id"]: opened(keys, row["_ciphertext"], row["record_id"])
        for row in clicks.rows("vault.payloads")
        if row["payload_kind"] == "undeclared_fields"
    }
    assert {record: json.loads(told) for record, told in sealed.items()} == {
        held["m1"]["_record_id"]: {"mail": "new@example.com"},
        held["m2"]["_record_id"]: {"context.tags": '["x"]'},
    }
    assert warnings() == {"every field is declared": "context.tags, mail"}

    late = event(3, messageId=3)
    del late["timestamp"]
    clicks.send(late)
    clicks.stream()
    assert warnings() == {
        "fields keep their kinds": "messageId: string, now number",
        "no field is missing": "timestamp",
    }
    run_job(spark, clicks.settings, "ingest.clean_events")
    assert {row["event_id"] for row in clicks.rows("silver.events")} == {"m0", "m1", "m2"}
    reasons = Counter(reason for row in clicks.rows("silver.events_rejected") for reason in row["reasons"])
    assert reasons["event_at_missing"] == 1, "without its time an event is refused, never silently null"
    for file in (tmp_path / "lake").rglob("*"):
        assert not file.is_file() or b"new@example.com" not in file.read_bytes(), file


def test_a_stream_that_was_killed_between_bronze_and_checkpoint_loses_and_doubles_nothing(
    spark: SparkSession, broker: Broker, tmp_path: Path
) -> None:
    clicks = Clicks(spark, broker, tmp_path, "killed", max_offsets_per_trigger=4)
    clicks.send(*[event(number) for number in range(10)], "poison")
    start = [str(CHECKOUT / "tests/faults/killed_run.py"), "after_batch", "bronze.clicks", "2"]
    with clicks.process(tmp_path, start, MAX_OFFSETS_PER_TRIGGER="4") as process:
        ended = process.wait(timeout=120)
    assert ended == -signal.SIGKILL, (tmp_path / "log").read_text("utf-8")[-3000:]
    assert len(clicks.rows("bronze.clicks")) == 8, "two batches were committed, one of them is in the checkpoint"
    clicks.stream()
    everything = sorted(f"m{number}" for number in range(10))
    assert clicks.ids() == everything
    assert len(clicks.rows("bronze.clicks")) == 11
    assert len(clicks.rows("vault.payloads")) == 1

    # A checkpoint that is lost is made anew from what bronze holds.
    shutil.rmtree(clicks.lake / "_checkpoints")
    clicks.send(event(10), partition=1)
    clicks.stream()
    assert clicks.ids() == sorted([*everything, "m10"])


def test_a_lost_checkpoint_is_made_anew_from_bronze_and_its_archive(
    spark: SparkSession, broker: Broker, tmp_path: Path
) -> None:
    clicks = Clicks(spark, broker, tmp_path, "archived")
    bronze = read_sources(clicks.conf_dir, "clicks")["clicks"].bronze_contract
    clicks.send(event(0), event(1))
    clicks.send(event(2, receivedAt="2025-06-01T00:00:00Z"), partition=1)
    clicks.stream()
    # First all of a partition that has fallen silent, then all that there is.
    for month, new in ((2, event(3, receivedAt="2025-06-01T00:00:00Z")), (7, event(4))):
        archive(spark, Lake(str(clicks.lake)), bronze, dt.datetime(2025, month, 1), (), 3, "test")
        shutil.rmtree(clicks.lake / "_checkpoints")
        clicks.send(new, partition=1)
        clicks.stream()
    assert clicks.ids() == ["m4"]
    assert sorted(row["messageId"] for row in clicks.rows("archive.clicks")) == ["m0", "m1", "m2", "m3"]


def test_a_broker_that_stops_in_mid_stream_ends_the_run_and_the_next_goes_on(
    spark: SparkSession, broker: Broker, tmp_path: Path
) -> None:
    slowly = {"trigger": "continuous", "interval_seconds": 1, "max_offsets_per_trigger": 2}
    clicks = Clicks(spark, broker, tmp_path, "halted", **slowly)
    clicks.send(*[event(number) for number in range(40)])
    with ThreadPoolExecutor(max_workers=1) as pool:
        running = pool.submit(clicks.stream)
        wait_until(lambda: running.done() or clicks.ids())
        with broker.stopped():
            told = r"Kafka at 127\.0\.0\.1:\d+ did not deliver: .*start the broker"
            with pytest.raises(DataError, match=told) as failed:
                running.result(timeout=120)
            assert failed.value.exit_code == 5
            came = clicks.ids()
            assert 0 < len(came) < 40
            with pytest.raises(DataError, match="did not deliver"):
                clicks.stream()
    whole = settings_in(
        tmp_path, "clicks", clicks.conf_dir, {"kafka.bootstrap_servers": broker.address, "kafka.timeout_seconds": 8}
    )
    clicks.stream(whole)
    assert clicks.ids() == sorted(f"m{number}" for number in range(40))
    unbalanced = unbalanced_runs(clicks.lake, ("succeeded", "failed"))
    assert unbalanced == [], "a run that failed tells of the batches that it had committed"


def stopped(clicks: Clicks, condition: Callable[[], Any]) -> Result:
    """Stream, and tell the process to end as soon as a condition holds."""

    def tell_to_end() -> None:
        try:
            wait_until(condition)
        finally:
            interrupt_main(signal.SIGTERM)

    with ThreadPoolExecutor(max_workers=1) as pool:
        told = pool.submit(tell_to_end)
        ended = clicks.stream()
        told.result()
    return ended


def test_a_stream_that_was_told_to_end_is_not_done(spark: SparkSession, broker: Broker, tmp_path: Path) -> None:
    clicks = Clicks(spark, broker, tmp_path, "stopped", max_offsets_per_trigger=1)
    clicks.send(*[event(number) for number in range(12)])
    assert stopped(clicks, clicks.ids).outcome == "done"
    assert len(clicks.ids()) < 12
    assert clicks.stream().outcome == "done", "no message is new, and some are not read yet"
    assert clicks.ids() == sorted(f"m{number}" for number in range(12))
    assert clicks.stream().outcome == "already done"


def test_a_stream_without_end_starts_again_where_nothing_is_new(
    spark: SparkSession, broker: Broker, tmp_path: Path
) -> None:
    clicks = Clicks(spark, broker, tmp_path, "idle", trigger="continuous", interval_seconds=1)
    for _ in range(2):
        assert stopped(clicks, lambda: spark.streams.active).outcome == "done"
    ends = [input_versions(("topics.*",), spark, clicks.settings, (), {})["topics.clicks"] for _ in range(2)]
    assert ends[0] != ends[1], "however the run before it ended"


def test_a_continuous_stream_is_accounted_for_batch_by_batch_until_it_is_told_to_end(
    spark: SparkSession, broker: Broker, tmp_path: Path
) -> None:
    clicks = Clicks(spark, broker, tmp_path, "endless")
    clicks.send(event(0))
    with clicks.process(tmp_path, ["-m", "jobs"], TRIGGER="continuous", INTERVAL_SECONDS="1") as process:
        wait_until(lambda: process.poll() is not None or clicks.rows("ops.runs"), 120)
        assert process.poll() is None, (tmp_path / "log").read_text("utf-8")[-3000:]
        clicks.send(event(1))
        wait_until(lambda: clicks.ids() == ["m0", "m1"] and len(clicks.rows("ops.runs")) == 2)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0, (tmp_path / "log").read_text("utf-8")[-3000:]
    assert [row["outcome"] for row in clicks.rows("ops.runs")] == ["succeeded"] * 3
    assert sum(row["rows_read"] for row in clicks.rows("ops.runs")) == 2
    assert ledger_of(spark, clicks.settings).good_versions()["bronze.clicks"] == 2


def test_a_continuous_stream_tells_of_new_fields_once_and_packs_its_files(
    spark: SparkSession, broker: Broker, tmp_path: Path
) -> None:
    often = {"trigger": "continuous", "interval_seconds": 1, "max_offsets_per_trigger": 1, "compact_every_batches": 3}
    clicks = Clicks(spark, broker, tmp_path, "watched", **often)
    mail = "new@example.com"
    clicks.send(
        event(0), event(1, mail=mail), event(2, mail=mail), event(3, messageId=3), event(4), event(5, messageId=5)
    )

    def unmet() -> list[tuple[str, str]]:
        return [(row["expectation"], row["observed"]) for row in clicks.rows("ops.audits") if not row["is_met"]]

    told = {name.upper(): str(value) for name, value in often.items()}
    with clicks.process(tmp_path, ["-m", "jobs"], None, **told) as process:
        wait_until(lambda: process.poll() is not None or len(clicks.rows("ops.runs")) == 6, 120)
        assert process.poll() is None, (tmp_path / "log").read_text("utf-8")[-3000:]
        # Told while it runs, each once.
        assert sorted(unmet()) == [
            ("every field is declared", "mail"),
            ("fields keep their kinds", "messageId: number, now string"),
            ("fields keep their kinds", "messageId: string, now number"),
        ]
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0, (tmp_path / "log").read_text("utf-8")[-3000:]
    assert (tmp_path / "log").read_text("utf-8").count("every field is declared") == 1
    bronze = DeltaTable(clicks.lake / "bronze/clicks")
    assert len(bronze.file_uris()) == 1, "six batches, packed after the third and the sixth"
    assert len(clicks.rows("bronze.clicks")) == 6
    assert ledger_of(spark, clicks.settings).good_versions()["bronze.clicks"] == bronze.version()


def test_a_topic_that_is_not_there_is_told_and_not_made(spark: SparkSession, broker: Broker, tmp_path: Path) -> None:
    clicks = Clicks(spark, broker, tmp_path, "there")
    source = clicks.conf_dir / "datasets/clicks/clicks.yaml"
    source.write_text(source.read_text("utf-8").replace("name: there", "name: elsewhere"), "utf-8")
    for _ in range(2):
        with pytest.raises(DataError, match="has no topic elsewhere; make it, or correct the feed"):
            clicks.stream()


OFFSETS = {0: Reach(0, 9), 1: Reach(1, 2), 2: Reach(8, 9)}


@pytest.mark.parametrize(
    ("held", "offsets", "accepts", "starts"),
    [
        ({}, OFFSETS, False, None),
        ({0: 5, 1: 1, 2: 9}, OFFSETS, False, {"0": 5, "1": 1, "2": 9}),
        ({0: 5, 2: 3}, OFFSETS, True, {"0": 5, "1": 1, "2": 8}),
        ({0: 5}, {0: Reach(0, 9), 1: Reach(0, 0)}, False, {"0": 5, "1": 0}),
    ],
)
def test_a_stream_without_a_checkpoint_begins_after_what_bronze_holds(
    held: dict[int, int], offsets: dict[int, Reach], accepts: bool, starts: dict[str, int] | None
) -> None:
    told = starting_offsets(Topic(name="clicks"), held, offsets, accept_data_loss=accepts)
    assert told == ("earliest" if starts is None else json.dumps({"clicks": starts}))


@pytest.mark.parametrize(
    ("held", "accepts", "told"),
    [
        (
            {0: 5, 2: 3},
            False,
            r"clicks: the oldest message is not the next after bronze's in partition 1, 2\. .*ACCEPT_DATA",
        ),
        ({0: 10, 1: 2, 2: 9}, True, "beyond the end of partition 0.*declare it as a new feed"),
        ({0: 9, 1: 2, 2: 9, 3: 1}, True, "beyond the end of partition 3"),
    ],
)
def test_messages_that_were_deleted_before_they_were_read_end_a_stream(
    held: dict[int, int], accepts: bool, told: str
) -> None:
    with pytest.raises(DataError, match=told) as error:
        starting_offsets(Topic(name="clicks"), held, OFFSETS, accept_data_loss=accepts)
    assert error.value.exit_code == 5


def test_a_loss_that_is_accepted_is_accepted_with_a_checkpoint_too() -> None:
    for accepts, told in ((False, "true"), (True, "false")):
        assert stream_options(KafkaSettings(accept_data_loss=accepts), "clicks", "earliest")["failOnDataLoss"] == told
