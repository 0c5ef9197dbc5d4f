"""Runs `python -m jobs …` and kills its whole process group with SIGKILL at a named point: killed_run.py POINT AT NTH run …

The jobs know nothing of it: the functions that they call are wrapped here.
"""

import importlib
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

from jobs.__main__ import main


class Point(NamedTuple):
    """A function that a run passes, whether it is killed before or after it, and what of its arguments names the place."""

    module: str
    function: str
    comes_before: bool
    place: Callable[..., str]


POINTS = {
    "after_stage": Point("run", "stage", False, lambda rows, contract, path: contract.table),
    "before_commit": Point("run", "write_table", True, lambda rows, path, *_: ".".join(path.split("/")[-2:])),
    "between_tables": Point("run", "Run._commit_valid", False, lambda run, staged: run.job),
    "after_batch": Point("run", "Run.add", False, lambda run, table, rows, write: table),
    "before_ledger": Point("ledger", "Ledger.append", True, lambda ledger, record: record.job),
}


def kill_at(point: Point, place: str, nth: int) -> None:
    """Make the nth call at that place the last thing that this process and its children do."""
    owner: Any = importlib.import_module(f"jobs.lakehouse.{point.module}")
    *above, name = point.function.split(".")
    for step in above:
        owner = getattr(owner, step)
    wrapped = getattr(owner, name)
    calls, turn = 0, threading.Lock()

    def watched(*arguments: Any, **named: Any) -> Any:
        is_there = point.place(*arguments, **named) == place
        if is_there and point.comes_before:
            count()
        result = wrapped(*arguments, **named)
        if is_there and not point.comes_before:
            count()
        return result

    def count() -> None:
        nonlocal calls
        with turn:
            calls += 1
            if calls == nth:
                os.killpg(0, signal.SIGKILL)

    setattr(owner, name, watched)


if __name__ == "__main__":
    kill_at(POINTS[sys.argv[1]], sys.argv[2], int(sys.argv[3]))
    sys.exit(main(sys.argv[4:]))
