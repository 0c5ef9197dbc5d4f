"""Sealed files: what is written can be read back by who wrote it, by nobody else, and is gone afterwards."""

from pathlib import Path

import pytest
from cryptography.exceptions import InvalidTag

from jobs.identity.sealed_files import SealedFiles

CANARY = b"canary-6f1c2a"


def on_disk(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())


def test_a_canary_is_nowhere_on_the_disk_and_comes_back(tmp_path: Path) -> None:
    contents = [CANARY * 1000, b"", CANARY]
    with SealedFiles(str(tmp_path / "new")) as files:
        for content in contents:
            files.write(content)
        assert len(on_disk(tmp_path)) > len(CANARY) * 1001, "it is on the disk"
        assert CANARY not in on_disk(tmp_path)
        assert files.folder is not None
        assert files.folder.stat().st_mode & 0o777 == 0o700
        assert list(files.read()) == contents
    # That the search would find it.
    (tmp_path / "plain").write_bytes(contents[0])
    assert CANARY in on_disk(tmp_path)


def test_nothing_is_left_after_an_error_and_nothing_made_without_need(tmp_path: Path) -> None:
    def interrupted(written: bool) -> None:
        with SealedFiles(str(tmp_path / "folder")) as files:
            if written:
                files.write(CANARY)
            raise RuntimeError("stopped")

    with pytest.raises(RuntimeError):
        interrupted(written=False)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(RuntimeError):
        interrupted(written=True)
    assert list((tmp_path / "folder").iterdir()) == []


def test_a_file_that_was_changed_is_not_believed(tmp_path: Path) -> None:
    with SealedFiles(str(tmp_path)) as files:
        files.write(CANARY)
        assert files.folder is not None
        (file,) = files.folder.iterdir()
        file.write_bytes(file.read_bytes()[:-1] + b"?")
        with pytest.raises(InvalidTag):
            list(files.read())
