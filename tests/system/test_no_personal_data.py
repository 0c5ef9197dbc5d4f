"""A small world goes from raw files to silver, and no raw personal value stands anywhere outside of the sealed vault.

What is made of silver, to gold and models, is looked at in test_no_personal_data_of_the_chain, and of a cluster in
test_no_personal_data_of_models.
"""

import shutil
from pathlib import Path
from urllib.parse import quote_plus

import pytest
from pyspark.sql import SparkSession

from jobs.lakehouse.scan import scan
from jobs.lakehouse.settings import Settings
from jobs.lakehouse.sources import read_sources
from tests.lakes import run_job, settings_in
from tests.rows import CONF_DIR
from tests.system.aftermath import Aftermath, aftermath_of
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


def conf_of_persons(folder: Path) -> Path:
    """The configuration with the world's feeds that have a personal field."""
    conf_dir = folder / "conf"
    shutil.copytree(CONF_DIR, conf_dir)
    for name, source in read_sources(CONF_DIR, "world").items():
        if not any(field.personal for field in source.fields):
            (conf_dir / f"datasets/world/{name}.yaml").unlink()
    return conf_dir


def run_to_silver(spark: SparkSession, settings: Settings) -> None:
    """The jobs that read raw files or what is made of them first."""
    for name in JOBS:
        run_job(spark, settings, name, settings.world.last_day)


@pytest.fixture(scope="module")
def aftermath(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Aftermath:
    folder = tmp_path_factory.mktemp("world")
    settings = settings_in(folder, "world", conf_of_persons(folder), SIZE)
    return aftermath_of(spark, settings, folder, run_to_silver)


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
    canary, wanted = aftermath.canary
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
    assert found >= {(file, number) for file in planted_files for number in wanted}
    statistics = {Path(finding.file) for finding in report.findings if finding.place.startswith("statistics of")}
    assert statistics == {planted_files[3]}
    assert report.undecoded == ()
