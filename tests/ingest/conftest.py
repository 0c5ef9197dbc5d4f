"""The servers that tests of ingest share."""

from tests.servers import broker, database

__all__ = ["broker", "database"]
