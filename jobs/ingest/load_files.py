"""Load new files of every feed into bronze: each field as it came, personal ones as keyed tokens, their values sealed in the vault."""

import datetime as dt
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import reduce
from itertools import pairwise

from pyspark import StorageLevel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.ingest.deliveries import Delivery, KnownDelivery, new_deliveries
from jobs.ingest.records import (
    as_bronze,
    payloads,
    personal_values,
    read_records,
    with_arrival,
    with_record_id,
    with_tokens,
)
from jobs.ingest.shapes import retyped, undeclared
from jobs.lakehouse.errors import DataError, QualityGateError
from jobs.lakehouse.files import list_files
from jobs.lakehouse.job import Job
from jobs.lakehouse.personal import sealed
from jobs.lakehouse.quality import Audited
from jobs.lakehouse.run import Run
from jobs.lakehouse.settings import IngestSettings, PrivacySettings
from jobs.lakehouse.sources import Source, fed_by
from jobs.lakehouse.tables import Write, read_table, table_version
from jobs.lakehouse.vault import PAYLOADS, VALUES

JOB = Job(
    reads=("files.*",),
    writes=("bronze.*", VALUES, PAYLOADS, "ops.deliveries"),
    settings=(IngestSettings, PrivacySettings),
)
DELIVERIES = "ops.deliveries"


def build(run: Run) -> None:
    now = dt.datetime.now(dt.UTC).replace(tzinfo=None, microsecond=0)
    known = _known(run)
    found = {name: _new_deliveries(run, source, known) for name, source in fed_by(run.sources, "files").items()}
    taken = [delivery for deliveries in found.values() for delivery in deliveries]
    _refuse_if_too_many_are_bad(taken, run.part(IngestSettings))
    sealed_values, sealed_lines = [], []
    for name, deliveries in found.items():
        source = run.sources[name]
        good = [delivery for delivery in deliveries if delivery.reason is None]
        if not good:
            continue
        keys = run.keys()
        plain = with_arrival(read_records(run.spark, source, good), source, now)
        tokenised = with_tokens(plain, source, keys, run.settings.calendar.phone_region)
        records = run.keep(in_memory(with_record_id(tokenised, source)))
        slice_name = ",".join(sorted(delivery.delivery_id for delivery in good))
        fresh = _without_committed(run, source, as_bronze(records, source))
        run.publish(source.bronze_table, fresh, run.once(source.bronze_table, slice_name))
        values = personal_values(records, source, keys.key_id)
        sealed_values += [values] if values is not None else []
        lines = payloads(records, source, keys.key_id)
        sealed_lines += [] if lines.isEmpty() else [sealed(lines, keys, "plain", "record_id")]
    if sealed_values:
        every_value = reduce(DataFrame.union, sealed_values).dropDuplicates(["token"])
        run.publish(VALUES, every_value, Write("insert"))
    if sealed_lines:
        run.publish(PAYLOADS, reduce(DataFrame.union, sealed_lines), Write("insert"))
    if taken:
        run.publish(DELIVERIES, _as_delivery_rows(run, taken, now), Write("insert"))
    _audit_fields(run, taken)
    _tell(run, taken)


@contextmanager
def in_memory(records: DataFrame) -> Iterator[DataFrame]:
    """The records, parted and tokenised once for all that is made of them; they hold plain values, so no disk sees them."""
    kept = records.persist(StorageLevel.MEMORY_ONLY)
    try:
        yield kept
    finally:
        kept.unpersist()


def _new_deliveries(run: Run, source: Source, known: Mapping[str, dict[str, KnownDelivery]]) -> list[Delivery]:
    entries = list_files(run.spark, run.settings.path("data"), source.files)
    if not entries:
        raise DataError(f"no file matches {source.files} in {run.settings.path('data')} (feed {source.source})")
    return new_deliveries(run.spark, source, entries, known.get(source.source, {}))


def _known(run: Run) -> dict[str, dict[str, KnownDelivery]]:
    """What the lake knows of the files of each feed; one row per file ever delivered."""
    path = run.lake.path(DELIVERIES)
    known: dict[str, dict[str, KnownDelivery]] = {}
    if table_version(run.spark, path) is not None:
        told = read_table(run.spark, path).orderBy("_loaded_at")
        for source, *file in told.select(
            "source", "file", "size_bytes", "changed_at_ms", "content_hash"
        ).toLocalIterator():
            known.setdefault(source, {})[file[0]] = KnownDelivery(*file)
    return known


def _without_committed(run: Run, source: Source, bronze: DataFrame) -> DataFrame:
    """The rows less those of files that an earlier run committed to bronze before it was killed."""
    path = run.lake.path(source.bronze_table)
    if table_version(run.spark, path) is None:
        return bronze
    committed = read_table(run.spark, path).select("_delivery_id").distinct()
    return bronze.join(F.broadcast(committed), on="_delivery_id", how="left_anti")


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
            list(delivery.kinds.items()) or None,
            now,
        )
        for delivery in taken
    ]
    return run.spark.createDataFrame(rows, run.contract(DELIVERIES).schema)


def _tell(run: Run, taken: list[Delivery]) -> None:
    bad = [delivery for delivery in taken if delivery.reason]
    run.facts["files"] = f"{len(taken) - len(bad)} loaded, {len(bad)} quarantined"
    for delivery in bad[:5]:
        run.facts[delivery.entry.name] = delivery.reason or ""


def _audit_fields(run: Run, taken: list[Delivery]) -> None:
    """Say which fields are new or have changed their kind; a header of a file that is not taken may be a row of values."""
    good = [delivery for delivery in taken if not delivery.reason]
    for source in fed_by(run.sources, "files").values():
        own = [delivery for delivery in good if delivery.source == source.source]
        if own:
            names = undeclared({name for delivery in own for name in delivery.header}, source)
            tells_kinds = any(delivery.kinds for delivery in own)
            kinds = [_last_fields(run, source) if tells_kinds else {}, *(delivery.kinds for delivery in own)]
            changed = sorted({told for before, now in pairwise(filter(None, kinds)) for told in retyped(before, now)})
            held = (("every field is declared", names), ("fields keep their kinds", changed))
            run.judge(
                [Audited(source.bronze_table, told, "warning", not found, ", ".join(found)) for told, found in held],
                "",
            )


def _last_fields(run: Run, source: Source) -> dict[str, str]:
    """The kinds of the fields in the feed's delivery before these."""
    path = run.lake.path(DELIVERIES)
    if table_version(run.spark, path) is None:
        return {}
    known = read_table(run.spark, path)
    last = (
        known.where((F.col("source") == source.source) & F.col("fields").isNotNull())
        if "fields" in known.columns
        else known.limit(0)
    )
    row = last.orderBy(F.desc("_loaded_at"), F.desc("file")).first()
    return {field["name"]: field["kind"] for field in row["fields"]} if row else {}


if __name__ == "__main__":
    sys.exit(JOB.main(__doc__, build))
