"""Splink's two backends side by side: one plain model, on DuckDB in this process and on Spark on this machine, 2 threads each.

    python benchmarks/linking_backends.py [--data ../shared/data] [--synthetic 50000] [--backends duckdb spark]

The model of jobs/identity can't be measured so: its levels are written in DuckDB's SQL. This one has those that Splink ships, which
both backends understand. Seconds include training; those of Spark's session are told apart.
"""

from __future__ import annotations

import argparse
import logging
import resource
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import splink.comparison_library as cl
from pyspark.sql import SparkSession
from splink import DuckDBAPI, Linker, SettingsCreator, block_on
from splink.backends.spark import SparkAPI, similarity_jar_location

from benchmarks.linking import CHECKOUT, LabelledSet, count_true, febrl, scored, synthetic

THRESHOLD, RANDOM_PAIRS = 0.9, 1_000_000
NAMES = ("given_name", "surname", "name", "suburb", "address_1")
KEYS = {
    "febrl4": (("soc_sec_id",), ("date_of_birth",), ("given_name", "surname"), ("surname", "postcode")),
    "accounts": (("phone",), ("birth_date",), ("name", "city")),
}


def settings_for(columns: list[str], keys: tuple[tuple[str, ...], ...], sets: str) -> SettingsCreator:
    """Likeness of names, and edits of everything else."""
    comparisons: list[Any] = [
        cl.JaroWinklerAtThresholds(name, [0.9, 0.8]) if name in NAMES else cl.LevenshteinAtThresholds(name, [1, 2])
        for name in columns
    ]
    return SettingsCreator(
        link_type="dedupe_only" if sets == "one" else "link_only",
        unique_id_column_name="record_id",
        comparisons=comparisons,
        blocking_rules_to_generate_predictions=[block_on(*key) for key in keys],
        probability_two_random_records_match=1e-4,
    )


def linked(api: Any, labelled: LabelledSet, keys: tuple[tuple[str, ...], ...]) -> set[tuple[str, str]]:
    """The pairs above the threshold, trained and found on one backend."""
    records = labelled.records
    columns = [name for name in labelled.model.columns if labelled.model.columns[name].kind != "day"]
    parts = [records]
    if labelled.model.sets == "two":
        parts = [rows.drop(columns="source").reset_index(drop=True) for _, rows in records.groupby("source")]
    wanted = [part[["record_id", *columns]].where(part.notna(), None) for part in parts]
    tables = [
        api.register(table_of(api, part), dataset_display_name=f"set_{labelled.name}_{n}".replace(",", ""))
        for n, part in enumerate(wanted)
    ]
    linker = Linker(tables, settings_for(columns, keys, labelled.model.sets), log_level=None)
    linker.training.estimate_u_using_random_sampling(max_pairs=RANDOM_PAIRS, seed=1, min_count_per_level=None)
    for key in keys[:2]:
        linker.training.estimate_parameters_using_expectation_maximisation(block_on(*key))
    found = linker.inference.predict(threshold_match_probability=THRESHOLD).as_pandas_dataframe()
    return set(zip(found["record_id_l"], found["record_id_r"], strict=True))


def table_of(api: Any, rows: pd.DataFrame) -> Any:
    """The rows as the backend takes them."""
    return api.spark.createDataFrame(rows).cache() if isinstance(api, SparkAPI) else rows


def backend(name: str) -> Any:
    """The backend of this name on two threads."""
    if name == "duckdb":
        api = DuckDBAPI()
        api._con.execute("SET threads = 2")
        return api
    jar = similarity_jar_location()
    session = SparkSession.builder.master("local[2]").config("spark.jars", jar).config("spark.driver.memory", "4g")
    tuned = session.config("spark.sql.shuffle.partitions", "4").config(
        "spark.sql.execution.arrow.pyspark.enabled", "true"
    )
    return SparkAPI(spark_session=tuned.getOrCreate(), break_lineage_method="persist", num_partitions_on_repartition=4)


def main() -> int:
    """Measure each set on each backend and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=CHECKOUT.parent / "shared" / "data")
    parser.add_argument("--synthetic", type=int, default=50_000)
    parser.add_argument("--backends", nargs="+", default=["duckdb", "spark"])
    options = parser.parse_args()
    logging.getLogger("splink").setLevel(logging.CRITICAL)
    sets = {"febrl4": febrl(options.data / "febrl", 4), "accounts": synthetic(options.synthetic)}
    for name in options.backends:
        started = time.monotonic()
        api = backend(name)
        print(f"{name}: ready after {time.monotonic() - started:.1f} s", flush=True)
        for kind, labelled in sets.items():
            started = time.monotonic()
            found = linked(api, labelled, KEYS[kind])
            seconds = time.monotonic() - started
            person = dict(zip(labelled.records["record_id"], labelled.persons, strict=True))
            two = labelled.model.sets == "two"
            source = dict(zip(labelled.records["record_id"], labelled.records["source"], strict=True)) if two else None
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
            told = scored(found, person, count_true(person, source))
            print(f"{name} {labelled.name}: {seconds:.1f} s, {told}, peak of Python {peak:,} MiB", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
