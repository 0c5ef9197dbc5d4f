"""Settings of fuzzy links: what each column of a record means, which pairs are compared, and from which probability on they count."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from jobs.lakehouse.errors import ConfigurationError
from jobs.lakehouse.part import Part

ColumnKind = Literal["name", "text", "date", "code", "postcode", "exact", "day"]
COLUMN = re.compile(r"[a-z_][a-z0-9_]*")
# The kinds whose values have a sound, and are looked for in each other's place.
WORDS = ("name", "text")
KEY = re.compile(r"(?P<column>[a-z_][a-z0-9_]*)(?P<sound>~)?(?::(?P<length>[1-9]))?")


class LinkedColumn(Part):
    """A column of the records, and how its values are compared.

    Args:
        kind: name (of a person), text (a street, a suburb: words), date (a day of birth), code (digits and letters that someone
            gave out), postcode, exact (a word out of a list), day (of an event: only nearness counts).
        levels: in place of those of the kind, SQL conditions over the two values `{l}` and `{r}`, from near to far.
    """

    kind: ColumnKind
    levels: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _compares_two_values(self) -> LinkedColumn:
        for level in self.levels:
            if "{l}" not in level or "{r}" not in level:
                raise ValueError(f"levels: {level!r} says nothing of the two values; write them {{l}} and {{r}}")
        return self


class LinkingModel(Part):
    """How the records of one set, or of two sets, are linked.

    A key of `blocking` is a list of columns that must agree; `surname:3` are its first three letters, `surname~` is
    its sound. Without any, keys are chosen by how many pairs they give.

    Args:
        columns: by name.
        swapped: pairs of columns whose values people confuse.
        sets: one, where a record may have any number of others of the same person; two, of which each record has at most one.
        blocking: pairs that agree by one of these keys are compared.
        match_share: share of all pairs that match; estimated where it is not told.
        accept_probability: from here on two records are linked.
        review_probability: from here on somebody has a look.
    """

    columns: dict[str, LinkedColumn] = Field(min_length=1)
    swapped: tuple[tuple[str, str], ...] = ()
    sets: Literal["one", "two"] = "one"
    blocking: tuple[tuple[str, ...], ...] = ()
    match_share: float | None = Field(None, gt=0, lt=1)
    accept_probability: float = Field(0.9, gt=0, lt=1)
    review_probability: float = Field(0.5, gt=0, lt=1)

    @model_validator(mode="after")
    def _names_known_columns(self) -> LinkingModel:
        for key in self.blocking:
            for part in key:
                told = KEY.fullmatch(part)
                if told is None or told["column"] not in self.columns:
                    raise ValueError(
                        f"a key names {part!r}: write a column, its first letters (name:3) or its sound (name~)"
                    )
                if told["sound"] and self.columns[told["column"]].kind not in WORDS:
                    raise ValueError(f"a key names {part!r}: only columns of kind name or text have a sound")
        if odd := [name for name in self.columns if not COLUMN.fullmatch(name)]:
            raise ValueError(f"columns.{odd[0]}: a column is named by small letters, digits and _")
        self._swaps_words()
        if self.review_probability > self.accept_probability:
            raise ValueError("review_probability lies above accept_probability")
        return self

    def _swaps_words(self) -> None:
        for one, other in self.swapped:
            if unknown := sorted({one, other} - set(self.columns)):
                raise ValueError(f"swapped names unknown columns: {', '.join(unknown)}")
            if one == other:
                raise ValueError(f"swapped names {one} twice; it takes two columns whose values people confuse")
            if strange := [name for name in (one, other) if self.columns[name].kind not in WORDS]:
                raise ValueError(
                    f"swapped names {strange[0]}: only columns of kind name or text are looked for in each other's place"
                )


def read_linking_model(file: Path) -> LinkingModel:
    """The model that a file of conf/linking declares.

    Raises:
        ConfigurationError: it can't be read, or has a key or value that is not known.
    """
    try:
        return LinkingModel.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError, ValidationError) as error:
        raise ConfigurationError(f"{file}: {error}") from error


class LinkingSettings(Part):
    """How the accounts of a dataset are linked, and how much of the machine that may take.

    Args:
        rules: what conf/linking/accounts.yaml says, with the dataset's own `linking.rules` above it.
        most_records: accounts up to which they are linked in one process, which holds what they tell in memory.
        memory_mib: memory of that process for the work on pairs; records and results take some more.
        threads: the result is the same with any number.
        spill_folder: where pairs that don't fit lie meanwhile, as numbers without values and encrypted; by default the system's folder
            for temporary files.
    """

    rules: LinkingModel | None = None
    most_records: int = Field(500_000, ge=1)
    memory_mib: int = Field(2048, ge=64)
    threads: int = Field(2, ge=1)
    spill_folder: str | None = None
