"""Raw JSON lines to checked, de-duplicated silver, and a MERGE of changed rows into a large table; rows per second, side by side.

    python benchmarks/ingest.py events [--rows 2000000]
    python benchmarks/ingest.py merge [--rows 10000000] [--changed 200000]

`events`: the suite's load_files and clean_events (tokens, vault, types, row rules, duplicates, audit, ledger) beside bare
Spark (read, tokenise, write; no checks) and beside DuckDB with deltalake (the same types, rules, duplicates and tokens, on
one machine). `merge`: the suite's merge beside deltalake's. All in one run, one after the other, on the same files.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import deltalake
import duckdb
import pyarrow as pa
import pyarrow.compute as pc
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
from jobs.lakehouse.tables import Lake, Write, ensure_table, write_table

CHECKOUT = Path(__file__).resolve().parents[1]
FIELDS = ("messageId", "type", "event", "anonymousId", "userId", "phone", "product", "timestamp", "receivedAt")
PERSONAL: dict[str, PersonalKind] = {"phone": "phone", "anonymousId": "device_id"}
FEED = {
    "source": "clicks",
    "description": "Events of a benchmark.",
    "files": "clicks/*.json",
    "format": "json",
    "arrival": "try_to_timestamp(receivedAt)",
    "fields": [
        {"name": name, "description": f"{name}.", **({"personal": PERSONAL[name]} if name in PERSONAL else {})}
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
                drawn AS (SELECT n, hash(n) AS h FROM numbered)
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


def suite(spark: SparkSession, settings: Settings) -> int:
    """The suite's own jobs; gives the rows of silver."""
    for name, module in (("ingest.load_files", load_files), ("ingest.clean_events", clean_events)):
        execute(NamedJob(name, name, module.JOB, module.build), spark, settings, settings.world.last_day)
    path = Lake(settings.path("lake")).path("silver.events")
    return row_count(path)


def bare_spark(spark: SparkSession, data: Path, target: Path, keys: Keys) -> int:
    """Read, tokenise, write: no checks, no duplicates dropped, no types but text."""
    lines = spark.read.schema(", ".join(f"`{name}` string" for name in FIELDS)).json(str(data / "clicks"))
    tokens = {name: tokenised(keys, kind, F.col(name), "CN")["token"] for name, kind in PERSONAL.items()}
    lines.withColumns(tokens).write.format("delta").save(str(target))
    return row_count(str(target))


def one_machine(data: Path, target: Path, keys: Keys) -> int:
    """DuckDB and deltalake: types, row rules, first arrivals and tokens of distinct values, in memory of one machine."""
    database = duckdb.connect()
    database.execute(f"CREATE TABLE raw AS SELECT * FROM read_json('{data}/clicks/*.json', columns = {{{_columns()}}})")
    for name, kind in PERSONAL.items():
        told = database.execute(f'SELECT DISTINCT "{name}" FROM raw WHERE "{name}" IS NOT NULL').fetch_arrow_table()[
            name
        ]
        plain = [normalised(kind, value, "CN") for value in told.to_pylist()]
        tokens = [token_of(keys, kind, value) if value else None for value in plain]
        database.register(f"{name}_tokens", pa.table({name: told, f"{name}_token": tokens}))
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
    ).fetch_arrow_table()
    deltalake.write_deltalake(str(target), judged)
    return int(judged.num_rows)


def _columns() -> str:
    return ", ".join(f"'{name}': 'VARCHAR'" for name in FIELDS)


def timed(name: str, rows: int, work: Callable[[], int]) -> float:
    """Do the work, tell how long it took, and give its seconds."""
    started = time.perf_counter()
    left = work()
    seconds = time.perf_counter() - started
    sys.stdout.write(f"{name:<28} {seconds:>8.1f} s {rows / seconds:>12,.0f} rows/s   {left:>12,} rows left\n")
    sys.stdout.flush()
    return seconds


