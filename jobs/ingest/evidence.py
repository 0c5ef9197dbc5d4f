"""Evidence: how several weak signs become one mark, and how far a number lies from what is usual."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

# Of a normal distribution, standard deviations per median absolute deviation.
MAD_TO_SIGMA = 1.4826


def joint_confidence(weights: Mapping[str, float], holds: Mapping[str, Column]) -> Column:
    """One less the product of what each sign that holds leaves open: signs add up as if they came by chance alone."""
    left_open = [F.when(condition, 1 - weights[sign]).otherwise(1.0) for sign, condition in holds.items()]
    return F.lit(1.0) - reduce(lambda one, other: one * other, left_open)


def signs_that_hold(holds: Mapping[str, Column]) -> Column:
    """The names of the signs that hold, in their order."""
    return F.array_compact(F.array(*[F.when(condition, F.lit(sign)) for sign, condition in holds.items()]))


def complete_at(weights: Mapping[str, float], known_at: Mapping[str, Column], enough: float) -> Column:
    """When the evidence was complete: with the first sign that is enough alone, else with the last of those that hold."""
    alone = [known_at[sign] for sign in known_at if weights[sign] >= enough]
    nothing = F.lit(None).cast("timestamp")
    return F.coalesce(F.least(nothing, nothing, *alone), F.greatest(nothing, nothing, *known_at.values()))


def with_distance(rows: DataFrame, keys: list[str], column: str, least_spread: float, least_sample: int) -> DataFrame:
    """The rows with `<column>_distance`: robust spreads between the logarithm of a positive number and its group's median.

    The spread is 1.4826 times the median absolute deviation (Hampel 1974), and never less than `least_spread`, since a
    group may be all alike. It is null in a group of fewer than `least_sample` rows: too few to call one of them unusual.

    Args:
        rows: with the keys and the column.
        keys: what makes the groups; none for one group of all rows.
        column: a number; what is not above zero has no distance.
        least_spread: on the scale of natural logarithms.
        least_sample: rows.
    """
    logarithm = F.when(F.col(column) > 0, F.ln(F.col(column).cast("double")))
    logged = rows.withColumn("_log", logarithm)
    medians = logged.groupBy(*keys).agg(
        F.percentile_approx("_log", 0.5).alias("_median"), F.count("_log").alias("_sample")
    )
    placed = _joined(logged, medians, keys)
    off = F.abs(F.col("_log") - F.col("_median"))
    spreads = placed.groupBy(*keys).agg(F.percentile_approx(off, 0.5).alias("_off"))
    spread = F.greatest(F.col("_off") * MAD_TO_SIGMA, F.lit(least_spread))
    distance = F.when(F.col("_sample") >= least_sample, (F.col("_log") - F.col("_median")) / spread)
    judged = _joined(placed, spreads, keys).withColumn(f"{column}_distance", distance)
    return judged.drop("_log", "_median", "_sample", "_off")


def _joined(rows: DataFrame, groups: DataFrame, keys: list[str]) -> DataFrame:
    return rows.join(groups, on=keys, how="left") if keys else rows.crossJoin(F.broadcast(groups))
