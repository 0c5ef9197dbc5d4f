"""The settings of what comes by wire: a Kafka broker and a PostgreSQL database. No secret ever stands in them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from jobs.lakehouse.part import Part


class KafkaSettings(Part):
    """The broker of the feeds that come by topic; user and password come from the environment or a file, never from here."""

    bootstrap_servers: str = "127.0.0.1:9092"
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    truststore: str | None = Field(
        None,
        pattern=r"\.(pem|crt|jks|p12|pfx)$",
        description="the certificates that are trusted, a file on every machine; without one those that Java trusts",
    )
    options: dict[str, str] = Field(default_factory=dict)
    trigger: Literal["once", "continuous"] = "once"
    interval_seconds: int = Field(30, ge=1, description="between two batches of a continuous run")
    compact_every_batches: int = Field(
        100, ge=0, description="of a feed, in a continuous run; then its small files are packed, 0 never"
    )
    max_offsets_per_trigger: int = Field(500_000, ge=1)
    accept_data_loss: bool = Field(
        False, description="go on with the oldest messages that are left where some were deleted before they were read"
    )
    timeout_seconds: int = Field(30, ge=1)

    @model_validator(mode="after")
    def _holds_no_secret(self) -> KafkaSettings:
        secret = [key for key in self.options if "password" in key or "jaas" in key]
        if secret:
            raise ValueError(
                f"{', '.join(secret)}: a secret never stands in a setting; "
                "LAKEHOUSE_KAFKA_USER and LAKEHOUSE_KAFKA_PASSWORD tell it, or LAKEHOUSE_KAFKA_CREDENTIALS_FILE"
            )
        return self


class DatabaseSettings(Part):
    """The database of the feeds that come by table; its password comes from LAKEHOUSE_DATABASE_PASSWORD alone."""

    url: str = Field("jdbc:postgresql://127.0.0.1:5432/postgres", pattern=r"^jdbc:postgresql://[^@?]+(\?.*)?$")
    user: str = "lakehouse"
    timeout_seconds: int = Field(300, ge=1, description="how long the database may be silent")
    max_deleted_share: float = Field(
        0.5, ge=0, le=1, description="of a table's rows; more at once is taken for a fault"
    )

    @model_validator(mode="after")
    def _holds_no_secret(self) -> DatabaseSettings:
        if "password" in self.url.lower():
            raise ValueError("url: the password comes from LAKEHOUSE_DATABASE_PASSWORD, it never stands in a setting")
        return self
