"""Canaries: a value planted into a copy of a file that a run left, in the ways in which one could slip into it."""

import gzip
import json
import shutil
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


def largest(root: Path, pattern: str) -> Path:
    """The largest file below a folder whose path matches."""
    return max((file for file in root.glob(pattern) if file.is_file()), key=lambda file: file.stat().st_size)


def planted(original: Path, folder: Path, way: str, value: str) -> Path:
    """A copy of the file in a folder of its own, with the value in it."""
    copy = folder / way.replace(" ", "-") / original.parent.name / original.name
    copy.parent.mkdir(parents=True)
    shutil.copy(original, copy)
    return WAYS[way](copy, value)


def _in_parquet_values(file: Path, value: str) -> Path:
    """In a cell of the first column of text, and not in the statistics."""
    pq.write_table(_with_cell(file, value), file, compression="zstd", write_statistics=False)
    return file


def _in_parquet_statistics(file: Path, value: str) -> Path:
    """As the least value of a column: in its statistics."""
    pq.write_table(_with_cell(file, f"\t{value}"), file, compression="zstd")
    return file


def _with_cell(file: Path, value: str) -> pa.Table:
    rows = pq.read_table(file)
    text = next(name for name in rows.column_names if pa.types.is_string(rows.schema.field(name).type))
    cells = pa.array([value, *rows[text].to_pylist()[1:]], pa.string())
    return rows.set_column(rows.column_names.index(text), text, cells)


def _in_json(file: Path, value: str) -> Path:
    """As JSON in a text of JSON, where Delta keeps its statistics."""
    file.write_text(file.read_text("utf-8") + json.dumps({"stats": json.dumps({"min": {"c": value}})}), "utf-8")
    return file


def _in_text(file: Path, value: str) -> Path:
    with file.open("a", encoding="utf-8") as text:
        text.write(f"\nvalue={value}\n")
    return file


def _in_gzip(file: Path, value: str) -> Path:
    packed = file.with_name(f"{file.name}.gz")
    packed.write_bytes(gzip.compress(file.read_bytes() + f"\n{value}\n".encode()))
    file.unlink()
    return packed


def _in_sqlite(file: Path, value: str) -> Path:
    """As a parameter of one of MLflow's runs."""
    with sqlite3.connect(file) as store:
        store.execute("update params set value = value || ? where rowid = (select min(rowid) from params)", (value,))
    store.close()
    return file


def _in_bytes(file: Path, value: str) -> Path:
    file.write_bytes(file.read_bytes() + b"\0" + value.encode() + b"\0")
    return file


WAYS: Mapping[str, Callable[[Path, str], Path]] = {
    "Parquet values": _in_parquet_values,
    "Parquet statistics": _in_parquet_statistics,
    "JSON": _in_json,
    "text": _in_text,
    "gzip": _in_gzip,
    "SQLite": _in_sqlite,
    "bytes": _in_bytes,
}
