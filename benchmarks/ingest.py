"""Raw JSON lines to checked, de-duplicated silver, and a MERGE of changed rows into a large table; rows per second, side by side.

    python benchmarks/ingest.py events [--rows 2000000]
    python benchmarks/ingest.py merge [--rows 10000000] [--changed 200000]

`events`: the suite's load_files and clean_events (tokens, vault, types, row rules, duplicates, audit, ledger) beside bare
Spark (read, tokenise, write; no checks) and beside DuckDB with deltalake (the same types, rules, duplicates and tokens, on
one machine). `merge`: the suite's merge beside deltalake's, of keys that lie together, as those of the accounts that opened
last, and of keys spread over the whole table; a tenth of the rows is new. All in one run, one after the other, on the same
files, after each way has been walked once on a few rows. Ends with a table in Markdown.
"""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import deltalake
import duckdb
import pyarrow as pa
import pyarrow.dataset
import yaml
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.ingest import clean_events, load_files
from jobs.lakehouse.contracts import read_contracts
from jobs.lakehouse.job import NamedJob, execute
from jobs.lakehouse.keys import Keys, load_keys
from jobs.lakehouse.personal import token_of, tokenised
from jobs.lakehouse.personal_kinds import PersonalKind, normalised
from jobs.lakehouse.session import open_session
from jobs.lakehouse.settings import Settings, load_settings
from jobs.lakehouse.tables import Lake, Write, ensure_table, read_table, write_table

CHECKOUT = Path(__file__).resolve().parents[1]
ROWS_PER_FILE = 500_000
FIELDS = ("messageId", "type", "event", "anonymousId", "userId", "phone", "product", "timestamp", "receivedAt")
OPTIONAL = ("userId", "phone")
PERSONAL: dict[str, PersonalKind] = {"phone": "phone", "anonymousId": "device_id"}
FEED = {
    "source": "clicks",
    "description": "Events of a benchmark.",
    "files": "clicks/*.json",
    "format": "json",
    "arrival": "try_to_timestamp(receivedAt)",
    "fields": [
        {
            "name": name,
            "description": f"{name}.",
            "optional": name in OPTIONAL,
            **({"personal": PERSONAL[name]} if name in PERSONAL else {}),
        }
        for name in FIELDS
    ],
    "tables": {
        "events": {
            "columns": {
                "event_id": "messageId",
                "event_type": "type",
                "event_name": "event",
                "account_id": "userId",
                "device_token": "anonymousId_token",
                "product_id": "product",
                "event_at": "try_to_timestamp(timestamp)",
            }
        }
    },
}


