"""Locks: one writer per table, and a lock dies with its process."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from jobs.lakehouse.errors import LockedError
from jobs.lakehouse.locks import locked, waiting_lock

HOLDER = """
import sys
from pathlib import Path
from jobs.lakehouse.locks import locked

with locked(Path(sys.argv[1]), sys.argv[2:]):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def held_by_another_process(folder: Path, *names: str) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the locks until the block ends."""
    command = [sys.executable, "-c", HOLDER, str(folder), *names]
    checkout = str(Path(__file__).parents[2])
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=checkout) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_table_that_another_process_writes_is_locked_and_its_holder_named(tmp_path: Path) -> None:
    with held_by_another_process(tmp_path, "gold.things") as holder:
        told = f"gold.things is being written by process {holder.pid}"
        with pytest.raises(LockedError, match=told) as caught, locked(tmp_path, ["gold.other", "gold.things"]):
            pass
        assert caught.value.exit_code == 4
        with locked(tmp_path, ["gold.other"]):
            pass


def test_a_lock_dies_with_its_process(tmp_path: Path) -> None:
    with held_by_another_process(tmp_path, "gold.things") as holder:
        holder.kill()
        holder.wait()
        with locked(tmp_path, ["gold.things"]):
            assert (tmp_path / "gold.things.lock").read_text() == str(os.getpid())


def test_a_waiting_lock_gets_its_turn(tmp_path: Path) -> None:
    with held_by_another_process(tmp_path, "ops.runs") as holder:
        waiter = subprocess.Popen(
            [
                sys.executable,
                "-c",
                "import sys; from pathlib import Path; from jobs.lakehouse.locks import waiting_lock\n"
                "with waiting_lock(Path(sys.argv[1]), 'ops.runs'): print('turn')",
                str(tmp_path),
            ],
            stdout=subprocess.PIPE,
            text=True,
            cwd=str(Path(__file__).parents[2]),
        )
        with pytest.raises(subprocess.TimeoutExpired):
            waiter.wait(0.7)
        holder.kill()
        assert waiter.communicate(timeout=20)[0] == "turn\n"


def test_locks_of_one_process_are_given_back(tmp_path: Path) -> None:
    for _ in range(2):
        with locked(tmp_path, ["gold.b", "gold.a", "gold.a"]), waiting_lock(tmp_path, "ops.runs"):
            pass
