"""What a job reads in which version: tables by the ledger, files by their listing, topics by their ends, models by their champion."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path

from pyspark.sql import SparkSession

from jobs.lakehouse.brokers import partition_offsets
from jobs.lakehouse.contracts import LAYERS, Contract
from jobs.lakehouse.errors import DataError
from jobs.lakehouse.files import folder_exists, list_files, listing_digest, read_text
from jobs.lakehouse.settings import Settings
from jobs.lakehouse.sources import Source, fed_by, read_sources
from jobs.lakehouse.tables import Lake, table_version
from jobs.lakehouse.tracking import Tracking

# What is read or written beside tables, by the layer that stands in for it.
FILES, TOPICS, DATABASE, TRUTH, MODELS, OPS = "files", "topics", "database", "truth", "models", "ops"
WAYS_IN = (FILES, TOPICS, DATABASE)
BY_WIRE = (TOPICS, DATABASE)
WORLD_MARK = "_WORLD.json"


def input_versions(
    reads: tuple[str, ...], spark: SparkSession, settings: Settings, contracts: Iterable[str], good: Mapping[str, int]
) -> dict[str, str]:
    """The version of everything that a job may read and that is there.

    Raises:
        DataError: the folder of the files is missing, or a broker does not answer.
    """
    versions: dict[str, str] = {}
    for pattern in reads:
        layer = pattern.split(".")[0]
        if layer == FILES:
            versions[pattern] = _listing(spark, settings)
        elif layer == TOPICS:
            versions |= _ends(spark, settings)
        elif layer == DATABASE:
            # A database has no version to compare: it is asked anew every time.
            versions[pattern] = f"asked {uuid.uuid4().hex[:8]}"
        elif layer == TRUTH:
            versions[pattern] = world_mark(spark, settings) or "none"
        elif layer == MODELS:
            found = Tracking(settings.tracking, settings.dataset).champion_version(pattern.removeprefix("models."))
            versions[pattern] = found or "none"
        elif layer == OPS:
            # What persons write, or the house keeps, is read as it stands.
            version = table_version(spark, Lake(settings.path("lake")).path(pattern))
            versions |= {} if version is None else {pattern: str(version)}
        else:
            known = [table for table in contracts if fnmatchcase(table, pattern)]
            versions |= {table: str(good[table]) for table in known if table in good}
    return versions


def feeds_of(reads: tuple[str, ...], settings: Settings) -> Mapping[str, Source]:
    """The dataset's feeds whose declarations matter to a job: those that it takes in, all where it reads bronze."""
    sources = read_sources(Path(settings.conf_dir), settings.dataset)
    layers = {pattern.split(".")[0] for pattern in reads}
    if "bronze" in layers:
        return sources
    return {name: source for name, source in sources.items() if source.way_in in layers}


def has_feeds(reads: tuple[str, ...], writes: tuple[str, ...], settings: Settings) -> bool:
    """Whether the dataset has a feed for a job that takes feeds in, or sends them by wire; true for every other job."""
    sent_by = {pattern.split(".")[0] for pattern in writes} & {*BY_WIRE}
    takes_in = any(pattern.split(".")[0] in WAYS_IN for pattern in reads)
    by_wire = tuple(f"{way}.*" for way in sent_by)
    return not (takes_in or sent_by) or bool(feeds_of(by_wire or reads, settings))


def written_names(
    reads: tuple[str, ...], writes: tuple[str, ...], settings: Settings, contracts: Mapping[str, Contract]
) -> tuple[str, ...]:
    """What a job may write in a dataset: tables by their names; of bronze those of the feeds that the job takes in."""
    bronze = {source.bronze_table for source in feeds_of(reads, settings).values()}
    names: list[str] = []
    for pattern in writes:
        if "*" not in pattern or pattern.split(".")[0] not in LAYERS:
            names.append(pattern)
        else:
            matching = [table for table in contracts if fnmatchcase(table, pattern)]
            names += [table for table in matching if not table.startswith("bronze.") or table in bronze]
    return tuple(names)


def world_mark(spark: SparkSession, settings: Settings) -> str | None:
    """A short hash of the simulated world's own mark; None where no world was written."""
    content = read_text(spark, f"{settings.path('truth')}/{WORLD_MARK}")
    return None if content is None else hashlib.sha256(content.encode()).hexdigest()[:16]


def _listing(spark: SparkSession, settings: Settings) -> str:
    folder = settings.path("data")
    if not folder_exists(spark, folder):
        raise DataError(
            f"the data folder {folder} is missing; name the folder of dataset {settings.dataset} with --data"
        )
    sources = fed_by(read_sources(Path(settings.conf_dir), settings.dataset), "files").values()
    return listing_digest([entry for source in sources for entry in list_files(spark, folder, source.files)])


def _ends(spark: SparkSession, settings: Settings) -> dict[str, str]:
    """Per feed the offset at which each partition of its topic ends now: the same while no message is added.

    A stream without end waits for what is not there yet, so that it starts whatever the ends are.
    """
    asked = "" if settings.kafka.trigger == "once" else f", asked {uuid.uuid4().hex[:8]}"
    sources = fed_by(read_sources(Path(settings.conf_dir), settings.dataset), "topics")
    versions = {}
    for name, source in sources.items():
        assert source.topic is not None
        offsets = partition_offsets(spark, settings.kafka, source.topic.name)
        ends = ",".join(f"{partition}:{reach.end}" for partition, reach in sorted(offsets.items()))
        versions[f"{TOPICS}.{name}"] = f"{ends}{asked}"
    return versions
