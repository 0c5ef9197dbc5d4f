"""The session: what Spark is told to do says for whom."""

import platform
from collections import Counter

import pytest
from pyspark.sql import SparkSession

from jobs.lakehouse.session import described
from jobs.lakehouse.side_by_side import DESCRIPTION, side_by_side


def said(spark: SparkSession) -> str | None:
    told: str | None = spark.sparkContext.getLocalProperty(DESCRIPTION)
    return told


def test_what_a_block_has_spark_do_bears_its_name_in_every_thread_and_no_longer(spark: SparkSession) -> None:
    before = said(spark)
    with described(spark, "insight.stock 2025-01-01"):
        assert said(spark) == "insight.stock 2025-01-01"
        pieces = side_by_side(lambda _: said(spark), range(6))
        assert Counter(pieces) == {"insight.stock 2025-01-01": 6}
    assert said(spark) is None is before
    assert side_by_side(lambda _: said(spark), range(2)) == [None, None]


def test_a_block_that_fails_leaves_no_name(spark: SparkSession) -> None:
    with pytest.raises(ZeroDivisionError), described(spark, "insight.stock 2025-01-01"):
        raise ZeroDivisionError
    assert said(spark) is None


@pytest.mark.skipif(
    (platform.system(), platform.machine()) not in {("Linux", "x86_64"), ("Linux", "aarch64")},
    reason="make setup unpacks Hadoop's native library for Linux on these machines",
)
def test_hadoop_has_its_native_library_on_a_local_disk(spark: SparkSession) -> None:
    assert spark.sparkContext._jvm.org.apache.hadoop.util.NativeCodeLoader.isNativeCodeLoaded()  # type: ignore[union-attr]
    assert spark.sparkContext._jvm.org.apache.hadoop.io.nativeio.NativeIO.isAvailable()  # type: ignore[union-attr]
