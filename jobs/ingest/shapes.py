"""Shapes: the fields that files of JSON really have, by name and kind, so that a change of the source is seen when it comes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, BooleanType, DataType, NullType, NumericType, StringType, StructType

from jobs.lakehouse.sources import Source

Shape = dict[str, str]
BEGINS_AN_OBJECT = r"^[ \t\r\n]*\{"
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
    are one field. A file without a single record that can be read has no entry.
    """
    lines = spark.read.text(paths).select("value", file_uri().alias("file"))
    shapes = _objects(lines).groupBy("file").agg(F.schema_of_variant_agg("record").alias("shape"))
    return {row["file"]: shape_of(row["shape"], source) for row in shapes.collect()}


def shape_of_lines(lines: DataFrame, source: Source) -> Shape:
    """The fields of the lines `value` that are objects, name to kind, over all of them."""
    row = _objects(lines).agg(F.schema_of_variant_agg("record").alias("shape")).first()
    return shape_of(row["shape"], source) if row and row["shape"].startswith("OBJECT") else {}


def _objects(lines: DataFrame) -> DataFrame:
    """The lines `value` that are JSON objects, each as the variant `record`; other columns stay as they are."""
    records = lines.where(F.col("value").rlike(BEGINS_AN_OBJECT)).withColumn("record", F.try_parse_json("value"))
    return records.where(F.col("record").isNotNull()).drop("value")


def shape_of(schema: str, source: Source) -> Shape:
    """The fields of a schema as Spark writes that of a variant: `OBJECT<a: STRING, b: OBJECT<c: BIGINT>>`."""
    record = DataType.fromDDL(schema.replace("OBJECT<", "STRUCT<"))
    return dict(_leaves(record, "", source)) if isinstance(record, StructType) else {}


def _leaves(described: StructType, above: str, source: Source) -> Iterator[tuple[str, str]]:
    for field in described:
        name = f"{above}{field.name}"
        has_declared_parts = any(declared.name.startswith(f"{name}.") for declared in source.fields)
        if has_declared_parts and isinstance(field.dataType, StructType):
            yield from _leaves(field.dataType, f"{name}.", source)
        else:
            kinds = (kind for known, kind in KINDS if isinstance(field.dataType, known))
            yield name, next(kinds, "mixed")


def undeclared(shape: Iterable[str], source: Source) -> list[str]:
    """The names of a file's fields that the feed does not declare, in order."""
    return sorted(set(shape) - {field_in_file(field.name, source) for field in source.fields})


def field_in_file(name: str, source: Source) -> str:
    """What a file calls the place of a field: of a nested one in Parquet, the column that holds it."""
    return name.split(".", maxsplit=1)[0] if source.format == "parquet" else name


def retyped(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """The fields that have another kind than in the delivery before: `quantity: number, now string`."""
    changed = {name for name in before.keys() & now.keys() if before[name] != now[name]}
    told = {name for name in changed if "null" not in (before[name], now[name])}
    return [f"{name}: {before[name]}, now {now[name]}" for name in sorted(told)]


def undeclared_in_json(names: list[str]) -> Column:
    """The undeclared fields of the line `value`, as JSON; null where it has none of them."""
    return _as_json([F.get_json_object("value", json_path(name.split("."))).alias(name) for name in names])


def json_path(steps: list[str]) -> str:
    """The path of a field within JSON, step by step from the outermost object."""
    return "$" + "".join(f"['{step}']" for step in steps)


def undeclared_in_columns(rows: DataFrame, names: list[str]) -> Column:
    """The undeclared columns of a file's rows, as JSON; null where a row has none of them."""
    return _as_json([rows[f"`{name}`"].cast("string").alias(name) for name in names])


def _as_json(fields: list[Column]) -> Column:
    # Fields that are null are left out.
    return F.nullif(F.to_json(F.struct(*fields)), F.lit("{}")) if fields else F.lit(None).cast("string")


def file_uri() -> Column:
    """The URI of the file that a row was read from, spelled as Hadoop spells it: Spark writes file:/// where Hadoop writes file:/."""
    return F.regexp_replace(F.col("_metadata.file_path"), "^file:/+", "file:/")
