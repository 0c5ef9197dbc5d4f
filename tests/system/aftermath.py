"""What runs of the simulated world leave on the disk, and every personal value of the raw files that they were made from."""

import csv
import gzip
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from pyspark.sql import SparkSession

from jobs.lakehouse.needles import Needles, needles_of
from jobs.lakehouse.personal_kinds import PersonalKind, normalised
from jobs.lakehouse.quality import build_data_docs
from jobs.lakehouse.settings import Settings
from jobs.lakehouse.sources import Source, read_sources
from tests.lakes import run_job


@dataclass(frozen=True)
class Aftermath:
    """What a run left on the disk, and every personal value of the files that it was made from."""

    settings: Settings
    folder: Path
    lake: Path
    values: list[tuple[PersonalKind, str]]
    needles: Needles

    @property
    def everywhere(self) -> list[Path]:
        """All that the run left, without the raw files, the simulated world's truth and the vault."""
        own = [path for path in self.lake.iterdir() if path.name != "vault"]
        beside = [path for path in self.folder.iterdir() if path.name not in ("lake", "data", "truth", "conf")]
        return own + beside

    @property
    def canary(self) -> tuple[str, set[int]]:
        """A phone and a device in another spelling than they were told in, and the numbers of their needles."""
        wanted = {
            kind: next(number for number, value in enumerate(self.values) if value[0] == kind)
            for kind in ("phone", "device_id")
        }
        phone = (normalised("phone", self.values[wanted["phone"]][1]) or "")[3:]
        device = self.values[wanted["device_id"]][1]
        return f"+86 {phone[:3]} {phone[3:7]} {phone[7:]} {device.upper()}", {*wanted.values()}


def aftermath_of(
    spark: SparkSession, settings: Settings, folder: Path, run: Callable[[SparkSession, Settings], None]
) -> Aftermath:
    """What is left of a world that is written, delivered with some dirt, and run through jobs.

    Args:
        spark: the session of the tests, which writes an event log.
        settings: with all paths below the folder.
        folder: where the logs go too.
        run: runs the jobs.
    """
    run_job(spark, settings, "simulate.write_world", settings.world.last_day)
    dirt(Path(settings.path("data")))
    (folder / "logs").mkdir()
    with standard_error_in(folder / "logs/stderr.log"), events_in(folder / "event-logs", spark):
        run(spark, settings)
        build_data_docs(Path(settings.path("lake")) / "ops/data_docs", [])
    values = personal_values(settings)
    return Aftermath(settings, folder, Path(settings.path("lake")), values, needles_of(values))


def records_of(source: Source, data: Path) -> Iterator[dict[str, Any]]:
    """The records of a feed's files, read without the suite."""
    for file in sorted(data.glob(source.files)):
        if file.name.startswith("."):
            continue
        opened = gzip.open if file.suffix == ".gz" else open
        # Of a file that was cut off, what can be read.
        with suppress(EOFError), opened(file, "rt", encoding="utf-8", newline="") as lines:
            if source.format == "json":
                yield from (json.loads(line) for line in lines)
            else:
                yield from csv.DictReader(lines)


def personal_values(settings: Settings) -> list[tuple[PersonalKind, str]]:
    """Every distinct value of a personal field in the raw files."""
    found: dict[tuple[PersonalKind, str], None] = {}
    for source in read_sources(Path(settings.conf_dir), settings.dataset).values():
        fields = [field for field in source.fields if field.personal]
        for record in records_of(source, Path(settings.path("data"))) if fields else ():
            for field in fields:
                value: Any = record
                for step in field.name.split("."):
                    value = (value or {}).get(step)
                if field.personal and value and normalised(field.personal, str(value)):
                    found[field.personal, str(value)] = None
    return list(found)


@contextmanager
def standard_error_in(file: Path) -> Iterator[None]:
    """Keep what this process says on its standard error in a file."""
    sys.stderr.flush()
    kept = os.dup(2)
    with file.open("wb") as log:
        os.dup2(log.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)


def dirt(data: Path) -> None:
    """What goes wrong in deliveries: a row torn apart, a file without its header in whose first row values stand twice, a file cut off."""
    accounts = sorted((data / "web_accounts").glob("*.csv"))[0]
    lines = accounts.read_text("utf-8").splitlines()
    (data / "web_accounts/torn.csv").write_text("\n".join([lines[0], lines[1] + ',"and","more"', lines[2]]), "utf-8")
    (data / "web_accounts/headless.csv").write_text("\n".join([f"{lines[3]},{lines[3]}", lines[3], lines[4]]), "utf-8")
    (data / "web_accounts/cut.csv.gz").write_bytes(gzip.compress("\n".join(lines).encode())[:-50])


@contextmanager
def events_in(folder: Path, spark: SparkSession) -> Iterator[None]:
    """Keep what the session adds to its event log in a folder."""
    folder.mkdir()
    events = Path(unquote(urlparse(spark.conf.get("spark.eventLog.dir")).path))
    before = {log: log.stat().st_size for log in events.rglob("*") if log.is_file()}
    yield
    for log in events.rglob("*"):
        if log.is_file():
            with log.open("rb") as told:
                told.seek(before.get(log, 0))
                (folder / log.name).write_bytes(told.read())
