"""Retries: lines that did not parse and fields that were not declared, taken out of the vault and read by today's declaration."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.ingest.deliveries import new_deliveries
from jobs.ingest.records import has_payload, parted, parted_csv, personal_values, with_arrival, with_tokens
from jobs.ingest.sealing import send_sealed
from jobs.ingest.shapes import json_field, shown_name, shown_names, spelled, spelled_keys, undeclared
from jobs.lakehouse.files import folder_exists, list_files
from jobs.lakehouse.job import Job, NamedJob
from jobs.lakehouse.keys import Keys
from jobs.lakehouse.personal import unsealed
from jobs.lakehouse.run import Run
from jobs.lakehouse.settings import PrivacySettings
from jobs.lakehouse.sources import Source
from jobs.lakehouse.tables import Write
from jobs.lakehouse.vault import PAYLOADS, VALUES

Header = tuple[str, ...]


def retry_of(table: str) -> NamedJob:
    """What reads the sealed payloads of one bronze table again; it is no part of a full run."""
    job = Job(reads=(table, PAYLOADS), writes=(VALUES, table), settings=(PrivacySettings,))
    return NamedJob("ingest.retry_records", "Read what lies sealed in the vault by today's declaration.", job, build)


def build(run: Run) -> None:
    source = next(source for source in run.sources.values() if source.bronze_table in run.writes)
    if not run.has(source.bronze_table) or not run.has(PAYLOADS):
        return
    keys = run.keys()
    waiting = as_waiting(run.read(source.bronze_table), run.read(PAYLOADS), source, keys)
    read = as_completed(waiting, source).unionByName(as_reread(waiting, source, _headers(run, source)))
    # A feed whose records arrive when they are loaded has told so of every record that bronze holds.
    told = with_arrival(only_changed(read), source, run.as_of)
    records = with_tokens(told, source, keys, run.settings.calendar.phone_region)
    # The vault first: bronze says what has been done.
    send_sealed(run.publish, [personal_values(records, source, keys.key_id)], [])
    run.publish(source.bronze_table, as_replaced(records, source), Write("merge", key=("_record_id",)))


def as_waiting(bronze: DataFrame, payloads: DataFrame, source: Source, keys: Keys) -> DataFrame:
    """One row per record of which something lies in the vault: `_held`, the record as bronze has it, and the opened `_payload`.

    Payloads are opened after the last shuffle, so that none is ever written to a disk.
    """
    held = bronze.where(has_payload()).select("_record_id", F.struct(*bronze.columns).alias("_held"))
    own = payloads.where(F.col("source") == source.source).select(
        F.col("record_id").alias("_record_id"), "payload_kind", "_ciphertext"
    )
    both = held.dropDuplicates(["_record_id"]).join(own, on="_record_id", how="inner")
    return both.withColumn("_payload", unsealed(keys, F.col("_ciphertext"), F.col("_record_id"))).drop("_ciphertext")


def as_completed(waiting: DataFrame, source: Source) -> DataFrame:
    """The records of which undeclared fields were sealed, with all fields that these tell by today's declaration.

    `_left` names those that are still not declared.
    """
    sealed_fields = waiting.where("payload_kind = 'undeclared_fields'")
    # A key that is the whole name of a nested field is not declared as it came; here it tells that field.
    flat = [F.lit(spelled(field.name)) for field in source.fields if field.name != spelled(field.name)]
    names = F.array_except(F.json_object_keys("_payload"), F.array(*flat).cast("array<string>"))
    return sealed_fields.select(
        *[told_of(F.col("_payload"), field.name).alias(field.column) for field in source.fields],
        F.lit(None).cast("string").alias("_raw_line"),
        "_held",
        left_undeclared(names, F.col("_payload"), source).alias("_left"),
    )


def as_reread(waiting: DataFrame, source: Source, headers: Mapping[Header, list[str]]) -> DataFrame:
    """The records of which the whole line was sealed, parted again; `_raw_line` holds those that still can't be.

    What was not UTF-8 was sealed with a mark in the place of each byte that could not be read, and can't be parted.

    Args:
        waiting: the result of as_waiting.
        source: the feed.
        headers: of CSV, the columns of its files, with the deliveries that have them.
    """
    is_line = F.coalesce("payload_kind", F.lit("raw_line")) == "raw_line"
    lines = waiting.where(is_line & ~F.contains("_payload", F.lit("\ufffd")))
    lines = lines.select(F.col("_payload").alias("value"), "_held")
    if source.format == "json":
        named = left_undeclared(spelled_keys(F.json_object_keys("value")), F.col("value"), source)
        return parted(
            lines.withColumn("_left", named), source, source.topic.max_message_bytes if source.topic else None
        )
    parts = [
        parted_csv(lines.where(F.col("_held._delivery_id").isin(ids) if ids else F.lit(True)), header, source)
        .withColumn("_left", F.array(*[F.lit(shown_name(name)) for name in undeclared(header, source)]).cast("array<string>"))
        for header, ids in headers.items()
    ]  # fmt: skip
    nothing = parted(lines.where("false").withColumn("_left", F.array().cast("array<string>")), source)
    return reduce(DataFrame.unionByName, [nothing, *parts])


def _headers(run: Run, source: Source) -> dict[Header, list[str]]:
    """The columns of a feed's files of CSV by header, with the deliveries that have it; those of files that are gone are not known."""
    if source.format != "csv":
        return {}
    if not source.has_header:
        return {tuple(field.name for field in source.fields): []}
    folder = run.settings.path("data")
    entries = list_files(run.spark, folder, source.files) if folder_exists(run.spark, folder) else []
    headers: dict[Header, list[str]] = {}
    for delivery in new_deliveries(run.spark, source, entries, {}):
        if not delivery.reason and delivery.header:
            headers.setdefault(delivery.header, []).append(delivery.delivery_id)
    return headers


