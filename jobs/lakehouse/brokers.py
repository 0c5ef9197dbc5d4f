"""Brokers: what Spark is told of Kafka, where the topics end now, and how messages are sent."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, NamedTuple

from py4j.protocol import Py4JJavaError
from pyspark.sql import DataFrame, SparkSession

from jobs.lakehouse.errors import ConfigurationError, DataError, LakehouseError
from jobs.lakehouse.keys import refuse_if_others_may_read
from jobs.lakehouse.wire_settings import KafkaSettings

BYTES = "org.apache.kafka.common.serialization.ByteArrayDeserializer"
USER, PASSWORD = "LAKEHOUSE_KAFKA_USER", "LAKEHOUSE_KAFKA_PASSWORD"
CREDENTIALS_FILE = "LAKEHOUSE_KAFKA_CREDENTIALS_FILE"
PROVIDERS = "org.apache.kafka.common.config.provider"
LOGIN_MODULES = {"PLAIN": "plain.PlainLoginModule"}
STORE_TYPES = {".pem": "PEM", ".crt": "PEM", ".jks": "JKS", ".p12": "PKCS12", ".pfx": "PKCS12"}
ACCEPT_DATA_LOSS = (
    "Messages were deleted before they were read, and are lost. To go on with the oldest that are left, run once with "
    "LAKEHOUSE__KAFKA__ACCEPT_DATA_LOSS=true; a topic that was made anew is to be declared as a new feed"
)
REFUSAL = re.compile(r"\w*(Authentication|Authorization)Exception")


def client_options(settings: KafkaSettings) -> dict[str, str]:
    """The options of a Kafka client by which a silent broker becomes an error within the time that the settings give."""
    milliseconds = str(settings.timeout_seconds * 1000)
    return {
        "bootstrap.servers": settings.bootstrap_servers,
        "default.api.timeout.ms": milliseconds,
        "request.timeout.ms": milliseconds,
        **_secured(settings),
        **settings.options,
    }


def _secured(settings: KafkaSettings) -> dict[str, str]:
    """The options by which a client trusts the broker and shows who it is."""
    if settings.security_protocol == "PLAINTEXT":
        return {}
    told: dict[str, str] = {"security.protocol": settings.security_protocol}
    if settings.truststore:
        told["ssl.truststore.location"] = str(Path(settings.truststore).resolve())
        told["ssl.truststore.type"] = STORE_TYPES[Path(settings.truststore).suffix]
    return told | (_login(settings) if settings.security_protocol.startswith("SASL") else {})


def _login(settings: KafkaSettings) -> dict[str, str]:
    """The options of a login, in which user and password are named and not told.

    Kafka's own client looks them up where it is made, on the driver and on the executors. So no option that Spark keeps
    in plans, logs and events holds them.

    Raises:
        ConfigurationError: there is no user and password, or others can read their file.
    """
    if name := os.environ.get(CREDENTIALS_FILE):
        file = Path(name).resolve()
        if not file.is_file():
            raise ConfigurationError(f"{CREDENTIALS_FILE}: there is no file {file}")
        refuse_if_others_may_read(file, "credentials")
        provider, kind = "FileConfigProvider", "file"
        user, password = (f"${{file:{file}:{key}}}" for key in ("user", "password"))
    elif os.environ.get(USER) and os.environ.get(PASSWORD):
        provider, kind = "EnvVarConfigProvider", "env"
        user, password = (f"${{env:{variable}}}" for variable in (USER, PASSWORD))
    else:
        raise ConfigurationError(
            f"there is no user and password for Kafka at {settings.bootstrap_servers}: set {USER} and {PASSWORD}, or "
            f"{CREDENTIALS_FILE} to a file of mode 0600 with the lines user=… and password=…"
        )
    module = LOGIN_MODULES.get(settings.sasl_mechanism, "scram.ScramLoginModule")
    return {
        "sasl.mechanism": settings.sasl_mechanism,
        "sasl.jaas.config": f'org.apache.kafka.common.security.{module} required username="{user}" password="{password}";',
        "config.providers": kind,
        f"config.providers.{kind}.class": f"{PROVIDERS}.{provider}",
    }


def stream_options(settings: KafkaSettings, topic: str, starting_offsets: str) -> dict[str, str]:
    """The options by which Spark reads a topic; messages that are gone before they were read are an error, unless that is accepted."""
    return {
        **{f"kafka.{key}": value for key, value in client_options(settings).items()},
        "subscribe": topic,
        "startingOffsets": starting_offsets,
        "failOnDataLoss": str(not settings.accept_data_loss).lower(),
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
        ConfigurationError: the broker refuses the user.
    """
    jvm: Any = spark._jvm
    # Asking for a topic must not make it.
    own = {"key.deserializer": BYTES, "value.deserializer": BYTES, "allow.auto.create.topics": "false"}
    properties = _properties(jvm, {**client_options(settings), **own})
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
        raise broker_fault(settings, str(error.java_exception.toString())) from error
    finally:
        consumer.close(jvm.java.time.Duration.ofSeconds(0))


