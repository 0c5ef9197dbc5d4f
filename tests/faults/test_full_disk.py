"""A lake on a disk that fills up, again and again a little later: a clear end, nothing harmed, and the same tables once there is room."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from jobs.__main__ import main
from tests.faults.kills import INGEST
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

KIB_UNTIL_DONE = (64, 400, 700, 1000, 1400, 2000, 65536)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Gives a file system of its own, in memory, with so many KiB in all; asked again, it grows."""
    folder = tmp_path / "small"
    folder.mkdir()

    def sized(kib: int) -> Path:
        how = "remount," if folder.is_mount() else ""
        command = ["mount", "-t", "tmpfs", "-o", f"{how}size={kib}k", "tmpfs", str(folder)]
        mounted = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
        if mounted.returncode:
            give_up = pytest.fail if os.environ.get("LAKEHOUSE_TEST_MUST_MOUNT") else pytest.skip
            give_up(f"a small disk needs the right to mount one: {mounted.stderr.strip()}")
        return folder

    yield sized
    if folder.is_mount():
        # Lazily: a writer that met the full disk leaves its file open until the JVM collects it, and holds the disk till then.
        subprocess.run(["umount", "--lazy", str(folder)], timeout=20, check=True)


def test_a_full_disk_ends_a_run_in_words_and_harms_no_table(
    spark: SparkSession,
    shop: CornerShop,
    undisturbed: Path,
    small_disk: Callable[[int], Path],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    lake = small_disk(KIB_UNTIL_DONE[0]) / "lake"
    for name, value in shop.variables(lake).items():
        monkeypatch.setenv(name, value)
    seen = []
    for kib in KIB_UNTIL_DONE:
        small_disk(kib)
        code, said = main(shop.command(*INGEST)), capfd.readouterr().err
        seen.append((code, sorted(tables_of(lake))))
        if code:
            assert f"error: the disk of {lake}, where the lake lies, is full" in said, f"at {kib} KiB: {said[-3000:]}"
            assert "Traceback" not in said
        for table in tables_of(lake):
            opened(lake, table).to_pyarrow_table()
    codes = [code for code, _ in seen]
    assert codes[0] == codes[1] == 1
    assert codes[-1] == 0
    assert len({code == 1 and str(tables) for code, tables in seen}) > 2, f"it must fill up at several places: {seen}"
    written = tables_of(lake)
    assert {"bronze.tills", "vault.personal_values", "ops.deliveries", "silver.order_lines"} <= {*written}
    assert differences(lake, undisturbed, written) == {}
    assert transactions_committed_twice(lake) == deliveries_committed_twice(lake) == []
    assert unaccounted_versions(lake) == []
