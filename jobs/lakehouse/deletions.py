"""Deletions among the revisions of silver: what is gone from its source is told by a last revision."""

from __future__ import annotations

from pyspark.sql import Column
from pyspark.sql import functions as F


def is_deletion() -> Column:
    """Whether a revision tells that its thing is gone: it ends when it begins, and repeats what was last known."""
    return F.coalesce(F.col("superseded_at") <= F.col("arrived_at"), F.lit(False))
