"""Processes of Spark's own programs: a cluster's master and workers, the Thrift server, submitted jobs."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pyspark

from tests.system.corner_shop import CHECKOUT

SPARK_HOME = Path(pyspark.__file__).parent
LIGHT_JVM = "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=512m -XX:+UseSerialGC -Duser.timezone=UTC"


def free_port() -> int:
    """A port of the loopback that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def is_listening(port: int) -> bool:
    """Whether a server answers on the port."""
    with socket.socket() as client:
        client.settimeout(1)
        return client.connect_ex(("127.0.0.1", port)) == 0


def wait_for(port: int, process: subprocess.Popen[bytes], log: Path, seconds: float = 120) -> None:
    """Wait until the process serves the port; fail with its log when it ends or takes too long."""
    until = time.monotonic() + seconds
    while not is_listening(port):
        is_hopeful = process.poll() is None and time.monotonic() < until
        assert is_hopeful, log.read_text("utf-8")[-3000:]
        time.sleep(0.2)


@contextmanager
def running(
    words: list[str], log: Path, folder: Path, environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """A program in a process group of its own, which ends with the block."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            words, cwd=folder, env=environment, stdout=output, stderr=output, start_new_session=True
        )
        try:
            yield process
        finally:
            end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask the process group to end, and kill it where it does not within seconds."""
    for how, seconds in ((signal.SIGTERM, 10.0), (signal.SIGKILL, 10.0)):
        if process.poll() is None:
            os.killpg(process.pid, how)
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                continue


@contextmanager
def cluster(folder: Path, environment: Mapping[str, str]) -> Iterator[str]:
    """A standalone cluster of two workers with one core each on the loopback; gives the master's address."""
    folder.mkdir()
    light = {
        **environment,
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_DAEMON_MEMORY": "256m",
        "SPARK_DAEMON_JAVA_OPTS": LIGHT_JVM,
    }
    port, start = free_port(), [str(SPARK_HOME / "bin/spark-class")]
    server, log = "org.apache.spark.deploy", folder / "master.log"
    serving = [*start, f"{server}.master.Master", "--host", "127.0.0.1", "--port", str(port), "--webui-port", "0"]
    with running(serving, log, folder, light) as master:
        wait_for(port, master, log)
        address = f"spark://127.0.0.1:{port}"
        one, two = (
            [*start, f"{server}.worker.Worker", "--host", "127.0.0.1", "--webui-port", "0", "--cores", "1",
             "--memory", "1g", "--work-dir", str(folder / name), address]
            for name in ("worker-1", "worker-2")
        )  # fmt: skip
        with running(one, folder / "worker-1.log", folder, light), running(two, folder / "worker-2.log", folder, light):
            yield address


def submit(words: list[str], log: Path, environment: Mapping[str, str]) -> int:
    """Submit to Spark from the top of the checkout, where the shipped configuration expects it; tell the exit code."""
    with running([str(SPARK_HOME / "bin/spark-submit"), *words], log, CHECKOUT, environment) as driver:
        return driver.wait(timeout=500)
