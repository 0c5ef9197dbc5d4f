"""The servers that tests of ingest share."""

from tests.servers import broker, database, guarded_broker

__all__ = ["broker", "database", "guarded_broker"]
