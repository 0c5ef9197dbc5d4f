"""A small world goes from raw files to silver, and no raw personal value stands anywhere outside of the sealed vault.

What is made of silver, to gold and models, is looked at in test_no_personal_data_of_models, where the whole chain runs anyway.
"""

import csv
import gzip
import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus, unquote, urlparse

import pytest
from pyspark.sql import SparkSession

from jobs.lakehouse.needles import Needles, needles_of
from jobs.lakehouse.personal_kinds import PersonalKind, normalised
from jobs.lakehouse.quality import build_data_docs
from jobs.lakehouse.scan import scan
from jobs.lakehouse.settings import Settings
from jobs.lakehouse.sources import Source, read_sources
from tests.lakes import run_job, settings_in
from tests.rows import CONF_DIR
from tests.system.canaries import largest, planted

pytestmark = pytest.mark.long

SIZE = {
    "world.customers": 160,
    "world.weeks": 26,
    "world.truth_weeks_ahead": 1,
    "world.persons_per_ring": 80,
    "world.persons_per_bot": 80,
    "world.bad_date_share": 0.02,
}
JOBS = (
    "ingest.load_files",
    "ingest.clean_accounts",
    "ingest.clean_events",
    "ingest.clean_order_lines",
    "ingest.clean_payments",
    "ingest.clean_feedback",
    "ingest.collect_identifiers",
    "identity.link_records",
)


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


def conf_of_persons(folder: Path) -> Path:
    """The configuration with the world's feeds that have a personal field."""
    conf_dir = folder / "conf"
    shutil.copytree(CONF_DIR, conf_dir)
    for name, source in read_sources(CONF_DIR, "world").items():
        if not any(field.personal for field in source.fields):
            (conf_dir / f"datasets/world/{name}.yaml").unlink()
    return conf_dir


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


@pytest.fixture(scope="module")
def aftermath(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Aftermath:
    folder = tmp_path_factory.mktemp("world")
    settings = settings_in(folder, "world", conf_of_persons(folder), SIZE)
    run_date = settings.world.last_day
    run_job(spark, settings, "simulate.write_world", run_date)
    dirt(Path(settings.path("data")))
    events = Path(unquote(urlparse(spark.conf.get("spark.eventLog.dir")).path))
    before = {log: log.stat().st_size for log in events.rglob("*") if log.is_file()}
    (folder / "logs").mkdir()
    (folder / "event-logs").mkdir()
    with standard_error_in(folder / "logs/stderr.log"):
        for name in JOBS:
            run_job(spark, settings, name, run_date)
        build_data_docs(Path(settings.path("lake")) / "ops/data_docs", [])
    for log in events.rglob("*"):
        if log.is_file():
            with log.open("rb") as told:
                told.seek(before.get(log, 0))
                (folder / "event-logs" / log.name).write_bytes(told.read())
    values = personal_values(settings)
    return Aftermath(settings, folder, Path(settings.path("lake")), values, needles_of(values))


def test_the_world_has_persons_to_hide(aftermath: Aftermath) -> None:
    kinds = {kind for kind, _ in aftermath.values}
    assert {"phone", "email", "name", "birth_date", "device_id", "open_id", "union_id", "payment_account"} <= kinds
    assert len(aftermath.values) > 800
    assert len(aftermath.needles.too_short) < 0.01 * len(aftermath.values)
    raw = scan([Path(aftermath.settings.path("data"))], aftermath.needles)
    assert {finding.number for finding in raw.findings} >= set(range(len(aftermath.values))) - {
        *aftermath.needles.too_short
    }, "every value is found where it came from, so that the scan is able to find them"


def test_no_value_stands_outside_of_the_vault(aftermath: Aftermath) -> None:
    places = {path.relative_to(aftermath.folder).parts[-1] for path in aftermath.everywhere}
    assert {"bronze", "silver", "ops", "logs", "event-logs"} <= places
    report = scan(aftermath.everywhere, aftermath.needles)
    assert report.files > 100
    assert report.undecoded == ()
    leaks = {(finding.file, finding.place, finding.kind) for finding in report.findings}
    assert leaks == set()


def test_the_vault_shows_none_in_clear(aftermath: Aftermath) -> None:
    report = scan([aftermath.lake / "vault"], aftermath.needles)
    assert report.files > 2
    assert report.is_clean, report


def test_canaries_in_copies_of_what_was_left_are_found(aftermath: Aftermath, tmp_path: Path) -> None:
    """The same scan, on copies of real files of each kind into each of which a phone and a device have been planted."""
    wanted = {
        kind: next(number for number, value in enumerate(aftermath.values) if value[0] == kind)
        for kind in ("phone", "device_id")
    }
    phone = (normalised("phone", aftermath.values[wanted["phone"]][1]) or "")[3:]
    device = aftermath.values[wanted["device_id"]][1]
    canary = f"+86 {phone[:3]} {phone[3:7]} {phone[7:]} {device.upper()}"
    lake = aftermath.lake
    planted_files = [
        *[planted(largest(lake, f"{layer}/*/**/part-*.parquet"), tmp_path / layer, "Parquet values", canary)
          for layer in ("bronze", "silver", "ops")],
        planted(largest(lake, "bronze/*/**/part-*.parquet"), tmp_path, "Parquet statistics", canary),
        planted(largest(lake, "*/*/_delta_log/*.json"), tmp_path / "log", "JSON", canary),
        planted(largest(lake, "ops/data_docs/**/*.json"), tmp_path / "docs", "JSON", canary),
        planted(largest(lake, "*/*/_delta_log/*.json"), tmp_path, "gzip", canary),
        planted(largest(aftermath.folder, "logs/*"), tmp_path / "logs", "text", quote_plus(canary)),
        planted(largest(aftermath.folder, "event-logs/*"), tmp_path / "events", "gzip", canary),
    ]  # fmt: skip
    report = scan([tmp_path], aftermath.needles)
    found = {(Path(finding.file), finding.number) for finding in report.findings}
    assert found >= {(file, number) for file in planted_files for number in wanted.values()}
    statistics = {Path(finding.file) for finding in report.findings if finding.place.startswith("statistics of")}
    assert statistics == {planted_files[3]}
    assert report.undecoded == ()
