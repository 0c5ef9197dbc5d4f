"""Settings in layers: conf/base.yaml < the dataset < the environment < LAKEHOUSE__SECTION__KEY < the command line."""

from __future__ import annotations

import atexit
import datetime as dt
import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from jobs.lakehouse.cleaning_settings import CleaningSettings
from jobs.lakehouse.datasets import dataset_settings, read_yaml
from jobs.lakehouse.errors import ConfigurationError
from jobs.lakehouse.identity_settings import IdentitySettings
from jobs.lakehouse.linking_settings import LinkingSettings
from jobs.lakehouse.part import Part
from jobs.lakehouse.storage_settings import StorageSettings
from jobs.lakehouse.wire_settings import DatabaseSettings, KafkaSettings

Layers = dict[str, Any]
WIRES = ("kafka", "database")
LINKING_RULES = "it stands in conf/linking/accounts.yaml, or in linking.rules of the dataset"


class PathSettings(Part):
    """Where things lie; `{dataset}` stands for the dataset's name."""

    lake: str = "lake/{dataset}"
    data: str = "data/{dataset}"
    truth: str | None = Field(
        None, description="the truth of the simulated world; by default beside its raw files, `<data>-truth`"
    )
    jars: str = "jars"


class SparkSettings(Part):
    """The session, where spark-submit has not already set it."""

    master: str = "local[*]"
    conf: dict[str, str] = Field(default_factory=dict)
    jobs_at_once: int = Field(
        3, ge=1, description="jobs of a chain that run side by side where neither reads from the other"
    )


class CalendarSettings(Part):
    """The business's time zone and currency."""

    time_zone: str = "UTC"
    currency_code: str = "EUR"
    phone_region: str = "CN"


class PrivacySettings(Part):
    """Where the secret key is read from; its value never stands in a setting."""

    key_file: str | None = None


class TrackingSettings(Part):
    """The MLflow store."""

    uri: str = "sqlite:///mlflow/mlflow.db"
    artifacts: str = "mlflow/artifacts"


class IngestSettings(Part):
    """How deliveries are taken in."""

    max_quarantined_files_share: float = Field(0.5, ge=0, le=1)


class FeatureSettings(Part):
    """The windows of features, and the grid of panel dates that churn is learned from."""

    windows_days: tuple[int, ...] = (7, 30, 90, 365)
    panel_step_days: int = Field(28, ge=1)
    panel_dates: int = Field(8, ge=1)
    exclude_flagged: bool = Field(True, description="whether bots, repeated clicks, brushing and copies are left out")


class ChurnSettings(Part):
    """Churned: no order in `window_days` days that begin `gap_days` days after the as-of date."""

    population_days: int = 365
    gap_days: int = 7
    window_days: int = 60
    close_after_days: int = 3
    rounds: int = 600
    early_stopping_rounds: int = 40
    max_depth: int = 3
    learning_rate: float = 0.03
    min_child_weight: float = 20.0
    reg_lambda: float = 10.0
    min_training_rows: int = 200
    bootstrap_replicates: int = 200
    seed: int = 7

    @property
    def label_days(self) -> int:
        """Days from an as-of date until its label is closed."""
        return self.gap_days + self.window_days + self.close_after_days


class DemandSettings(Part):
    """Weekly demand, direct to `horizon_weeks`; a week is closed `close_after_days` days after it ends."""

    horizon_weeks: int = 13
    close_after_days: int = 3
    origins: int = Field(72, ge=1, description="newest origin weeks that features are made for")
    test_origins: int = Field(4, ge=1)
    calibration_weeks: int = Field(8, ge=1)
    min_history_weeks: int = 8
    min_units: int = Field(10, description="pieces in 26 weeks below which a series is not forecast")
    search_series: str = Field(
        "",
        description="outside series of how much is searched for a {category}, as silver.trends calls it; empty: none",
    )
    competitor_price_series: str = Field("", description="the same of a competitor's prices")
    rounds: int = 500
    early_stopping_rounds: int = 25
    max_depth: int = 5
    learning_rate: float = 0.06
    interval: float = Field(0.8, gt=0, lt=1)
    min_training_rows: int = 500
    bootstrap_replicates: int = 200
    seed: int = 7


