"""Peak memory of this process and all that it started (the JVM, Python workers), by sampling."""

from __future__ import annotations

import contextlib
import threading
from types import TracebackType

import psutil

MIB = 1024 * 1024


class PeakMemory:
    """A sampler that runs while a block does; `mib` is the highest sum of proportional set sizes seen so far."""

    def __init__(self, seconds_between: float = 2.0) -> None:
        self.mib = 0
        self._seconds_between = seconds_between
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def reset(self) -> int:
        """The peak so far; the next one is counted from now."""
        peak, self.mib = max(self.mib, _family_mib()), 0
        return peak

    def _sample(self) -> None:
        while not self._ended.wait(self._seconds_between):
            self.mib = max(self.mib, _family_mib())


def _family_mib() -> int:
    own = psutil.Process()
    total = 0
    for process in [own, *own.children(recursive=True)]:
        with contextlib.suppress(psutil.Error):
            total += _own_bytes(process)
    return total // MIB


def _own_bytes(process: psutil.Process) -> int:
    """What a process holds; pages that it shares count once over all, as Python workers are forks of one daemon."""
    if process.name() == "java":
        # It shares next to nothing, and to walk its gigabytes page by page every two seconds is work.
        return int(process.memory_info().rss)
    memory = process.memory_full_info()
    return int(getattr(memory, "pss", memory.rss))
