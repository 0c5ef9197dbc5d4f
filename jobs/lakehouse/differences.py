"""What differs between two states of the same rows."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructType


def differing(before: DataFrame, now: DataFrame, *columns: str) -> DataFrame:
    """One row per combination of values that one state has oftener than the other: what came, what went, and of what changed both.

    Args:
        before: rows with the columns.
        now: rows with the columns.
        columns: what is compared; no array or map.
    """
    told = before.select(*columns, F.lit(-1).alias("_change")).unionByName(
        now.select(*columns, F.lit(1).alias("_change"))
    )
    return told.groupBy(*columns).agg(F.sum("_change").alias("_change")).where("_change <> 0").drop("_change")


def owners_that_differ(before: DataFrame, now: DataFrame, owner: str, *columns: str) -> DataFrame:
    """One row per value of `owner` of which one state has other rows than the other.

    Of each row 64 bits are compared, added up by owner, so that rows need not be shuffled. Two states of an owner that differ and
    have the same sums are met once in some 10^19 owners.

    Args:
        before: rows with the columns.
        now: rows with the columns.
        owner: the column that says whose rows they are.
        columns: what is compared; no map.
    """
    signed = before.select(owner, digest(before, *columns).alias("_digest"), F.lit(-1).alias("_sign")).unionByName(
        now.select(owner, digest(now, *columns).alias("_digest"), F.lit(1).alias("_sign"))
    )
    # In halves, whose sums do not leave 64 bits.
    halves = F.shiftright("_digest", 32), F.col("_digest").bitwiseAND(F.lit(2**32 - 1))
    sums = [F.sum(F.col("_sign") * part) for part in (F.lit(1), *halves)]
    differ = F.array(*sums).alias("_sums")
    return signed.groupBy(owner).agg(differ).where(F.exists("_sums", lambda total: total != 0)).select(owner)


def digest(rows: DataFrame, *columns: str) -> Column:
    """64 bits of what a row says; a null leaves a hash as it is, so that its place is hashed too, within a struct as well.

    Args:
        rows: rows with the columns.
        columns: what is hashed; no map.
    """
    values = [value for name in columns for value in _values(rows, name)]
    return F.xxhash64(*[part for value in values for part in (value, value.isNull())])


def _values(rows: DataFrame, name: str) -> list[Column]:
    column, kind = F.col(f"`{name}`"), rows.schema[name].dataType
    return [column.getField(field) for field in kind.names] if isinstance(kind, StructType) else [column]
