"""Clicks: a lake that is fed by one topic of Kafka, and the messages that come by it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deltalake import DeltaTable
from pyspark.sql import SparkSession

from jobs.lakehouse.job import Result
from jobs.lakehouse.settings import Settings
from tests.lakes import KEY, conf_with, run_job, settings_in
from tests.servers import CHECKOUT, Broker

JOB = "ingest.stream_topics"
DEVICE = "d-3f1c9a7e55b04d21"
FEED = {
    "format": "json",
    "arrival": "try_to_timestamp(receivedAt)",
    "fields": [
        {"name": "messageId", "description": "Id."},
        {"name": "phone", "personal": "phone", "description": "Phone."},
        {"name": "context.device.id", "personal": "device_id", "description": "Device."},
        {"name": "timestamp", "description": "When it happened, UTC."},
        {"name": "receivedAt", "description": "When it came, UTC."},
    ],
    "tables": {
        "events": {
            "columns": {
                "event_id": "messageId",
                "event_type": "'track'",
                "device_token": "context_device_id_token",
                "event_at": "try_to_timestamp(timestamp)",
            }
        }
    },
}


def event(number: int, **overrides: Any) -> dict[str, Any]:
    """A message."""
    return {
        "messageId": f"m{number}",
        "phone": f"1380000{number:04d}",
        "context": {"device": {"id": DEVICE}},
        "timestamp": "2025-01-01T08:00:00.000Z",
        "receivedAt": "2025-01-01T08:00:01.000Z",
        **overrides,
    }


class Clicks:
    """A lake that is fed by one topic."""

    def __init__(self, spark: SparkSession, broker: Broker, folder: Path, topic: str, **kafka: Any) -> None:
        self.spark, self.broker, self.topic = spark, broker, topic
        broker.make_topic(spark, topic)
        source = {**FEED, "topic": {"name": topic, "max_message_bytes": 2000}}
        self.conf_dir = conf_with(folder, "clicks", {"clicks": source})
        address = {"kafka.bootstrap_servers": broker.address, "kafka.timeout_seconds": 8}
        told = {f"kafka.{key}": value for key, value in kafka.items()}
        self.settings = settings_in(folder, "clicks", self.conf_dir, {**address, **told})

    def send(self, *messages: Any, partition: int = 0) -> None:
        self.broker.send(self.spark, self.topic, messages, partition)

    def stream(self, settings: Settings | None = None) -> Result:
        return run_job(self.spark, settings or self.settings, JOB)

    @property
    def lake(self) -> Path:
        return Path(self.settings.path("lake"))

    def rows(self, table: str) -> list[dict[str, Any]]:
        folder = self.lake / table.replace(".", "/")
        if not any((folder / "_delta_log").glob("*.json")):
            return []
        rows: list[dict[str, Any]] = DeltaTable(folder).to_pyarrow_table().to_pylist()
        return rows

    def ids(self) -> list[str]:
        """The ids of the messages in bronze, each as often as it is there."""
        return sorted(row["messageId"] for row in self.rows("bronze.clicks") if not row["_is_unparseable"])

    @contextmanager
    def process(
        self,
        folder: Path,
        start: list[str],
        secrets: dict[str, str] | None = None,
        job: str = "stream_topics",
        **kafka: str,
    ) -> Iterator[subprocess.Popen[bytes]]:
        """The stream, or another job, in a process group of its own."""
        chosen = ["run", job, "--dataset", "clicks", "--conf-dir", str(self.conf_dir)]
        environment = {
            **os.environ,
            "LAKEHOUSE_KEY": KEY,
            "LAKEHOUSE__PATHS__LAKE": str(self.lake),
            "LAKEHOUSE__KAFKA__BOOTSTRAP_SERVERS": self.broker.address,
            **{f"LAKEHOUSE__KAFKA__{key}": value for key, value in kafka.items()},
            **(secrets or {}),
        }
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, *start, *chosen], env=environment, cwd=CHECKOUT, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
            try:
                yield process
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
