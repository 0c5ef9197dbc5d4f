"""Deliveries: which files of a feed are new, and which can't be taken."""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from jobs.ingest.shapes import field_in_file, json_shapes, shown
from jobs.lakehouse.errors import DataError
from jobs.lakehouse.files import FileEntry, UnreadableFileError, content_digest, first_line, undecodable_byte
from jobs.lakehouse.sources import Source


@dataclass(frozen=True)
class KnownDelivery:
    """A delivery that the lake has seen: enough to tell whether its file is still the same, and why it was not taken."""

    file: str
    size: int
    changed_at_ms: int
    content_hash: str | None
    delivery_id: str
    reason: str | None

    def is_untouched(self, entry: FileEntry) -> bool:
        """Whether it was taken in, and the file has the size and time that it had."""
        return self.reason is None and (self.size, self.changed_at_ms) == (entry.size, entry.changed_at_ms)


@dataclass(frozen=True)
class Delivery:
    """A file not seen before: its header where it has one, its types where it tells them, or why it is not taken."""

    delivery_id: str
    source: str
    entry: FileEntry
    content_hash: str | None
    header: tuple[str, ...] = ()
    reason: str | None = None
    types: tuple[str, ...] = ()

    def kinds(self, source: Source) -> dict[str, str]:
        """The kind of each field, by a name that may be shown; empty where the file tells none."""
        return shown(dict(zip(self.header, self.types, strict=True)), source) if self.types else {}


def new_deliveries(
    spark: SparkSession, source: Source, entries: list[FileEntry], known: Mapping[str, KnownDelivery]
) -> list[Delivery]:
    """The files of a feed that were not taken in before; a known one is read again only if its size or time changed.

    What was quarantined is looked at again each time: the file may have been repaired, or the feed's declaration. It is new
    unless the same content is refused for the same reason.

    Raises:
        DataError: a file that was taken in has other content now.
    """
    waiting = [entry for entry in entries if entry.name not in known or not known[entry.name].is_untouched(entry)]
    examined = [_examined(spark, source, entry) for entry in waiting]
    fresh = [delivery for delivery in examined if not _is_taken(delivery, known.get(delivery.entry.name))]
    found = _with_shapes(spark, source, fresh) if source.format == "json" else fresh
    return [delivery for delivery in found if not _is_refused_again(delivery, known.get(delivery.entry.name))]


def _is_taken(delivery: Delivery, seen: KnownDelivery | None) -> bool:
    """Whether the same content was taken in under this name."""
    if seen is None or seen.reason is not None:
        return False
    if seen.content_hash != delivery.content_hash:
        raise DataError(
            f"{delivery.entry.path}: its content changed since it was taken in (then sha256 {(seen.content_hash or '')[:12]}…, "
            f"now {(delivery.content_hash or 'unreadable')[:12]}…); deliver corrections under a new name, "
            "and put the old file back"
        )
    return True


def _is_refused_again(delivery: Delivery, seen: KnownDelivery | None) -> bool:
    told = (delivery.delivery_id, delivery.reason)
    return seen is not None and delivery.reason is not None and (seen.delivery_id, seen.reason) == told


def _examined(spark: SparkSession, source: Source, entry: FileEntry) -> Delivery:
    try:
        digest = content_digest(spark, entry.path)
    except UnreadableFileError as error:
        return Delivery(
            _delivery_id(entry.name, "unreadable"), source.source, entry, None, reason=f"unreadable: {error}"
        )
    delivery_id = _delivery_id(entry.name, digest)
    is_text = source.format != "parquet"
    # Of JSON and of messages, each line is looked at by itself.
    place = undecodable_byte(spark, entry.path, source.encoding) if source.format == "csv" else None
    if place is not None:
        reason = f"not {source.encoding.upper()} (byte {place} of its text); see encoding in the feed's declaration"
        return Delivery(delivery_id, source.source, entry, digest, reason=reason)
    # The fields of JSON are looked up for all new files at once.
    if source.format == "json" or (is_text and (entry.size == 0 or not source.has_header)):
        return Delivery(delivery_id, source.source, entry, digest)
    try:
        header, types = _csv_header(spark, source, entry) if is_text else _parquet_header(spark, entry)
    except (PySparkException, Py4JJavaError) as error:
        told = error.getCondition() if isinstance(error, PySparkException) else None
        reason = f"unreadable as {source.format}: {told or 'CANNOT_READ_FILE_FOOTER'}"
        return Delivery(delivery_id, source.source, entry, digest, reason=reason)
    return _judged(Delivery(delivery_id, source.source, entry, digest, header, types=types), source)


def _with_shapes(spark: SparkSession, source: Source, found: list[Delivery]) -> list[Delivery]:
    """The deliveries of JSON with the fields that they have; those whose bytes can't be read have none."""
    readable = [delivery.entry for delivery in found if delivery.reason is None and delivery.entry.size]
    if not readable:
        return found
    shapes = json_shapes(spark, source, [as_one_path(entry.path) for entry in readable])
    return [
        _judged(replace(delivery, header=tuple(shape), types=tuple(shape.values())), source)
        if (shape := shapes.get(delivery.entry.uri))
        else delivery
        for delivery in found
    ]


def _judged(delivery: Delivery, source: Source) -> Delivery:
    """The delivery, with the reason against it where it lacks fields that the feed must have, or has one twice."""
    header = delivery.header
    required = [field.name for field in source.fields if not field.is_optional]
    missing = [name for name in required if field_in_file(name, source) not in header]
    reasons = [f"columns missing: {', '.join(missing)}"] * bool(missing and header)
    doubled = _doubled(header, source)
    reasons += [f"columns twice: {', '.join(doubled)}"] * bool(doubled)
    return replace(delivery, reason="; ".join(reasons) or None)


def _doubled(header: tuple[str, ...], source: Source) -> list[str]:
    """What of a header stands there twice: declared columns by name, of others how many, for a file without a header has values there."""
    # Of columns Spark knows no case; keys of JSON are others by it, and Parquet with two such columns can't be opened.
    alike = header if source.format == "json" else tuple(name.lower() for name in header)
    doubled = {name for name, same in zip(header, alike, strict=True) if alike.count(same) > 1}
    declared = doubled & {field_in_file(field.name, source) for field in source.fields}
    others = len(doubled - declared)
    return sorted(declared) + [f"{others} undeclared"] * bool(others)


def _csv_header(spark: SparkSession, source: Source, entry: FileEntry) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names of the columns; a text file tells no types."""
    return tuple(next(csv.reader([first_line(spark, entry.path, source.encoding)], delimiter=source.delimiter), ())), ()


def _parquet_header(spark: SparkSession, entry: FileEntry) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names and the types of the columns."""
    schema = spark.read.parquet(as_one_path(entry.path)).schema
    return tuple(schema.names), tuple(field.dataType.simpleString() for field in schema)


def as_one_path(path: str) -> str:
    """The path as Spark has to be told it: it takes a path for a pattern, but `list [1].csv` is one file all the same."""
    return re.sub(r"([\[\]{}*?\\])", r"\\\1", path)


def _delivery_id(name: str, digest: str) -> str:
    return hashlib.sha256(f"{name}\0{digest}".encode()).hexdigest()[:16]
