"""MLflow behind one door: where runs are logged, models registered, and the champion kept and found."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from jobs.lakehouse.errors import DataError
from jobs.lakehouse.locks import waiting_lock
from jobs.lakehouse.settings import TrackingSettings

os.environ.setdefault("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")

CHAMPION = "champion"


@dataclass(frozen=True)
class Training:
    """What a training hands over: the booster, what scoring needs to use it, and what people compare."""

    booster: Any
    example: Any
    parameters: Mapping[str, Any]
    metrics: Mapping[str, float]
    figures: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Champion:
    """The model that scores: its version, booster and what training noted for scoring."""

    model: str
    version: str
    booster: Any
    feature_names: tuple[str, ...]
    metadata: Mapping[str, Any]
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Tracking:
    """The MLflow store, for the models of one dataset."""

    settings: TrackingSettings
    dataset: str

    def registered_name(self, model: str) -> str:
        """The name under which a model is registered: `<dataset>.<model>`."""
        return f"{self.dataset}.{model}"

    def log(self, model: str, run_name: str, tags: Mapping[str, str], training: Training) -> str:
        """Log a training as a run, register its model, and tell the new version."""
        import pandas  # noqa: PLC0415 - only for their versions
        import xgboost  # noqa: PLC0415

        mlflow = _connected(self.settings)
        name = self.registered_name(model)
        _ensure_experiment(mlflow, self.settings, name)
        with mlflow.start_run(run_name=run_name, tags=dict(tags)):
            mlflow.log_params(dict(training.parameters))
            mlflow.log_metrics(dict(training.metrics))
            for file, figure in training.figures.items():
                mlflow.log_figure(figure, file)
            prediction = training.booster.inplace_predict(training.example)
            logged = mlflow.xgboost.log_model(
                training.booster,
                name=model,
                signature=mlflow.models.infer_signature(training.example, prediction),
                model_format="ubj",
                # Named, because inferring them loads the model in a process of its own.
                pip_requirements=[f"xgboost-cpu=={xgboost.__version__}", f"pandas=={pandas.__version__}"],
                metadata=dict(training.metadata),
            )
        client = mlflow.MlflowClient()
        if not client.search_registered_models(f"name = '{name}'"):
            client.create_registered_model(name)
        created = client.create_model_version(name, logged.model_uri, logged.run_id, model_id=logged.model_id)
        return str(created.version)

    def promote(self, model: str, version: str) -> None:
        """Make a version the champion."""
        _connected(self.settings).MlflowClient().set_registered_model_alias(
            self.registered_name(model), CHAMPION, version
        )

    def champion_version(self, model: str) -> str | None:
        """The champion's version; None while there is none."""
        mlflow = _connected(self.settings)
        try:
            found = mlflow.MlflowClient().get_model_version_by_alias(self.registered_name(model), CHAMPION)
        except mlflow.exceptions.MlflowException:
            return None
        return str(found.version)

    def champion(self, model: str) -> Champion:
        """The champion, loaded from the registry.

        Raises:
            DataError: no model was promoted yet.
        """
        version = self.champion_version(model)
        if version is None:
            raise DataError(f"there is no champion of {self.registered_name(model)}; run train_{model} first")
        mlflow = _connected(self.settings)
        uri = f"models:/{self.registered_name(model)}/{version}"
        info = mlflow.models.get_model_info(uri)
        return Champion(
            model=self.registered_name(model),
            version=version,
            booster=mlflow.xgboost.load_model(uri),
            feature_names=tuple(info.signature.inputs.input_names()),
            metadata=info.metadata or {},
            metrics=mlflow.get_run(info.run_id).data.metrics,
        )

    def cited_versions(self) -> dict[str, set[int]]:
        """The table versions that registered models were trained on, by table; VACUUM spares them."""
        mlflow = _connected(self.settings)
        cited: dict[str, set[int]] = {}
        for registered in mlflow.MlflowClient().search_registered_models(f"name LIKE '{self.dataset}.%'"):
            for version in registered.aliases.values():
                run = mlflow.get_run(mlflow.MlflowClient().get_model_version(registered.name, version).run_id)
                for tag, value in run.data.tags.items():
                    if tag.startswith("input.") and value.isdigit():
                        cited.setdefault(tag.removeprefix("input."), set()).add(int(value))
        return cited


def _connected(settings: TrackingSettings) -> Any:
    """MLflow, imported when first needed, pointed at the store; what it is pointed at holds for the whole process."""
    mlflow = _with_store(settings)
    if mlflow.get_tracking_uri() != settings.uri:
        mlflow.set_tracking_uri(settings.uri)
    return mlflow


@cache
def _with_store(settings: TrackingSettings) -> Any:
    """MLflow, its store made where there is none; a fresh SQLite store is made by one process at a time."""
    import mlflow  # noqa: PLC0415 - takes three seconds, and most jobs don't track
    import mlflow.xgboost  # noqa: PLC0415

    logging.getLogger("mlflow").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    if settings.uri.startswith("sqlite:///"):
        store = Path(settings.uri.removeprefix("sqlite:///"))
        with waiting_lock(store.parent, store.name):
            mlflow.set_tracking_uri(settings.uri)
            mlflow.MlflowClient().search_experiments(max_results=1)
    else:
        mlflow.set_tracking_uri(settings.uri)
    return mlflow


def _ensure_experiment(mlflow: Any, settings: TrackingSettings, name: str) -> None:
    if mlflow.get_experiment_by_name(name) is None:
        location = settings.artifacts if "://" in settings.artifacts else Path(settings.artifacts).resolve().as_uri()
        mlflow.create_experiment(name, artifact_location=f"{location}/{name}")
    mlflow.set_experiment(name)
