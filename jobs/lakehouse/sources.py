"""Sources: the way in which a feed arrives, which fields are personal, and what each silver table takes from them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from jobs.lakehouse.contracts import Contract, ContractColumn
from jobs.lakehouse.datasets import declared_feeds
from jobs.lakehouse.errors import ConfigurationError
from jobs.lakehouse.part import Part
from jobs.lakehouse.personal_kinds import PersonalKind
from jobs.lakehouse.translations import LocalTime, Taken

# What a feed without a time of its own declares: its rows arrive with the records that they look up.
LOOKED_UP = "looked_up"
TECHNICAL_COLUMNS = (
    ContractColumn("_record_id", "string", "Id of the record: a hash of its delivery and its fields."),
    ContractColumn("_arrived_at", "timestamp", "When the record arrived, as the source declares it; UTC."),
    ContractColumn(
        "_delivery_id",
        "string",
        "What brought the record: a hash of a file's path and content, a message as topic/partition/offset, or a load as feed/number.",
    ),
    ContractColumn(
        "_is_unparseable", "boolean", "Whether the record could not be parted into fields; see vault.payloads."
    ),
    ContractColumn(
        "_undeclared_fields",
        "array<string>",
        "Names of fields that the record has and the feed does not declare, *** for what looks like a value; values lie in vault.payloads.",
    ),
)
DELETED = ContractColumn(
    "_is_deleted", "boolean", "Whether the row was gone from the database; the fields are those that were last known."
)
WayIn = Literal["files", "topics", "database"]
# Encodings of CSV. GB 18030 has all of GBK and GB 2312.
Encoding = Literal["utf-8", "gbk", "gb18030", "big5"]


class SourceField(Part):
    """A field of a feed; a dotted name reaches into nested JSON, and becomes a column with underscores."""

    name: str
    description: str
    personal: PersonalKind | None = None
    is_optional: bool = Field(False, alias="optional")

    @property
    def column(self) -> str:
        """The field's column in bronze."""
        return self.name.replace(".", "_")


class Topic(Part):
    """A Kafka topic whose messages are one JSON object each."""

    name: str = Field(pattern=r"^[A-Za-z0-9._-]{1,249}$")
    max_message_bytes: int = Field(1_000_000, ge=1, description="a longer message counts as unparseable")


class DatabaseTable(Part):
    """A table of a PostgreSQL database, and how it is read.

    A row is new or changed by its `cursor`, a column that only grows, such as the time of the last change. Transactions may
    commit out of its order, so each load reads again what lies up to `overlap_minutes` before the newest value that it knows.
    """

    name: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?$")
    key: tuple[str, ...] = Field(min_length=1)
    cursor: str
    overlap_minutes: int = Field(60, ge=0)
    partition_column: str | None = None
    partitions: int = Field(4, ge=1)
    fetch_size: int = Field(10_000, ge=1)


class TableMapping(Part):
    """What a silver table takes from a feed: SQL over the feed's fields per column, or its translation, where `where` holds.

    Rows for which a condition of `reject` holds are refused, with its name as the reason. `arrival` says when a row
    arrives where that is not when its record did, such as a payment that is approved after its order. `where` sees the
    feed's own fields, all else sees those that were looked up too.
    """

    columns: dict[str, Taken]
    where: str = "true"
    reject: dict[str, str] = Field(default_factory=dict)
    arrival: str | LocalTime | None = None


class Lookup(Part):
    """Fields that lie in another feed: those of its record with the same key.

    Args:
        source: the other feed.
        by: this feed's field, or one looked up before, to the other feed's field of the same meaning.
        fields: the name here to SQL over the other feed's fields.
        where: which of the other feed's records count.
    """

    source: str
    by: dict[str, str]
    fields: dict[str, str]
    where: str = "true"


class FeedExpectations(Part):
    """What a feed's owner promises: how fresh it is, and how much comes in a week.

    Args:
        fresh_within_days: the newest record arrived at most so many days before the end of the run date.
        week_to_usual_ratio: bounds of the records that arrived in the last seven days, as a share of the median of the eight
            weeks before; judged once there are four of them.
        severity: critical ends the run with exit code 3, warning is said and kept.
    """

    fresh_within_days: float | None = Field(None, gt=0)
    week_to_usual_ratio: tuple[float, float] | None = None
    severity: Literal["critical", "warning"] = "warning"


