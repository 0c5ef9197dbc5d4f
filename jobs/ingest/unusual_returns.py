"""Unusual returns: accounts that bring back a share of what they buy that is far above the ordinary one."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from jobs.lakehouse.cleaning_settings import CleaningSettings


def wilson_lower(hits: Column, trials: Column, z: float) -> Column:
    """The lower end of the score interval of a share (Wilson 1927)."""
    share, noise = hits / trials, z * z / trials
    half = z * F.sqrt(share * (1 - share) / trials + noise / (4 * trials))
    return (share + noise / 2 - half) / (1 + noise)


def with_returned_share(lines: DataFrame, settings: CleaningSettings) -> DataFrame:
    """The product lines of known accounts with `least_share`, the returned share that was sure when each arrived.

    Every account starts with some lines of the ordinary share (empirical Bayes: the prior is all accounts' pooled share), so that two
    returns out of two prove little. `ordinary_share` is that pooled share.
    """
    known = lines.where("account_id is not null and line_kind = 'product'")
    pooled = known.agg(F.try_divide(F.count_if("is_return"), F.count_if(~F.col("is_return"))).alias("ordinary_share"))
    so_far = (
        Window.partitionBy("account_id")
        .orderBy(F.unix_micros("arrived_at"))
        .rangeBetween(Window.unboundedPreceding, Window.currentRow)
    )
    prior = settings.abnormal_return_prior_lines
    counted = known.crossJoin(F.broadcast(pooled)).withColumns(
        {
            "sold_lines": F.count_if(~F.col("is_return")).over(so_far),
            "returned_lines": F.count_if("is_return").over(so_far),
        }
    )
    hits = F.least("returned_lines", "sold_lines") + prior * F.col("ordinary_share")
    return counted.withColumn(
        "least_share", wilson_lower(hits, F.col("sold_lines") + prior, settings.abnormal_return_z)
    )


def as_abnormal_returns(lines: DataFrame, settings: CleaningSettings) -> DataFrame:
    """One row per return of an account with an abnormal share: `order_id`, `known_at`, `score` (the least sure share).

    An account is looked at whenever a line of it arrives, and what was found once is not taken back: so a mark never
    depends on what arrives later.
    """
    judged = with_returned_share(lines, settings)
    is_sure = F.col("least_share") >= settings.abnormal_return_multiple * F.col("ordinary_share")
    found = judged.where(is_sure & (F.col("sold_lines") >= settings.abnormal_return_lines))
    accounts = found.groupBy("account_id").agg(
        F.min("arrived_at").alias("found_at"), F.max("least_share").alias("score")
    )
    returns = lines.where("is_return").groupBy("order_id", "account_id").agg(F.min("arrived_at").alias("arrived_at"))
    return returns.join(accounts, on="account_id", how="inner").select(
        "order_id", F.greatest("arrived_at", "found_at").alias("known_at"), "score"
    )
