"""Shapes: the fields that files of JSON really have, by name and kind, so that a change of the source is seen when it comes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, BooleanType, DataType, NullType, NumericType, StringType, StructType

from jobs.ingest.skeletons import thinned
from jobs.lakehouse.personal_kinds import HIDDEN
from jobs.lakehouse.sources import Source

Shape = dict[str, str]
BEGINS_AN_OBJECT = r"^[ \t\r\n]*\{"
# A name that may be a value: of an object by phones, mail addresses or devices, or the first row of a file without a header.
PERSONAL_NAME = r"[@＠]|(?:[0-9０-９][ .()/-]?){7}|[0-9A-Fa-f]{14}"
# What makes a key of JSON no plain step of a name.
IN_BACKTICKS = r"^$|[.`]"
# What a path of get_json_object can't name a key with.
NO_STEP = r"^$|['?*\\]"
# Types that JSON itself tells apart; of numbers it knows one.
KINDS: tuple[tuple[type[DataType], str], ...] = (
    (StringType, "string"),
    (NumericType, "number"),
    (BooleanType, "boolean"),
    (ArrayType, "array"),
    (StructType, "object"),
    (NullType, "null"),
)


def json_shapes(spark: SparkSession, source: Source, paths: list[str]) -> Mapping[str, Shape]:
    """The fields of each file, by the file's URI: name to kind, over all of its records that are objects.

    A field within an object is told by its dotted name where the feed declares a field in that object; other objects
    are one field. A key that itself has a dot stands in backticks, as Spark writes it. A file without a single record
    that can be read has no entry.
    """
    lines = spark.read.text(paths).select("value", file_uri().alias("file"))
    return {row["file"]: shape_of(row["shape"], source) for row in _shapes(lines).collect()}


def shape_of_lines(lines: DataFrame, source: Source) -> Shape:
    """The fields of the lines `value` that are objects, name to kind, over all of them."""
    row = _shapes(lines.select("value", F.lit("").alias("file"))).first()
    return shape_of(row["shape"], source) if row else {}


def _shapes(lines: DataFrame) -> DataFrame:
    """One row per `file` of which a line `value` is an object: `shape`, as Spark writes the schema of a variant."""
    begun = thinned(lines.where(F.col("value").rlike(BEGINS_AN_OBJECT)))
    objects = begun.withColumn("record", F.try_parse_json("value")).where(F.col("record").isNotNull())
    return objects.groupBy("file").agg(F.schema_of_variant_agg("record").alias("shape"))


def shape_of(schema: str, source: Source) -> Shape:
    """The fields of a schema as Spark writes that of a variant: `OBJECT<a: STRING, b: OBJECT<c: BIGINT>>`."""
    record = DataType.fromDDL(schema.replace("OBJECT<", "STRUCT<"))
    return dict(_leaves(record, "", source)) if isinstance(record, StructType) else {}


def _leaves(described: StructType, above: str, source: Source) -> Iterator[tuple[str, str]]:
    for field in described:
        name = f"{above}{spelled(field.name)}"
        has_declared_parts = any(declared.name.startswith(f"{name}.") for declared in source.fields)
        if has_declared_parts and isinstance(field.dataType, StructType):
            yield from _leaves(field.dataType, f"{name}.", source)
        else:
            kinds = (kind for known, kind in KINDS if isinstance(field.dataType, known))
            yield name, next(kinds, "mixed")


def undeclared(shape: Iterable[str], source: Source) -> list[str]:
    """The names of a file's fields that the feed does not declare, in order."""
    return sorted(set(shape) - {field_in_file(field.name, source) for field in source.fields})


def shown(shape: Mapping[str, str], source: Source) -> Shape:
    """The shape by names that may be shown: all that are hidden are one field, and mixed where their kinds differ."""
    strangers = set(undeclared(shape, source))
    told: Shape = {}
    for name, kind in shape.items():
        as_told = shown_name(name) if name in strangers else name
        told[as_told] = kind if told.get(as_told, kind) == kind else "mixed"
    return told


def shown_name(name: str) -> str:
    """The name of an undeclared field as it may stand outside of the vault: hidden where it looks like a personal value."""
    return HIDDEN if re.search(PERSONAL_NAME, name) else name


def shown_names(names: Column) -> Column:
    """The same of an array of names; each has its place, so that their number stays."""
    return F.transform(names, lambda name: F.when(name.rlike(PERSONAL_NAME), HIDDEN).otherwise(name))


