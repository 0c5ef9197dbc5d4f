"""Resolve who is who: links become components, components customers with one stable id and a history; each link keeps its fate."""

import sys
from collections.abc import Mapping, Set
from functools import reduce
from typing import NamedTuple

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.identity.causes import Judged, judged_since, with_causes
from jobs.identity.changes import KEY, SHIFT, as_changes, as_moves, as_renames, with_level
from jobs.identity.evidence import ACCOUNTS, IDENTIFIERS, OVERRIDES, RECORD_LINKS, TABLES, Evidence, Links, evidence_of
from jobs.identity.increment import incremented
from jobs.identity.resolution import Resolved, resolved_all
from jobs.identity.stable_ids import IDS, renames, with_kept_ids
from jobs.identity.touched import changed_accounts, touched_accounts
from jobs.lakehouse.basis import changed_inputs, read_before
from jobs.lakehouse.caching import checkpoints, few
from jobs.lakehouse.differences import differing
from jobs.lakehouse.identity_settings import IdentitySettings
from jobs.lakehouse.job import Job
from jobs.lakehouse.local_rows import empty_rows, local_rows
from jobs.lakehouse.optional_inputs import read_or_nothing
from jobs.lakehouse.personal import token_of
from jobs.lakehouse.personal_kinds import PersonalKind, normalised
from jobs.lakehouse.run import Run
from jobs.lakehouse.vault import VALUES

EDGES_TABLE, IDS_TABLE, CHANGES = "silver.identity_edges", "silver.customer_ids", "silver.identity_changes"
COMPONENTS = "silver.identity_components"
# The tables of a `Resolved`, in its order.
RESOLVED = (IDS_TABLE, EDGES_TABLE, COMPONENTS)
JOB = Job(
    reads=(*TABLES, VALUES),
    writes=(EDGES_TABLE, IDS_TABLE, CHANGES, COMPONENTS),
    settings=(IdentitySettings,),
    can_lack=(RECORD_LINKS, OVERRIDES),
)
PERSONAL_KINDS: Mapping[str, PersonalKind] = {
    "phone": "phone", "email": "email", "open_id": "open_id", "union_id": "union_id", "device": "device_id", "cookie": "device_id",
    "payer": "payment_account", "address": "address",
}  # fmt: skip


class Renamed(NamedTuple):
    """What of the ids is another than found, or than published.

    Args:
        ids: the rows of `renames`, with the `level` that they are about.
        before: the customer ids as they were published last.
    """

    ids: DataFrame
    before: DataFrame


def blocked_values(run: Run) -> DataFrame:
    """One row per value that the settings block, as its token."""
    links = run.part(IdentitySettings).links
    listed = [(rule, value) for rule, link in links.items() for value in link.blocked_values]
    rows = [(rule, _token(run, rule, value)) for rule, value in listed]
    return local_rows(run.spark, rows, "rule string, identifier_value string")


def _token(run: Run, rule: str, value: str) -> str:
    if rule not in PERSONAL_KINDS:
        return value
    plain = normalised(PERSONAL_KINDS[rule], value, run.settings.calendar.phone_region)
    return token_of(run.keys(), PERSONAL_KINDS[rule], plain or value)


def under_kept_ids(found: DataFrame, published: DataFrame | None) -> tuple[DataFrame, Renamed | None]:
    """The customer ids under the names that were published, and what of them is another than found, or than published.

    Needs a checkpoint folder.

    Args:
        found: the customer ids under the names that the links alone give.
        published: the same customers' ids as they were published last; None before the first run.
    """
    if published is None:
        return found, None
    renamed = [few(renames(found, published, column).checkpoint()) for column in IDS]
    # What changed is read off the ids several times.
    leveled = [ids.withColumn("level", F.lit(level)) for level, ids in zip(IDS, renamed, strict=True)]
    return with_kept_ids(found, renamed).checkpoint(), Renamed(reduce(DataFrame.unionByName, leveled), published)


def new_changes(
    customer_ids: DataFrame,
    renamed: Renamed | None,
    written: DataFrame | None,
    as_of: Column,
    judged: Judged | None = None,
) -> DataFrame:
    """The merges and splits that the history tells, moves that it tells no more, and renames; of each of the two ids.

    Needs a checkpoint folder.

    Args:
        customer_ids: the history, with `_ended_by`; of customers that are left out, what was written is all.
        renamed: what `under_kept_ids` tells of this run.
        written: the changes as they were published last.
        as_of: the end of the run's day.
        judged: the links before and now, which tell why; None where nothing is known of them.
    """
    told = as_changes(customer_ids).checkpoint()
    if renamed is None:
        return told
    moves = as_moves(renamed.before, customer_ids, told, as_of).checkpoint()
    # That one id became the other is told once.
    known = [told, moves] if written is None else [told, moves, with_level(written)]
    kept = as_renames(renamed.ids, customer_ids, as_of)
    kept = kept.join(
        reduce(DataFrame.unionByName, [rows.select(*SHIFT) for rows in known]), on=list(SHIFT), how="left_anti"
    )
    untold = with_causes(moves.unionByName(kept).checkpoint(), renamed.before, customer_ids, judged)
    return told.unionByName(untold.select(*told.columns)).checkpoint()


