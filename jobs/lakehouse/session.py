"""The Spark session of a job: what spark-submit has set stays, the settings fill in the rest, time is UTC everywhere."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pyspark import SparkConf, SparkContext
from pyspark.sql import SparkSession

from jobs.lakehouse.errors import ConfigurationError
from jobs.lakehouse.settings import Settings
from jobs.lakehouse.side_by_side import DESCRIPTION

# On one machine the serial collector needs least memory, and is no slower on two cores. The plans of a whole chain leave more
# compiled code than the JVM holds by default; once that is full, it compiles no more. Most of that code is made for one query
# and dropped: what runs a little longer before the second compiler takes it up leaves the cores to the work itself.
# A heap that has to grow to its size collects the more often until then.
LOCAL_JVM_OPTIONS = (
    "-XX:+UseSerialGC -XX:MetaspaceSize=384m -XX:ReservedCodeCacheSize=512m -XX:Tier4InvocationThreshold=20000 "
    "-XX:Tier4MinInvocationThreshold=3000 -XX:Tier4CompileThreshold=60000 -XX:Tier4BackEdgeThreshold=160000"
)

# More tasks than that are for data that one machine is not made for; who has it says so in spark.conf.
WIDEST_SHUFFLE = 8


def pin_time_zone() -> None:
    """Make the Python process speak UTC; `collect` shows timestamps in the zone of the process, not of the session."""
    os.environ["TZ"] = "UTC"
    time.tzset()


def open_session(settings: Settings, application: str) -> SparkSession:
    """The running session, or a new one on the settings' master.

    Raises:
        ConfigurationError: the jars that Delta Lake needs are neither submitted nor in the jars folder.
    """
    pin_time_zone()
    _let_workers_follow()
    if "PYSPARK_GATEWAY_PORT" in os.environ:
        # What was submitted is known only once its JVM is connected; unasked, SparkConf would be empty, and the settings win.
        SparkContext._ensure_initialized()
    submitted = SparkConf()
    wanted = dict(settings.spark.conf)
    if not submitted.contains("spark.master"):
        wanted["spark.master"] = settings.spark.master
    if not submitted.contains("spark.jars"):
        wanted["spark.jars"] = ",".join(_jars(settings.path("jars")))
    is_local = wanted.get("spark.master", "").startswith("local")
    light = ""
    if is_local:
        memory = submitted.get("spark.driver.memory") or wanted.get("spark.driver.memory")
        light = LOCAL_JVM_OPTIONS + (f" -Xms{memory}" if memory else "")
        wanted.setdefault("spark.sql.shuffle.partitions", str(min(os.cpu_count() or 1, WIDEST_SHUFFLE)))
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
        if native := _native_libraries(settings.path("jars")):
            wanted.setdefault("spark.driver.extraLibraryPath", native)
    wanted.setdefault("spark.driver.extraJavaOptions", f"-Duser.timezone=UTC {_quiet_log(settings)} {light}".strip())
    wanted.setdefault("spark.executor.extraJavaOptions", "-Duser.timezone=UTC")
    wanted.setdefault("spark.executorEnv.TZ", "UTC")
    builder = SparkSession.builder.appName(application)
    for key, value in wanted.items():
        if not submitted.contains(key):
            builder = builder.config(key, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    # Of itself Spark 4 reads CSV in Western encodings and UTF alone; which ones a feed may declare, the sources say.
    session.conf.set("spark.sql.legacy.javaCharsets", "true")
    return session


@contextmanager
def configured(spark: SparkSession, wanted: Mapping[str, str]) -> Iterator[None]:
    """The session with these settings of Spark while the block runs, then as it was; for commands, not beside other jobs."""
    before = {key: spark.conf.get(key, None) for key in wanted}
    for key, value in wanted.items():
        spark.conf.set(key, value)
    try:
        yield
    finally:
        for key, held in before.items():
            if held is None:
                spark.conf.unset(key)
            else:
                spark.conf.set(key, held)


@contextmanager
def described(spark: SparkSession, description: str) -> Iterator[None]:
    """All that this thread has Spark do while the block runs bears a description, in Spark's UI and its event log."""
    spark.sparkContext.setJobDescription(description)
    try:
        yield
    finally:
        spark.sparkContext.setLocalProperty(DESCRIPTION, None)  # type: ignore[arg-type]


def task_slots(spark: SparkSession) -> int:
    """How many tasks run at once: the number of workers that a distributed training takes."""
    return max(1, spark.sparkContext.defaultParallelism)


def _quiet_log(settings: Settings) -> str:
    """The option that makes the JVM log as conf/log4j2.properties says, where that file is at hand."""
    file = Path(settings.conf_dir).resolve() / "log4j2.properties"
    return f"-Dlog4j2.configurationFile={file.as_uri()}" if file.is_file() else ""


def _let_workers_follow() -> None:
    """Give local Python workers this interpreter and this package; a cluster gets them from spark-submit."""
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    root = str(Path(__file__).resolve().parents[2])
    known = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if root not in known:
        os.environ["PYTHONPATH"] = os.pathsep.join([root, *filter(None, known)])


def _native_libraries(jars: str) -> str:
    """The folder of Hadoop's native library for this machine; empty where none was unpacked, and Hadoop does without.

    Without it, Hadoop starts a program for each file whose mode it sets or asks for on a local disk.
    """
    machine = platform.machine()
    folder = Path(jars).resolve() / "native" / f"{platform.system()}-{'amd64' if machine == 'x86_64' else machine}"
    return str(folder) if folder.is_dir() else ""


def _jars(folder: str) -> list[str]:
    jars = sorted(str(jar.resolve()) for jar in Path(folder).glob("*.jar"))
    if not jars:
        raise ConfigurationError(
            f"no jars in {folder}: run `make setup`, or name their folder by LAKEHOUSE__PATHS__JARS"
        )
    return jars
