"""Load new files of every feed into bronze: each field as it came, personal ones as keyed tokens, their values sealed in the vault."""

import datetime as dt
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.ingest.deliveries import Delivery, KnownDelivery, new_deliveries
from jobs.ingest.drift import DECLARED, KEPT, as_warnings
from jobs.ingest.records import read_records, with_arrival, with_record_id, with_tokens
from jobs.ingest.sealing import Written, all_written, send_sealed
from jobs.ingest.shapes import retyped, shown_name, undeclared
from jobs.lakehouse.archive import kept_rows
from jobs.lakehouse.errors import DataError, QualityGateError
from jobs.lakehouse.files import list_files
from jobs.lakehouse.job import Job
from jobs.lakehouse.keys import Keys
from jobs.lakehouse.local_rows import local_rows
from jobs.lakehouse.run import Run
from jobs.lakehouse.settings import IngestSettings, PrivacySettings
from jobs.lakehouse.side_by_side import side_by_side
from jobs.lakehouse.slices import changed_since
from jobs.lakehouse.sources import Source, fed_by
from jobs.lakehouse.tables import Write, is_kept, read_table, table_version
from jobs.lakehouse.vault import PAYLOADS, VALUES

JOB = Job(
    reads=("files.*",),
    writes=("bronze.*", VALUES, PAYLOADS, "ops.deliveries"),
    settings=(IngestSettings, PrivacySettings),
)
DELIVERIES = "ops.deliveries"


@dataclass(frozen=True)
class Load:
    """What the new files of one feed bring, and how many of their records bronze holds already."""

    source: Source
    written: Written
    held: int


def build(run: Run) -> None:
    now = dt.datetime.now(dt.UTC).replace(tzinfo=None, microsecond=0)
    known = _known(run)
    feeds = list(fed_by(run.sources, "files").values())
    found = side_by_side(lambda source: _new_deliveries(run, source, known.get(source.source, {})), feeds)
    taken = [delivery for deliveries in found for delivery in deliveries]
    _refuse_if_too_many_are_bad(taken, run.part(IngestSettings))
    good = [[delivery for delivery in deliveries if delivery.reason is None] for deliveries in found]
    news = [(source, deliveries) for source, deliveries in zip(feeds, good, strict=True) if deliveries]
    keys = run.keys() if news else None
    loads = [] if keys is None else side_by_side(lambda new: _load(run, keys, *new, now), news)
    # The vault first: once bronze has a record its file may go, and nothing else has its values and its line.
    send_sealed(run.publish, [load.written.values for load in loads], [load.written.lines for load in loads])
    for load in loads:
        run.account_for(load.written.row_count, {load.source.bronze_table: load.held})
        if load.held and load.held == load.written.row_count:
            # All of it was committed by a run that was killed before it could say so.
            continue
        run.publish(load.source.bronze_table, load.written.bronze, Write("append"))
    if taken:
        # What was quarantined may be loaded by now.
        run.publish(DELIVERIES, _as_delivery_rows(run, taken, now), Write("merge"))
    _audit_fields(run, news)
    _tell(run, taken)


def _load(run: Run, keys: Keys, source: Source, deliveries: list[Delivery], now: dt.datetime) -> Load:
    plain = with_arrival(read_records(run.spark, source, deliveries), source, now)

    def made_of(records: DataFrame) -> DataFrame:
        return with_record_id(with_tokens(records, source, keys, run.settings.calendar.phone_region), source)

    written = all_written(plain, made_of, source, keys, run.lake.staging_path(run.job, source.bronze_table))
    table = source.bronze_table
    if table_version(run.spark, run.lake.path(table)) in (None, run.left.get(table)):
        # Nothing of a run that was killed can lie in it.
        return Load(source, written, 0)
    fresh = _without_committed(run, source, written.bronze)
    return Load(source, written._replace(bronze=fresh), written.row_count - fresh.count())


def _new_deliveries(run: Run, source: Source, known: Mapping[str, KnownDelivery]) -> list[Delivery]:
    entries = list_files(run.spark, run.settings.path("data"), source.files)
    if not entries:
        raise DataError(f"no file matches {source.files} in {run.settings.path('data')} (feed {source.source})")
    lost = _lost_deliveries(run, source)
    return new_deliveries(
        run.spark, source, entries, {name: seen for name, seen in known.items() if seen.delivery_id not in lost}
    )


