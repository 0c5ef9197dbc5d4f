"""Two loads of one table at once: the first goes on, the second says who is in its way and ends with code 4; no row comes twice."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from jobs.__main__ import main
from tests.beside import environment_of
from tests.system.corner_shop import (
    CornerShop,
    deliveries_committed_twice,
    differences,
    opened,
    tables_of,
    transactions_committed_twice,
    unaccounted_versions,
)

pytestmark = pytest.mark.long

SECONDS_TO_BEGIN = 120


def test_the_second_load_names_the_first_and_gives_way(
    spark: SparkSession,
    shop: CornerShop,
    undisturbed: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    lake = tmp_path / "lake"
    lock, log = lake / "_locks/bronze.tills.lock", tmp_path / "first.log"
    command, environment = shop.command("load_files"), environment_of(shop, lake)
    for name, value in shop.variables(lake).items():
        monkeypatch.setenv(name, value)
    with log.open("w") as output:
        first = subprocess.Popen(
            [sys.executable, "-m", "jobs", *command], env=environment, cwd=shop.folder, stdout=output, stderr=output
        )
        began = time.monotonic()
        while not (lock.exists() and lock.read_text() == str(first.pid)):
            assert first.poll() is None, log.read_text("utf-8")[-3000:]
            assert time.monotonic() - began < SECONDS_TO_BEGIN, "the first load did not begin"
            time.sleep(0.02)
        second, said = main(command), capfd.readouterr().err
        assert first.wait(timeout=SECONDS_TO_BEGIN) == 0, log.read_text("utf-8")[-3000:]
    assert second == 4
    assert f"error: bronze.tills is being written by process {first.pid}; wait for it to end, then run again" in said
    assert main(command) == 0
    written = tables_of(lake)
    assert {"bronze.tills", "vault.personal_values", "ops.deliveries"} <= {*written}
    assert differences(lake, undisturbed, written) == {}
    assert transactions_committed_twice(lake) == deliveries_committed_twice(lake) == []
    assert unaccounted_versions(lake) == []
    outcomes = opened(lake, "ops.runs").to_pyarrow_table(columns=["outcome"])["outcome"].to_pylist()
    assert outcomes == ["succeeded"], "who gave way has done nothing"
