"""Faults from outside, told in words: a full disk by its path, lost working files, and everything else as it was."""

import errno
import os
from pathlib import Path

import pytest

from jobs.lakehouse.errors import FullDiskError, LockedError, LostFilesError
from jobs.lakehouse.foreseen import as_foreseen
from tests.lakes import settings_in


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)),
        RuntimeError("Job aborted: java.io.IOException: No space left on device"),
    ],
    ids=["driver", "quota", "task"],
)
def test_a_full_disk_is_told_by_its_place(error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_in(tmp_path)
    monkeypatch.setattr("jobs.lakehouse.foreseen.LEAST_FREE_BYTES", 2**62)
    monkeypatch.setenv("SPARK_LOCAL_DIRS", "/")
    told = as_foreseen(error, settings)
    assert isinstance(told, FullDiskError)
    assert told.exit_code == 1
    assert " is full, " in str(told)
    assert "give the same command again" in str(told)


def test_a_disk_of_a_worker_is_not_taken_for_the_driver_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.lakehouse.foreseen.LEAST_FREE_BYTES", 0)
    told = as_foreseen(OSError(errno.ENOSPC, "full"), settings_in(tmp_path))
    assert str(told).startswith("the disk of a worker is full, not the driver's (OSError). ")


def test_what_fails_with_nothing_left_failed_for_want_of_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_in(tmp_path)
    monkeypatch.setattr("jobs.lakehouse.foreseen.NOTHING_FREE_BYTES", 2**62)
    told = as_foreseen(RuntimeError("Mkdirs failed to create a folder"), settings)
    assert isinstance(told, FullDiskError)
    assert "(RuntimeError)" in str(told)


@pytest.mark.parametrize(
    "said",
    [
        "java.io.FileNotFoundException: File file:/lake/_checkpoints/0a1b/rdd-12/part-00000 does not exist",
        "Input path does not exist: s3a://lake/_checkpoints/0a1b/rdd-12/part-00000",
        "org.apache.hadoop.mapred.InvalidInputException: /lake/_checkpoints/0a1b/rdd-12/part-00000 does not exist",
    ],
)
def test_lost_working_files_are_told_by_their_path(said: str, tmp_path: Path) -> None:
    told = as_foreseen(
        RuntimeError(f"Job aborted due to stage failure\n{said}\nDriver stacktrace"), settings_in(tmp_path)
    )
    assert isinstance(told, LostFilesError)
    assert told.exit_code == 1
    assert "/lake/_checkpoints/0a1b/rdd-12/part-00000 was taken away" in str(told)
    assert "give the same command again" in str(told)


def test_any_other_error_stays_as_it_is(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    for error in (
        LockedError("busy"),
        OSError(errno.EACCES, "denied"),
        ValueError("wrong"),
        RuntimeError("data/x.csv does not exist"),
    ):
        assert as_foreseen(error, settings) is error
