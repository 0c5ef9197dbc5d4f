"""Incremental = full: whatever comes, changes, goes or is said on a day, the rows are those that a run over all would leave."""

import datetime as dt
from collections.abc import Mapping
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from jobs.identity.causes import judged_since
from jobs.identity.evidence import TABLES as INPUTS
from jobs.identity.evidence import Evidence, evidence_of
from jobs.identity.increment import Increment, incremented
from jobs.identity.overrides import Words
from jobs.identity.resolution import Resolved, resolved_all
from jobs.identity.resolve_customers import all_changes, under_kept_ids
from jobs.identity.touched import changed_accounts, touched_accounts
from jobs.lakehouse.identity_settings import IdentitySettings, LinkSettings
from jobs.lakehouse.settings import load_settings
from tests.identity.small_worlds import PAST_DAYS, SmallWorlds
from tests.rows import CONF_DIR, NOON, account, contract_of, frame_of, identifier

pytestmark = pytest.mark.long

HOUSE = load_settings("local", "world", str(CONF_DIR)).identity
NARROW = {
    "phone": {"max_accounts": 3},
    "email": {"max_accounts": 2, "max_per_account": 1},
    "device": {"max_accounts": 2},
}
# Limits so narrow that small worlds meet them.
RULES = HOUSE.model_copy(
    update={
        "links": {rule: link.model_copy(update=NARROW.get(rule, {})) for rule, link in HOUSE.links.items()},
        "max_links_per_component": 14,
        "max_accounts_per_component": 6,
    }
)
OTHER_RULES = RULES.model_copy(
    update={"links": {**RULES.links, "phone": LinkSettings(priority=4, joins="never"), "fax": LinkSettings(priority=9)}}
)
# From these days on; others are resolved by the rules of the day before.
RULES_OF_DAY = {2: OTHER_RULES, 3: RULES}
TABLES = ("silver.customer_ids", "silver.identity_edges", "silver.identity_components", "silver.identity_changes")
BLOCKED = [("phone", "w1:phone0"), ("email", "w2:email1")]
# When a row of a table was told.
TOLD_AT = {"ops.identity_overrides": "made_at"}
Published = Mapping[str, DataFrame]