def field_in_file(name: str, source: Source) -> str:
    """What a file calls the place of a field: of a nested one in Parquet, the column that holds it."""
    return name.split(".", maxsplit=1)[0] if source.format == "parquet" else name


def retyped(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """The fields that have another kind than in the delivery before: `quantity: number, now string`."""
    changed = {name for name in before.keys() & now.keys() if before[name] != now[name]}
    told = {name for name in changed if "null" not in (before[name], now[name])}
    return [f"{name}: {before[name]}, now {now[name]}" for name in sorted(told)]


def spelled(key: str) -> str:
    """A key of JSON as one step of a field's name: in backticks where its dots would be taken for steps."""
    return "`" + key.replace("`", "``") + "`" if re.search(IN_BACKTICKS, key) else key


def spelled_keys(keys: Column) -> Column:
    """The same of an array of keys."""
    return F.transform(keys, _spelled_key)


def _spelled_key(key: Column) -> Column:
    quoted = F.concat(F.lit("`"), F.replace(key, F.lit("`"), F.lit("``")), F.lit("`"))
    return F.when(key.rlike(IN_BACKTICKS), quoted).otherwise(key)


def steps_of(name: str) -> list[str]:
    """The keys of JSON that a field's name goes through, from the outermost object."""
    steps = re.finditer(r"`((?:[^`]|``)*)`|[^.`]+", name)
    return [step[0] if step[1] is None else step[1].replace("``", "`") for step in steps]


def undeclared_in_json(names: list[str], source: Source) -> Column:
    """The undeclared fields of the line `value`, as JSON; null where it has none of them.

    A name that may be a value stands in no plan, which others may read: such fields are found as the line is read.
    """
    declared = _declared_places(source)
    hidden = [name for name in names if shown_name(name) == HIDDEN and name not in declared]
    objects = sorted({tuple(steps_of(name)[:-1]) for name in hidden})
    maps = [_hidden_fields(list(steps), sorted(declared)) for steps in objects]
    named = [(F.lit(name), json_field(F.col("value"), steps_of(name))) for name in names if name not in hidden]
    maps += [F.create_map(*chain.from_iterable(named))] * bool(named)
    if not maps:
        return F.lit(None).cast("string")
    told = F.map_filter(F.map_concat(*maps), lambda _, value: value.isNotNull())
    return F.nullif(F.to_json(told), F.lit("{}"))


def _declared_places(source: Source) -> set[str]:
    """The names of the declared fields and of the objects that hold them."""
    names = [field.name.split(".") for field in source.fields]
    return {".".join(steps[:count]) for steps in names for count in range(1, len(steps) + 1)}


def _hidden_fields(above: list[str], declared: list[str]) -> Column:
    """The undeclared fields of an object of the line `value` whose names may be values, by these names."""
    held = F.from_json(json_field(F.col("value"), above), "map<string,string>")
    before = F.lit("".join(f"{spelled(step)}." for step in above))

    def named(key: Column) -> Column:
        return F.concat(before, _spelled_key(key))

    # A key may stand in an object twice.
    keys = F.array_distinct(F.map_keys(held))
    hidden = F.filter(keys, lambda key: named(key).rlike(PERSONAL_NAME) & ~named(key).isin(declared))
    found = F.map_from_entries(F.transform(hidden, lambda key: F.struct(named(key), F.try_element_at(held, key))))
    return F.coalesce(found, F.create_map().cast("map<string,string>"))


def json_field(text: Column, steps: list[str]) -> Column:
    """What a JSON text holds below such keys, step by step from the outermost object, as text."""
    if not any(re.search(NO_STEP, step) for step in steps):
        return F.get_json_object(text, "$" + "".join(f"['{step}']" for step in steps))
    for step in steps:
        text = F.try_element_at(F.from_json(text, "map<string,string>"), F.lit(step))
    return text


def undeclared_in_columns(rows: DataFrame, names: list[str]) -> Column:
    """The undeclared columns of a file's rows, as JSON; null where a row has none of them."""
    fields = [rows["`" + name.replace("`", "``") + "`"].cast("string").alias(name) for name in names]
    # Those that are null are left out.
    return F.nullif(F.to_json(F.struct(*fields)), F.lit("{}"))


def file_uri() -> Column:
    """The URI of the file that a row was read from, spelled as Hadoop spells it: Spark writes file:/// where Hadoop writes file:/."""
    return F.regexp_replace(F.col("_metadata.file_path"), "^file:/+", "file:/")
