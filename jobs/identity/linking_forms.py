"""Written forms: what of a value is compared, whatever the case, width, accents and separators in which it came."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping

import pandas as pd
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


def as_written(records: pd.DataFrame, model: LinkingModel) -> pd.DataFrame:
    """One row per record in the order of ids, its columns in the form in which they are compared; nothing left is null.

    A column of names or words gets its sound beside it, `<column>_sound`, null where none of it is Chinese.
    """
    written = {"record_id": records["record_id"].astype(str)}
    if "source" in records:
        written["source"] = records["source"].astype(str)
    for name, column in model.columns.items():
        forms = {value: FORMS[column.kind](str(value)) or None for value in records[name].dropna().unique()}
        written[name] = records[name].map(forms).astype(object)
        if column.kind in ("name", "text"):
            sounds = {form: sound(form) for form in forms.values() if form}
            written[name + SOUND] = written[name].map(sounds).astype(object)
    rows = pd.DataFrame(written).astype(object)
    return rows.where(rows.notna(), None).sort_values("record_id", ignore_index=True)


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
