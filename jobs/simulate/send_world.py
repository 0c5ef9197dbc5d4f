"""Send what of the simulated world has arrived by the run date to the topics and tables of the dataset's feeds, as their sources would."""

import datetime as dt
import sys
from collections.abc import Mapping

from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from jobs.lakehouse.brokers import ensure_topic, partition_offsets, send_messages
from jobs.lakehouse.databases import put_rows
from jobs.lakehouse.errors import DataError
from jobs.lakehouse.files import list_files
from jobs.lakehouse.job import Job
from jobs.lakehouse.run import Run
from jobs.lakehouse.settings import WorldSettings
from jobs.lakehouse.sources import Source, fed_by
from jobs.lakehouse.wire_settings import DatabaseSettings, KafkaSettings
from jobs.simulate.raw_files import CSV_OPTIONS

# It compares with what the wires hold, which nobody can foresee: so it reads them as well, and is never `already done`.
JOB = Job(
    reads=("files.*", "database.*"),
    writes=("topics.*", "database.*"),
    settings=(KafkaSettings, DatabaseSettings, WorldSettings),
    is_dated=True,
    only_simulated=True,
)


def has_arrived(source: Source, until: dt.datetime) -> Column:
    """Whether a record had arrived; one that does not tell when was always there."""
    return F.coalesce(arrival_of(source) <= F.lit(until), F.lit(True))


def arrival_of(source: Source) -> Column:
    """When a record arrived, by the fields that the feed's declaration names."""
    return F.expr(source.arrival).cast("timestamp")


def as_messages(raw: DataFrame, source: Source, until: dt.datetime) -> DataFrame:
    """One row per record that had arrived: its `value`, a JSON object, and when it did.

    Args:
        raw: the lines of a feed of JSON, as they are, in `value`; of a feed of CSV its rows.
        source: the feed.
        until: the instant up to which records arrive.
    """
    if source.format == "json":
        fields = {field.column: F.get_json_object("value", f"$.{field.name}") for field in source.fields}
        told = raw.withColumns(fields)
    else:
        told = raw.withColumn("value", F.to_json(F.struct(*raw.columns), {"ignoreNullFields": "false"}))
    return told.where(has_arrived(source, until)).select("value", arrival_of(source).alias("arrived_at"))


def as_unsent(messages: DataFrame, sent: Mapping[int, int]) -> DataFrame:
    """One row per message that the topic does not hold yet, with its partition, in the order of arrival within it.

    The order does not depend on the run date: what had arrived by an earlier one comes before all the rest. So the
    number of messages that a partition holds tells which of them they are, after a run that was killed too.

    Args:
        messages: the result of as_messages.
        sent: by partition, how many messages it was ever sent.
    """
    numbered = messages.withColumn("partition", partition_of(len(sent)))
    place = F.row_number().over(Window.partitionBy("partition").orderBy("arrived_at", "value"))
    held = F.create_map(*[F.lit(number) for entry in sorted(sent.items()) for number in entry])
    placed = numbered.withColumn("_place", place)
    return placed.where(F.col("_place") > F.element_at(held, F.col("partition"))).drop("_place")


def partition_of(partitions: int) -> Column:
    """The partition of a message, by what it says: copies come one after the other."""
    return F.pmod(F.xxhash64("value"), F.lit(partitions)).cast("int")


def refuse_what_was_not_sent(
    topic: str, before: Mapping[int, int], after: Mapping[int, int], due: Mapping[int, int]
) -> None:
    """See that each partition that was sent anything now holds what is due, for by that number the next run goes on.

    Raises:
        DataError: a partition holds something else.
    """
    wrong = [number for number in sorted(before) if before[number] < after[number] != due[number]]
    if wrong:
        told = ", ".join(f"{after[number]} in partition {number} where {due[number]} are due" for number in wrong)
        raise DataError(
            f"topic {topic} does not hold the world's messages and no others: {told}. Something else sends to it, or a task "
            "was repeated; remove the topic, and send the world to a new one"
        )


def raw_records(spark: SparkSession, source: Source, folder: str) -> DataFrame:
    """One row per record of a feed's raw files: of JSON the line, of CSV its columns as text, null where they are empty.

    Raises:
        DataError: the feed has no raw files.
    """
    paths = [entry.path for entry in list_files(spark, folder, f"{source.source}/*")]
    if not paths:
        raise DataError(f"{folder}/{source.source} holds no files of the world; run simulate.write_world first")
    if source.format == "json":
        return spark.read.text(paths)
    return spark.read.options(**CSV_OPTIONS, multiLine="true").csv(paths)


def sent_until(run: Run) -> dt.datetime:
    """The instant up to which records are sent: the end of the run date; on the world's last day all that its files tell.

    Those tell the exports of the nights after that day too, and so must their twin.
    """
    return run.as_of if run.run_date < run.part(WorldSettings).last_day else dt.datetime.max


def build(run: Run) -> None:
    folder, until, kafka = run.settings.path("data"), sent_until(run), run.part(KafkaSettings)
    for source in fed_by(run.sources, "topics").values():
        raw = raw_records(run.spark, source, folder)
        run.facts[source.source] = f"{_send(as_messages(raw, source, until), source, kafka):,} messages sent"
    for source in fed_by(run.sources, "database").values():
        assert source.table is not None
        rows = raw_records(run.spark, source, folder).where(has_arrived(source, until))
        changed = put_rows(rows, run.part(DatabaseSettings), source.table)
        run.facts[source.source] = f"{changed:,} rows new or changed"


def _send(messages: DataFrame, source: Source, settings: KafkaSettings) -> int:
    """How many messages were sent."""
    assert source.topic is not None
    spark, topic = messages.sparkSession, source.topic.name
    ensure_topic(spark, settings, topic)

    def ends() -> dict[int, int]:
        return {number: reach.end for number, reach in partition_offsets(spark, settings, topic).items()}

    before = ends()
    send_messages(as_unsent(messages, before), settings, topic)
    after, parts = ends(), sorted(before)
    counts = messages.agg(*[F.count_if(partition_of(len(parts)) == number) for number in parts]).first()
    refuse_what_was_not_sent(topic, before, after, dict(zip(parts, counts or (), strict=True)))
    return sum(after.values()) - sum(before.values())


if __name__ == "__main__":
    sys.exit(JOB.main(__doc__, build))
