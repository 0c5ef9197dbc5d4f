"""Brokers: what Spark is told of Kafka, and where the topics end now."""

from __future__ import annotations

from typing import Any, NamedTuple

from py4j.protocol import Py4JJavaError
from pyspark.sql import SparkSession

from jobs.lakehouse.errors import DataError
from jobs.lakehouse.wire_settings import KafkaSettings

BYTES = "org.apache.kafka.common.serialization.ByteArrayDeserializer"


def client_options(settings: KafkaSettings) -> dict[str, str]:
    """The options of a Kafka client by which a silent broker becomes an error within the time that the settings give."""
    milliseconds = str(settings.timeout_seconds * 1000)
    return {
        "bootstrap.servers": settings.bootstrap_servers,
        "default.api.timeout.ms": milliseconds,
        "request.timeout.ms": milliseconds,
        **settings.options,
    }


def stream_options(settings: KafkaSettings, topic: str, starting_offsets: str) -> dict[str, str]:
    """The options by which Spark reads a topic; messages that are gone before they were read are an error, not a gap."""
    return {
        **{f"kafka.{key}": value for key, value in client_options(settings).items()},
        "subscribe": topic,
        "startingOffsets": starting_offsets,
        "failOnDataLoss": "true",
        "maxOffsetsPerTrigger": str(settings.max_offsets_per_trigger),
        "kafkaConsumer.pollTimeoutMs": str(settings.timeout_seconds * 1000),
        "fetchOffset.numRetries": "1",
    }


class Reach(NamedTuple):
    """From where to where a partition can be read: the offset of its oldest message, and that of the next to come."""

    oldest: int
    end: int


def partition_offsets(spark: SparkSession, settings: KafkaSettings, topic: str) -> dict[int, Reach]:
    """The reach of every partition of a topic.

    Raises:
        DataError: no broker answers, or it has no such topic.
    """
    jvm: Any = spark._jvm
    properties = jvm.java.util.Properties()
    # Asking for a topic must not make it.
    own = {"key.deserializer": BYTES, "value.deserializer": BYTES, "allow.auto.create.topics": "false"}
    for key, value in {**client_options(settings), **own}.items():
        properties.setProperty(key, value)
    try:
        consumer = jvm.org.apache.kafka.clients.consumer.KafkaConsumer(properties)
    except Py4JJavaError as error:
        raise DataError(f"Kafka at {settings.bootstrap_servers}: {error.java_exception.getCause()}") from error
    try:
        infos = consumer.partitionsFor(topic) or ()
        partitions = [jvm.org.apache.kafka.common.TopicPartition(topic, info.partition()) for info in infos]
        if not partitions:
            raise DataError(f"Kafka at {settings.bootstrap_servers} has no topic {topic}; make it, or correct the feed")
        oldest, ends = dict(consumer.beginningOffsets(partitions)), dict(consumer.endOffsets(partitions))
        return {int(entry.partition()): Reach(int(oldest[entry]), int(ends[entry])) for entry in partitions}
    except Py4JJavaError as error:
        raise silent_broker(settings, str(error.java_exception.toString())) from error
    finally:
        consumer.close(jvm.java.time.Duration.ofSeconds(0))


def silent_broker(settings: KafkaSettings, reason: str) -> DataError:
    """The error of a broker that does not answer, or has not what it was asked for."""
    return DataError(
        f"Kafka at {settings.bootstrap_servers} did not deliver: {reason[:300]}. What was committed stays; start the broker, "
        "or name another by kafka.bootstrap_servers, and run again"
    )
