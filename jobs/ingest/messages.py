"""Messages: what a topic delivers, each message as a record that knows its place in the topic."""

from __future__ import annotations

import json
from collections.abc import Mapping

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.ingest.records import parted
from jobs.ingest.shapes import Shape, shape_of_lines, undeclared, undeclared_in_json
from jobs.lakehouse.brokers import ACCEPT_DATA_LOSS, Reach
from jobs.lakehouse.errors import DataError
from jobs.lakehouse.sources import Source, Topic


def shape_of_messages(messages: DataFrame, source: Source, topic: Topic) -> Shape:
    """The fields that the messages have, name to kind; those that can't be parted as the feed declares say nothing."""
    text = F.col("value").cast("string")
    parsed = parted(messages.select(text.alias("value"), text.alias("_line")), source, topic.max_message_bytes)
    return shape_of_lines(parsed.where(F.col("_raw_line").isNull()).select(F.col("_line").alias("value")), source)


def as_records(messages: DataFrame, source: Source, topic: Topic, shape: Shape) -> DataFrame:
    """One row per message, every declared field as text, with the raw text of those that can't be read.

    Fields of the shape that the feed does not declare come as JSON in `_undeclared`.

    A message without a value, too long, not UTF-8, or no JSON object with the fields where they should lie, is kept as
    unparseable. The place in the topic is the message's id, so that reading it again never makes another record.
    """
    place = F.concat_ws("/", F.lit(topic.name), F.col("partition").cast("string"), F.col("offset").cast("string"))
    lines = messages.select(F.col("value").cast("string").alias("value"), place.alias("_delivery_id"))
    is_readable = F.is_valid_utf8("value") & (F.octet_length("value") <= topic.max_message_bytes)
    strangers = F.when(is_readable, undeclared_in_json(undeclared(shape, source), source))
    lines = lines.withColumn("_undeclared", strangers)
    return parted(lines, source, topic.max_message_bytes).withColumn(
        "_record_id", F.md5(F.concat_ws("\x1f", F.lit(source.source), F.col("_delivery_id")).cast("binary"))
    )


def as_next_offsets(kept: DataFrame, topic: Topic) -> DataFrame:
    """One row per partition: the offset after the last message that is kept, in bronze or in its archive."""
    place = F.split("_delivery_id", "/")
    found = kept.select(
        place[0].alias("topic"), place[1].cast("int").alias("partition"), place[2].cast("bigint").alias("offset")
    )
    return found.where(F.col("topic") == topic.name).groupBy("partition").agg((F.max("offset") + 1).alias("offset"))


def starting_offsets(
    topic: Topic, next_offsets: Mapping[int, int], offsets: Mapping[int, Reach], *, accept_data_loss: bool
) -> str:
    """Where a stream without a checkpoint begins, as Spark's Kafka source wants it told: after what is kept.

    Args:
        topic: the topic.
        next_offsets: by partition, the offset after the last message that is kept, in bronze or in its archive.
        offsets: the reach of every partition now.
        accept_data_loss: whether it begins with the oldest message that is left where the next one was deleted.

    Raises:
        DataError: a message that bronze lacks was deleted, or bronze holds more than the topic ever had.
    """
    if not next_offsets:
        return "earliest"
    beyond = sorted(
        number for number, held in next_offsets.items() if number not in offsets or held > offsets[number].end
    )
    if beyond:
        raise DataError(
            f"topic {topic.name}: bronze holds messages beyond the end of {_told(beyond)}. It is another topic than the one "
            "that was read: if it was made anew, declare it as a new feed"
        )
    gaps = sorted(number for number, reach in offsets.items() if next_offsets.get(number, 0) < reach.oldest)
    if gaps and not accept_data_loss:
        raise DataError(
            f"topic {topic.name}: the oldest message is not the next after bronze's in {_told(gaps)}. {ACCEPT_DATA_LOSS}"
        )
    starts = {str(number): max(next_offsets.get(number, 0), reach.oldest) for number, reach in offsets.items()}
    return json.dumps({topic.name: starts})


def _told(partitions: list[int]) -> str:
    return f"partition {', '.join(map(str, partitions))}"
