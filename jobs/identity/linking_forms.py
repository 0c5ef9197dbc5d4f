"""Written forms: what of a value is compared, whatever the case, width, accents and separators in which it came."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pypinyin import Style, lazy_pinyin

from jobs.lakehouse.linking_settings import ColumnKind, LinkingModel

HAN = re.compile("[㐀-鿿豈-﫿\U00020000-\U0003ffff]")
SOUND = "_sound"
DATE_PARTS = re.compile(r"([0-9]{4})\D+([0-9]{1,2})\D+([0-9]{1,2})")
# Syllables that most of the south says alike, and that a phonetic keyboard offers for each other.
SAME_SOUND = (
    (re.compile(r"^zh"), "z"),
    (re.compile(r"^ch"), "c"),
    (re.compile(r"^sh"), "s"),
    (re.compile(r"ng$"), "n"),
)


def as_written(records: pd.DataFrame | pa.Table, model: LinkingModel) -> pa.Table:
    """One row per record in the order of ids, its columns in the form in which they are compared, all text.

    A column of names or words gets its sound beside it, `<column>_sound`, null where none of it is Chinese.
    """
    ids = _texts(records["record_id"])
    order = pc.sort_indices(ids)
    written = {"record_id": ids.take(order)}
    if "source" in (records.column_names if isinstance(records, pa.Table) else records.columns):
        written["source"] = _texts(records["source"]).take(order)
    for name, column in model.columns.items():
        # Each value is put in its form once, however many records tell it; no more of them than of one column are objects at a time.
        told = _texts(records[name]).take(order).dictionary_encode()
        forms = [FORMS[column.kind](value) or None for value in told.dictionary.to_pylist()]
        written[name] = pa.array(forms, pa.string()).take(told.indices)
        if column.kind in ("name", "text"):
            sounds = [sound(form) if form else None for form in forms]
            written[name + SOUND] = pa.array(sounds, pa.string()).take(told.indices)
    return pa.table(written)


def _texts(values: pd.Series | pa.ChunkedArray) -> pa.Array:
    """The values as text in one piece."""
    if isinstance(values, pa.ChunkedArray):
        return values.cast(pa.string()).combine_chunks()
    return pa.array(
        values.where(values.notna(), None).map(lambda value: value if value is None else str(value)), pa.string()
    )


def words(text: str) -> str:
    """Letters and digits in lower case, single blanks between words and none beside Chinese."""
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    bare = "".join(c for c in plain if not unicodedata.combining(c) and c not in "'’`")
    spaced = re.sub(r"[\W_]+", " ", unicodedata.normalize("NFC", bare)).strip()
    return re.sub(r" (?=[㐀-鿿])|(?<=[㐀-鿿]) ", "", spaced)


def code(text: str) -> str:
    """Letters and digits alone."""
    return re.sub(r"[\W_]", "", unicodedata.normalize("NFKC", text)).upper()


def day(text: str) -> str:
    """The eight digits of a date, year first; the letters and digits of what is none."""
    parts = DATE_PARTS.match(text.strip())
    return f"{parts[1]}{int(parts[2]):02}{int(parts[3]):02}" if parts else code(text)


def sound(form: str) -> str | None:
    """How a Chinese form is read, without tones, syllables of like sound as one; null where nothing of it is Chinese."""
    if not HAN.search(form):
        return None
    return " ".join(_alike(syllable) for syllable in lazy_pinyin(form, style=Style.NORMAL))


def _alike(syllable: str) -> str:
    for pattern, simple in SAME_SOUND:
        syllable = pattern.sub(simple, syllable)
    return syllable


FORMS: Mapping[ColumnKind, Callable[[str], str]] = {
    "name": words,
    "text": words,
    "date": day,
    "code": code,
    "postcode": code,
    "exact": words,
    "day": day,
}