def write_lines(folder: Path, rows: int) -> None:
    """Events as JSON lines in eight files: 3 % come twice, 0.1 % have a time that is none, a fifth carry one of 200,000 phones."""
    (folder / "clicks").mkdir(parents=True, exist_ok=True)
    share = -(-rows // 8)
    for part in range(8):
        first, last = part * share, min(rows, (part + 1) * share)
        duckdb.execute(
            f"""
            COPY (
                WITH numbered AS (SELECT CASE WHEN n % 33 = 7 THEN n - 1 ELSE n END AS n FROM range({first}, {last}) t(n)),
                drawn AS (SELECT n, (hash(n) >> 1)::BIGINT AS h FROM numbered)
                SELECT 'm' || n AS "messageId", 'track' AS type,
                    ['Product Viewed', 'Product Added', 'Order Completed'][1 + h % 3] AS event,
                    'd' || h % 400000 AS "anonymousId",
                    CASE WHEN h % 3 = 0 THEN 'u' || h % 100000 END AS "userId",
                    CASE WHEN h % 5 = 0 THEN '138' || lpad((h % 200000)::VARCHAR, 8, '0') END AS phone,
                    'P' || h % 5000 AS product,
                    CASE WHEN n % 1000 = 3 THEN 'yesterday'
                        ELSE strftime(TIMESTAMP '2025-01-01' + to_milliseconds(n::BIGINT * 2000), '%Y-%m-%dT%H:%M:%S.%gZ') END
                        AS timestamp,
                    strftime(TIMESTAMP '2025-01-02' + to_milliseconds(n::BIGINT * 2000), '%Y-%m-%dT%H:%M:%S.%gZ') AS "receivedAt"
                FROM drawn
            ) TO '{folder}/clicks/part-{part}.json' (FORMAT json)
            """
        )


@dataclass
class Way:
    """One way to do the same work: how long it and its phases took, and how many rows it left."""

    name: str
    rows: int
    seconds: float = 0.0
    left: int = 0
    phases: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Take the time of a phase."""
        began = time.perf_counter()
        yield
        self.phases[name] = self.phases.get(name, 0.0) + time.perf_counter() - began


def walked(name: str, rows: int, work: Callable[[Way], int]) -> Way:
    """Do the work, tell how long it took, and keep it."""
    way = Way(name, rows)
    began = time.perf_counter()
    way.left = work(way)
    way.seconds = time.perf_counter() - began
    sys.stdout.write(f"{name}: {way.seconds:.1f} s\n")
    sys.stdout.flush()
    return way


def tell(ways: list[Way], others: list[Way]) -> None:
    """The ways as a table in Markdown, each beside the time of the others that it is held against."""
    heads = ["way", "s", "rows/s", *[f"time / {other.name}" for other in others], "rows left", "phases, s"]
    sys.stdout.write(f"\n| {' | '.join(heads)} |\n|{' --- |' * len(heads)}\n")
    for way in ways:
        phases = ", ".join(f"{name} {seconds:.1f}" for name, seconds in way.phases.items())
        ratios = [f"{way.seconds / other.seconds:.2f}" for other in others]
        cells = [way.name, f"{way.seconds:.1f}", f"{way.rows / way.seconds:,.0f}", *ratios, f"{way.left:,}", phases]
        sys.stdout.write(f"| {' | '.join(cells)} |\n")
    sys.stdout.flush()


def settings_for(folder: Path) -> Settings:
    """Settings whose only dataset is the benchmark's feed."""
    conf_dir = folder / "conf"
    shutil.copytree(CHECKOUT / "conf", conf_dir, ignore=shutil.ignore_patterns("datasets"))
    (conf_dir / "datasets/bench").mkdir(parents=True)
    dataset = {"title": "benchmark", "calendar": {"time_zone": "UTC", "currency_code": "CNY", "phone_region": "CN"}}
    (conf_dir / "datasets/bench/dataset.yaml").write_text(yaml.safe_dump(dataset), "utf-8")
    (conf_dir / "datasets/bench/clicks.yaml").write_text(yaml.safe_dump(FEED), "utf-8")
    paths = {f"paths.{name}": f"{folder}/{name}" for name in ("lake", "data")}
    return load_settings("local", "bench", str(conf_dir), {**paths, "paths.jars": str(CHECKOUT / "jars")})


def row_count(path: str) -> int:
    """How many rows a table has, asked without Spark."""
    return int(deltalake.DeltaTable(path).to_pyarrow_dataset().count_rows())


def suite(spark: SparkSession, settings: Settings, way: Way) -> int:
    """The suite's own jobs; gives the rows of silver."""
    for name, module in (("load_files", load_files), ("clean_events", clean_events)):
        with way.phase(name):
            execute(NamedJob(name, name, module.JOB, module.build), spark, settings, settings.world.last_day)
    return row_count(Lake(settings.path("lake")).path("silver.events"))


def bare_spark(spark: SparkSession, data: Path, target: Path, keys: Keys) -> int:
    """Read, tokenise, write: no checks, no duplicates dropped, no types but text."""
    lines = spark.read.schema(", ".join(f"`{name}` string" for name in FIELDS)).json(str(data / "clicks"))
    tokens = {name: tokenised(keys, kind, F.col(name), "CN")["token"] for name, kind in PERSONAL.items()}
    lines.withColumns(tokens).write.format("delta").save(str(target))
    return row_count(str(target))


def one_machine(data: Path, target: Path, keys: Keys, way: Way) -> int:
    """DuckDB and deltalake: types, row rules, first arrivals and tokens of distinct values, in memory of one machine."""
    database = duckdb.connect()
    with way.phase("read"):
        columns = ", ".join(f"'{name}': 'VARCHAR'" for name in FIELDS)
        database.execute(
            f"CREATE TABLE raw AS SELECT * FROM read_json('{data}/clicks/*.json', columns = {{{columns}}})"
        )
    with way.phase("tokens"):
        for name, kind in PERSONAL.items():
            told = database.execute(f'SELECT DISTINCT "{name}" FROM raw WHERE "{name}" IS NOT NULL').to_arrow_table()
            plain = [normalised(kind, value, "CN") for value in told[name].to_pylist()]
            tokens = [token_of(keys, kind, value) if value else None for value in plain]
            database.register(f"{name}_tokens", pa.table({name: told[name], f"{name}_token": tokens}))
    with way.phase("checks"):
        judged = database.execute(
            """
            SELECT "messageId" AS event_id, type AS event_type, event AS event_name, "userId" AS account_id,
                "anonymousId_token" AS device_token, product AS product_id, phone_token,
                TRY_CAST(timestamp AS TIMESTAMP) AS event_at, TRY_CAST(timestamp AS DATE) AS event_date,
                TRY_CAST("receivedAt" AS TIMESTAMP) AS arrived_at
            FROM raw LEFT JOIN phone_tokens USING (phone) LEFT JOIN "anonymousId_tokens" USING ("anonymousId")
            WHERE "messageId" IS NOT NULL AND type IN ('track', 'identify', 'page')
                AND TRY_CAST(timestamp AS TIMESTAMP) IS NOT NULL AND TRY_CAST("receivedAt" AS TIMESTAMP) IS NOT NULL
            QUALIFY row_number() OVER (PARTITION BY "messageId" ORDER BY "receivedAt") = 1
            """
        ).to_arrow_table()
    with way.phase("write"):
        deltalake.write_deltalake(str(target), judged)
    return int(judged.num_rows)


def measure_events(folder: Path, rows: int) -> None:
    """The three ways from raw lines to a table, on the same files."""
    spark: SparkSession | None = None
    for count, place in ((min(rows, 20_000), folder / "warm"), (rows, folder / "real")):
        settings, data = settings_for(place), place / "data"
        write_lines(data, count)
        spark = spark or open_session(settings, "benchmark")
        ways = walk_events(spark, settings, data, place, count)
    tell(ways, ways[1:])
    sys.stdout.write("\ngoals of the suite: 1.20 of bare Spark, 1.00 of DuckDB\n")


def walk_events(spark: SparkSession, settings: Settings, data: Path, place: Path, rows: int) -> list[Way]:
    """Each of the three ways, once."""
    keys = load_keys(settings.privacy, settings.environment)
    return [
        walked("suite", rows, lambda way: suite(spark, settings, way)),
        walked("bare Spark, no checks", rows, lambda _: bare_spark(spark, data, place / "bare", keys)),
        walked("DuckDB + deltalake", rows, lambda way: one_machine(data, place / "duckdb", keys, way)),
    ]


def accounts(numbers: DataFrame, city: str) -> DataFrame:
    """Rows of silver.accounts by the numbers `id`, their columns as its contract says."""
    contract = read_contracts(CHECKOUT / "conf")["silver.accounts"]
    told = {
        "account_id": "concat('a', lpad(id, 9, '0'))",
        "revision": "1",
        "source": "'bench'",
        "account_kind": "'account'",
        "phone_token": "sha2(concat('p', id), 256)",
        "registered_at": "timestamp'2015-01-01' + make_interval(0, 0, 0, 0, 0, 0, id * 30)",
        "city": f"'{city}'",
        "arrived_at": "timestamp'2025-01-01'",
        "_record_id": "md5(cast(id as string))",
    }
    columns = [F.expr(told.get(field.name, "null")).cast(field.dataType).alias(field.name) for field in contract.schema]
    return numbers.select(*columns)


def changed_numbers(spark: SparkSession, keys: str, rows: int, changed: int) -> DataFrame:
    """The numbers `id` of changed accounts: the last ones or every n-th, and a tenth that is new."""
    new = changed // 10
    if keys == "recent":
        return spark.range(rows - changed + new, rows + new)
    step = rows // (changed - new)
    return spark.range(0, changed - new).select((F.col("id") * step).alias("id")).union(spark.range(rows, rows + new))


def measure_merge(folder: Path, rows: int, changed: int) -> None:
    """Merges of changed accounts into all of them, of recent and of spread keys."""
    spark = open_session(settings_for(folder), "benchmark")
    ways: list[Way] = []
    for place, held, arriving in ((folder / "warm", 4000, 400), (folder / "real", rows, changed)):
        write_held(spark, place / "held", held)
        write_held(spark, place / "vectors", held, has_vectors=True)
        ways = [way for keys in ("recent", "spread") for way in walk_merges(spark, place, keys, held, arriving)]
    tell(ways, [])
    sys.stdout.write("\ngoal of the suite: 5 s\n")


def write_held(spark: SparkSession, path: Path, rows: int, has_vectors: bool = False) -> None:
    """A table of accounts in order of their keys, in files of half a million rows; the suite's have no deletion vectors."""
    contract = read_contracts(CHECKOUT / "conf")["silver.accounts"]
    if has_vectors:
        contract = replace(contract, properties={"delta.enableDeletionVectors": "true"})
    ensure_table(spark, str(path), contract)
    numbers = spark.range(0, rows, 1, -(-rows // ROWS_PER_FILE))
    write_table(accounts(numbers, "old"), str(path), Write(), contract.key, "benchmark")


def merge_phases(path: str) -> dict[str, float]:
    """What Delta says of the merge that was the table's last commit: seconds to find and to write, and files touched."""
    (told,) = deltalake.DeltaTable(path).history(1)
    metrics = {name: float(value) for name, value in told["operationMetrics"].items() if value.isdigit()}
    return {
        "find": metrics["scanTimeMs"] / 1000,
        "write": metrics["rewriteTimeMs"] / 1000,
        "files rewritten": metrics["numTargetFilesRemoved"],
    }


def walk_merges(spark: SparkSession, place: Path, keys: str, rows: int, changed: int) -> list[Way]:
    """The suite's merge, the same into a table with deletion vectors, and deltalake's, each into its own copy."""
    contract = read_contracts(CHECKOUT / "conf")["silver.accounts"]
    arriving = str(place / f"arriving-{keys}")
    accounts(changed_numbers(spark, keys, rows, changed), "new").repartition(2).write.parquet(arriving)
    ours, vectors, theirs = (str(place / f"{keys}-{name}") for name in ("suite", "vectors", "deltalake"))
    for copy in (ours, vectors, theirs):
        shutil.copytree(place / ("vectors" if copy == vectors else "held"), copy)
    os.sync()

    def suite_merge(path: str, way: Way) -> int:
        write_table(spark.read.parquet(arriving), path, Write("merge"), contract.key, "benchmark")
        way.phases = merge_phases(path)
        return rows + changed // 10

    def deltalake_merge(_: Way) -> int:
        same = " AND ".join(f"held.{name} = arriving.{name}" for name in contract.key)
        source = pa.dataset.dataset(arriving).to_table()
        merge = deltalake.DeltaTable(theirs).merge(source, same, source_alias="arriving", target_alias="held")
        merge.when_matched_update_all().when_not_matched_insert_all().execute()
        return row_count(theirs)

    ways = [
        walked(f"suite, {keys} keys", changed, partial(suite_merge, ours)),
        walked(f"suite with deletion vectors, {keys} keys", changed, partial(suite_merge, vectors)),
        walked(f"deltalake, {keys} keys", changed, deltalake_merge),
    ]
    for path in (ours, vectors, theirs):
        merged = read_table(spark, path).groupBy("city").count().collect()
        counts = {row["city"]: row["count"] for row in merged}
        found = (sum(counts.values()), counts["new"])
        wanted = (rows + changed // 10, changed)
        assert found == wanted, f"{path}: {found[0]} rows, {found[1]} new, not {wanted}"
    return ways


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("events", "merge"))
    parser.add_argument("--rows", type=int, help="events (2,000,000) or rows of the table (10,000,000)")
    parser.add_argument("--changed", type=int, default=200_000)
    parser.add_argument("--folder", type=Path, default=Path(".cache/benchmarks/ingest"), help="emptied first and last")
    options = parser.parse_args()
    # Nothing that is made here outlives the run.
    os.environ["LAKEHOUSE_KEY"] = secrets.token_hex(32)
    shutil.rmtree(options.folder, ignore_errors=True)
    folder = options.folder.resolve()
    folder.mkdir(parents=True)
    try:
        if options.what == "events":
            measure_events(folder, options.rows or 2_000_000)
        else:
            measure_merge(folder, options.rows or 10_000_000, options.changed)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
