"""What a feed's records leave behind: as many rows as were read, or nothing."""

from pathlib import Path

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.ingest.records import with_record_id, with_tokens
from jobs.ingest.sealing import Written, all_written
from jobs.lakehouse.errors import QualityGateError
from jobs.lakehouse.sources import Source
from tests.ingest.test_record_ids import FEED, KEYS, RECORDS

SOURCE = Source.model_validate(FEED)


def written(spark: SparkSession, folder: Path, lost: str = "") -> Written:
    """The records written down, less the one of a receipt that gets lost on the way."""
    rows = [(number, "2025-01-01 12:00:00", "delivery", phone, line) for _, number, phone, line in RECORDS]
    read = spark.createDataFrame(
        rows, "receipt_no string, _at string, _delivery_id string, phone string, _raw_line string"
    ).select("*", F.to_timestamp("_at").alias("_arrived_at"))

    def made_of(records: DataFrame) -> DataFrame:
        made = with_record_id(with_tokens(records, SOURCE, KEYS, "CN"), SOURCE)
        return made.where(~F.col("receipt_no").eqNullSafe(F.lit(lost)))

    return all_written(read, made_of, SOURCE, KEYS, str(folder / "records"))


def test_every_record_that_was_read_is_there(spark: SparkSession, tmp_path: Path) -> None:
    records = written(spark, tmp_path)
    assert records.row_count == records.bronze.count() == len(RECORDS)
    assert records.lines is not None
    assert records.lines.count() == sum(line is not None for *_, line in RECORDS)


def test_a_record_that_is_lost_on_the_way_is_missed(spark: SparkSession, tmp_path: Path) -> None:
    lost = sum(number == "1" for _, number, *_ in RECORDS)
    told = rf"bronze.tills: {len(RECORDS)} records were read of feed tills, but {len(RECORDS) - lost} came out"
    with pytest.raises(QualityGateError, match=told):
        written(spark, tmp_path, lost="1")
