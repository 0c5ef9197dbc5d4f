"""Short pieces of driver work done side by side, such as commits, which mostly wait for files and for the planner."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from pyspark import SparkContext

T = TypeVar("T")
R = TypeVar("R")
AT_ONCE = 4
DESCRIPTION = "spark.job.description"


def side_by_side(work: Callable[[T], R], pieces: Iterable[T]) -> list[R]:
    """What the work gives for each piece, in their order; all come to their end before the first failure is raised."""
    taken = list(pieces)
    if len(taken) < 2:
        return [work(piece) for piece in taken]
    spark = SparkContext._active_spark_context
    description = spark.getLocalProperty(DESCRIPTION) if spark else None

    def described(piece: T) -> R:
        # Each thread says for itself for whom Spark works.
        if spark and description:
            spark.setJobDescription(description)
        return work(piece)

    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="piece") as pool:
        return list(pool.map(described, taken))