def _lost_deliveries(run: Run, source: Source) -> set[str]:
    """The deliveries that the last load left in bronze, and that a restore of it has taken away since; their files are read again.

    What lies in the archive is not lost, and what was deleted there by its age was not in bronze any more.
    """
    version, path = changed_since(run, source.bronze_table), run.lake.path(source.bronze_table)
    if version is None or not is_kept(run.spark, path, version):
        return set()
    lost = read_table(run.spark, path, version).select("_delivery_id").distinct()
    for rows in kept_rows(run.spark, run.lake, source.bronze_contract):
        lost = lost.join(rows.select("_delivery_id"), on="_delivery_id", how="left_anti")
    return {row["_delivery_id"] for row in lost.collect()}


def _known(run: Run) -> dict[str, dict[str, KnownDelivery]]:
    """What the lake last heard of each file of each feed; one row per content that a file ever had."""
    path = run.lake.path(DELIVERIES)
    known: dict[str, dict[str, KnownDelivery]] = {}
    if table_version(run.spark, path) is not None:
        told = read_table(run.spark, path).orderBy("_loaded_at")
        columns = ("source", "file", "size_bytes", "changed_at_ms", "content_hash", "delivery_id", "reason")
        for source, *file in told.select(*columns).toLocalIterator():
            known.setdefault(source, {})[file[0]] = KnownDelivery(*file)
    return known


def _without_committed(run: Run, source: Source, bronze: DataFrame) -> DataFrame:
    """The rows less those of files that a run committed to bronze before it was killed, wherever they lie by now."""
    for rows in kept_rows(run.spark, run.lake, source.bronze_contract):
        committed = rows.select("_delivery_id").distinct()
        bronze = bronze.join(F.broadcast(committed), on="_delivery_id", how="left_anti")
    return bronze


def _refuse_if_too_many_are_bad(taken: list[Delivery], settings: IngestSettings) -> None:
    bad = [delivery for delivery in taken if delivery.reason]
    if bad and len(bad) > settings.max_quarantined_files_share * len(taken):
        told = "; ".join(f"{delivery.entry.path}: {delivery.reason}" for delivery in bad[:5])
        raise QualityGateError(f"{len(bad)} of {len(taken)} new files can't be taken, nothing was loaded: {told}")


def _as_delivery_rows(run: Run, taken: list[Delivery], now: dt.datetime) -> DataFrame:
    """One row per new file, with the reason of its quarantine where there is one."""
    rows = [
        (
            delivery.delivery_id,
            delivery.source,
            delivery.entry.name,
            delivery.content_hash,
            delivery.entry.size,
            delivery.entry.changed_at_ms,
            "quarantined" if delivery.reason else "loaded",
            delivery.reason,
            list(delivery.kinds(run.sources[delivery.source]).items()) or None,
            now,
        )
        for delivery in taken
    ]
    return local_rows(run.spark, rows, run.contract(DELIVERIES).schema)


def _tell(run: Run, taken: list[Delivery]) -> None:
    bad = [delivery for delivery in taken if delivery.reason]
    run.facts["files"] = f"{len(taken) - len(bad)} loaded, {len(bad)} quarantined"
    for delivery in bad[:5]:
        run.facts[delivery.entry.name] = delivery.reason or ""


def _audit_fields(run: Run, news: list[tuple[Source, list[Delivery]]]) -> None:
    """Say which fields are new or have changed their kind; a header of a file that is not taken may be a row of values."""
    tells_kinds = any(delivery.types for _, deliveries in news for delivery in deliveries)
    last = _last_fields(run) if tells_kinds else {}
    for source, deliveries in news:
        names = undeclared({name for delivery in deliveries for name in delivery.header}, source)
        kinds = [last.get(source.source, {}), *(delivery.kinds(source) for delivery in deliveries)]
        changed = sorted({told for before, now in pairwise(filter(None, kinds)) for told in retyped(before, now)})
        run.judge(as_warnings(source, {DECLARED: sorted(set(map(shown_name, names))), KEPT: changed}), "")


def _last_fields(run: Run) -> dict[str, dict[str, str]]:
    """By feed, the kinds of the fields in its delivery before these."""
    path = run.lake.path(DELIVERIES)
    if table_version(run.spark, path) is None or "fields" not in read_table(run.spark, path).columns:
        return {}
    told = read_table(run.spark, path).where(F.col("fields").isNotNull())
    last = told.groupBy("source").agg(F.max_by("fields", F.struct("_loaded_at", "file")).alias("fields"))
    return {row["source"]: {field["name"]: field["kind"] for field in row["fields"]} for row in last.collect()}


if __name__ == "__main__":
    sys.exit(JOB.main(__doc__, build))
