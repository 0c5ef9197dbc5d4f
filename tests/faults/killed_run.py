"""Runs `python -m jobs …` and kills its whole process group with SIGKILL at a named point: killed_run.py POINT AT NTH run …

The jobs know nothing of it: the functions that they call are wrapped here.
"""

import importlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

from jobs.__main__ import main


class Point(NamedTuple):
    """A function that a run passes, whether it is killed before, within or after it, and what of its arguments names the place."""

    module: str
    function: str
    moment: Literal["before", "within", "after"]
    place: Callable[..., str]


def _table_at(rows: Any, path: str, *_: Any) -> str:
    return ".".join(path.split("/")[-2:])


POINTS = {
    "after_stage": Point("run", "stage", "after", lambda rows, contract, path: contract.table),
    "before_commit": Point("run", "write_table", "before", _table_at),
    # Files of the table are being written, and its log tells of none.
    "half_written": Point("run", "write_table", "within", _table_at),
    "between_tables": Point("run", "Run._commit_valid", "after", lambda run, staged: run.job),
    "after_batch": Point("run", "Run.add", "after", lambda run, table, rows, write: table),
    "before_ledger": Point("ledger", "Ledger.append", "before", lambda ledger, record: record.job),
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
        if is_there and point.moment == "before":
            count(kill)
        if is_there and point.moment == "within":
            count(threading.Thread(target=kill_when_writing, args=(Path(arguments[1]),), daemon=True).start)
        result = wrapped(*arguments, **named)
        if is_there and point.moment == "after":
            count(kill)
        return result

    def count(act: Callable[[], None]) -> None:
        nonlocal calls
        with turn:
            calls += 1
            if calls == nth:
                act()

    setattr(owner, name, watched)


def kill() -> None:
    os.killpg(0, signal.SIGKILL)


def kill_when_writing(table: Path) -> None:
    """Kill as soon as the table's folder has a file of rows that it did not have."""
    before = rows_files(table)
    while rows_files(table) <= before:
        time.sleep(0.001)
    kill()


def rows_files(table: Path) -> set[Path]:
    return {file for file in table.rglob("*.parquet") if "_delta_log" not in file.parts}


if __name__ == "__main__":
    kill_at(POINTS[sys.argv[1]], sys.argv[2], int(sys.argv[3]))
    sys.exit(main(sys.argv[4:]))