class WorldSettings(Part):
    """The simulated retail world: its seed, size and dirt."""

    seed: int = 20251228
    customers: int = Field(4000, ge=1, le=100_000_000)
    start_date: dt.date = dt.date(2024, 1, 1)
    weeks: int = Field(104, ge=1)
    truth_weeks_ahead: int = 26
    products: int = 48
    stores: int = 5
    time_zone: str = "Asia/Shanghai"
    currency_code: str = "CNY"
    orders_per_year: float = 8.0
    visits_per_year: float = 24.0
    lifetime_days: float = 900.0
    duplicate_share: float = 0.005
    late_share: float = 0.02
    bad_date_share: float = 0.001
    bad_price_share: float = 0.0005
    bad_event_share: float = Field(0.001, ge=0, le=1, description="of events: a time, type or message id that is none")
    near_duplicate_share: float = 0.002
    outlier_share: float = 0.0002
    repeated_click_share: float = 0.01
    missing_value_share: float = Field(0.03, ge=0, le=1, description="of cities of accounts and of hours counted")
    persons_per_ring: int = Field(1000, ge=1, description="honest persons to each brushing ring of some ten accounts")
    persons_per_bot: int = Field(500, ge=2, description="honest persons to each bot")
    dormitory_share: float = Field(0.005, ge=0, le=1, description="of persons, those with one address for 32 of them")
    eager_share: float = Field(0.003, ge=0, le=1, description="of persons, those who open dozens of products in tabs")

    @property
    def last_day(self) -> dt.date:
        """The last day that the world's raw files tell of."""
        return self.start_date + dt.timedelta(days=7 * self.weeks - 1)


