"""Wires: faults of brokers and databases that only show while Spark reads, told as what they are."""

from __future__ import annotations

import re
from collections.abc import Iterator

from jobs.lakehouse.brokers import broker_fault
from jobs.lakehouse.databases import failed_database
from jobs.lakehouse.errors import LakehouseError
from jobs.lakehouse.settings import Settings

OF_DATABASE = re.compile(r"org\.postgresql\.util\.PSQLException: ([^\n]*)")
OF_BROKER = re.compile(
    r"(org\.apache\.kafka\.[\w.$]*(?:Exception|Error)[^\n]*|Cannot fetch record for offset[^\n]*|\[KAFKA_[^\n]*)"
)


def as_wire_fault(error: Exception, settings: Settings) -> Exception:
    """The error in words where a database or a broker is its cause; any other as it is."""
    if isinstance(error, LakehouseError):
        return error
    text = "\n".join(told_of(error))
    if found := OF_DATABASE.search(text):
        return failed_database(settings.database, found[1])
    if found := OF_BROKER.search(text):
        return broker_fault(settings.kafka, found[1])
    return error


def told_of(error: Exception) -> Iterator[str]:
    """What the error says, and all that caused it inside the JVM."""
    yield str(error)
    thrown = getattr(error, "_origin", None) or getattr(error, "java_exception", None)
    while thrown is not None:
        yield str(thrown.toString())
        thrown = thrown.getCause()