def ensure_topic(spark: SparkSession, settings: KafkaSettings, topic: str) -> None:
    """Make a topic where there is none, with as many partitions and copies as the broker gives by itself.

    Raises:
        DataError: no broker answers.
        ConfigurationError: the broker refuses the user.
    """
    jvm: Any = spark._jvm
    admin = None
    try:
        admin = jvm.org.apache.kafka.clients.admin.Admin.create(_properties(jvm, client_options(settings)))
        if not admin.listTopics().names().get().contains(topic):
            nothing = jvm.java.util.Optional.empty()
            new = jvm.org.apache.kafka.clients.admin.NewTopic(topic, nothing, nothing)
            admin.createTopics(jvm.java.util.Collections.singleton(new)).all().get()
    except Py4JJavaError as error:
        raise broker_fault(settings, str(error.java_exception.toString())) from error
    finally:
        if admin is not None:
            admin.close()


def send_messages(messages: DataFrame, settings: KafkaSettings, topic: str) -> None:
    """Send messages to a topic.

    Args:
        messages: the text in `value`, and the number of its `partition`; the rows of a partition in the order in which
            they are to be sent, all of them in one partition of the frame.
        settings: the broker.
        topic: the topic, which is there.
    """
    options = {**client_options(settings), "max.block.ms": str(settings.timeout_seconds * 1000)}
    writer = messages.select("value", "partition").write.format("kafka").option("topic", topic)
    writer.options(**{f"kafka.{key}": value for key, value in options.items()}).save()


def _properties(jvm: Any, options: dict[str, str]) -> Any:
    properties = jvm.java.util.Properties()
    for key, value in options.items():
        properties.setProperty(key, value)
    return properties


def broker_fault(settings: KafkaSettings, reason: str) -> LakehouseError:
    """The error of a broker that refuses the user, does not answer, or has not what it was asked for."""
    if REFUSAL.search(reason):
        return ConfigurationError(
            f"Kafka at {settings.bootstrap_servers} and this client don't trust each other: {reason[:300]}. What was committed "
            f"stays; correct kafka.security_protocol, kafka.sasl_mechanism, kafka.truststore, or user and password ({USER}, "
            f"{PASSWORD} or {CREDENTIALS_FILE}), or give the user the right to read, and run again"
        )
    if reason.startswith("[KAFKA_DATA_LOSS"):
        return DataError(f"Kafka at {settings.bootstrap_servers}: {reason[:300]}. {ACCEPT_DATA_LOSS}")
    return DataError(
        f"Kafka at {settings.bootstrap_servers} did not deliver: {reason[:300]}. What was committed stays; start the broker, "
        "or name another by kafka.bootstrap_servers, and run again"
    )