class Settings(BaseSettings):
    """All settings of a run; a job is handed only the sections that it declares."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_prefix="LAKEHOUSE__", env_nested_delimiter="__")

    environment: str = "local"
    dataset: str = "world"
    title: str = ""
    simulated: bool = False
    run_date: dt.date | None = None
    conf_dir: str = "conf"
    paths: PathSettings = PathSettings()
    spark: SparkSettings = SparkSettings()
    calendar: CalendarSettings = CalendarSettings()
    privacy: PrivacySettings = PrivacySettings()
    tracking: TrackingSettings = TrackingSettings()
    kafka: KafkaSettings = KafkaSettings()
    database: DatabaseSettings = DatabaseSettings()
    ingest: IngestSettings = IngestSettings()
    storage: StorageSettings = StorageSettings()
    cleaning: CleaningSettings = CleaningSettings()
    identity: IdentitySettings = IdentitySettings()
    linking: LinkingSettings = LinkingSettings()
    features: FeatureSettings = FeatureSettings()
    churn: ChurnSettings = ChurnSettings()
    demand: DemandSettings = DemandSettings()
    world: WorldSettings = WorldSettings()

    def path(self, name: Literal["lake", "data", "truth", "jars"]) -> str:
        """One of the paths, with the dataset's name filled in; one on the local disk is made absolute."""
        told = getattr(self.paths, name) or f"{self.paths.data.rstrip('/')}-truth"
        named = str(told).format(dataset=self.dataset)
        return named if ":" in named.split("/")[0] else str(Path(named).resolve())

    @property
    def digest(self) -> str:
        """A short hash of all settings, kept in the ledger."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]


def load_settings(
    environment: str, dataset: str, conf_dir: str | None = None, overrides: Mapping[str, Any] | None = None
) -> Settings:
    """The settings of one dataset in one environment.

    Args:
        environment: name of a file in conf/environments, without `.yaml`.
        dataset: name of a folder in conf/datasets.
        conf_dir: folder with base.yaml; by default the conf/ that ships with the package.
        overrides: what the command line says, by dotted key (`paths.lake`); None values are left out.

    Raises:
        ConfigurationError: a file is missing, a key is unknown or a value is wrong.
    """
    folder = find_conf_dir(conf_dir)
    linking = folder / "linking" / "accounts.yaml"
    layers: Layers = {"linking": {"rules": read_yaml(linking)}} if linking.is_file() else {}
    for content in (
        read_yaml(folder / "base.yaml"),
        *dataset_settings(folder, dataset),
        read_yaml(folder / "environments" / f"{environment}.yaml"),
    ):
        _merge(layers, content)
    _refuse_unknown_variables()
    fixed: Layers = {"environment": environment, "dataset": dataset, "conf_dir": str(folder)}
    for key, value in (overrides or {}).items():
        if value is not None:
            _merge(fixed, _nested(key, value))
    try:
        return _layered(layers)(**fixed)
    except ValidationError as error:
        raise ConfigurationError(_explain(error, environment, dataset)) from error


def _layered(files: Layers) -> type[Settings]:
    """The settings whose lowest layer is what the files say; above it the variables, above them the command line."""

    class LayeredSettings(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return init_settings, env_settings, InitSettingsSource(settings_cls, files)

    return LayeredSettings


def find_conf_dir(conf_dir: str | None) -> Path:
    """The configuration folder: the one named, else conf/ of a checkout, else the one that ships inside the package.

    Raises:
        ConfigurationError: there is none.
    """
    checkout = Path(__file__).resolve().parents[2] / "conf"
    folder = Path(conf_dir) if conf_dir else checkout if (checkout / "base.yaml").is_file() else _shipped_conf()
    if not (folder / "base.yaml").is_file():
        raise ConfigurationError(f"no base.yaml in {folder}; name the configuration folder with --conf-dir")
    return folder


@cache
def _shipped_conf() -> Path:
    """The conf/ inside the installed package; from a wheel on the Python path it is unpacked for the life of the process."""
    shipped = files("jobs") / "conf"
    if isinstance(shipped, Path):
        return shipped
    folder = Path(tempfile.mkdtemp(prefix="customer-lakehouse-conf-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    _unpack(shipped, folder)
    return folder


def _unpack(packed: Traversable, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for entry in packed.iterdir() if packed.is_dir() else ():
        if entry.is_dir():
            _unpack(entry, folder / entry.name)
        else:
            (folder / entry.name).write_bytes(entry.read_bytes())


def _merge(below: Layers, above: Mapping[str, Any]) -> Layers:
    for key, value in above.items():
        if isinstance(value, Mapping) and isinstance(below.get(key), dict):
            _merge(below[key], value)
        else:
            below[key] = dict(value) if isinstance(value, Mapping) else value
    return below


def _nested(dotted_key: str, value: Any) -> Layers:
    for name in reversed(dotted_key.split(".")):
        value = {name: value}
    nested: Layers = value
    return nested


def _refuse_unknown_variables() -> None:
    for variable in os.environ:
        if variable.startswith("LAKEHOUSE__"):
            section = variable.removeprefix("LAKEHOUSE__").split("__")[0].lower()
            if section not in Settings.model_fields:
                raise ConfigurationError(
                    f"environment variable {variable}: there is no section {section!r}; "
                    f"known are {', '.join(Settings.model_fields)}"
                )


def _explain(error: ValidationError, environment: str, dataset: str) -> str:
    faults = "; ".join(
        f"{'.'.join(map(str, fault['loc']))}: "
        + ("unknown setting" if fault["type"] == "extra_forbidden" else fault["msg"])
        # What was typed there by mistake may be a password.
        + ("" if fault["type"] == "extra_forbidden" or fault["loc"][0] in WIRES else f" (got {fault['input']!r})")
        + (f"; {LINKING_RULES}" if fault["loc"][:2] == ("linking", "rules") else "")
        for fault in error.errors()
    )
    return f"settings of dataset {dataset}, environment {environment}: {faults}"
