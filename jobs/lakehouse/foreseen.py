"""Faults from outside that only show while a job runs, told as what they are: a silent wire, a full disk, lost working files."""

from __future__ import annotations

import errno
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

from pyspark.errors import PySparkException

from jobs.lakehouse.errors import FullDiskError, LakehouseError, LostFilesError
from jobs.lakehouse.settings import Settings
from jobs.lakehouse.wires import as_wire_fault, told_of

FULL = re.compile(r"No space left on device|Disk quota exceeded")
QUOTED_VALUE = re.compile(r"'[^'\n]*'|\"[^\"\n]*\"|\S*@\S*|[+0-9][0-9 .()-]{4,}|[^\x00-\x7f…]+")
# A part of a checkpoint, as Spark and the file systems say that it is not there.
CHECKPOINT = r"[^\s'\":]*/_checkpoints[^\s'\":]*"
LOST = re.compile(
    rf"(?:FileNotFoundException|NoSuchFileException|does not exist)[^\n]*?({CHECKPOINT})|({CHECKPOINT}) does not exist"
)
# With less than this left a disk is called full; a write that failed may have freed what it took.
LEAST_FREE_BYTES = 64 * 2**20
# With less than this left whatever failed did so for want of room, in words of its own ("Mkdirs failed", a torn file).
NOTHING_FREE_BYTES = 2**20


def as_foreseen(error: Exception, settings: Settings) -> Exception:
    """The error in words where a wire, a disk or lost working files are its cause; any other as it is."""
    if isinstance(error, LakehouseError):
        return error
    said = "\n".join(told_of(error))
    place, free = fullest_place(settings)
    is_full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    if is_full or free < NOTHING_FREE_BYTES or FULL.search(said):
        full = (
            f"{place} is full, {free:,} bytes are left"
            if free < LEAST_FREE_BYTES
            else "a worker is full, not the driver's"
        )
        return FullDiskError(
            f"the disk of {full} ({type(error).__name__}). Make room (python -m jobs vacuum frees what no version needs), and give "
            "the same command again: what was committed stays, the rest is not to be seen"
        )
    if lost := LOST.search(said):
        return LostFilesError(
            f"{lost[1] or lost[2]} was taken away while the run was reading it; what is not committed is not to be seen. Keep"
            " clean-up jobs off the folders of a lake that begin with an underscore, and give the same command again"
        )
    return as_wire_fault(error, settings)


def told(error: Exception) -> str:
    """The first lines of an error, as the ledger keeps it.

    The suite's own errors name files, tables and settings. Those of others may quote a value, so that what stands in
    quotes, long numbers, mail addresses and letters of other scripts are left out; standard error has them whole.
    """
    text = error.getMessage() if isinstance(error, PySparkException) and error.getMessage() else str(error)
    shown = text if isinstance(error, LakehouseError) else QUOTED_VALUE.sub("…", text)
    return f"{type(error).__name__}: {shown}"[:2000]


def fullest_place(settings: Settings) -> tuple[str, int]:
    """Which of the places on the driver's disks has least room, in words, and how many bytes that is."""
    working = os.environ.get("SPARK_LOCAL_DIRS") or settings.spark.conf.get("spark.local.dir") or tempfile.gettempdir()
    lake, scratch = settings.path("lake"), working.split(",")[0]
    places = {lake: "where the lake lies", scratch: "where Spark's working files lie (spark.local.dir)"}
    free = {
        f"{path}, {what},": shutil.disk_usage(_existing(Path(path))).free
        for path, what in places.items()
        if ":" not in path
    }
    return min(free.items(), key=lambda entry: entry[1], default=("a worker", sys.maxsize))


def _existing(path: Path) -> Path:
    """The path, or the nearest folder above it that is there."""
    return next(folder for folder in (path, *path.parents) if folder.exists())
