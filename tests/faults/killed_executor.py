"""Finds components on a cluster, kills one executor with SIGKILL in the middle, and prints what came out: MASTER FOLDER."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
from pyspark.sql import SparkSession

from jobs.identity.components import with_components
from jobs.identity.union_find import Ids, labelled
from jobs.lakehouse.identity_settings import IdentitySettings
from tests.system.submitted_chain import SMALL

NODES, PAIRS = 300_000, 270_000
EXECUTOR = "org.apache.spark.executor.CoarseGrainedExecutorBackend"


def graph() -> tuple[Ids, Ids]:
    """The two ends of random edges: one large component and thousands of small ones."""
    draw = np.random.default_rng(11)
    ids = draw.integers(-(2**63), 2**63 - 1, NODES, dtype=np.int64)
    return ids[draw.integers(0, NODES, PAIRS)], ids[draw.integers(0, NODES, PAIRS)]


def executors(spark: SparkSession) -> list[int]:
    """The process ids of this application's executors: they alone call this driver's port."""
    listed = subprocess.run(["ps", "-eo", "pid=,args="], capture_output=True, text=True, check=True).stdout
    driver = f"CoarseGrainedScheduler@127.0.0.1:{spark.conf.get('spark.driver.port')} "
    return sorted(int(line.split()[0]) for line in listed.splitlines() if EXECUTOR in line and driver in line)


def digest(ids: Ids, labels: Ids) -> str:
    """What two results share only if each id has the same label."""
    order = np.argsort(ids)
    return hashlib.sha256(ids[order].tobytes() + labels[order].tobytes()).hexdigest()


def main(master: str, folder: Path) -> None:
    """Find the components with an executor less, and say what was done."""
    src, dst = graph()
    builder = SparkSession.builder.appName("killed executor").master(master)
    for name, value in SMALL.items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    spark.sparkContext.setCheckpointDir(str(folder / "checkpoints"))
    edges = spark.createDataFrame(pd.DataFrame({"src": src, "dst": dst})).repartition(4)
    edges.write.parquet(str(folder / "edges"))
    found: list[tuple[int, int]] = []

    def work() -> None:
        components = with_components(
            spark.read.parquet(str(folder / "edges")), IdentitySettings(edges_per_process=20_000)
        )
        found.extend((row["id"], row["component"]) for row in components.collect())

    worker = threading.Thread(target=work)
    worker.start()
    while worker.is_alive() and not [*folder.glob("checkpoints/*/rdd-*")]:
        time.sleep(0.05)
    killed = executors(spark)[:1]
    was_running = worker.is_alive()
    for process in killed:
        os.kill(process, signal.SIGKILL)
    worker.join()
    ids, labels = (np.array(column, np.int64) for column in zip(*found, strict=True))
    told = {
        "killed": killed, "was_running": was_running, "components": len(set(labels.tolist())),
        "found": digest(ids, labels), "expected": digest(*labelled(src, dst)),
    }  # fmt: skip
    spark.stop()
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
