"""Unpacking: what is inside compressed bytes, as far as they can be read, in the formats that jobs, Spark and people write."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pyarrow as pa

CHUNK_BYTES = 1 << 20
SNAPPY_JAVA = b"\x82SNAPPY\x00"
SNAPPY_JAVA_HEADER_BYTES = 16
LZ4_JAVA = b"LZ4Block"
LZ4_JAVA_HEADER_BYTES = 21


class CutOffError(Exception):
    """Compressed bytes that end too early or are broken."""


@dataclass(frozen=True)
class Packing:
    """A way of compressing: its name, how it is recognised by its first bytes, and how it is undone, chunk by chunk."""

    name: str
    magic: bytes
    unpack: Callable[[bytes], Iterator[bytes]]


def packing_of(name: str, data: bytes) -> Packing | None:
    """How these bytes are compressed; None where they are not, or in a way that is not known.

    Args:
        name: the file's name; Snappy without a frame is known by it alone.
        data: the file's bytes.
    """
    for packing in PACKINGS:
        if data.startswith(packing.magic):
            return packing
    return Packing("snappy", b"", _hadoop_snappy) if name.endswith(".snappy") else None


def _stepwise(
    make: Callable[[], zlib._Decompress | bz2.BZ2Decompressor | lzma.LZMADecompressor],
) -> Callable[..., Iterator[bytes]]:
    """Unpack members that follow each other, each by a decompressor of its own."""

    def unpack(data: bytes) -> Iterator[bytes]:
        rest = data
        while rest:
            member = make()
            try:
                yield member.decompress(rest)
            except (zlib.error, OSError, lzma.LZMAError, EOFError) as error:
                raise CutOffError from error
            if not member.eof:
                raise CutOffError
            rest = member.unused_data.lstrip(b"\0")

    return unpack


def _arrow_stream(codec: str) -> Callable[[bytes], Iterator[bytes]]:
    def unpack(data: bytes) -> Iterator[bytes]:
        try:
            with pa.CompressedInputStream(pa.BufferReader(data), codec) as stream:
                while chunk := stream.read(CHUNK_BYTES):
                    yield chunk
        except (OSError, pa.ArrowInvalid) as error:
            raise CutOffError from error

    return unpack


def _snappy_java(data: bytes) -> Iterator[bytes]:
    """Blocks as Spark writes them: a length, then Snappy."""
    place = SNAPPY_JAVA_HEADER_BYTES
    while place < len(data):
        if data.startswith(SNAPPY_JAVA, place):
            place += SNAPPY_JAVA_HEADER_BYTES
            continue
        length = int.from_bytes(data[place : place + 4], "big")
        yield _snappy_block(data[place + 4 : place + 4 + length], length)
        place += 4 + length


def _hadoop_snappy(data: bytes) -> Iterator[bytes]:
    """Blocks as Hadoop writes them: the length unpacked, then chunks with their lengths; or one block without any."""
    place = 0
    try:
        unpacked = []
        while place < len(data):
            wanted, place = int.from_bytes(data[place : place + 4], "big"), place + 4
            block = b""
            while len(block) < wanted:
                length = int.from_bytes(data[place : place + 4], "big")
                block += _snappy_block(data[place + 4 : place + 4 + length], length)
                place += 4 + length
            unpacked.append(block)
    except CutOffError:
        yield _snappy_block(data, len(data))
    else:
        yield from unpacked


def _snappy_block(block: bytes, length: int) -> bytes:
    size = shift = 0
    for place in range(min(5, len(block))):
        size |= (block[place] & 0x7F) << shift
        shift += 7
        if block[place] < 0x80:
            break
    return _block("snappy", block, length, size)


def _lz4_java(data: bytes) -> Iterator[bytes]:
    """Blocks as Spark writes them: a mark, how they are packed, both lengths and a checksum."""
    place = 0
    while place < len(data):
        if not data.startswith(LZ4_JAVA, place):
            raise CutOffError
        method = data[place + 8] & 0xF0 if place + 8 < len(data) else 0
        packed = int.from_bytes(data[place + 9 : place + 13], "little")
        size = int.from_bytes(data[place + 13 : place + 17], "little")
        block = data[place + LZ4_JAVA_HEADER_BYTES : place + LZ4_JAVA_HEADER_BYTES + packed]
        yield block if method == 0x10 else _block("lz4_raw", block, packed, size)
        place += LZ4_JAVA_HEADER_BYTES + packed


def _block(codec: str, block: bytes, length: int, size: int) -> bytes:
    if len(block) != length:
        raise CutOffError
    if not size:
        return b""
    try:
        return bytes(pa.decompress(block, decompressed_size=size, codec=codec, asbytes=True))
    except (OSError, pa.ArrowException, MemoryError) as error:
        raise CutOffError from error


PACKINGS = (
    Packing("gzip", b"\x1f\x8b\x08", _stepwise(lambda: zlib.decompressobj(zlib.MAX_WBITS | 16))),
    Packing("bzip2", b"BZh", _stepwise(bz2.BZ2Decompressor)),
    Packing("xz", b"\xfd7zXZ\x00", _stepwise(lzma.LZMADecompressor)),
    Packing("zstd", b"\x28\xb5\x2f\xfd", _arrow_stream("zstd")),
    Packing("lz4", b"\x04\x22\x4d\x18", _arrow_stream("lz4")),
    Packing("snappy of Java", SNAPPY_JAVA, _snappy_java),
    Packing("lz4 of Java", LZ4_JAVA, _lz4_java),
)
