"""The commands of identity: say who is or is not one customer, see what holds a customer together, and a page about all of them."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.identity.audit_page import page
from jobs.identity.audit_parts import Figure
from jobs.identity.changes import with_level
from jobs.identity.overrides import ALWAYS_JOIN, AS_FOUND, NEVER_JOIN
from jobs.identity.stable_ids import held_accounts
from jobs.lakehouse.cli import settings_of
from jobs.lakehouse.days import utc_now
from jobs.lakehouse.errors import ConfigurationError, DataError
from jobs.lakehouse.job import all_contracts, ledger_of
from jobs.lakehouse.session import open_session
from jobs.lakehouse.settings import Settings
from jobs.lakehouse.tables import Lake, Write, read_table, table_version

OVERRIDES = "ops.identity_overrides"
DECISIONS = {"join": ALWAYS_JOIN, "separate": NEVER_JOIN, "as-found": AS_FOUND}
AUDIT = "gold.identity_audit"
SHOWN_EDGES = 200


def add_commands(commands: Any, add_common: Any) -> None:
    """Add identity and its verbs to the command line.

    Args:
        commands: the commands.
        add_common: adds the options that name the lake.
    """
    parser = commands.add_parser(
        "identity", help="say that accounts are, or are not, one customer; explain a customer; audit all"
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb, told in (
        ("join", "two accounts are always one customer"),
        ("separate", "two accounts are never one customer"),
        ("as-found", "take back what was said of two accounts"),
    ):
        word = verbs.add_parser(verb, help=told)
        word.add_argument("accounts", nargs=2, metavar="ACCOUNT_ID")
        word.add_argument("--who", required=True, help="who says so: a role or user of the company")
        word.add_argument("--why", required=True, help="the reason, without personal data")
        add_common(word)
        word.set_defaults(command=say)
    shown = verbs.add_parser("explain", help="the edges that hold a customer together")
    shown.add_argument("customer_id")
    add_common(shown)
    shown.set_defaults(command=explain)
    drawn = verbs.add_parser("audit", help="a page about all customers: sizes, singles, links, bridges, the largest")
    drawn.add_argument("--output", type=Path, default=Path("identity-audit.html"), metavar="FILE.html")
    add_common(drawn)
    drawn.set_defaults(command=audit)


def say(options: argparse.Namespace) -> int:
    """Write down what a person says of two accounts; the next run of resolve_customers obeys.

    Raises:
        ConfigurationError: an account is not known, or both are the same.
    """
    settings = settings_of(options)
    spark = open_session(settings, "customer-lakehouse")
    one, other = sorted(options.accounts)
    known = held_accounts(_table(spark, settings, "silver.customer_ids"))
    missing = [name for name in (one, other) if known.where(F.col("identifier_value") == name).isEmpty()]
    if missing or one == other:
        told = f"{missing[0]} is no account of the lake" if missing else "name two different accounts"
        raise ConfigurationError(f"{told}; python -m jobs identity explain CUSTOMER_ID lists a customer's accounts")
    row = (one, other, utc_now(), DECISIONS[options.verb], options.who, options.why)
    contract = all_contracts(settings)[OVERRIDES]
    ledger_of(spark, settings).add_rows(OVERRIDES, contract, [row], Write("append"), "a person's word")
    sys.stdout.write(f"{one} and {other}: {row[3]}. Obeyed from the next run: python -m jobs run resolve_customers\n")
    return 0


def explain(options: argparse.Namespace) -> int:
    """Print a customer's accounts and identifiers, each link between them with its rule, source, times and fate, and why it is put aside.

    Raises:
        DataError: there is no such customer now; where it was merged into others, the message names them.
    """
    settings = settings_of(options)
    spark = open_session(settings, "customer-lakehouse")
    ids, edges = _table(spark, settings, "silver.customer_ids"), _table(spark, settings, "silver.identity_edges")
    members = held_by(ids, options.customer_id).count()
    if not members:
        changes = with_level(_table(spark, settings, "silver.identity_changes"))
        of_all = changes.where("level = 'customer_id'").where(F.col("from_customer_id") == options.customer_id)
        later = of_all.orderBy("changed_at", "to_customer_id")
        became = [row["to_customer_id"] for row in later.limit(SHOWN_EDGES).collect()]
        told = f"holds no account any more; they went to {', '.join(became)}" if became else "is not known"
        raise DataError(f"customer {options.customer_id} {told}")
    links = edges_of(ids, edges, options.customer_id)
    count, shown = links.count(), links.limit(SHOWN_EDGES).collect()
    sys.stdout.write(f"{options.customer_id}: {members} accounts and identifiers, {count:,} links\n")
    for line in put_aside(ids, _table(spark, settings, "silver.identity_components"), options.customer_id):
        sys.stdout.write(f"{line}\n")
    for row in shown:
        fate = "joins" if row["is_accepted"] else f"refused: {row['refusal_reason']}"
        seen = f"{row['first_seen_at']:%Y-%m-%d} to {row['last_seen_at']:%Y-%m-%d}" if row["first_seen_at"] else "–"
        sys.stdout.write(
            f"  {row['account_id']:<34} {row['rule']:<12} {row['identifier_value'][:34]:<34} {row['source']:<16}"
            f" {seen}  {row['seen_count'] or 1:>5} times  confidence {row['confidence']:.2f}  {fate}\n"
        )
    if count > SHOWN_EDGES:
        sys.stdout.write(f"  … the first {SHOWN_EDGES}; all are in silver.identity_edges\n")
    return 0


def audit(options: argparse.Namespace) -> int:
    """Write the page about all customers, from the figures of the last run of audit_customers."""
    settings = settings_of(options)
    spark = open_session(settings, "customer-lakehouse")
    rows = [Figure(**row.asDict()) for row in _table(spark, settings, AUDIT, "audit_customers").collect()]
    version = table_version(spark, Lake(settings.path("lake")).path(AUDIT)) or 0
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(page(settings.dataset, version, rows), "utf-8")
    sys.stdout.write(f"{options.output.resolve()}: {len(rows)} figures of {AUDIT}, version {version}\n")
    return 0


def held_by(customer_ids: DataFrame, customer_id: str) -> DataFrame:
    """The accounts and identifiers that a customer holds now."""
    return customer_ids.where((F.col("customer_id") == customer_id) & F.col("valid_to").isNull())


def put_aside(customer_ids: DataFrame, components: DataFrame, customer_id: str) -> list[str]:
    """What to say of the components that a customer's accounts lie in and whose links join nobody: why, and how large they are."""
    if "put_aside_reason" not in components.columns:
        return []  # a table of before, until resolve_customers has run again
    accounts = held_by(customer_ids, customer_id).where("identifier_kind = 'account'")
    own = accounts.select(F.col("identifier_value").alias("account_id"))
    aside = components.where("is_put_aside").join(F.broadcast(own), on="account_id", how="left_semi")
    sizes = ("link_count", "account_count", "name_count")
    rows = (
        aside.select("component_id", "put_aside_reason", *sizes).distinct().orderBy("component_id").limit(SHOWN_EDGES)
    )
    return [
        f"put aside, {row['put_aside_reason']}: {row['link_count']:,} links of {row['account_count']:,} accounts with"
        f" {row['name_count']:,} names hang together (identity.{row['put_aside_reason'].replace('too_many', 'max')}_per_component);"
        " none of them joins, unless a person says so"
        for row in rows.collect()
    ]


def edges_of(customer_ids: DataFrame, edges: DataFrame, customer_id: str) -> DataFrame:
    """The links of a customer's accounts, strongest first, refused ones at the end."""
    accounts = held_by(customer_ids, customer_id).where("identifier_kind = 'account'")
    own = accounts.select(F.col("identifier_value").alias("account_id"))
    return edges.join(F.broadcast(own), on="account_id", how="left_semi").orderBy(
        F.desc("is_accepted"), F.desc("confidence"), "identifier_value", "account_id"
    )


def _table(spark: SparkSession, settings: Settings, table: str, job: str = "resolve_customers") -> DataFrame:
    path = Lake(settings.path("lake")).path(table)
    if table_version(spark, path) is None:
        raise DataError(f"{table} is not there; run python -m jobs run {job} first")
    return read_table(spark, path)