def only_changed(read: DataFrame) -> DataFrame:
    """The records of which more can be read than bronze holds."""
    nothing = F.array().cast("array<string>")
    before = F.array_sort(F.coalesce("_held._undeclared_fields", nothing))
    now = F.array_sort(F.coalesce("_left", nothing))
    return read.where(F.col("_raw_line").isNull() & (F.col("_held._is_unparseable") | (before != now)))


def as_replaced(records: DataFrame, source: Source) -> DataFrame:
    """The records as bronze is to hold them: what it held stays, what it lacked is added; id and delivery are the same."""
    held = records.select("_held.*").columns
    given = {
        "_is_unparseable": F.lit(False),
        "_undeclared_fields": F.when(F.size("_left") > 0, F.col("_left")),
    }

    def column(name: str) -> Column:
        told = [F.col(f"_held.{name}")] * (name in held) + [F.col(name)] * (name in records.columns)
        return F.coalesce(*told)

    return records.select(*[given.get(name, column(name)).alias(name) for name in source.bronze_contract.column_names])


def told_of(payload: Column, name: str) -> Column:
    """What a JSON text tells of a field, as text: under its whole name, or below the name of an object that holds it.

    A name may also have been one key in the record, and stands in backticks then.
    """
    steps = name.split(".")
    places = []
    for cut in range(len(steps), 0, -1):
        above = ".".join(steps[:cut])
        place = F.coalesce(*[json_field(payload, [key]) for key in dict.fromkeys((above, spelled(above)))])
        places.append(json_field(place, steps[cut:]) if steps[cut:] else place)
    return F.coalesce(*places)


def left_undeclared(names: Column, payload: Column, source: Source) -> Column:
    """The fields of a JSON text that the feed does not declare today, by names that may be shown.

    Args:
        names: its fields, an object that holds others by its own name.
        payload: the text.
        source: the feed.
    """
    declared = {field.name for field in source.fields}
    above = {name.rsplit(".", cut)[0] for name in declared for cut in range(1, name.count(".") + 1)}
    for outer in sorted(above, key=lambda name: name.count(".")):
        inner = _names_in(payload, outer)
        parts = F.concat(F.array_except(names, F.array(F.lit(outer))), inner)
        names = F.when(F.array_contains(names, outer) & inner.isNotNull(), parts).otherwise(names)
    return shown_names(F.array_except(names, F.array(*[F.lit(name) for name in sorted(declared)])))


def _names_in(payload: Column, outer: str) -> Column:
    """The names of the fields of an object, each after that of the object; null where it is none."""
    keys = spelled_keys(F.json_object_keys(told_of(payload, outer)))
    return F.transform(keys, lambda key: F.concat(F.lit(f"{outer}."), key))
