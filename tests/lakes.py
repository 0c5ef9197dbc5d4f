"""Lakes for tests: settings whose paths all lie in one folder, small datasets of their own, and jobs run as they are."""

import datetime as dt
import importlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pyspark.sql import DataFrame, SparkSession

from jobs.lakehouse.job import NamedJob, Result, execute
from jobs.lakehouse.ledger import Ledger
from jobs.lakehouse.settings import Settings, load_settings
from jobs.lakehouse.tables import Lake, read_table
from tests.rows import CONF_DIR, contract_of

RUN_DATE = dt.date(2025, 12, 28)
# Published nowhere and used for nothing but tests.
KEY = "00112233445566778899aabbccddeeff" * 2

# One small, light session for the whole test run: with a few rows, planning and compiling is all the cost.
SPARK_CONF = {
    "spark.master": "local[2]",
    "spark.driver.memory": "2g",
    "spark.driver.extraJavaOptions": "-Duser.timezone=UTC -XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=512m -XX:+UseSerialGC",
    "spark.sql.shuffle.partitions": "1",
    "spark.databricks.delta.snapshotPartitions": "1",
    # Delta's own for tests: a commit is one rename, where the other starts a program for each link that there might be.
    "spark.delta.logStore.file.impl": "io.delta.storage.LocalLogStore",
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.ui.enabled": "false",
    # A vacuum lists a folder in as many tasks; Spark's own number is 10,000.
    "spark.sql.sources.parallelPartitionDiscovery.parallelism": "2",
}

# What tests of many rows set otherwise.
COMPILING = {
    "spark.sql.shuffle.partitions": "2",
    "spark.sql.codegen.wholeStage": "true",
    "spark.sql.codegen.factoryMode": "FALLBACK",
}


def event_log_in(folder: Path) -> dict[str, str]:
    """What makes a session write its events into one file of a folder, readable while it runs."""
    return {
        "spark.eventLog.enabled": "true",
        "spark.eventLog.dir": folder.as_uri(),
        "spark.eventLog.rolling.enabled": "false",
        "spark.eventLog.compress": "false",
    }


def settings_in(
    folder: Path, dataset: str = "world", conf_dir: Path | None = None, overrides: Mapping[str, Any] | None = None
) -> Settings:
    """Settings of the local environment with lake, data, truth and MLflow store below one folder.

    Args:
        folder: where everything that the jobs write goes.
        dataset: name of a folder in conf/datasets.
        conf_dir: another configuration folder than the checkout's.
        overrides: more settings by dotted key (`world.customers`).
    """
    paths = {f"paths.{name}": f"{folder}/{name}" for name in ("lake", "data", "truth")}
    tracking = {"tracking.uri": f"sqlite:///{folder}/mlflow.db", "tracking.artifacts": f"{folder}/mlflow"}
    own = {
        **paths,
        **tracking,
        "paths.jars": str(CONF_DIR.parent / "jars"),
        "spark.conf": {**SPARK_CONF, "spark.sql.warehouse.dir": f"{folder}/warehouse"},
    }
    return load_settings("local", dataset, str(conf_dir) if conf_dir else None, {**own, **(overrides or {})})


def conf_with(folder: Path, dataset: str, sources: Mapping[str, Mapping[str, Any]], **dataset_settings: Any) -> Path:
    """A copy of conf/ whose only dataset is the one given: a mapping of feeds as conf/datasets declares them.

    Its environment `local` has the session of the tests, so that a command line in the test's process leaves that as it is.
    """
    conf_dir = folder / "conf"
    if not conf_dir.exists():
        shutil.copytree(CONF_DIR, conf_dir, ignore=shutil.ignore_patterns("datasets"))
        local = {
            "privacy": {"key_file": None},
            "paths": {"jars": str(CONF_DIR.parent / "jars")},
            "spark": {"conf": SPARK_CONF},
        }
        (conf_dir / "environments/local.yaml").write_text(yaml.safe_dump(local), "utf-8")
    dataset_dir = conf_dir / "datasets" / dataset
    dataset_dir.mkdir(parents=True)
    (dataset_dir / "dataset.yaml").write_text(yaml.safe_dump({"title": dataset, **dataset_settings}), "utf-8")
    for name, source in sources.items():
        declared = {"source": name, "description": f"Rows of {name}.", **source}
        (dataset_dir / f"{name}.yaml").write_text(
            yaml.safe_dump(declared, allow_unicode=True, sort_keys=False), "utf-8"
        )
    return conf_dir


def named_job(name: str) -> NamedJob:
    """The job `<stage>.<file>`."""
    module = importlib.import_module(f"jobs.{name}")
    return NamedJob(name, module.__doc__ or "", module.JOB, module.build)


def run_job(
    spark: SparkSession, settings: Settings, name: str | NamedJob, run_date: dt.date = RUN_DATE, **how: bool
) -> Result:
    """Run one job in this session as the command line does, and give how it ended."""
    return execute(named_job(name) if isinstance(name, str) else name, spark, settings, run_date, **how)


def table(spark: SparkSession, settings: Settings, name: str, version: int | None = None) -> DataFrame:
    """The rows of a table as they lie on disk."""
    return read_table(spark, Lake(settings.path("lake")).path(name), version)


def ledger_of(spark: SparkSession, settings: Settings) -> Ledger:
    """The run ledger of the lake."""
    return Ledger(spark, Lake(settings.path("lake")), contract_of("ops.runs"))
