"""Decoding: every text that a file holds, however it is packed, and an honest word where that can't be known."""

from __future__ import annotations

import io
import pickletools
import re
import sqlite3
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from jobs.lakehouse.unpacking import CutOffError, packing_of

DEEPEST = 8
BATCH_ROWS = 10_000
# Numbers below it are shorter than any personal value that is looked for.
SMALLEST_NUMBER = 10**6
SEVEN_BITS = bytes(byte & 0x7F for byte in range(256))
TEXT_CONTROLS = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f]")
# Nothing in these is packed or hidden, so that their bytes show all the texts that they hold. The last one is how a stream's
# checkpoint says where its topics began: JSON after a zero byte.
OPEN_BINARIES = (
    b"\xac\xed\x00\x05", b"crc\x00", b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83", b"\xd9\xd5\x05\xf9",
    b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"wOFF", b"wOF2", b"OTTO", b"\x00\x01\x00\x00", b"\x00v1\n",
)  # fmt: skip
WITH_DICTIONARY = {"PLAIN", "RLE", "BIT_PACKED", "PLAIN_DICTIONARY", "RLE_DICTIONARY"}
OPEN_SUFFIXES = (".ubj", ".bin", ".ico", ".eot", "-shm")
# Java's serialisation sets a mark before each block, also in the middle of a text; binary JSON one before each text.
JAVA, JAVA_BLOCK, JAVA_LONG_BLOCK = b"\xac\xed\x00\x05", 0x77, 0x7A
UBJ, UBJ_LENGTH = b"{L\x00", re.compile(rb"S?L\x00.{7}", re.DOTALL)


@dataclass(frozen=True)
class Piece:
    """A text and where in its file it stands; or, instead of a text, why that place can't be decoded."""

    place: str
    text: str = ""
    trouble: str = ""


def pieces_of(name: str, data: bytes, place: str = "", depth: int = 0) -> Iterator[Piece]:
    """The texts in the bytes of a file, and in the files that are packed in it.

    The bytes themselves come as a text too, where they are none: for what lies in a file beside its values, as statistics or
    freed pages.

    Args:
        name: the file's name.
        data: its bytes.
        place: where it stands in the file that it is packed in.
        depth: how deep it is packed.
    """
    if not data:
        return
    text, is_sure = _as_text(data)
    if text:
        yield Piece(place or "text", text)
    if is_sure:
        return
    yield from _bytes(data, _in(place, "bytes"))
    if text:
        return
    if depth >= DEEPEST:
        yield Piece(place, trouble="packed too deep")
        return
    packing = packing_of(name, data)
    reader = _reader(data)
    if packing:
        inner = _in(place, packing.name)
        unpacked: list[bytes] = []
        try:
            unpacked.extend(packing.unpack(data))
        except CutOffError:
            yield Piece(inner, trouble=f"{packing.name} is cut off or broken")
        yield from pieces_of(name.rsplit(".", 1)[0], b"".join(unpacked), inner, depth + 1)
    elif reader:
        try:
            yield from reader(data, place, depth)
        except Exception as error:
            # The library's words may quote a value.
            yield Piece(place, trouble=f"can't be read ({type(error).__name__})")
    elif not data.startswith(OPEN_BINARIES) and not name.endswith(OPEN_SUFFIXES):
        yield Piece(place, trouble="unknown binary format")


def _in(place: str, inner: str) -> str:
    return f"{place} > {inner}" if place else inner


def _reader(data: bytes) -> Callable[[bytes, str, int], Iterator[Piece]] | None:
    readers = {b"PAR1": _parquet, b"PK\x03\x04": _zip, b"PK\x05\x06": _zip, b"SQLite format 3\x00": _sqlite}
    found = next((reader for magic, reader in readers.items() if data.startswith(magic)), None)
    if found is None and data[257:262] == b"ustar":
        return _tar
    if found is None and re.match(rb"\x80[\x02-\x05]", data) and data.endswith(b"."):
        return _pickle
    return found


def _as_text(data: bytes) -> tuple[str, bool]:
    """The text that the bytes are, in UTF-8, UTF-16 with its mark, or GB 18030, and whether that is sure; empty where they are none."""
    is_utf16 = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    for codec in ("utf-16",) if is_utf16 else ("utf-8-sig", "gb18030"):
        try:
            text = data.decode(codec)
        except UnicodeDecodeError:
            continue
        if not TEXT_CONTROLS.search(text):
            return text, codec != "gb18030"
    return "", False


def _bytes(data: bytes, place: str) -> Iterator[Piece]:
    yield Piece(place, data.decode("utf-8", "replace"))
    # Kryo marks the last letter of a text by its eighth bit; texts of two bytes a letter have a zero in between.
    yield Piece(place, data.translate(SEVEN_BITS, b"\0").decode("ascii"))
    if data.startswith(JAVA):
        yield Piece(place, _without_marks(data).decode("utf-8", "replace"))
    if data.startswith(UBJ):
        yield Piece(place, UBJ_LENGTH.sub(b"\n", data).decode("utf-8", "replace"))


def _without_marks(data: bytes) -> bytes:
    """The contents of the blocks of a Java object stream, put together; what is no block stays as it is."""
    place, parts = len(JAVA), []
    while place < len(data):
        width = {JAVA_BLOCK: 1, JAVA_LONG_BLOCK: 4}.get(data[place], 0)
        length = int.from_bytes(data[place + 1 : place + 1 + width], "big") if width else 1
        start = place + 1 + width if width else place
        parts.append(data[start : start + length])
        place = start + length
    return b"".join(parts)


