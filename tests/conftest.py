"""What all tests share: one Spark session, settings in a folder of the test's own, a key, and the real data sets."""

import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import pytest
from hypothesis import settings as hypothesis_settings
from pyspark.sql import SparkSession

from jobs.lakehouse.session import configured, open_session, pin_time_zone
from jobs.lakehouse.settings import Settings
from tests.lakes import COMPILING, KEY, event_log_in, settings_in

pytest_plugins = ["tests.beside"]
CHECKOUT = Path(__file__).parents[1]

# The same examples in every run: a red property test is red for the next person too.
hypothesis_settings.register_profile("house", derandomize=True, deadline=None, print_blob=True)
hypothesis_settings.load_profile("house")


STARTED = time.monotonic()
# After so many minutes what has not begun is left out, and said to be; a slow machine then still ends in time.
MINUTES = float(os.environ.get("LAKEHOUSE_TEST_MINUTES") or "inf")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Skip what begins after the time that there is."""
    if time.monotonic() - STARTED > 60 * MINUTES:
        pytest.skip(f"the {MINUTES:g} minutes of LAKEHOUSE_TEST_MINUTES are over")


class MakeSettings(Protocol):
    """Makes settings whose lake, data, truth and MLflow store lie in the test's own folder."""

    def __call__(
        self, dataset: str = "world", conf_dir: Path | None = None, overrides: Mapping[str, Any] | None = None
    ) -> Settings:
        """See tests.lakes.settings_in."""


@pytest.fixture(scope="session", autouse=True)
def _surroundings() -> Iterator[None]:
    """The test key, UTC, and no setting that the caller's shell happens to have."""
    pin_time_zone()
    with pytest.MonkeyPatch.context() as patch:
        for variable in [name for name in os.environ if name.startswith("LAKEHOUSE__")]:
            patch.delenv(variable)
        patch.delenv("LAKEHOUSE_KEY_FILE", raising=False)
        patch.setenv("LAKEHOUSE_KEY", KEY)
        # GX and MLflow leave their greetings to real runs.
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        yield


@pytest.fixture(scope="session")
def spark(_surroundings: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """One session for the whole test run."""
    settings = settings_in(tmp_path_factory.mktemp("spark"))
    # What a cluster's history server shows, tests/system/test_no_personal_data.py reads.
    told = {**settings.spark.conf, **event_log_in(tmp_path_factory.mktemp("event-logs"))}
    session = open_session(
        settings.model_copy(update={"spark": settings.spark.model_copy(update={"conf": told})}), "tests"
    )
    yield session
    session.stop()


@pytest.fixture(scope="module")
def compiling_spark(spark: SparkSession) -> Iterator[SparkSession]:
    """The one session as a module with many rows needs it: plans are compiled, and shuffles have two parts."""
    with configured(spark, COMPILING):
        yield spark


@pytest.fixture
def settings(tmp_path: Path) -> MakeSettings:
    """A maker of settings in the test's own folder."""

    def make(
        dataset: str = "world", conf_dir: Path | None = None, overrides: Mapping[str, Any] | None = None
    ) -> Settings:
        return settings_in(tmp_path, dataset, conf_dir, overrides)

    return make


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder with the real data sets."""
    folder = Path(os.environ.get("LAKEHOUSE_TEST_DATA") or CHECKOUT.parent / "shared" / "data").resolve()
    if not folder.is_dir():
        pytest.skip(f"no real data sets at {folder}; name their folder by LAKEHOUSE_TEST_DATA")
    return folder