class Source(Part):
    """One feed of a dataset, as conf/datasets/<dataset>/<source>.yaml declares it."""

    source: str = Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")
    description: str
    files: str = ""
    topic: Topic | None = None
    table: DatabaseTable | None = None
    format: Literal["csv", "json", "parquet"] = "csv"
    encoding: Encoding = "utf-8"
    delimiter: str = ","
    has_header: bool = Field(True, alias="header")
    multi_line: bool = True
    time_zone: str = "UTC"
    arrival: str
    arrival_formats: tuple[str, ...] = Field(
        (), description="of an arrival that is a wall-clock time of the feed's zone"
    )
    expect: FeedExpectations = FeedExpectations()
    fields: tuple[SourceField, ...]
    lookups: tuple[Lookup, ...] = ()
    tables: dict[str, tuple[TableMapping, ...]]

    @field_validator("tables", mode="before")
    @classmethod
    def _one_mapping_or_several(cls, tables: Any) -> Any:
        """A record gives a table one row, or, where the mapping is a list, one by each of its entries."""
        if not isinstance(tables, dict):
            return tables
        return {name: [told] if isinstance(told, dict) else told for name, told in tables.items()}

    @model_validator(mode="after")
    def _fields_are_distinct(self) -> Source:
        columns = [entry.column for entry in self.fields]
        if len(set(columns)) != len(columns):
            raise ValueError("two fields have the same column")
        looked_up = [name for lookup in self.lookups for name in lookup.fields]
        if len({*columns, *looked_up}) != len(columns) + len(looked_up):
            raise ValueError("a looked-up field has the name of another field")
        if self.arrival == LOOKED_UP and not self.lookups:
            raise ValueError(f"arrival: {LOOKED_UP} needs lookups")
        return self

    @model_validator(mode="after")
    def _comes_in_one_way(self) -> Source:
        if sum(bool(told) for told in (self.files, self.topic, self.table)) != 1:
            raise ValueError("name exactly one of files, topic and table")
        if self.encoding != "utf-8" and (self.format != "csv" or not self.files):
            raise ValueError("encoding is for files of CSV: JSON is UTF-8, and Parquet and a database tell their own")
        if self.table:
            plain = {field.name for field in self.fields if not field.personal}
            hidden = sorted({*self.table.key, self.table.cursor} - plain)
            if hidden:
                raise ValueError(f"key and cursor of a table must be fields that are not personal: {', '.join(hidden)}")
        return self

    @property
    def way_in(self) -> WayIn:
        """How the feed arrives."""
        return "topics" if self.topic else "database" if self.table else "files"

    @property
    def bronze_table(self) -> str:
        """The table that keeps this feed's records as they came."""
        return f"bronze.{self.source}"

    @property
    def reports_unparseable(self) -> str | None:
        """The one silver table that counts the feed's unparseable records among its rejected ones.

        A feed that is only looked up fills no table; its unparseable records stay in bronze and the vault.
        """
        return next(iter(self.tables), None)

    @property
    def bronze_contract(self) -> Contract:
        """The contract of the bronze table: every field as text, a personal one as token and mask."""
        columns: list[ContractColumn] = []
        for entry in self.fields:
            if entry.personal:
                columns.append(
                    ContractColumn(
                        f"{entry.column}_token",
                        "string",
                        f"{entry.description} Keyed token.",
                        classification="personal-token",
                    )
                )
                columns.append(
                    ContractColumn(
                        f"{entry.column}_masked",
                        "string",
                        f"{entry.description} Masked.",
                        classification="personal-masked",
                    )
                )
            else:
                columns.append(ContractColumn(entry.column, "string", entry.description))
        return Contract(
            table=self.bronze_table,
            grain=f"One row per delivered record: {self.description}",
            columns=(*columns, *TECHNICAL_COLUMNS, *((DELETED,) if self.table else ())),
        )


@cache
def read_sources(conf_dir: Path, dataset: str) -> Mapping[str, Source]:
    """The feeds of a dataset, by name.

    Raises:
        ConfigurationError: a file that can't be read, or with a key or value that is not known.
    """
    sources: dict[str, Source] = {}
    for file, declared in declared_feeds(conf_dir, dataset).values():
        try:
            source = Source.model_validate(declared)
        except ValidationError as error:
            raise ConfigurationError(f"{file}: {error}") from error
        if source.source != file.stem:
            raise ConfigurationError(f"{file}: the source must be named {file.stem!r}, not {source.source!r}")
        sources[source.source] = source
    if not sources:
        raise ConfigurationError(f"dataset {dataset} has no sources in {conf_dir / 'datasets' / dataset}")
    for source in sources.values():
        unknown = {lookup.source for lookup in source.lookups} - set(sources)
        if unknown:
            raise ConfigurationError(
                f"source {source.source} looks up {', '.join(sorted(unknown))}, which is no source of dataset {dataset}"
            )
    return sources


def fed_by(sources: Mapping[str, Source], way_in: WayIn) -> dict[str, Source]:
    """The feeds that arrive in one way, by name."""
    return {name: source for name, source in sources.items() if source.way_in == way_in}


def sources_of(sources: Mapping[str, Source], table: str) -> list[tuple[Source, TableMapping]]:
    """The feeds that a silver table takes rows from, with each of their mappings to it."""
    return [(source, mapping) for source in sources.values() for mapping in source.tables.get(table, ())]


def mapped_tables(sources: Mapping[str, Source]) -> set[str]:
    """The silver tables that a dataset's feeds fill by their mappings."""
    return {f"silver.{table}" for source in sources.values() for table in source.tables}
