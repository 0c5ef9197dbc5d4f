"""Contracts: one ODCS v3 file per table, from which come its Delta table, row rules, audit suite and dictionary."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import yaml
from open_data_contract_standard.model import OpenDataContractStandard, SchemaObject, SchemaProperty
from pydantic import ValidationError
from pyspark.sql.types import DataType, StructField, StructType

from jobs.lakehouse.errors import ContractError

LAYERS = ("bronze", "silver", "gold", "ops", "vault", "archive")


@dataclass(frozen=True)
class RowRule:
    """A condition that every row of a table meets; a row that does not is kept apart with the rule's name."""

    name: str
    condition: str


@dataclass(frozen=True)
class Expectation:
    """A rule over a whole table, by its name in Great Expectations."""

    type: str
    kwargs: Mapping[str, Any]
    severity: str = "critical"


@dataclass(frozen=True)
class ContractColumn:
    """A column as its contract declares it."""

    name: str
    data_type: str
    comment: str
    is_required: bool = False
    unit: str = ""
    classification: str = ""


@dataclass(frozen=True)
class Contract:
    """What a table promises: its grain, key, columns, rules and how fresh it is."""

    table: str
    grain: str
    columns: tuple[ContractColumn, ...]
    key: tuple[str, ...] = ()
    partition_columns: tuple[str, ...] = ()
    row_rules: tuple[RowRule, ...] = ()
    expectations: tuple[Expectation, ...] = ()
    freshness: str = ""
    version: str = "1.0.0"
    properties: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def schema(self) -> StructType:
        """The Spark schema, in the contract's order, with comments; required columns are not nullable."""
        return StructType(
            [
                StructField(
                    column.name, DataType.fromDDL(column.data_type), not column.is_required, {"comment": column.comment}
                )
                for column in self.columns
            ]
        )

    @property
    def column_names(self) -> list[str]:
        """The names of the columns, in order."""
        return [column.name for column in self.columns]

    @property
    def has_rules(self) -> bool:
        """Whether a row or the table as a whole can break anything; bronze, which keeps what came, has nothing to break."""
        return bool(
            self.row_rules or self.expectations or self.key or any(column.is_required for column in self.columns)
        )

    @property
    def critical_expectations(self) -> Iterator[Expectation]:
        """The table rules of which a failed one keeps the new version back: the declared ones and the key's uniqueness."""
        yield from self.expectations
        if len(self.key) == 1:
            yield Expectation("expect_column_values_to_be_unique", {"column": self.key[0]})
        elif self.key:
            yield Expectation("expect_compound_columns_to_be_unique", {"column_list": list(self.key)})


def split_table(table: str) -> tuple[str, str]:
    """Layer and name of a table `layer.name`."""
    layer, _, name = table.partition(".")
    if layer not in LAYERS or not name.isidentifier():
        raise ContractError(
            f"{table!r} is no table; tables are named <layer>.<name>, the layers are {', '.join(LAYERS)}"
        )
    return layer, name


@cache
def read_contracts(conf_dir: Path) -> Mapping[str, Contract]:
    """Every contract in conf/contracts, by table.

    Raises:
        ContractError: a file that is not a contract of the Open Data Contract Standard, or that has keys unknown to it.
    """
    contracts = [read_contract(file) for file in sorted(conf_dir.glob("contracts/*/*.yaml"))]
    return {contract.table: contract for contract in contracts}


def read_contract(file: Path) -> Contract:
    """The contract in one file; its id is `<folder>.<file>`."""
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        standard = OpenDataContractStandard.model_validate(content)
    except (yaml.YAMLError, ValidationError) as error:
        raise ContractError(f"{file} is no data contract (ODCS v3): {error}") from error
    unknown = sorted(_unknown_keys(content, standard.model_dump(by_alias=True, exclude_unset=True)))
    if unknown:
        raise ContractError(f"{file}: keys unknown to the Open Data Contract Standard: {', '.join(unknown)}")
    table = f"{file.parent.name}.{file.stem}"
    if standard.id != table or len(standard.schema_ or []) != 1:
        raise ContractError(f"{file}: its id must be {table!r} (is {standard.id!r}) and it must describe one table")
    try:
        return _as_contract(table, standard, (standard.schema_ or [])[0])
    except (KeyError, TypeError, ValueError) as error:
        raise ContractError(f"{file}: {error}") from error


