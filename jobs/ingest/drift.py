"""Drift: what a feed has that it does not declare, lacks, or tells in another kind than before; said and kept in ops.audits."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from pyspark.sql import functions as F

from jobs.ingest.shapes import Shape, field_in_file, retyped, shown, undeclared
from jobs.lakehouse.ledger import AUDITS
from jobs.lakehouse.quality import Audited
from jobs.lakehouse.run import Run
from jobs.lakehouse.sources import Source
from jobs.lakehouse.tables import read_table, table_version

DECLARED, PRESENT, KEPT = "every field is declared", "no field is missing", "fields keep their kinds"
KINDS = "the fields and their kinds"


def as_warnings(source: Source, found: Mapping[str, list[str]]) -> list[Audited]:
    """What was expected of a feed's fields, each with the fields of which it does not hold."""
    return [Audited(source.bronze_table, told, "warning", not names, ", ".join(names)) for told, names in found.items()]


def audit_drift(run: Run, source: Source, shape: Shape) -> None:
    """Hold what arrived against what the feed declares and against what the run before saw; each difference is a warning.

    Args:
        run: the run.
        source: the feed.
        shape: the fields that arrived, name to kind; nothing is said of none.
    """
    if not shape:
        return
    shape, before = shown(shape, source), last_shape(run, source)
    found = {DECLARED: undeclared(shape, source), PRESENT: missing(shape, source), KEPT: retyped(before, shape)}
    run.judge([*as_warnings(source, found), _kept_kinds(source, {**before, **shape})], "")


def _kept_kinds(source: Source, shape: Shape) -> Audited:
    """What the next run finds of this one's fields."""
    told = json.dumps(shape, sort_keys=True, ensure_ascii=False)
    return Audited(source.bronze_table, KINDS, "warning", True, told)


@dataclass
class Watch:
    """What a stream knows of its feed's fields, so that each difference is told when it first comes, and once."""

    known: Shape | None = None
    told: set[tuple[str, str]] = field(default_factory=set)

    def audit(self, run: Run, source: Source, shape: Shape) -> None:
        """Hold the fields of one batch against the feed and against all before it; what is new is a warning.

        Args:
            run: the run.
            source: the feed.
            shape: the fields of the batch, name to kind; nothing is said of none.
        """
        if not shape:
            return
        shape = shown(shape, source)
        known = last_shape(run, source) if self.known is None else self.known
        found = {DECLARED: undeclared(shape, source), PRESENT: missing(shape, source), KEPT: retyped(known, shape)}
        news = {what: [name for name in names if (what, name) not in self.told] for what, names in found.items()}
        audited = as_warnings(source, {what: names for what, names in news.items() if names})
        self.told |= {(what, name) for what, names in news.items() for name in names}
        now = {**known, **shape}
        if self.known is None or now != known:
            audited.append(_kept_kinds(source, now))
        self.known = now
        run.judge(audited, "")


def missing(shape: Mapping[str, str], source: Source) -> list[str]:
    """The fields that the feed must have and that none of its records has."""
    required = {field_in_file(field.name, source) for field in source.fields if not field.is_optional}
    return sorted(required - set(shape))


def merged(one: Shape, other: Shape) -> Shape:
    """The fields of both; one that has two kinds is mixed."""
    both = {**one, **other}
    for name in one.keys() & other.keys():
        kinds = {one[name], other[name]} - {"null"}
        both[name] = "null" if not kinds else kinds.pop() if len(kinds) == 1 else "mixed"
    return both


def last_shape(run: Run, source: Source) -> Shape:
    """The fields and kinds that were last seen of the feed; none before its first run."""
    path = run.lake.path(AUDITS)
    if table_version(run.spark, path) is None:
        return {}
    own = read_table(run.spark, path).where(
        (F.col("table_name") == source.bronze_table) & (F.col("expectation") == KINDS)
    )
    row = own.orderBy(F.desc("audited_at")).select("observed").first()
    found: Shape = json.loads(row["observed"]) if row else {}
    return shown(found, source)
