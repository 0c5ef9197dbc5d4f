"""From a function of person numbers to a Spark frame: one code path for two thousand and ten million persons."""

from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd
from pyspark.sql import DataFrame, SparkSession

from jobs.lakehouse.settings import WorldSettings
from jobs.simulate.draws import Integers

PERSONS_PER_PARTITION = 25_000
PERSONS_PER_CHUNK = (
    2_000  # some ten thousand rows at a time: a chunk stays within the processor's cache and a worker's memory
)

Batch = Callable[[WorldSettings, Integers], Mapping[str, npt.NDArray[np.generic]]]


def partition_count(settings: WorldSettings) -> int:
    """In how many partitions a world of this size is made; a property of the world, so that file names are too."""
    return max(1, -(-settings.customers // PERSONS_PER_PARTITION))


def generated(
    spark: SparkSession, settings: WorldSettings, batch: Batch, schema: str, partitions: int = 0
) -> DataFrame:
    """The rows that `batch` makes of every person of the world.

    Args:
        spark: the session.
        settings: the world.
        batch: makes columns from person numbers; its rows must not depend on which persons come together.
        schema: the columns of the result, as Spark DDL.
        partitions: how many partitions to use; 0 for the number that fits the world's size.
    """

    def rows(frames: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        for frame in frames:
            persons = frame["id"].to_numpy(dtype=np.int64)
            for begin in range(0, len(persons), PERSONS_PER_CHUNK):
                yield pd.DataFrame(dict(batch(settings, persons[begin : begin + PERSONS_PER_CHUNK])))

    persons = spark.range(0, settings.customers, 1, partitions or partition_count(settings))
    return persons.mapInPandas(rows, schema)
