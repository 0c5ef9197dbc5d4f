"""One writer per table: an operating-system lock on a local disk, which dies with its process."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from jobs.lakehouse.errors import LockedError


@contextmanager
def locked(folder: Path, names: list[str]) -> Iterator[None]:
    """Hold one lock per name while the block runs; names are taken in order, so that two jobs never wait for each other.

    Raises:
        LockedError: another process holds one of them.
    """
    with ExitStack() as held:
        for name in sorted(set(names)):
            held.enter_context(_lock(folder / f"{name}.lock", name, wait=False))
        yield


@contextmanager
def waiting_lock(folder: Path, name: str) -> Iterator[None]:
    """Hold a lock for a short write that others may be doing too; waits for its turn."""
    with _lock(folder / f"{name}.lock", name, wait=True):
        yield


@contextmanager
def _lock(file: Path, name: str, wait: bool) -> Iterator[None]:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a+") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            handle.seek(0)
            holder = handle.read().strip() or "unknown"
            raise LockedError(
                f"{name} is being written by process {holder}; wait for it to end, then run again"
            ) from error
        handle.truncate(0)
        handle.write(str(os.getpid()))
        handle.flush()
        yield