def measure_events(folder: Path, rows: int) -> None:
    """The three ways from raw lines to a table, on the same files."""
    settings = settings_for(folder)
    data = folder / "data"
    write_lines(data, rows)
    spark = open_session(settings, "benchmark")
    keys = load_keys(settings.privacy, settings.environment)
    warm = folder / "warm"
    write_lines(warm, 1000)
    bare_spark(spark, warm, folder / "warm-bare", keys)
    ours = timed("suite", rows, lambda: suite(spark, settings))
    bare = timed("bare Spark, no checks", rows, lambda: bare_spark(spark, data, folder / "bare", keys))
    local = timed("DuckDB + deltalake", rows, lambda: one_machine(data, folder / "duckdb", keys))
    sys.stdout.write(
        f"suite / bare Spark {ours / bare:.2f} (goal 1.20), suite / DuckDB {ours / local:.2f} (goal 1.00)\n"
    )


def accounts(spark: SparkSession, first: int, last: int, city: str) -> DataFrame:
    """Rows of silver.accounts by number, their columns as its contract says."""
    contract = read_contracts(CHECKOUT / "conf")["silver.accounts"]
    told = {
        "account_id": "concat('a', lpad(id, 9, '0'))",
        "revision": "1",
        "source": "'bench'",
        "account_kind": "'account'",
        "city": f"'{city}'",
        "arrived_at": "timestamp'2025-01-01'",
    }
    columns = [F.expr(told.get(field.name, "null")).cast(field.dataType).alias(field.name) for field in contract.schema]
    return spark.range(first, last).select(*columns)


def measure_merge(folder: Path, rows: int, changed: int) -> None:
    """A merge of changed accounts, those that opened last and some new ones, into all of them."""
    spark = open_session(settings_for(folder), "benchmark")
    contract = read_contracts(CHECKOUT / "conf")["silver.accounts"]
    held, copy, arriving = str(folder / "held"), str(folder / "copy"), str(folder / "arriving")
    ensure_table(spark, held, contract)
    write_table(accounts(spark, 0, rows, "old"), held, Write(), contract.key, "benchmark")
    first = rows - changed + changed // 10
    accounts(spark, first, first + changed, "new").write.parquet(arriving)
    shutil.copytree(held, copy)
    staged = spark.read.parquet(arriving)

    def ours() -> int:
        write_table(staged, held, Write("merge"), contract.key, "benchmark")
        return row_count(held)

    def theirs() -> int:
        table = deltalake.DeltaTable(copy)
        same = " AND ".join(f"held.{name} = arriving.{name}" for name in contract.key)
        source = pa.dataset.dataset(arriving).to_table()
        merge = table.merge(source, same, source_alias="arriving", target_alias="held")
        merge.when_matched_update_all().when_not_matched_insert_all().execute()
        return row_count(copy)

    timed("suite", changed, ours)
    timed("deltalake", changed, theirs)
    cities = [
        pc.sum(pc.equal(deltalake.DeltaTable(path).to_pyarrow_table(columns=["city"])["city"], "new")).as_py()
        for path in (held, copy)
    ]
    sys.stdout.write(f"changed rows in both tables: {cities} (goal: 5 s)\n")


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("events", "merge"))
    parser.add_argument("--rows", type=int, help="events (2,000,000) or rows of the table (10,000,000)")
    parser.add_argument("--changed", type=int, default=200_000)
    parser.add_argument("--folder", type=Path, default=Path(".cache/benchmarks/ingest"), help="emptied first")
    options = parser.parse_args()
    shutil.rmtree(options.folder, ignore_errors=True)
    folder = options.folder.resolve()
    folder.mkdir(parents=True)
    if options.what == "events":
        measure_events(folder, options.rows or 2_000_000)
    else:
        measure_merge(folder, options.rows or 10_000_000, options.changed)


if __name__ == "__main__":
    main()
