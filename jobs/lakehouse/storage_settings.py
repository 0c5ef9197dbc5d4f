"""How long records stay hot, warm and in bronze at all: one section of the settings."""

from __future__ import annotations

from pydantic import Field, model_validator

from jobs.lakehouse.errors import ConfigurationError
from jobs.lakehouse.part import Part


class Ages(Part):
    """Ages, in days before the end of the run date, at which a whole month of arrivals moves on; None never.

    Args:
        warm_after_days: from then on few large files, sorted by `cluster_by`, packed at `warm_level`.
        cold_after_days: from then on the same, packed at `cold_level`.
        archive_after_days: from then on deliveries leave bronze for the archive, from where they can be brought back.
        delete_after_days: from then on deliveries leave the archive, for ever.
        cluster_by: columns whose equal values are to lie beside each other, the most telling first.
    """

    warm_after_days: int | None = Field(31, ge=0)
    cold_after_days: int | None = Field(92, ge=0)
    archive_after_days: int | None = Field(None, ge=1)
    delete_after_days: int | None = Field(None, ge=1)
    cluster_by: tuple[str, ...] = ()


class StorageSettings(Ages):
    """The ages of all bronze tables, those of some (`bronze.<feed>`) where they differ, and how tightly files are packed."""

    warm_level: int = Field(3, ge=1, le=22, description="zstd level; reading costs the same at any")
    cold_level: int = Field(19, ge=1, le=22)
    file_mib: int = Field(256, ge=1, description="size aimed at, measured before packing")
    tables: dict[str, Ages] = Field(default_factory=dict)

    def of(self, table: str) -> Ages:
        """The ages of a table: its own, and where it names none those of all."""
        own = self.tables[table].model_dump(exclude_unset=True) if table in self.tables else {}
        return Ages(**{**{name: getattr(self, name) for name in Ages.model_fields}, **own})

    @model_validator(mode="after")
    def _ages_grow(self) -> StorageSettings:
        for table in ("", *self.tables):
            ages = self.of(table)
            days = (ages.warm_after_days, ages.cold_after_days, ages.archive_after_days, ages.delete_after_days)
            told = [age for age in days if age is not None]
            if told != sorted(told):
                raise ValueError(f"{table or 'storage'}: warm, cold, archive and delete must follow in this order")
            if ages.delete_after_days is not None and ages.archive_after_days is None:
                raise ValueError(f"{table or 'storage'}: delete_after_days needs archive_after_days")
        return self

    def refuse_unknown_tables(self, known: set[str]) -> None:
        """Check that every table with ages of its own is one of those that have tiers.

        Raises:
            ConfigurationError: it isn't.
        """
        unknown = sorted(set(self.tables) - known)
        if unknown:
            raise ConfigurationError(
                f"storage.tables: {', '.join(unknown)} has no tiers; the tables that have are {', '.join(sorted(known))}"
            )
