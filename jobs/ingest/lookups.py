"""Lookups: fields that a feed lacks and another feed of the dataset has, such as the customer of an order line."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.lakehouse.sources import Lookup

VERSIONS = "_versions"


def with_looked_up(records: DataFrame, other: DataFrame, lookup: Lookup, tells_time: bool) -> DataFrame:
    """Each record once, with the fields that it looks up; they are null where no record of the other feed has its key.

    Of several records with one key it takes what was known when it arrived: the newest one that had arrived by then, or
    else the first to arrive. The record itself arrives, for whoever asks as of a date, when both have. A correction of
    the other feed's record that arrives later waits until the record itself is delivered again.

    Args:
        records: bronze records.
        other: bronze records of the feed that is looked up.
        lookup: the keys and the fields.
        tells_time: whether the records have an arrival of their own; one that lacks it all the same stays without.
    """
    keys = [f"_key_{position}" for position, _ in enumerate(lookup.by)]
    own_keys = [F.col(name).alias(key) for name, key in zip(lookup.by, keys, strict=True)]
    versions = _versions(other, lookup, keys)
    joined = records.select("*", *own_keys).join(versions, on=keys, how="left")
    found = _known_when(F.col("_arrived_at"))
    looked_up = [found[name].alias(name) for name in lookup.fields]
    kept = [F.col(name) for name in records.columns if name != "_arrived_at"]
    known_at = F.greatest("_arrived_at", found["_arrived_at"])
    arrived_at = F.when(F.col("_arrived_at").isNotNull(), known_at) if tells_time else known_at
    return joined.select(*kept, *looked_up, arrived_at.alias("_arrived_at"))


def _versions(other: DataFrame, lookup: Lookup, keys: list[str]) -> DataFrame:
    """One row per key, with what was ever said under it in order of arrival."""
    told = F.struct("_arrived_at", *[F.expr(told).alias(name) for name, told in lookup.fields.items()])
    named = [F.col(theirs).alias(key) for theirs, key in zip(lookup.by.values(), keys, strict=True)]
    known = other.where(~F.col("_is_unparseable")).where(F.expr(lookup.where))
    return (
        known.select(*named, told.alias("_told"))
        .groupBy(*keys)
        .agg(F.sort_array(F.collect_set("_told")).alias(VERSIONS))
    )


def _known_when(arrived_at: Column) -> Column:
    """The newest version that had arrived at a time; the first of all where none had, or where the time is not known."""
    in_time = F.filter(VERSIONS, lambda version: version["_arrived_at"] <= arrived_at)
    return F.coalesce(F.try_element_at(in_time, F.lit(-1)), F.try_element_at(VERSIONS, F.lit(1)))
