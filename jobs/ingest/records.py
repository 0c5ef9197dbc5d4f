"""Records: what the feeds deliver, each field as text, with an id and the time at which it arrived."""

from __future__ import annotations

import datetime as dt
from functools import reduce
from typing import Any

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StringType, StructField, StructType

from jobs.ingest.deliveries import Delivery, as_one_path
from jobs.ingest.shapes import file_uri, shown_names, undeclared, undeclared_in_columns, undeclared_in_json
from jobs.ingest.times import in_calendar, local_time
from jobs.lakehouse.keys import Keys
from jobs.lakehouse.personal import TOKENISED, keyed
from jobs.lakehouse.personal_kinds import PersonalKind
from jobs.lakehouse.sources import LOOKED_UP, Source
from jobs.lakehouse.translations import LocalTime

CORRUPT = "_corrupt_record"
# A record with more fields than a reader has room for ends the whole run, and the error quotes it. So many are a megabyte of
# separators alone, and cost a reader eight megabytes.
MOST_FIELDS = 1_000_000
# How a line of CSV is read, wherever it lies.
CSV: dict[str, Any] = {
    "quote": '"',
    "escape": '"',
    "mode": "PERMISSIVE",
    "columnNameOfCorruptRecord": CORRUPT,
    "maxCharsPerColumn": -1,
    "maxColumns": MOST_FIELDS,
}


def read_records(spark: SparkSession, source: Source, deliveries: list[Delivery]) -> DataFrame:
    """One row per record of the files, every declared field as text, with the raw line of those that don't parse.

    Where any file has fields that the feed does not declare, `_undeclared` holds these. Files are read by their own headers:
    those with one header (and, in Parquet, one set of types) together, whatever the order of its columns. CSV without a
    header has the fields in the order of their declaration. A line break within quotes is a line feed, whatever the file's
    own line ends are.
    """
    shapes = sorted({_shape(delivery, source) for delivery in deliveries})
    frames = [
        _read_files(spark, source, shape[0], [entry for entry in deliveries if _shape(entry, source) == shape])
        for shape in shapes
    ]
    return reduce(lambda one, other: one.unionByName(other, allowMissingColumns=True), frames)


