"""Stream the messages of every topic that is a feed into bronze, each once: all there are, or without end as they come."""

import datetime as dt
import json
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import reduce
from itertools import count

from pyspark.errors import StreamingQueryException
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.streaming.query import StreamingQuery

from jobs.ingest.drift import Watch, audit_drift, merged
from jobs.ingest.messages import as_next_offsets, as_records, shape_of_messages, starting_offsets
from jobs.ingest.records import with_arrival, with_tokens
from jobs.ingest.sealing import all_written, send_sealed
from jobs.ingest.shapes import Shape
from jobs.lakehouse.archive import kept_rows
from jobs.lakehouse.brokers import partition_offsets, stream_options
from jobs.lakehouse.files import read_text
from jobs.lakehouse.job import Job
from jobs.lakehouse.packing import pack_added
from jobs.lakehouse.run import Run
from jobs.lakehouse.settings import PrivacySettings
from jobs.lakehouse.sources import Source, Topic, fed_by
from jobs.lakehouse.tables import Write
from jobs.lakehouse.vault import PAYLOADS, VALUES
from jobs.lakehouse.wire_settings import KafkaSettings

JOB = Job(
    reads=("topics.*",),
    writes=("bronze.*", VALUES, PAYLOADS),
    settings=(KafkaSettings, PrivacySettings),
)
LOOK_EVERY_SECONDS = 1


def build(run: Run) -> None:
    failures: list[Exception] = []
    one_at_a_time = threading.Lock()
    queries: list[StreamingQuery] = []
    shapes: dict[str, Shape] = {}
    with _asked_to_stop() as stopping:
        try:
            for source in fed_by(run.sources, "topics").values():
                queries.append(_started(run, source, one_at_a_time, failures, shapes))
            run.is_cut_short = not _all_ended(queries, stopping)
        except StreamingQueryException as error:
            # Spark wraps what a batch raised into an error of its own, by which nobody could tell what it was.
            raise (failures[0] if failures else error) from error
        finally:
            for query in queries:
                with suppress(Exception):
                    query.stop()
    for name, shape in shapes.items():
        audit_drift(run, run.sources[name], shape)


def _started(
    run: Run,
    source: Source,
    one_at_a_time: threading.Lock,
    failures: list[Exception],
    shapes: dict[str, Shape],
) -> StreamingQuery:
    """The running query of one feed; the batches of different feeds take turns.

    A run that ends adds to the shapes what fields came; one without end tells of them, and packs its files, as it goes.
    """
    assert source.topic is not None
    settings, checkpoint = run.part(KafkaSettings), f"{run.lake.root}/_checkpoints/{source.source}"

    watch, batches = Watch(), count(1)

    def take(batch: DataFrame, batch_id: int) -> None:
        try:
            with one_at_a_time:
                shape = take_batch(run, source, checkpoint, batch, batch_id)
                if settings.trigger == "once":
                    shapes[source.source] = merged(shapes.get(source.source, {}), shape)
                    return
                watch.audit(run, source, shape)
                if settings.compact_every_batches and next(batches) % settings.compact_every_batches == 0:
                    pack_added(run)
                run.account()
        except Exception as error:
            failures.append(error)
            raise

    start = _start(run, source, source.topic, checkpoint, settings)
    messages = run.spark.readStream.format("kafka").options(**stream_options(settings, source.topic.name, start)).load()
    writer = messages.writeStream.option("checkpointLocation", checkpoint).foreachBatch(take)
    if settings.trigger == "once":
        return writer.trigger(availableNow=True).start()
    return writer.trigger(processingTime=f"{settings.interval_seconds} seconds").start()


def take_batch(run: Run, source: Source, checkpoint: str, batch: DataFrame, batch_id: int) -> Shape:
    """Commit one batch: the vault first, by key, then bronze as the transaction of this stream with the batch's number.

    Gives the fields that its messages have, name to kind.

    A batch that is repeated after a kill has the same messages under the same number: the vault knows its keys, and
    Delta that it has seen the transaction.
    """
    now = dt.datetime.now(dt.UTC).replace(tzinfo=None, microsecond=0)
    assert source.topic is not None
    keys = run.keys()
    shape = shape_of_messages(batch, source, source.topic)
    plain = with_arrival(as_records(batch, source, source.topic, shape), source, now)

    def made_of(records: DataFrame) -> DataFrame:
        return with_tokens(records, source, keys, run.settings.calendar.phone_region)

    written = all_written(plain, made_of, source, keys, run.lake.staging_path(run.job, source.bronze_table))
    send_sealed(run.add, [written.values], [written.lines])
    # A checkpoint made anew counts its batches from 0 again, and must not be taken for the old one.
    stream_id = json.loads(read_text(run.spark, f"{checkpoint}/metadata") or "{}").get("id", "")
    transaction = f"{run.job}/{source.bronze_table}/{stream_id}"
    write = Write("append", transaction=transaction, transaction_version=batch_id)
    before = run.added.get(source.bronze_table, 0)
    run.add(source.bronze_table, written.bronze, write)
    held = written.row_count - (run.added[source.bronze_table] - before)
    run.account_for(written.row_count, {source.bronze_table: held})
    return shape


def _start(run: Run, source: Source, topic: Topic, checkpoint: str, settings: KafkaSettings) -> str:
    """Where a stream begins that has no checkpoint: after what bronze and its archive hold. One that has a checkpoint goes on by that.

    Where a loss is accepted Spark no longer refuses a topic that was made anew, so it is looked for here in any case.
    """
    goes_on = read_text(run.spark, f"{checkpoint}/metadata") is not None and not settings.accept_data_loss
    kept = [] if goes_on else kept_rows(run.spark, run.lake, source.bronze_contract)
    if not kept:
        return "earliest"
    places = reduce(DataFrame.union, [rows.select("_delivery_id") for rows in kept])
    held = as_next_offsets(places, topic).select(F.col("partition"), F.col("offset"))
    next_offsets = {row["partition"]: row["offset"] for row in held.collect()}
    offsets = partition_offsets(run.spark, settings, topic.name)
    return starting_offsets(topic, next_offsets, offsets, accept_data_loss=settings.accept_data_loss)


def _all_ended(queries: list[StreamingQuery], stopping: threading.Event) -> bool:
    """Whether every query has ended by itself; waits until they have, or the process is asked to stop.

    Raises:
        StreamingQueryException: a query failed.
    """
    waiting = list(queries)
    while waiting and not stopping.is_set():
        waiting = [query for query in waiting if not query.awaitTermination(LOOK_EVERY_SECONDS)]
    return not waiting


@contextmanager
def _asked_to_stop() -> Iterator[threading.Event]:
    """Is set when the process is told to end (SIGTERM, Ctrl-C): the stream stops, and the run is accounted for."""
    stopping = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopping
        return
    before = {number: signal.signal(number, lambda *_: stopping.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopping
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


if __name__ == "__main__":
    sys.exit(JOB.main(__doc__, build))