@pytest.fixture(scope="module", autouse=True)
def checkpoints(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> None:
    spark.sparkContext.setCheckpointDir(str(tmp_path_factory.mktemp("checkpoints")))


def evidence_in(spark: SparkSession, worlds: SmallWorlds, settings: IdentitySettings) -> Evidence:
    return evidence_of({name: frame_of(spark, name, *worlds.rows(name)) for name in worlds.tables}, settings.links)


def tables_of(
    found: Resolved,
    before: Published | None,
    as_of: dt.datetime,
    words: Words,
    increment: Increment | None = None,
    touched: DataFrame | None = None,
) -> dict[str, list[tuple[Any, ...]]]:
    """The rows of each table that the job writes, in order."""
    published, written = (before[TABLES[0]], before[TABLES[3]]) if before else (None, None)
    customer_ids, renamed = under_kept_ids(found.customer_ids, increment.before if increment else published)
    judged = judged_since(before[TABLES[1]] if before else None, found.edges, touched, words, RULES.links)
    changes = all_changes(customer_ids, renamed, written, F.lit(as_of), judged)
    frames = [(name, rows) for name, rows in zip(TABLES, (customer_ids, *found[1:], changes), strict=True)]
    # What stays is told beside what was found, and neither has a row of the other.
    frames += zip(TABLES, increment.rest, strict=False) if increment else []
    told: dict[str, list[tuple[Any, ...]]] = {name: [] for name in TABLES}
    for name, rows in frames:
        told[name] += [tuple(row) for row in rows.select(*contract_of(name).column_names).collect()]
    return {name: sorted(rows, key=repr) for name, rows in told.items()}


def as_published(spark: SparkSession, tables: Mapping[str, list[tuple[Any, ...]]]) -> Published:
    return {
        name: spark.createDataFrame(rows, StructType(contract_of(name).schema.fields)) for name, rows in tables.items()
    }


def told_apart(found: list[tuple[Any, ...]], expected: list[tuple[Any, ...]]) -> str:
    """The first rows that only one of the two has."""
    lacking, more = (
        sorted(map(repr, one - other)) for one, other in ((set(expected), set(found)), (set(found), set(expected)))
    )
    return "\n".join(["lacks:", *lacking[:4], "has:", *more[:4]])


def tables_of_increment(
    before: Evidence,
    now: Evidence,
    published: Published,
    settings: IdentitySettings,
    blocked: DataFrame,
    as_of: dt.datetime,
) -> tuple[dict[str, list[tuple[Any, ...]]], int]:
    """The rows of each table after an increment, and how many accounts it touched."""
    state = Resolved(*(published[name] for name in TABLES[:3]))
    changed = changed_accounts(before, now).checkpoint()
    touched = touched_accounts(before, now, changed, state.components, settings.links, blocked).checkpoint()
    increment = incremented(now, state, touched, settings, blocked)
    return tables_of(increment.found, published, as_of, now.words, increment, touched), touched.count()


def hold_against_full(spark: SparkSession, seed: int, days: int, worlds_count: int = 40) -> tuple[int, int]:
    """Let days pass, some with other rules, and hold each increment against the full run; how many accounts were touched, of how many."""
    worlds = SmallWorlds(seed, worlds_count, busy=max(1, worlds_count // 5))
    blocked = spark.createDataFrame(BLOCKED, "rule string, identifier_value string")
    settings, before, published = RULES, None, None
    touched_count = account_count = 0
    for day in range(days):
        if day in RULES_OF_DAY:
            settings, before = RULES_OF_DAY[day], None
        as_of = NOON + dt.timedelta(days=100 + day)
        now = evidence_in(spark, worlds, settings)
        expected = tables_of(resolved_all(now, settings, blocked), published, as_of, now.words)
        if before is not None and published is not None:
            made, touched = tables_of_increment(before, now, published, settings, blocked, as_of)
            for name in TABLES:
                assert made[name] == expected[name], (
                    f"seed {seed}, day {day}, {name} {told_apart(made[name], expected[name])}"
                )
            touched_count += touched
            account_count += len(expected["silver.identity_components"])
        before, published = now, as_published(spark, expected)
        worlds.next_day()
    return touched_count, account_count


def test_an_increment_is_the_full_run_whatever_happens_on_a_day(spark: SparkSession) -> None:
    touched, of = hold_against_full(spark, seed=20251228, days=5)
    assert 0 < touched < 0.4 * of, "and at the cost of the day"


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(1))
def test_increments_are_full_runs_for_many_days(spark: SparkSession, seed: int) -> None:
    hold_against_full(spark, seed, days=8, worlds_count=100)


def held_at(customer_ids: DataFrame, at: dt.datetime) -> set[frozenset[tuple[str, str]]]:
    """Which accounts and identifiers were one customer at a time."""
    held = customer_ids.where(f"valid_from <= timestamp'{at}' and coalesce(valid_to > timestamp'{at}', true)")
    groups: dict[str, set[tuple[str, str]]] = {}
    for row in held.select("customer_id", "identifier_kind", "identifier_value").collect():
        groups.setdefault(row[0], set()).add((row[1], row[2]))
    return {frozenset(group) for group in groups.values()}


def test_nothing_that_comes_later_changes_who_was_who(spark: SparkSession) -> None:
    """What is told as of a moment is what a run told that knew nothing that came after it."""
    worlds = SmallWorlds(seed=4711, count=60, busy=30)
    for _ in range(6):
        worlds.next_day()
    blocked = spark.createDataFrame(BLOCKED, "rule string, identifier_value string")
    # A component that grows suspicious is put aside with all its past.
    limits = ("max_links_per_component", "max_accounts_per_component")
    settings = RULES.model_copy(update={name: getattr(HOUSE, name) for name in limits})
    rows = {name: worlds.rows(name) for name in worlds.tables}
    after = resolved_all(evidence_in(spark, worlds, settings), settings, blocked).customer_ids.checkpoint()
    for day in (PAST_DAYS // 3, PAST_DAYS, PAST_DAYS + 3):
        at = NOON + dt.timedelta(days=day)
        known = {
            name: [row for row in told if row[TOLD_AT.get(name, "arrived_at")] <= at] for name, told in rows.items()
        }
        then = evidence_of({name: frame_of(spark, name, *told) for name, told in known.items()}, settings.links)
        before = resolved_all(then, settings, blocked).customer_ids
        expected = held_at(before, at)
        assert any(len(group) > 2 for group in expected)
        assert held_at(after, at) == expected, f"day {day}"


def test_an_id_that_a_customer_who_is_not_touched_goes_by_is_not_minted_again(spark: SparkSession) -> None:
    """The oldest account left its customer, its id stayed there; the account goes, and comes back."""
    settings, blocked = OTHER_RULES, spark.createDataFrame([], "rule string, identifier_value string")
    names = ["old", "n0", "n1", "n2"]
    accounts = [account(account_id=name, arrived_at=NOON + dt.timedelta(hours=hour)) for hour, name in enumerate(names)]
    held = {"phone": ("old", "n0"), "email": ("n0", "n1"), "open_id": ("n1", "n2")}
    seen = [
        identifier(account_id=name, identifier_kind=kind, arrived_at=NOON + dt.timedelta(hours=9))
        for kind, holders in held.items()
        for name in holders
    ]

    def evidence(*left_out: str) -> Evidence:
        rows = {"silver.accounts": accounts, "silver.identifiers": seen}
        kept = {name: [row for row in rows.get(name, []) if row["account_id"] not in left_out] for name in INPUTS}
        return evidence_of({name: frame_of(spark, name, *told) for name, told in kept.items()}, settings.links)

    by_phone = settings.model_copy(update={"links": RULES.links})
    together = tables_of(resolved_all(evidence(), by_phone, blocked), None, NOON, {})
    apart = tables_of(resolved_all(evidence(), settings, blocked), as_published(spark, together), NOON, {})
    (first,) = {row[4] for row in together["silver.customer_ids"] if row[3] is None}
    assert {row[1] for row in apart["silver.customer_ids"] if row[4] == first and row[0] == "account"} == {*names[1:]}
    gone, _ = tables_of_increment(evidence(), evidence("old"), as_published(spark, apart), settings, blocked, NOON)
    back, touched = tables_of_increment(evidence("old"), evidence(), as_published(spark, gone), settings, blocked, NOON)
    assert touched < len(names), "the others are not touched"
    assert back == tables_of(resolved_all(evidence(), settings, blocked), as_published(spark, gone), NOON, {})
    assert first not in {row[4] for row in back["silver.customer_ids"] if row[1] == "old"}