def _shape(delivery: Delivery, source: Source) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What files must have in common to be read together; of lines of JSON, each tells those fields that are declared."""
    if source.format == "json":
        return tuple(undeclared(delivery.header, source)), ()
    return delivery.header, delivery.types


def _read_files(spark: SparkSession, source: Source, header: tuple[str, ...], deliveries: list[Delivery]) -> DataFrame:
    paths = [as_one_path(delivery.entry.path) for delivery in deliveries]
    ids = F.create_map(*[F.lit(text) for entry in deliveries for text in (entry.entry.uri, entry.delivery_id)])
    delivery_id = F.try_element_at(ids, file_uri()).alias("_delivery_id")
    strangers = undeclared(header, source)
    if source.format == "json":
        lines = spark.read.text(paths).select(F.regexp_replace("value", "^\ufeff", "").alias("value"), delivery_id)
        told = lines.where(F.trim("value") != "")
        return parted(
            told.withColumn("_undeclared", undeclared_in_json(strangers, source)) if strangers else told, source
        )
    if source.format == "parquet":
        parsed = spark.read.parquet(*paths)
    else:
        columns = [StructField(name, StringType()) for name in header or [field.name for field in source.fields]]
        parsed = spark.read.schema(StructType([*columns, StructField(CORRUPT, StringType())])).csv(
            paths,
            header=source.has_header,
            multiLine=source.multi_line,
            **CSV,
            sep=source.delimiter,
            encoding=source.encoding,
        )
    # A column of text holds no others, whatever its name.
    is_flat = source.format == "csv"
    fields = [_field(parsed, field.name, is_flat).alias(field.column) for field in source.fields]
    return parsed.select(
        *fields,
        _field(parsed, CORRUPT).alias("_raw_line"),
        delivery_id,
        *([undeclared_in_columns(parsed, strangers).alias("_undeclared")] if strangers else []),
    )


def parted(lines: DataFrame, source: Source, max_bytes: int | None = None) -> DataFrame:
    """The lines of JSON parted into the feed's fields, each as text; `_raw_line` holds those that can't be.

    A line is taken if it is UTF-8, not longer than `max_bytes`, and one object in which the fields lie where they should.

    Args:
        lines: one row per line, in the column `value`; other columns stay as they are.
        source: the feed.
        max_bytes: the length from which a line is not even looked at.
    """
    is_readable = F.is_valid_utf8("value")
    if max_bytes is not None:
        is_readable = is_readable & (F.octet_length("value") <= max_bytes)
    options = {"mode": "PERMISSIVE", "columnNameOfCorruptRecord": CORRUPT}
    parsed = lines.withColumn(
        "_parsed", F.from_json(F.when(is_readable, F.col("value")), _json_schema(source), options)
    )
    is_parted = F.col("_parsed").isNotNull() & F.col(f"_parsed.{CORRUPT}").isNull()
    return parsed.select(
        *[F.col(f"_parsed.{field.name}").alias(field.column) for field in source.fields],
        F.when(~is_parted, F.coalesce(F.make_valid_utf8("value"), F.lit(""))).alias("_raw_line"),
        *[name for name in lines.columns if name != "value"],
    )


def parted_csv(lines: DataFrame, header: tuple[str, ...], source: Source) -> DataFrame:
    """The lines of CSV parted into the feed's fields, each as text; `_raw_line` holds those that can't be.

    Args:
        lines: one row per line, in the column `value`; other columns stay as they are.
        header: the names of its columns, in their order.
        source: the feed.
    """
    schema = ", ".join(f"`{name.replace('`', '``')}` string" for name in (*header, CORRUPT))
    options = {**{key: str(value) for key, value in CSV.items()}, "sep": source.delimiter}
    parsed = lines.withColumn("_parsed", F.from_csv("value", schema, options))
    is_parted = F.col("_parsed").isNotNull() & F.col(f"_parsed.{CORRUPT}").isNull()
    nothing = F.lit(None).cast("string")
    return parsed.select(
        *[
            (F.col("_parsed").getField(field.name) if field.name in header else nothing).alias(field.column)
            for field in source.fields
        ],
        F.when(~is_parted, F.col("value")).alias("_raw_line"),
        *[name for name in lines.columns if name != "value"],
    )


def _field(parsed: DataFrame, name: str, is_flat: bool = True) -> Column:
    column = name if is_flat else name.split(".", maxsplit=1)[0]
    place = F.col(f"`{name}`" if is_flat else name)
    return place.cast("string") if column in parsed.columns else F.lit(None).cast("string")


def _json_schema(source: Source) -> StructType:
    """The nested schema that the dotted names of the fields describe, every leaf as text."""
    tree: dict[str, object] = {}
    for field in source.fields:
        *above, leaf = field.name.split(".")
        place = tree
        for step in above:
            place = place.setdefault(step, {})  # type: ignore[assignment]
        place[leaf] = None
    return StructType([*_struct(tree).fields, StructField(CORRUPT, StringType())])


def _struct(tree: dict[str, object]) -> StructType:
    return StructType(
        [StructField(name, _struct(below) if isinstance(below, dict) else StringType()) for name, below in tree.items()]
    )


def with_record_id(records: DataFrame, source: Source) -> DataFrame:
    """The records with `_record_id`: a hash of delivery and content, the same for records alike in one file.

    Personal values, undeclared fields and, in a feed with personal fields, lines that don't parse count by what the key makes
    of them: of a plain hash the one unknown field could be guessed. What else was loaded with a record changes nothing.
    """
    fields = [f"{field.column}_token" if field.personal else field.column for field in source.fields]
    content = [F.coalesce(F.col(name), F.lit("\x00")) for name in fields]
    line = "_raw_line_digest" if "_raw_line_digest" in records.columns else "_raw_line"
    # Missing ones are left out: a record without them has its id whether the column is there or not.
    strangers = [F.col("_undeclared_digest")] if "_undeclared_digest" in records.columns else []
    told = F.concat_ws("\x1f", F.col("_delivery_id"), *content, F.coalesce(F.col(line), F.lit("")), *strangers)
    return records.withColumn("_record_id", F.md5(told.cast("binary"))).drop("_raw_line_digest", "_undeclared_digest")


def as_bronze(records: DataFrame, source: Source) -> DataFrame:
    """The records as bronze keeps them, and behind them the ciphertext of each personal field, for the vault.

    What did not parse has no fields; its line lies in the vault.
    """
    is_unparseable = F.col("_raw_line").isNotNull()
    technical = ["_record_id", "_arrived_at", "_delivery_id"]
    given = (*technical, "_is_unparseable", "_undeclared_fields", "_is_deleted")
    fields = [name for name in source.bronze_contract.column_names if name not in given]
    kept = [F.when(~is_unparseable, F.col(name)).alias(name) for name in fields]
    deleted = [F.col("_is_deleted")] if source.table else []
    sealed = [F.col(f"{field.column}_ciphertext") for field in source.fields if field.personal]
    names = F.json_object_keys("_undeclared") if "_undeclared" in records.columns else F.lit(None)
    told = [
        is_unparseable.alias("_is_unparseable"),
        shown_names(names.cast("array<string>")).alias("_undeclared_fields"),
    ]
    return records.select(*kept, *technical, *told, *deleted, *sealed)


def with_arrival(records: DataFrame, source: Source, now: dt.datetime) -> DataFrame:
    """The records with `_arrived_at` in UTC, by the source's own declaration: an expression over its fields, or `now`.

    It is null where the records tell no time and arrive with what they look up.
    """
    return records.withColumn("_arrived_at", _arrival(source, now))


def _arrival(source: Source, now: dt.datetime) -> Column:
    if source.arrival_formats:
        return local_time(LocalTime(local=source.arrival, formats=source.arrival_formats), source.time_zone)
    given = {"now": F.lit(now), LOOKED_UP: F.lit(None)}
    arrival = given[source.arrival] if source.arrival in given else F.expr(source.arrival)
    return in_calendar(arrival.try_cast("timestamp"))


def with_tokens(records: DataFrame, source: Source, keys: Keys, region: str) -> DataFrame:
    """The records with `<field>_token`, `<field>_masked` and `<field>_ciphertext` in place of each personal field.

    `_raw_line_digest` stands beside the lines of a feed with personal fields, `_undeclared_digest` beside undeclared fields;
    a feed without any of them is not sent through Python.
    """
    personal = {field.column: field.personal for field in source.fields if field.personal}
    digested = ["_raw_line"] * bool(personal) + ["_undeclared"] * ("_undeclared" in records.columns)
    kinds: dict[str, PersonalKind | None] = {**personal, **dict.fromkeys(digested)}
    if not kinds:
        return records
    made = keyed(keys, {name: (kind, F.col(name)) for name, kind in kinds.items()}, region)
    return records.withColumn("_made", made).select(
        *[name for name in records.columns if name not in personal],
        *[F.col(f"_made.{name}.{part}").alias(f"{name}_{part}") for name in personal for part in TOKENISED.names],
        *[F.col(f"_made.{name}").alias(f"{name}_digest") for name in digested],
    )


def personal_values(records: DataFrame, source: Source, key_id: str) -> DataFrame | None:
    """The records' personal values, sealed for the vault, each at least once; None where a feed has none."""
    values = [
        F.struct(
            F.col(f"{field.column}_token").alias("token"),
            F.lit(field.personal).alias("kind"),
            F.col(f"{field.column}_ciphertext").alias("_ciphertext"),
        )
        for field in source.fields
        if field.personal
    ]
    if not values:
        return None
    told = records.select(F.inline(F.array(*values))).where("_ciphertext is not null")
    origin = F.lit(None).cast("string").alias("origin")
    return told.select("token", "kind", F.lit(key_id).alias("key_id"), origin, "_ciphertext")


def only_with_payload(records: DataFrame) -> DataFrame:
    """The records that did not parse or have undeclared fields."""
    return records.where(_payload(records).isNotNull())


def has_payload() -> Column:
    """Whether the vault keeps a line or fields of a record of bronze."""
    return F.col("_is_unparseable") | F.col("_undeclared_fields").isNotNull()


def _payload(records: DataFrame) -> Column:
    """What of a record the vault keeps as it came: the line that did not parse, or the undeclared fields."""
    return F.coalesce("_raw_line", "_undeclared") if "_undeclared" in records.columns else F.col("_raw_line")


def payloads(records: DataFrame, source: Source, key_id: str) -> DataFrame:
    """One row per record that did not parse, with its raw line, or that has undeclared fields, with these as JSON.

    Nobody has said yet whether an undeclared field is personal; so it is kept where personal values are.
    """
    is_line, plain = F.col("_raw_line").isNotNull(), _payload(records)
    return only_with_payload(records).select(
        F.col("_record_id").alias("record_id"),
        F.lit(source.source).alias("source"),
        F.when(is_line, "raw_line").otherwise("undeclared_fields").alias("payload_kind"),
        F.lit(key_id).alias("key_id"),
        plain.alias("plain"),
    )
