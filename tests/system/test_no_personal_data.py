"""A small world goes from raw files to features, and no raw personal value stands anywhere outside of the sealed vault."""

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
from urllib.parse import unquote, urlparse

import pyarrow as pa
import pyarrow.parquet as pq
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

SIZE = {
    "world.customers": 300,
    "world.weeks": 26,
    "world.truth_weeks_ahead": 2,
    "world.persons_per_ring": 150,
    "world.persons_per_bot": 150,
    "world.bad_date_share": 0.02,
    "features.panel_dates": 2,
}
JOBS = (
    "ingest.load_files",
    "ingest.clean_accounts",
    "ingest.clean_events",
    "ingest.clean_order_lines",
    "ingest.clean_payments",
    "ingest.clean_feedback",
    "ingest.collect_identifiers",
    "identity.resolve_customers",
    "identity.describe_customers",
    "ingest.flag_events",
    "ingest.flag_orders",
    "features.build_customer_features",
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
    """The configuration with the world's feeds that have a personal field, and its events."""
    conf_dir = folder / "conf"
    shutil.copytree(CONF_DIR, conf_dir)
    for name, source in read_sources(CONF_DIR, "world").items():
        if name != "app_events" and not any(field.personal for field in source.fields):
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
    """What goes wrong in deliveries: a row torn apart, a file without its header, a file cut off."""
    accounts = sorted((data / "web_accounts").glob("*.csv"))[0]
    lines = accounts.read_text("utf-8").splitlines()
    (data / "web_accounts/torn.csv").write_text("\n".join([lines[0], lines[1] + ',"and","more"', lines[2]]), "utf-8")
    (data / "web_accounts/headless.csv").write_text("\n".join([lines[3], lines[3], lines[4]]), "utf-8")
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
    assert {"phone", "email", "name"} <= kinds
    assert len(aftermath.values) > 800
    assert len(aftermath.needles.too_short) < 0.01 * len(aftermath.values)
    raw = scan([Path(aftermath.settings.path("data"))], aftermath.needles)
    assert {finding.number for finding in raw.findings} >= set(range(len(aftermath.values))) - {
        *aftermath.needles.too_short
    }, "every value is found where it came from, so that the scan is able to find them"


def test_no_value_stands_outside_of_the_vault(aftermath: Aftermath) -> None:
    places = {path.relative_to(aftermath.folder).parts[-1] for path in aftermath.everywhere}
    assert {"bronze", "silver", "gold", "ops", "logs", "event-logs"} <= places
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
    """The same scan, on copies of real files of each kind into each of which one value has been planted."""
    number = next(n for n, (kind, _) in enumerate(aftermath.values) if kind == "phone")
    phone = (normalised("phone", aftermath.values[number][1]) or "")[3:]
    planted: list[Path] = []

    def copied(pattern: str, root: Path = aftermath.lake) -> Path:
        original = max((file for file in root.glob(pattern) if file.is_file()), key=lambda file: file.stat().st_size)
        planted.append(tmp_path / f"{len(planted)}" / original.name)
        planted[-1].parent.mkdir()
        shutil.copy(original, planted[-1])
        return planted[-1]

    for layer in ("bronze", "silver", "gold"):
        file = copied(f"{layer}/*/**/*.parquet")
        rows = pq.read_table(file)
        text = next(name for name in rows.column_names if pa.types.is_string(rows.schema.field(name).type))
        cells = [f"+86 {phone[:3]} {phone[3:7]} {phone[7:]}", *rows[text].to_pylist()[1:]]
        rows = rows.set_column(rows.column_names.index(text), text, pa.array(cells, pa.string()))
        pq.write_table(rows, file, compression="zstd", write_statistics=False)
    for pattern in ("*/*/_delta_log/*.json", "ops/data_docs/**/*.json"):
        file = copied(pattern)
        file.write_text(file.read_text("utf-8") + json.dumps({"min": json.dumps({"value": f"0086{phone}"})}), "utf-8")
    for pattern in ("logs/*", "event-logs/*"):
        with copied(pattern, aftermath.folder).open("a", encoding="utf-8") as log:
            log.write(f"\nphone=%2B86{phone}\n")
    report = scan([tmp_path], aftermath.needles)
    assert {Path(finding.file) for finding in report.findings if finding.number == number} == {*planted}
    assert report.undecoded == ()
