"""A small world with all its feeds goes through every job, to models and scores, and no raw personal value stands outside of the vault."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from jobs.__main__ import all_jobs
from jobs.lakehouse.chain import run_chain
from jobs.lakehouse.contracts import read_contracts
from jobs.lakehouse.inputs import has_feeds
from jobs.lakehouse.personal_kinds import KINDS
from jobs.lakehouse.scan import Report, scan
from jobs.lakehouse.settings import Settings
from jobs.lakehouse.sources import read_sources
from tests.lakes import settings_in
from tests.rows import CONF_DIR
from tests.system.aftermath import Aftermath, aftermath_of
from tests.system.canaries import largest, planted

# The first test waits for the chain and the scan of all that it left.
pytestmark = [pytest.mark.long, pytest.mark.soak, pytest.mark.timeout(1800)]

# Five quarters: demand is learned, calibrated and tested on weeks apart, each 13 weeks after what it is forecast from.
SIZE = {
    "world.customers": 120,
    "world.weeks": 65,
    "world.persons_per_ring": 60,
    "world.persons_per_bot": 60,
    "world.bad_date_share": 0.01,
    "churn.min_training_rows": 20,
    "churn.rounds": 10,
    "churn.bootstrap_replicates": 20,
    "demand.min_training_rows": 20,
    "demand.rounds": 10,
    "demand.min_units": 2,
    "demand.bootstrap_replicates": 20,
}
IN_BETWEEN = "in-between"
# What must lie in each place: else nothing was looked at there.
FILES: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("bronze", "silver", "gold", "ops"), ("*/**/part-*.parquet", "*/_delta_log/*.json")),
    IN_BETWEEN: ("_checkpoints_of_customers/**/part-*", "_checkpoints_of_households/**/part-*", "*/**/part-*.parquet"),
    "event-logs": ("*",),
    "logs": ("stderr.log",),
    "mlflow": ("**/MLmodel", "**/*.ubj", "**/*.png"),
}


@contextmanager
def kept_in(folder: Path) -> Iterator[None]:
    """Keep what jobs write down in between, checkpoints and staged rows, which they would delete as they end."""

    def keep(spark: SparkSession, path: str) -> None:
        if Path(path).exists():
            shutil.move(path, folder / Path(path).name)

    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        for room in ("caching", "job"):
            patch.setattr(f"jobs.lakehouse.{room}.delete_folder", keep)
        yield


def run_all(spark: SparkSession, settings: Settings) -> None:
    """What `python -m jobs run --all` runs."""
    jobs = [named for named in all_jobs().values() if has_feeds(named.reads, named.writes, settings)]
    with kept_in(Path(settings.path("lake")).with_name(IN_BETWEEN)):
        outcomes = {result.name: result.outcome for result in run_chain(jobs, spark, settings, settings.world.last_day)}
    assert {*outcomes.values()} <= {"done", "nothing to do", "already done"}
    trained = ("train.train_churn", "train.train_demand", "score.score_churn", "score.forecast_demand")
    assert {outcomes[name] for name in trained} == {"done"}


@pytest.fixture(scope="module")
def aftermath(compiling_spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Aftermath:
    folder = tmp_path_factory.mktemp("chain")
    return aftermath_of(compiling_spark, settings_in(folder, "world", CONF_DIR, SIZE), folder, run_all)


@pytest.fixture(scope="module")
def places(aftermath: Aftermath) -> dict[str, Path]:
    """Where the chain left something, by name."""
    return {path.name: path for path in aftermath.everywhere}


@pytest.fixture(scope="module")
def reports(aftermath: Aftermath, places: dict[str, Path]) -> dict[str, Report]:
    """What the scan says of each place."""
    return {name: scan([path], aftermath.needles) for name, path in places.items()}


def test_all_that_there_is_was_made_of_persons_to_hide(aftermath: Aftermath) -> None:
    assert {kind for kind, _ in aftermath.values} == {*KINDS}
    assert len(aftermath.needles.too_short) < 0.01 * len(aftermath.values)
    raw = scan([Path(aftermath.settings.path("data"))], aftermath.needles)
    assert {finding.number for finding in raw.findings} == set(range(len(aftermath.values))) - {
        *aftermath.needles.too_short
    }
    assert {path.name for path in aftermath.lake.glob("bronze/*")} >= {*read_sources(CONF_DIR, "world")}
    gold = {f"gold.{path.name}" for path in aftermath.lake.glob("gold/*")}
    assert gold == {name for name in read_contracts(CONF_DIR) if name.startswith("gold.")}


def test_every_file_is_looked_at(places: dict[str, Path], reports: dict[str, Report]) -> None:
    for name, patterns in FILES.items():
        for pattern in patterns:
            assert any(file.is_file() for file in places[name].glob(pattern)), f"no {pattern} in {name}"
        assert reports[name].files == sum(file.is_file() for file in places[name].rglob("*")), name
    assert reports["mlflow.db"].size_bytes > 100_000


def test_no_value_stands_outside_of_the_vault(aftermath: Aftermath, reports: dict[str, Report]) -> None:
    for name, report in reports.items():
        assert report.undecoded == (), name
        assert {(finding.file, finding.place, finding.kind) for finding in report.findings} == set(), name
    assert scan([aftermath.lake / "vault"], aftermath.needles).is_clean


def test_canaries_in_gold_and_models_are_found(aftermath: Aftermath, places: dict[str, Path], tmp_path: Path) -> None:
    canary, wanted = aftermath.canary
    files = [
        planted(largest(places["gold"], "*/**/part-*.parquet"), tmp_path, "Parquet values", canary),
        planted(largest(places["gold"], "*/**/part-*.parquet"), tmp_path, "Parquet statistics", canary),
        planted(largest(places["gold"], "*/_delta_log/*.json"), tmp_path, "JSON", canary),
        planted(places["mlflow.db"], tmp_path, "SQLite", canary),
        planted(largest(places["mlflow"], "**/MLmodel"), tmp_path, "text", canary),
        planted(largest(places["mlflow"], "**/*.ubj"), tmp_path, "bytes", canary),
        planted(largest(places["mlflow"], "**/*.png"), tmp_path / "picture", "bytes", canary),
    ]
    report = scan([tmp_path], aftermath.needles)
    found = {(Path(finding.file), finding.number) for finding in report.findings}
    assert found >= {(file, number) for file in files for number in wanted}
    assert report.undecoded == ()
    assert "params.value" in {finding.place for finding in report.findings}
