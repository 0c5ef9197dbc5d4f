"""The scan: looks for personal values in every file below some folders, decoded, and says what it could not decode."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from jobs.lakehouse.decoding import pieces_of
from jobs.lakehouse.needles import Needles, found_in
from jobs.lakehouse.personal_kinds import PersonalKind


@dataclass(frozen=True, order=True)
class Finding:
    """A personal value that stands in clear: the file, the place inside, its kind and the number of the needle; never the value."""

    file: str
    place: str
    kind: PersonalKind
    number: int


@dataclass(frozen=True, order=True)
class Undecoded:
    """A file, or a place inside, of which nobody can say what it holds."""

    file: str
    place: str
    reason: str


@dataclass(frozen=True)
class Report:
    """What a scan found; only one without findings and undecoded files proves that there is nothing."""

    findings: tuple[Finding, ...]
    undecoded: tuple[Undecoded, ...]
    files: int
    size_bytes: int

    @property
    def is_clean(self) -> bool:
        """Whether every file could be decoded, and no needle was found."""
        return not self.findings and not self.undecoded


def scan(folders: Iterable[Path], needles: Needles) -> Report:
    """Look for the needles in every file below the folders, hidden ones too, and in the files' own paths.

    Args:
        folders: folders or single files on a local disk; one that is not there holds nothing.
        needles: the values to look for.
    """
    findings: set[Finding] = set()
    undecoded: set[Undecoded] = set()
    count = size = 0
    for folder in folders:
        for file in _files(folder):
            name = str(file)
            try:
                data = file.read_bytes()
            except OSError as error:
                undecoded.add(Undecoded(name, "", f"can't be read ({type(error).__name__})"))
                continue
            count, size = count + 1, size + len(data)
            told = str(file.relative_to(folder)) if file != folder else file.name
            findings.update(_findings(name, "path", told, needles))
            for piece in pieces_of(file.name, data):
                if piece.trouble:
                    undecoded.add(Undecoded(name, piece.place, piece.trouble))
                else:
                    findings.update(_findings(name, piece.place, piece.text, needles))
    return Report(tuple(sorted(findings)), tuple(sorted(undecoded)), count, size)


def _files(folder: Path) -> list[Path]:
    return [folder] if folder.is_file() else sorted(file for file in folder.rglob("*") if file.is_file())


def _findings(file: str, place: str, text: str, needles: Needles) -> Iterator[Finding]:
    for number in found_in(needles, text):
        yield Finding(file, place, needles.kinds[number], number)
