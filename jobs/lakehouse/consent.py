"""Consent: whose data may be used for a purpose, as was known at a time."""

from __future__ import annotations

import datetime as dt

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.lakehouse.deletions import is_deletion


def accounts_that_allow(consents: DataFrame, purpose: str, as_of: dt.datetime) -> DataFrame:
    """One row per account whose data may be used for the purpose as of an instant: `account_id`, `decided_at`.

    The last decision counts that was made and had arrived by then, whatever the order of arrival; of two at one moment the one
    that arrived later, and of two that arrived together the refusal. Who has not decided has not agreed, and no more has
    one whose last decision was deleted where it came from: from when that was known, none before it counts in its place.

    Args:
        consents: rows of silver.consents, all revisions.
        purpose: the purpose, one of those that silver.consents names.
        as_of: the instant, UTC without a zone; what happened at it is not known yet.
    """
    instant = F.lit(as_of).cast("timestamp")
    known = consents.where(
        (F.col("purpose") == purpose) & (F.col("arrived_at") < instant) & (F.col("decided_at") < instant)
    )
    decision = F.struct("decided_at", "arrived_at", (~F.col("is_granted")).alias("is_refused"))
    revision = F.struct("decided_at", "arrived_at", "revision", is_deletion().alias("is_deleted"))
    last = known.groupBy("account_id").agg(F.max(decision).alias("last"), F.max(revision).alias("newest"))
    allowed = last.where(~F.col("last.is_refused") & ~F.col("newest.is_deleted"))
    return allowed.select("account_id", F.col("last.decided_at").alias("decided_at"))
