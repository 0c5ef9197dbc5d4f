"""How links make customers of accounts: the settings of identity."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from jobs.lakehouse.part import Part

# Links between two accounts, without a value that others could share.
PAIRS = ("record_link", "override")
OF_VALUES = {"max_accounts", "max_per_account", "max_per_customer", "confidence", "blocked_values"}
Attribute = Literal["name", "phone", "email", "birth_date", "city", "country", "store", "registered"]


class LinkSettings(Part):
    """How one kind of link joins accounts: by an identifier, by likeness of records, or by a person's word."""

    priority: int = Field(
        description="where it stands against other kinds; 1 is the strongest, weaker bridges are cut first"
    )
    joins: Literal["always", "not_against_name", "with_same_name", "never"] = "always"
    max_accounts: int = Field(10, ge=1, description="the most accounts that one value joins; the first to arrive")
    max_per_account: int | None = Field(
        None, ge=1, description="the most values of one account that join; the first to arrive"
    )
    max_per_customer: int | None = Field(
        None, ge=1, description="the most values that a customer has; a bridge is cut to keep it"
    )
    confidence: float = Field(1.0, gt=0, le=1)
    min_confidence: float = Field(0.0, ge=0, le=1, description="links that are less sure do not join")
    half_life_days: int | None = Field(None, ge=1, description="days in which confidence halves; none keeps it")
    is_exact: bool = Field(True, description="whether customer_id_exact counts it too")
    blocked_values: tuple[str, ...] = Field((), description="values that never join: test numbers, a shop's own tablet")


class SurvivorSettings(Part):
    """Which of several values of an attribute survives in a customer's golden record."""

    sources: tuple[str, ...] = Field(
        (), description="feeds by priority, the most trusted first; others come after, and silver.repairs may be one"
    )
    prefer: Literal["recency", "completeness", "first"] = Field(
        "recency",
        description="within a source: the last told, the record that tells most attributes, or the first told",
    )


class IdentitySettings(Part):
    """How identifiers become customers: the engine, its sizes, and each kind of link."""

    engine: Literal["contract", "graphframes"] = "contract"
    edges_per_process: int = Field(20_000_000, ge=1, description="the most edges that one process joins in memory")
    max_links_per_component: int = Field(
        2_000, ge=1, description="a component with more links is suspicious; none of them joins"
    )
    max_accounts_per_component: int = Field(500, ge=1, description="one of more accounts is, too")
    max_names_per_component: int = Field(50, ge=1, description="and one whose accounts have more names")
    max_touched_share: float = Field(
        0.25,
        ge=0,
        le=1,
        description="where a larger share of accounts is touched since the last run all are resolved anew",
    )
    household_max_customers: int = Field(
        8, ge=2, description="a thing that more customers share joins nobody; nor is a larger group a household"
    )
    links: dict[str, LinkSettings] = Field(default_factory=dict)
    survivorship: dict[Attribute, SurvivorSettings] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _pairs_have_no_values(self) -> IdentitySettings:
        for rule in PAIRS:
            link = self.links.get(rule)
            if link is None:
                continue
            if unheard := sorted(OF_VALUES & link.model_fields_set):
                raise ValueError(f"links.{rule} joins two accounts by no value, so it has no {', '.join(unheard)}")
            if link.joins not in ("always", "never"):
                raise ValueError(f"links.{rule} joins two accounts by no value: joins is always or never")
        return self