def all_changes(
    customer_ids: DataFrame,
    renamed: Renamed | None,
    written: DataFrame | None,
    as_of: Column,
    judged: Judged | None = None,
) -> DataFrame:
    """What `new_changes` tells, and all others that were ever written down. Needs a checkpoint folder."""
    told = new_changes(customer_ids, renamed, written, as_of, judged)
    if written is None:
        return told
    return told.unionByName(with_level(written).select(*told.columns).join(told, on=list(KEY), how="left_anti"))


def rotated_tokens(values: DataFrame | None) -> DataFrame | None:
    """One row per value whose token has changed, with the origin that stands for it."""
    return None if values is None else values.where("origin is not null").select("token", "origin")


def evidence_now(run: Run, links: Links, rotated: DataFrame | None) -> Evidence:
    """The evidence as the run's inputs tell it."""
    tables = {name: read_or_nothing(run, name) for name in TABLES}
    return evidence_of(tables, links, rotated)


def evidence_before(run: Run, now: Evidence, links: Links, changed: Set[str]) -> Evidence:
    """The evidence from which what is published was made; what has not been written since is the frame of now."""
    told = {name: read_before(run, name) for name in TABLES}
    tables = {name: empty_rows(run.spark, run.contract(name)) if rows is None else rows for name, rows in told.items()}
    before = evidence_of(tables, links, rotated_tokens(read_before(run, VALUES)))
    return before._replace(
        accounts=before.accounts if ACCOUNTS in changed else now.accounts,
        identifiers=before.identifiers if IDENTIFIERS in changed else now.identifiers,
    )


def published_before(run: Run) -> Resolved | None:
    """What was published last; None where a table of it is not there."""
    told = [run.previous(name) for name in (*RESOLVED, CHANGES)]
    rows = [rows for rows in told if rows is not None]
    return Resolved(*rows[: len(RESOLVED)]) if len(rows) == len(told) else None


def touched_since(
    run: Run,
    now: Evidence,
    rotated: DataFrame | None,
    published: Resolved | None,
    settings: IdentitySettings,
    blocked: DataFrame,
) -> DataFrame | None:
    """One row per account that must be resolved anew; None where it is all of them. The run tells which, and why."""
    told, changed = "all accounts anew", changed_inputs(run)
    if published is None or changed is None:
        run.facts["identity"] = f"{told}, for there is no run of the same terms to build upon"
        return None
    before = evidence_before(run, now, settings.links, changed)
    if VALUES in changed and is_rotated(rotated_tokens(read_before(run, VALUES)), rotated):
        run.facts["identity"] = f"{told}, for keys were rotated"
        return None
    total = published.components.count()
    touched = few(changed_accounts(before, now).checkpoint())
    count = touched.count()
    if count <= settings.max_touched_share * total:
        touched = touched_accounts(before, now, touched, published.components, settings.links, blocked).checkpoint()
        count = touched.count()
    is_few = count <= settings.max_touched_share * total
    run.facts["identity"] = f"{count:,} of {total:,} accounts anew" if is_few else f"{told}, for {count:,} are touched"
    return few(touched) if is_few else None


def is_rotated(then: DataFrame | None, now: DataFrame | None) -> bool:
    """Whether other origins stand for values now than did then."""
    if then is None or now is None:
        return (then or now) is not None
    return not differing(then, now, "token", "origin").isEmpty()


def build(run: Run) -> None:
    settings = run.part(IdentitySettings)
    # Streams keep theirs in _checkpoints, and go on beside this.
    run.keep(checkpoints(run.spark, f"{run.lake.root}/_checkpoints_of_customers"))
    rotated = rotated_tokens(run.read(VALUES) if run.has(VALUES) else None)
    now, blocked = evidence_now(run, settings.links, rotated), blocked_values(run)
    published = published_before(run)
    touched = touched_since(run, now, rotated, published, settings, blocked)
    if published is None or touched is None:
        found, before, rest = resolved_all(now, settings, blocked), run.previous(IDS_TABLE), None
    else:
        found, before, rest = incremented(now, published, touched, settings, blocked)
    customer_ids, renamed = under_kept_ids(found.customer_ids, before)
    judged = judged_since(run.previous(EDGES_TABLE), found.edges, touched, now.words, settings.links)
    changes = all_changes(customer_ids, renamed, run.previous(CHANGES), F.lit(run.as_of), judged)
    run.publish(CHANGES, changes.select(*run.contract(CHANGES).column_names))
    resolved = found._replace(customer_ids=customer_ids)
    for table, rows, stay in zip(RESOLVED, resolved, rest or [None] * len(RESOLVED), strict=True):
        run.publish(table, rows.select(*run.contract(table).column_names), stay=stay)


if __name__ == "__main__":
    sys.exit(JOB.main(__doc__, build))
