"""Tiers: months of arrival in one table, packed the tighter the older they are; the rows and where they are read stay the same."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal

from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from jobs.lakehouse.differences import digest
from jobs.lakehouse.errors import DataError
from jobs.lakehouse.session import configured
from jobs.lakehouse.storage_settings import Ages, StorageSettings
from jobs.lakehouse.tables import Write, read_table, restore_table, table_version, write_table

ARRIVED = "_arrived_at"
Tier = Literal["warm", "cold"]
ORDER: tuple[Tier, ...] = ("warm", "cold")
MIB = 2**20


@dataclass(frozen=True)
class Month:
    """What a table holds of one month of arrival; of a file that other months share, the bytes by the share of its rows."""

    month: dt.date
    rows: int
    files: int
    size_bytes: int
    files_digest: str

    @property
    def following(self) -> dt.date:
        """The first day after it."""
        return (self.month + dt.timedelta(days=31)).replace(day=1)


@dataclass(frozen=True)
class Settled:
    """How a month was last packed, and the digest of its files' names by which is seen whether that still holds."""

    tier: Tier
    files_digest: str


def as_months(held: DataFrame) -> DataFrame:
    """One row per month of arrival, UTC: `month`, `rows`, `files`, `size_bytes`, `files_digest`; rows without a time have none."""
    in_files = held.select(
        F.col("_metadata.file_name").alias("file"),
        F.col("_metadata.file_size").alias("file_bytes"),
        F.trunc(ARRIVED, "month").alias("month"),
    )
    parts = in_files.groupBy("file", "file_bytes", "month").agg(F.count("*").alias("rows"))
    share = F.col("rows") / F.sum("rows").over(Window.partitionBy("file"))
    return (
        parts.withColumn("size_bytes", F.col("file_bytes") * share)
        .where(F.col("month").isNotNull())
        .groupBy("month")
        .agg(
            F.sum("rows").alias("rows"),
            F.count("*").alias("files"),
            F.round(F.sum("size_bytes")).cast("bigint").alias("size_bytes"),
            F.md5(F.concat_ws(",", F.sort_array(F.collect_list("file")))).alias("files_digest"),
        )
    )


def months_in(spark: SparkSession, path: str) -> list[Month]:
    """The months of a table, the oldest first."""
    return [Month(**row.asDict()) for row in as_months(read_table(spark, path)).orderBy("month").collect()]


def tier_of(month: Month, as_of: dt.datetime, ages: Ages) -> Tier | None:
    """The tier in which a month belongs, None while it is hot; a month is as old as its last arrival may be young."""
    age_days = (as_of - dt.datetime.combine(month.following, dt.time())) / dt.timedelta(days=1)
    if ages.cold_after_days is not None and age_days >= ages.cold_after_days:
        return "cold"
    return "warm" if ages.warm_after_days is not None and age_days >= ages.warm_after_days else None


def months_due(
    months: Iterable[Month], settled: Mapping[dt.date, Settled], as_of: dt.datetime, ages: Ages
) -> dict[Tier, list[Month]]:
    """The months to be packed, by tier: those that grew old, and those packed before whose files are not the same any more.

    Late arrivals, a rotation of the key or a restore change the files. A month that is packed tighter than its age asks
    for stays so.
    """
    due: dict[Tier, list[Month]] = {}
    for month in months:
        tier, known = tier_of(month, as_of, ages), settled.get(month.month)
        is_settled = (
            tier is not None
            and known is not None
            and known.files_digest == month.files_digest
            and ORDER.index(known.tier) >= ORDER.index(tier)
        )
        if tier is not None and not is_settled:
            due.setdefault(tier, []).append(month)
    return due


def pack(
    spark: SparkSession,
    path: str,
    tier: Tier,
    months: Sequence[Month],
    settings: StorageSettings,
    ages: Ages,
    run_id: str,
) -> None:
    """Write the rows of some months anew in one commit: a month's own files, sorted and packed; not a row is changed.

    Raises:
        DataError: the rows after it are not those before; the table was put back to the version before.
    """
    before, condition = table_version(spark, path), in_months(months)
    assert before is not None
    rows = read_table(spark, path).where(condition)
    held = content_of(rows)
    with packing(spark, settings.cold_level if tier == "cold" else settings.warm_level):
        packed = as_sorted_files(rows, months, ages.cluster_by, settings.file_mib)
        write_table(packed, path, Write("replace_where", condition=condition), (), run_id)
    left = content_of(read_table(spark, path).where(condition))
    if left != held:
        restore_table(spark, path, before)
        raise DataError(
            f"{path}: {held[0]} rows went into its {tier} tier and {left[0]} came out, or not the same; the table was put back "
            f"to its version {before}. Look for a writer that does not use the suite's locks, then run again"
        )


def in_months(months: Sequence[Month]) -> str:
    """The condition that holds for arrivals of these months; neighbours are one span of time."""
    spans: list[list[dt.date]] = []
    for month in sorted(months, key=lambda month: month.month):
        if spans and spans[-1][1] == month.month:
            spans[-1][1] = month.following
        else:
            spans.append([month.month, month.following])
    return " or ".join(
        f"({ARRIVED} >= timestamp'{first} 00:00:00' and {ARRIVED} < timestamp'{end} 00:00:00')" for first, end in spans
    )


def as_sorted_files(rows: DataFrame, months: Sequence[Month], cluster_by: tuple[str, ...], file_mib: int) -> DataFrame:
    """The rows in one part per file to be written: no file has rows of two months, and equal values lie together."""
    parts = {month.month: max(1, math.ceil(month.size_bytes / (file_mib * MIB))) for month in months}
    offsets = {month: sum(list(parts.values())[:place]) for place, month in enumerate(parts)}
    month = F.trunc(ARRIVED, "month")
    keys = [F.col(f"`{name}`") for name in (*cluster_by, ARRIVED)]
    within = F.pmod(F.xxhash64(keys[0]), _looked_up(parts, month))
    number = (_looked_up(offsets, month) + within).cast("int")
    return rows.repartitionById(sum(parts.values()), number).sortWithinPartitions(*keys, "_record_id")


def _looked_up(numbers: Mapping[dt.date, int], month: Column) -> Column:
    return F.create_map(*chain.from_iterable((F.lit(key), F.lit(number)) for key, number in numbers.items()))[month]


def content_of(rows: DataFrame) -> tuple[int, Any]:
    """How many rows there are, and a sum over the hashes of all: equal for the same rows in any order."""
    hashed = digest(rows, *rows.columns).cast("decimal(38,0)")
    count, total = rows.agg(F.count("*"), F.sum(hashed)).first() or (0, None)
    return int(count), total


def packing(spark: SparkSession, level: int) -> AbstractContextManager[None]:
    """Files that this session writes within the block are packed by zstd at this level."""
    wanted = {
        "spark.sql.parquet.compression.codec": "zstd",
        "parquet.compression.codec.zstd.level": str(level),
        # A page is what is packed at once: larger ones repeat more.
        "parquet.page.size": str(8 * MIB),
        "parquet.page.row.count.limit": "1000000",
    }
    return configured(spark, wanted)
