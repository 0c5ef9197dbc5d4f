"""Messages: what a topic delivers, each message as a record that knows its place in the topic."""

from __future__ import annotations

import json
from collections.abc import Mapping

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.ingest.records import parted
from jobs.lakehouse.brokers import Reach
from jobs.lakehouse.sources import Source, Topic


def as_records(messages: DataFrame, source: Source, topic: Topic) -> DataFrame:
    """One row per message, every declared field as text, with the raw text of those that can't be read.

    A message without a value, too long, not UTF-8, or no JSON object with the fields where they should lie, is kept as
    unparseable. The place in the topic is the message's id, so that reading it again never makes another record.
    """
    place = F.concat_ws("/", F.lit(topic.name), F.col("partition").cast("string"), F.col("offset").cast("string"))
    lines = messages.select(F.col("value").cast("string").alias("value"), place.alias("_delivery_id"))
    return parted(lines, source, topic.max_message_bytes).withColumn(
        "_record_id", F.md5(F.concat_ws("\x1f", F.lit(source.source), F.col("_delivery_id")).cast("binary"))
    )


def as_next_offsets(bronze: DataFrame, topic: Topic) -> DataFrame:
    """One row per partition: the offset after the last message that bronze holds."""
    place = F.split("_delivery_id", "/")
    found = bronze.select(
        place[0].alias("topic"), place[1].cast("int").alias("partition"), place[2].cast("bigint").alias("offset")
    )
    return found.where(F.col("topic") == topic.name).groupBy("partition").agg((F.max("offset") + 1).alias("offset"))


def starting_offsets(topic: Topic, next_offsets: Mapping[int, int], offsets: Mapping[int, Reach]) -> str:
    """Where a stream without a checkpoint begins, as Spark's Kafka source wants it told: not before what is still there."""
    starts = {str(number): max(next_offsets.get(number, 0), reach.oldest) for number, reach in offsets.items()}
    return json.dumps({topic.name: starts}) if next_offsets else "earliest"