def _as_contract(table: str, standard: OpenDataContractStandard, described: SchemaObject) -> Contract:
    properties = described.properties or []
    purpose = standard.description.purpose if standard.description else None
    if not purpose:
        raise ValueError("description.purpose must say in one sentence what a row is")
    partitioned = sorted(
        (entry for entry in properties if entry.partitioned), key=lambda entry: entry.partitionKeyPosition or 0
    )
    keyed = sorted((entry for entry in properties if entry.primaryKey), key=lambda entry: entry.primaryKeyPosition or 0)
    return Contract(
        table=table,
        grain=purpose,
        columns=tuple(_as_column(entry) for entry in properties),
        key=tuple(str(entry.name) for entry in keyed),
        partition_columns=tuple(str(entry.name) for entry in partitioned),
        row_rules=tuple(_row_rules(properties)),
        expectations=tuple(_expectations(described)),
        freshness=" ".join(
            f"{sla.value} {sla.unit}" for sla in standard.slaProperties or [] if sla.property == "freshness"
        ),
        version=str(standard.version),
        properties={str(entry.property): str(entry.value) for entry in described.customProperties or []},
    )


def _as_column(entry: SchemaProperty) -> ContractColumn:
    if not entry.name or not entry.physicalType or not entry.description:
        raise ValueError(f"column {entry.name!r} needs a name, a physicalType and a description")
    custom = {custom.property: custom.value for custom in entry.customProperties or []}
    return ContractColumn(
        name=entry.name,
        data_type=entry.physicalType,
        comment=entry.description,
        is_required=bool(entry.required or entry.primaryKey),
        unit=str(custom.get("unit", "")),
        classification=entry.classification or "",
    )


def _row_rules(properties: list[SchemaProperty]) -> Iterator[RowRule]:
    for entry in properties:
        for rule in entry.quality or []:
            if rule.type != "sql" or not rule.name or not rule.query:
                raise ValueError(f"the row rule of column {entry.name} needs type sql, a name and a query")
            yield RowRule(rule.name, rule.query)


def _expectations(described: SchemaObject) -> Iterator[Expectation]:
    for rule in described.quality or []:
        if rule.type != "custom" or rule.engine != "greatExpectations" or not isinstance(rule.implementation, dict):
            raise ValueError("a table rule needs type custom, engine greatExpectations and an implementation")
        yield Expectation(
            rule.implementation["type"], rule.implementation.get("kwargs", {}), severity=rule.severity or "critical"
        )


def _unknown_keys(content: Any, understood: Any, path: str = "") -> Iterator[str]:
    if isinstance(content, dict) and isinstance(understood, dict):
        for key, value in content.items():
            if key not in understood:
                yield f"{path}{key}"
            else:
                yield from _unknown_keys(value, understood[key], f"{path}{key}.")
    elif isinstance(content, list) and isinstance(understood, list):
        for position, (entry, read) in enumerate(zip(content, understood, strict=True)):
            yield from _unknown_keys(entry, read, f"{path}{position}.")


def rejected_contract(contract: Contract) -> Contract:
    """The contract of the table that keeps the rows a table refused, with the reasons."""
    return Contract(
        table=f"{contract.table}_rejected",
        grain=f"One row per record that {contract.table} refused, with every reason.",
        columns=(
            ContractColumn(
                "_record_id",
                "string",
                "Id of the record in bronze and in vault.payloads; null where the row is computed.",
            ),
            ContractColumn("reasons", "array<string>", "Names of the rules that the row broke.", is_required=True),
            ContractColumn("record", "string", "The row as it came, as JSON; personal values are tokens."),
            ContractColumn("_run_id", "string", "The run that refused the row."),
        ),
    )
