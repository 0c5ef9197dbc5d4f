"""Faults from outside that only show while a job runs, told as what they are: a wire that fell silent, a disk that is full."""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
from pathlib import Path

from jobs.lakehouse.errors import FullDiskError, LakehouseError
from jobs.lakehouse.settings import Settings
from jobs.lakehouse.wires import as_wire_fault, told_of

FULL = re.compile(r"No space left on device|Disk quota exceeded")
# With less than this left a disk is called full; a write that failed may have freed what it took.
LEAST_FREE_BYTES = 64 * 2**20


def as_foreseen(error: Exception, settings: Settings) -> Exception:
    """The error in words where a wire or a disk is its cause; any other as it is."""
    if isinstance(error, LakehouseError):
        return error
    is_full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    if is_full or FULL.search("\n".join(told_of(error))):
        return full_disk(settings)
    return as_wire_fault(error, settings)


def full_disk(settings: Settings) -> FullDiskError:
    """What to say of a full disk: which of the driver's it is, and what to do."""
    working = os.environ.get("SPARK_LOCAL_DIRS") or settings.spark.conf.get("spark.local.dir") or tempfile.gettempdir()
    places = {"the lake": settings.path("lake"), "Spark's working files (spark.local.dir)": working.split(",")[0]}
    free = {
        f"{path}, where {what} lie{'s' if what == 'the lake' else ''},": shutil.disk_usage(_existing(Path(path))).free
        for what, path in places.items()
        if ":" not in path
    }
    place, left = min(free.items(), key=lambda entry: entry[1], default=("a worker", LEAST_FREE_BYTES))
    which = (
        f"{place} is full, {left:,} bytes are left" if left < LEAST_FREE_BYTES else "a worker is full, not the driver's"
    )
    return FullDiskError(
        f"the disk of {which}. Make room (python -m jobs vacuum frees what no version needs), and give the same command again: "
        "what was committed stays, the rest is not to be seen"
    )


def _existing(path: Path) -> Path:
    """The path, or the nearest folder above it that is there."""
    return next(folder for folder in (path, *path.parents) if folder.exists())
