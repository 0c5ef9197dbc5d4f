"""Incremental = full: the world's records in three deliveries, in any order, late, some twice, leave the same silver as all at once."""

import csv
import io
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from jobs.__main__ import all_jobs
from jobs.lakehouse.chain import run_chain
from jobs.lakehouse.graph import run_order
from jobs.lakehouse.settings import Settings
from tests.lakes import RUN_DATE, run_job, settings_in
from tests.system.corner_shop import differences, opened, tables_of

pytestmark = [pytest.mark.long, pytest.mark.timeout(1500)]

DELIVERIES = 3
REPEATED_SHARE = 0.3
SEED = 20241229
WORLD = {
    "world.customers": 80,
    "world.weeks": 24,
    "world.products": 12,
    # One for each delivery: a list of stores without a store is refused.
    "world.stores": 3,
    "world.orders_per_year": 16.0,
    # Some of each kind of dirt, in a world in which few things happen.
    "world.persons_per_bot": 40,
    "world.persons_per_ring": 40,
    "world.duplicate_share": 0.03,
    "world.bad_date_share": 0.01,
    "world.bad_price_share": 0.01,
    "world.near_duplicate_share": 0.1,
    "world.outlier_share": 0.01,
    "world.repeated_click_share": 0.03,
}
# What becomes silver without identities, which have their own tests.
SILVER = {
    name: named
    for name, named in all_jobs().items()
    if name.startswith("ingest.") and any(table.startswith("silver.") for table in named.writes)
}


def parted(file: Path, draw: random.Random) -> list[str]:
    """The records of a file dealt out to the deliveries at random, as evenly as can be, each as a file with the same header."""
    text = file.read_bytes().decode()
    header, records = "", list(io.StringIO(text, newline=""))
    if file.suffix != ".json":
        header, *records = records_of(text)
    turns = [place % DELIVERIES for place in range(len(records))]
    draw.shuffle(turns)
    first = draw.randrange(DELIVERIES)
    parts: list[list[str]] = [[header] for _ in range(DELIVERIES)]
    for turn, record in zip(turns, records, strict=True):
        parts[(turn + first) % DELIVERIES].append(record)
    return ["".join(part) for part in parts]


def records_of(text: str) -> list[str]:
    """The records of a CSV, to the letter; one with a line break within quotes has several lines."""
    lines = list(io.StringIO(text, newline=""))
    reader, records, begun = csv.reader(lines), [], 0
    for _ in reader:
        records.append("".join(lines[begun : reader.line_num]))
        begun = reader.line_num
    return records


def deliveries_of(data: Path, draw: random.Random) -> list[dict[str, str]]:
    """The deliveries: in each, text by the file's path. Some files come again, under another name, with another one."""
    dealt: list[dict[str, str]] = [{} for _ in range(DELIVERIES)]
    for file in sorted(data.glob("*/*.*")):
        if file.name.startswith((".", "_")):
            continue
        texts = parted(file, draw) if file.stat().st_size else [""] * DELIVERIES
        for number, text in enumerate(texts):
            dealt[number][f"{file.parent.name}/{file.stem}-{number}{file.suffix}"] = text
            if text and draw.random() < REPEATED_SHARE:
                again = draw.randrange(DELIVERIES)
                dealt[again][f"{file.parent.name}/{file.stem}-{number} again{file.suffix}"] = text
    return dealt


def deliver(data: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).write_bytes(text.encode())


def make_silver(spark: SparkSession, settings: Settings) -> None:
    """Make silver of all that bronze has."""
    jobs = [SILVER[name] for name in run_order(list(SILVER.values()))]
    for result in run_chain(jobs, spark, settings, RUN_DATE):
        assert result.outcome in {"done", "already done", "nothing to do"}


def silver_of(lake: Path) -> list[str]:
    return [name for name in tables_of(lake) if name.startswith("silver.")]


@pytest.fixture(scope="module")
def dealt(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, str]]:
    folder = tmp_path_factory.mktemp("dealt")
    settings = settings_in(folder, overrides=WORLD)
    run_job(spark, settings, "simulate.write_world")
    dealt = deliveries_of(Path(settings.path("data")), random.Random(SEED))
    shutil.rmtree(folder)
    return dealt


@pytest.fixture(scope="module")
def at_once(
    spark: SparkSession, dealt: list[dict[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """The lake that got everything in one delivery, and each file once."""
    folder = tmp_path_factory.mktemp("at_once")
    settings = settings_in(folder, overrides=WORLD)
    for delivery in dealt:
        deliver(Path(settings.path("data")), {name: text for name, text in delivery.items() if " again" not in name})
    run_job(spark, settings, "ingest.load_files")
    make_silver(spark, settings)
    yield Path(settings.path("lake"))
    shutil.rmtree(folder)


# By the seed of the order: after which of the deliveries silver is made; after the last one always.
@pytest.mark.parametrize(("seed", "made_after"), [(1, {0, 2}), (2, {2})])
def test_three_deliveries_in_any_order_give_the_silver_of_one(
    spark: SparkSession, dealt: list[dict[str, str]], at_once: Path, tmp_path: Path, seed: int, made_after: set[int]
) -> None:
    order = random.Random(seed).sample(range(DELIVERIES), DELIVERIES)
    settings = settings_in(tmp_path, overrides=WORLD)
    for place, number in enumerate(order):
        deliver(Path(settings.path("data")), dealt[number])
        run_job(spark, settings, "ingest.load_files")
        if place in made_after:
            make_silver(spark, settings)
    told = differences(Path(settings.path("lake")), at_once, silver_of(at_once))
    assert told == {}, f"dealt by seed {SEED}, delivered in the order {order} (seed {seed}): {told}"


def test_the_world_has_what_could_make_a_difference(at_once: Path) -> None:
    """Rows in every table, rejected ones, revisions, marks of each kind."""
    counts = {name: opened(at_once, name).to_pyarrow_dataset().count_rows() for name in silver_of(at_once)}
    assert {name for name, count in counts.items() if not count and not name.endswith("_rejected")} == set()
    assert counts["silver.order_lines_rejected"] > 0
    revisions = opened(at_once, "silver.accounts").to_pyarrow_table(columns=["revision"])["revision"].to_pylist()
    assert max(revisions) > 1
    marks = opened(at_once, "silver.event_flags").to_pyarrow_table().to_pylist()
    assert any(row["is_bot"] for row in marks)
    assert any(row["is_repeated_click"] for row in marks)
    lines = opened(at_once, "silver.order_line_flags").to_pyarrow_table().to_pylist()
    assert any(row["is_near_duplicate"] for row in lines)
    assert any(row["is_outlier"] for row in lines)
