"""Files on any file system that Spark knows, through Hadoop's own interface."""

from __future__ import annotations

import codecs
import hashlib
from dataclasses import dataclass
from typing import Any

from py4j.protocol import Py4JJavaError
from pyspark.sql import SparkSession

READ_AT_ONCE = 1 << 20


@dataclass(frozen=True, order=True)
class FileEntry:
    """A file: its path below the folder asked, its full path, that path as a URI, its bytes and when it was changed (ms)."""

    name: str
    path: str
    uri: str
    size: int
    changed_at_ms: int


class UnreadableFileError(Exception):
    """A file whose bytes can't be read to the end: a truncated or broken archive."""


def folder_exists(spark: SparkSession, folder: str) -> bool:
    """Whether the folder (or file) is there."""
    path, file_system = _opened(spark, folder)
    return bool(file_system.exists(path))


def list_files(spark: SparkSession, folder: str, pattern: str) -> list[FileEntry]:
    """The files below a folder that match a glob, by name; hidden and temporary ones (`_x`, `.x`) are left out."""
    root, file_system = _opened(spark, folder)
    base = str(file_system.makeQualified(root).toString()).rstrip("/") + "/"
    found = file_system.globStatus(_jvm(spark).org.apache.hadoop.fs.Path(root, pattern)) or []
    entries = []
    for status in found:
        path = str(status.getPath().toString())
        uri = str(status.getPath().toUri().toString())
        name = path.removeprefix(base)
        if status.isFile() and not any(step.startswith(("_", ".")) for step in name.split("/")):
            entries.append(FileEntry(name, path, uri, int(status.getLen()), int(status.getModificationTime())))
    return sorted(entries)


def names_below(spark: SparkSession, folder: str) -> set[str]:
    """The names of all files below a folder, without their paths."""
    path, file_system = _opened(spark, folder)
    found, names = file_system.listFiles(path, True), set()
    while found.hasNext():
        names.add(str(found.next().getPath().getName()))
    return names


def listing_digest(entries: list[FileEntry]) -> str:
    """A short hash of names, sizes and times: the same while nothing was delivered or changed."""
    told = "\n".join(f"{entry.name}\t{entry.size}\t{entry.changed_at_ms}" for entry in entries)
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def undecodable_byte(spark: SparkSession, path: str, encoding: str) -> int | None:
    """The place, from 0, of the first byte by which a text file is not in its encoding; None where it is.

    Of a gzip file, which can be unpacked to its end, it is the place in what it unpacks to.
    """
    jvm = _jvm(spark)
    stream = _stream(spark, path)
    try:
        decoder = jvm.java.nio.charset.Charset.forName(encoding).newDecoder()
        jvm.org.apache.commons.io.IOUtils.consume(jvm.java.io.InputStreamReader(_unpacked(jvm, stream, path), decoder))
    except Py4JJavaError as error:
        if not error.java_exception.getClass().getName().startswith("java.nio.charset."):
            raise
        return _first_undecodable(spark, path, encoding)
    finally:
        stream.close()
    return None


def _first_undecodable(spark: SparkSession, path: str, encoding: str) -> int:
    """The place of the byte, found on the driver: only of a file that is known to have one."""
    stream = _stream(spark, path)
    try:
        content, decoder, read = _unpacked(_jvm(spark), stream, path), codecs.getincrementaldecoder(encoding)(), 0
        while True:
            part = bytes(content.readNBytes(READ_AT_ONCE))
            begun = read - len(decoder.getstate()[0])
            try:
                decoder.decode(part, final=not part)
            except UnicodeDecodeError as error:
                return begun + error.start
            if not part:
                return read
            read += len(part)
    finally:
        stream.close()


def _unpacked(jvm: Any, stream: Any, path: str) -> Any:
    return jvm.java.util.zip.GZIPInputStream(stream) if path.endswith(".gz") else stream


def content_digest(spark: SparkSession, path: str) -> str:
    """The SHA-256 of a file's bytes; a gzip file is also unpacked to its end.

    Raises:
        UnreadableFileError: the archive is truncated or broken.
    """
    jvm = _jvm(spark)
    with_stream = _stream(spark, path)
    try:
        digest = str(jvm.org.apache.commons.codec.digest.DigestUtils.sha256Hex(with_stream))
    finally:
        with_stream.close()
    if path.endswith(".gz"):
        packed = _stream(spark, path)
        try:
            jvm.org.apache.commons.io.IOUtils.consume(jvm.java.util.zip.GZIPInputStream(packed))
        except Py4JJavaError as error:
            raise UnreadableFileError(str(error.java_exception.toString())) from error
        finally:
            packed.close()
    return digest


def first_line(spark: SparkSession, path: str, encoding: str = "UTF-8") -> str:
    """The first line of a text file, unpacked where it is gzip, without a byte-order mark; empty for an empty file."""
    jvm = _jvm(spark)
    stream = _stream(spark, path)
    try:
        reader = jvm.java.io.BufferedReader(jvm.java.io.InputStreamReader(_unpacked(jvm, stream, path), encoding))
        return str(reader.readLine() or "").removeprefix("\ufeff")
    finally:
        stream.close()


def read_text(spark: SparkSession, path: str) -> str | None:
    """The content of a small text file; None when it is not there."""
    if not folder_exists(spark, path):
        return None
    stream = _stream(spark, path)
    try:
        return str(_jvm(spark).org.apache.commons.io.IOUtils.toString(stream, "UTF-8"))
    finally:
        stream.close()


def delete_folder(spark: SparkSession, folder: str) -> None:
    """Remove a folder and all in it, where it is there."""
    path, file_system = _opened(spark, folder)
    file_system.delete(path, True)


def _stream(spark: SparkSession, path: str) -> Any:
    opened, file_system = _opened(spark, path)
    return file_system.open(opened)


def _opened(spark: SparkSession, path: str) -> tuple[Any, Any]:
    named = _jvm(spark).org.apache.hadoop.fs.Path(path)
    return named, named.getFileSystem(spark._jsparkSession.sessionState().newHadoopConf())


def _jvm(spark: SparkSession) -> Any:
    assert spark._jvm is not None
    return spark._jvm
