"""A Kafka broker and a PostgreSQL server for the tests: started by bin/servers.sh, on free ports of the loopback."""

import json
import os
import random
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from tests.system.processes import is_listening

CHECKOUT = Path(__file__).parents[1]
PASSWORD = "correct-horse-battery-staple"


@dataclass(frozen=True)
class Server:
    """A server that can be stopped and started; its data stay."""

    name: str
    folder: Path
    port: int

    def act(self, action: str) -> subprocess.CompletedProcess[str]:
        """Let bin/servers.sh do something with it."""
        words = [str(CHECKOUT / "bin/servers.sh"), self.name, action, str(self.folder), str(self.port)]
        return subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        ended = self.act("start")
        assert ended.returncode == 0, ended.stderr

    def stop(self) -> None:
        """Stop it by its own process id."""
        assert self.act("stop").returncode == 0

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """It is down while the block runs."""
        self.stop()
        try:
            yield
        finally:
            self.start()


@dataclass(frozen=True)
class Database(Server):
    """A PostgreSQL server with the database `postgres`."""

    @property
    def url(self) -> str:
        """Where JDBC finds it."""
        return f"jdbc:postgresql://127.0.0.1:{self.port}/postgres"

    def sql(self, text: str) -> list[list[str]]:
        """What psql says to SQL: rows of fields."""
        words = ["psql", "-h", "127.0.0.1", "-p", str(self.port), "-U", "lakehouse", "-v", "ON_ERROR_STOP=1", "-AtqF|"]
        ended = subprocess.run(
            [*words, "postgres"], input=text, env={**os.environ, "PGPASSWORD": PASSWORD},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert ended.returncode == 0, ended.stderr
        return [line.split("|") for line in ended.stdout.splitlines()]


@dataclass(frozen=True)
class Broker(Server):
    """A Kafka broker; one with a password asks the user `lakehouse` for it."""

    password: str = ""

    @property
    def address(self) -> str:
        """Where clients find it."""
        return f"127.0.0.1:{self.port}"

    def make_topic(self, spark: SparkSession, topic: str, partitions: int = 2) -> None:
        """Make a topic."""
        jvm: Any = spark._jvm
        admin = jvm.org.apache.kafka.clients.admin.Admin.create(self._properties(spark))
        try:
            new = jvm.org.apache.kafka.clients.admin.NewTopic(topic, partitions, 1)
            admin.createTopics([new]).all().get()
        finally:
            admin.close()

    def send(self, spark: SparkSession, topic: str, messages: Sequence[Any], partition: int = 0) -> None:
        """Send messages in order to one partition: a dict as JSON, a text or bytes as they are, None as no value at all."""
        jvm: Any = spark._jvm
        properties = self._properties(spark)
        for side in ("key", "value"):
            properties.setProperty(f"{side}.serializer", "org.apache.kafka.common.serialization.ByteArraySerializer")
        # One message at a time on the wire as well, so that a test can stop the broker between two of them.
        properties.setProperty("batch.size", "0")
        producer = jvm.org.apache.kafka.clients.producer.KafkaProducer(properties)
        try:
            for message in messages:
                told = json.dumps(message) if isinstance(message, dict) else message
                value = told.encode() if isinstance(told, str) else told
                record = jvm.org.apache.kafka.clients.producer.ProducerRecord(topic, partition, None, value)
                producer.send(record)
            producer.flush()
        finally:
            producer.close()

    def _properties(self, spark: SparkSession) -> Any:
        jvm: Any = spark._jvm
        properties = jvm.java.util.Properties()
        properties.setProperty("bootstrap.servers", self.address)
        if self.password:
            login = "org.apache.kafka.common.security.scram.ScramLoginModule required"
            properties.setProperty("security.protocol", "SASL_PLAINTEXT")
            properties.setProperty("sasl.mechanism", "SCRAM-SHA-512")
            properties.setProperty("sasl.jaas.config", f'{login} username="lakehouse" password="{self.password}";')
        return properties


def wait_until(condition: Any, seconds: float = 60) -> None:
    """Wait for something that another thread or process brings about."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"not within {seconds:.0f} s"
        time.sleep(0.05)


def _served(server: Server) -> Iterator[Any]:
    """The server while the tests run; a machine that can't have it skips them, and says why."""
    started = server.act("start")
    if started.returncode != 0:
        shutil.rmtree(server.folder, ignore_errors=True)
        pytest.skip(f"no {server.name} server to be had: {started.stderr.strip()[-500:]}")
    try:
        yield server
    finally:
        server.act("stop")
        shutil.rmtree(server.folder, ignore_errors=True)


def _server_port() -> int:
    """A free port, and the next one free too: below those that clients are given, which could take it while the server is down."""
    ports = (port for port in random.sample(range(20_000, 32_000, 2), 100))
    return next(port for port in ports if not is_listening(port) and not is_listening(port + 1))


def _folder(name: str) -> Path:
    """A short path that another user may enter: PostgreSQL refuses to run as root."""
    return Path(tempfile.mkdtemp(prefix=f"lakehouse-{name}-"))


@pytest.fixture(scope="session")
def database() -> Iterator[Database]:
    """One PostgreSQL server for the whole test run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAKEHOUSE_DATABASE_PASSWORD", PASSWORD)
        yield from _served(Database("postgres", _folder("postgres"), _server_port()))


@pytest.fixture(scope="session")
def broker() -> Iterator[Broker]:
    """One Kafka broker for the whole test run."""
    yield from _served(Broker("kafka", _folder("kafka"), _server_port()))


@pytest.fixture(scope="module")
def guarded_broker() -> Iterator[Broker]:
    """A Kafka broker that asks for a password."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAKEHOUSE_KAFKA_USER", "lakehouse")
        patch.setenv("LAKEHOUSE_KAFKA_PASSWORD", PASSWORD)
        served = _served(Broker("kafka", _folder("kafka"), _server_port(), PASSWORD))
        broker = next(served)
    try:
        yield broker
    finally:
        next(served, None)