def _zip(data: bytes, place: str, depth: int) -> Iterator[Piece]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for member in archive.infolist():
            inner = _in(place, member.filename)
            yield Piece(inner, member.filename)
            if member.is_dir():
                continue
            try:
                content = archive.read(member)
            except (RuntimeError, NotImplementedError, zipfile.BadZipFile, EOFError) as error:
                yield Piece(inner, trouble=f"member can't be read ({type(error).__name__})")
                continue
            yield from pieces_of(member.filename, content, inner, depth + 1)


def _tar(data: bytes, place: str, depth: int) -> Iterator[Piece]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in archive:
            content = archive.extractfile(member)
            if content:
                yield from pieces_of(member.name, content.read(), _in(place, member.name), depth + 1)


def _pickle(data: bytes, place: str, depth: int) -> Iterator[Piece]:
    """The texts and numbers of a pickle, read without running it."""
    texts = []
    for _, value, _ in pickletools.genops(data):
        if isinstance(value, bytes | bytearray):
            yield from _embedded(bytes(value), _in(place, "pickle"), depth)
        elif value is not None:
            texts.append(str(value))
    yield Piece(_in(place, "pickle"), "\n".join(texts))


def _sqlite(data: bytes, place: str, depth: int) -> Iterator[Piece]:
    # A database in write-ahead mode wants its second file; as bytes that file is scanned by itself.
    closed = data[:18] + b"\x01\x01" + data[20:]
    connection = sqlite3.connect(":memory:")
    try:
        connection.deserialize(closed)
        connection.text_factory = lambda text: text.decode("utf-8", "replace")
        tables = [row[0] for row in connection.execute("select name from sqlite_master where type = 'table'")]
        for table in ["sqlite_master", *tables]:
            quoted = table.replace('"', '""')
            cursor = connection.execute(f'select * from "{quoted}"')  # noqa: S608 - a name from the file's own catalogue
            columns = [column[0] for column in cursor.description]
            while rows := cursor.fetchmany(BATCH_ROWS):
                for column, cells in zip(columns, zip(*rows, strict=True), strict=True):
                    yield from _cells(cells, _in(place, f"{table}.{column}"), depth)
    finally:
        connection.close()


def _cells(cells: tuple[object, ...], place: str, depth: int) -> Iterator[Piece]:
    numbers = [_number(cell) for cell in cells if isinstance(cell, int | float)]
    yield Piece(place, "\n".join([*numbers, *(cell for cell in cells if isinstance(cell, str))]))
    bare = []
    for cell in cells:
        if isinstance(cell, bytes) and (packing_of("", cell) or _reader(cell)):
            yield from _embedded(cell, place, depth)
        elif isinstance(cell, bytes):
            bare.append(cell)
    if bare:
        yield from _bytes(b"\n".join(bare), place)


def _number(value: float) -> str:
    return f"{value:.0f}" if isinstance(value, float) and value.is_integer() else str(value)


def _embedded(data: bytes, place: str, depth: int) -> Iterator[Piece]:
    """The texts of a value that is bytes; it may be anything, so that what can't be decoded is no trouble."""
    yield from (piece for piece in pieces_of("", data, place, depth + 1) if not piece.trouble)


def _parquet(data: bytes, place: str, depth: int) -> Iterator[Piece]:
    file = pq.ParquetFile(pa.BufferReader(data))
    groups = [file.metadata.row_group(number) for number in range(file.num_row_groups)]
    columns = [group.column(number) for group in groups for number in range(group.num_columns)]
    plain = {column.path_in_schema for column in columns if {*column.encodings} - WITH_DICTIONARY}
    texts = {column.path_in_schema for column in columns if column.physical_type == "BYTE_ARRAY"} - plain
    # Dictionaries whole, also entries that no row names any more.
    file = pq.ParquetFile(pa.BufferReader(data), read_dictionary=sorted(texts))
    for key, value in (file.metadata.metadata or {}).items():
        yield from _embedded(key + b" " + value, _in(place, "metadata"), depth)
    for column in columns:
        if column.is_stats_set and column.statistics.has_min_max:
            ends = (column.statistics.min_raw, column.statistics.max_raw)
            yield from _cells(ends, _in(place, f"statistics of {column.path_in_schema}"), depth)
    for group in range(file.num_row_groups):
        rows = file.read_row_group(group)
        for name in rows.column_names:
            for chunk in rows[name].chunks:
                yield from _values(chunk, _in(place, name), depth)


def _values(array: pa.Array, place: str, depth: int) -> Iterator[Piece]:
    """The texts and numbers of a column, distinct ones, down to the leaves of what is nested."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        yield from _values(array.dictionary, place, depth)
    elif pa.types.is_struct(kind):
        for field, child in zip(kind, array.flatten(), strict=True):
            yield from _values(child, f"{place}.{field.name}", depth)
    elif pa.types.is_map(kind):
        yield from _values(array.keys, f"{place}.key", depth)
        yield from _values(array.items, f"{place}.value", depth)
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        yield from _values(array.flatten(), f"{place}.element", depth)
    elif pa.types.is_integer(kind) or pa.types.is_floating(kind):
        large = array.filter(pc.greater_equal(pc.abs(array.cast(pa.float64(), safe=False)), SMALLEST_NUMBER))
        yield from _cells(tuple(large.unique().to_pylist()), place, depth)
    elif pa.types.is_decimal(kind):
        yield Piece(place, "\n".join(f"{value:f}" for value in array.unique().drop_null().to_pylist()))
    elif not (pa.types.is_temporal(kind) or pa.types.is_boolean(kind) or pa.types.is_null(kind)):
        yield from _cells(tuple(array.unique().to_pylist()), place, depth)
