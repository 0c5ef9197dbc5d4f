"""The whole chain of the corner shop, submitted once to a standalone cluster of two workers."""

import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.lakes import event_log_in
from tests.system.corner_shop import CHECKOUT, DATASET, LAST_DATE, CornerShop
from tests.system.processes import LIGHT_JVM, cluster, submit

SMALL = {
    "spark.executor.memory": "768m",
    "spark.executor.cores": "1",
    "spark.driver.memory": "1g",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.ui.enabled": "false",
    "spark.sql.shuffle.partitions": "2",
    "spark.sql.adaptive.coalescePartitions.initialPartitionNum": "2",
    "spark.databricks.delta.snapshotPartitions": "2",
    # Three JVMs on two cores compile longer than they compute.
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.driver.extraJavaOptions": LIGHT_JVM,
    "spark.executor.extraJavaOptions": LIGHT_JVM,
}


@dataclass(frozen=True)
class Submitted:
    """A chain that was submitted to a cluster: its lake, exit code, log and Spark's event log, and how many executors worked at it."""

    lake: Path
    events: Path
    exit_code: int
    log: str
    executors: int


def built_wheel(shop: CornerShop) -> Path:
    """The wheel as `make wheel` builds it, with the shop's dataset beside those that ship."""
    folder = shop.folder / "dist"
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), "."]
    copy = shop.folder / "source"
    kept = shutil.ignore_patterns("__pycache__")
    for name in ("jobs", "conf"):
        shutil.copytree(CHECKOUT / name, copy / name, ignore=kept)
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        if (CHECKOUT / name).exists():
            shutil.copy(CHECKOUT / name, copy)
    subprocess.run(build, cwd=copy, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    with zipfile.ZipFile(built, "a") as archive:
        for file in (shop.conf_dir / "datasets" / DATASET).iterdir():
            archive.write(file, f"jobs/conf/datasets/{DATASET}/{file.name}")
    return built


def submitted_chain(shop: CornerShop, lake: Path, environment: Mapping[str, str]) -> Submitted:
    """The whole chain, submitted once to a cluster of two workers."""
    folder, wheel = shop.folder / "cluster", built_wheel(shop)
    with cluster(folder, environment) as address:
        options = ["--properties-file", "conf/spark-defaults.conf", "--master", address, "--py-files", str(wheel)]
        events = folder / "event-logs"
        events.mkdir()
        own = {"spark.sql.warehouse.dir": str(shop.folder / "warehouse"), **event_log_in(events)}
        for key, value in {**SMALL, **own}.items():
            options += ["--conf", f"{key}={value}"]
        chain = ["run", "--all", "--env", "cluster", "--dataset", DATASET, "--run-date", str(LAST_DATE)]
        log = folder / "driver.log"
        exit_code = submit([*options, "jobs/__main__.py", *chain], log, environment)
        executors = len(list(folder.glob("worker-*/app-*/*")))
    return Submitted(lake, events, exit_code, log.read_text("utf-8"), executors)
