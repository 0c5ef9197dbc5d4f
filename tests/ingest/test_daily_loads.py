"""Incremental = full: a week's files in any order, late, repeated and corrected, leave the silver of one load of everything.

Each example is a small shop of its own, dealt out by a seed of its own, and its keys begin with that. All of them lie in the files of the
same two feeds, so that many examples cost as many loads as one. Lines that can't be parted are left out: each stands for itself, so
in a file that came under two names there are two of them.
"""

import json
import os
import random
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from jobs.__main__ import all_jobs
from jobs.lakehouse.chain import run_chain
from jobs.lakehouse.settings import Settings
from tests.ingest import clicks
from tests.ingest.bazaar import csv_text, feed, line
from tests.lakes import RUN_DATE, conf_with, run_job, settings_in
from tests.system.corner_shop import differences, opened, tables_of

DAYS = tuple(f"2025-01-{day:02d}" for day in range(1, 8))
SEEDS = range(8)
FEEDS = {
    "tills": feed("tills", "Asia/Shanghai"),
    "clicks": {**clicks.FEED, "files": "clicks/*.json"},
}
pytestmark = pytest.mark.long
# In the order in which each has what it reads.
SILVER = (
    "ingest.clean_order_lines",
    "ingest.clean_accounts",
    "ingest.clean_events",
    "ingest.collect_orders",
    "ingest.collect_identifiers",
    "ingest.flag_orders",
    "ingest.flag_events",
)
# Text by the file's path.
Files = dict[str, str]


def till_line(shop: str, draw: random.Random, day: str) -> str:
    """A line out of so few orders that most are told again: as they were, corrected, spoilt, or otherwise within the same second."""
    return line(
        f"{shop}-{draw.randrange(8)}",
        line_no=draw.choice("12"),
        ordered_at=draw.choice(["2025-01-01 08:00:00"] * 6 + ["01/01/2025 23:30"] * 2 + ["2025-02-31 10:00:00"]),
        phone=draw.choice(["", f"138 {shop} 5678", f"+86138{shop}5678", f"139{shop}0001"]),
        sku=f"{shop}-{draw.choice('aaab')}",
        quantity=draw.choice(["1", "2", "-1"] * 4 + ["x", "0"]),
        price=draw.choice(["1.50", "2.00"] * 4 + ["abc", "-1"]),
        exported_at=f"{day} 0{draw.randrange(2)}:00:00",
    )


def click(shop: str, draw: random.Random, day: str) -> str:
    """An event out of few, which other days tell too; some are repeated clicks, some tell no time."""
    number = draw.randrange(20)
    told = clicks.event(
        number,
        messageId=f"{shop}-{number}",
        phone=f"137{shop}{number:04d}",
        context={"device": {"id": f"device-{shop}-{number % 4}"}},
        timestamp=draw.choice([f"2025-01-01T08:00:0{number % 3}.000Z"] * 9 + ["yesterday"]),
        receivedAt=f"{day}T0{draw.randrange(2)}:00:00Z",
    )
    return json.dumps(told)


MAKERS = {"tills": (till_line, "csv"), "clicks": (click, "json")}


def as_file(name: str, records: list[str]) -> str:
    return csv_text(*records) if name == "tills" else "".join(f"{record}\n" for record in records)


def exported(seed: int) -> dict[str, list[list[str]]]:
    """What a shop's two feeds tell on each day."""
    draw = random.Random(seed)
    return {
        name: [[make(f"{seed:04d}", draw, day) for _ in range(8)] for day in DAYS] for name, (make, _) in MAKERS.items()
    }


def dealt(seed: int, trouble: Counter[str]) -> list[Files]:
    """The loads of a shop: a file per feed and day, in random order; some come by a later load, some twice, some under two names."""
    draw, last = random.Random(1000 + seed), len(DAYS) - 1
    loads: list[Files] = [{} for _ in DAYS]
    for name, days in exported(seed).items():
        for number, told in enumerate(days):
            others = [record for other in days if other is not told for record in other]
            twice = draw.sample(others, draw.choice([0, 0, 1, 3]))
            text = as_file(name, draw.sample([*told, *twice], len(told) + len(twice)))
            place = min(number + draw.choice([0, 0, 0, 1, 5]), last)
            file = f"{DAYS[number]} of {seed}.{MAKERS[name][1]}"
            loads[place][f"{name}/{file}"] = text
            trouble.update(late=int(place > number), in_two_files=len(twice))
            if draw.random() < 0.25:
                loads[draw.randrange(place, len(DAYS))][f"{name}/{file}"] = text
                trouble["again"] += 1
            if draw.random() < 0.25:
                loads[draw.randrange(len(DAYS))][f"{name}/copy of {file}"] = text
                trouble["under two names"] += 1
    draw.shuffle(loads)
    return loads


def load(spark: SparkSession, settings: Settings, files: Files, changed_at: int) -> None:
    """Deliver files, with a time of their own so that one that comes again is looked at again, and load them."""
    for name, text in files.items():
        file = Path(settings.path("data")) / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
        os.utime(file, (changed_at, changed_at))
    run_job(spark, settings, "ingest.load_files")


def make_silver(spark: SparkSession, settings: Settings) -> None:
    known = all_jobs()
    for result in run_chain([known[name] for name in SILVER], spark, settings, RUN_DATE):
        assert result.outcome in {"done", "already done"}


@pytest.fixture(scope="module")
def conf_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    calendar = {"time_zone": "Asia/Shanghai", "currency_code": "CNY", "phone_region": "CN"}
    return conf_with(tmp_path_factory.mktemp("stalls"), "stalls", FEEDS, calendar=calendar)


@pytest.fixture(scope="module")
def at_once(spark: SparkSession, conf_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The lake that got each record of every shop once, in one file per feed."""
    folder = tmp_path_factory.mktemp("at_once")
    settings = settings_in(folder, "stalls", conf_dir)
    shops = [exported(seed) for seed in SEEDS]
    records = {name: [record for shop in shops for told in shop[name] for record in told] for name in FEEDS}
    load(spark, settings, {f"{name}/all.{MAKERS[name][1]}": as_file(name, told) for name, told in records.items()}, 1)
    make_silver(spark, settings)
    yield Path(settings.path("lake"))
    shutil.rmtree(folder)


def silver_of(lake: Path) -> list[str]:
    return [name for name in tables_of(lake) if name.startswith("silver.")]


def test_days_in_any_order_give_the_silver_of_one_load(
    spark: SparkSession, conf_dir: Path, at_once: Path, tmp_path: Path
) -> None:
    settings, trouble = settings_in(tmp_path, "stalls", conf_dir), Counter[str]()
    shops = [dealt(seed, trouble) for seed in SEEDS]
    assert min(trouble[kind] for kind in ("late", "in_two_files", "again", "under two names")) > len(SEEDS), trouble
    for number in range(len(DAYS)):
        load(spark, settings, {name: text for loads in shops for name, text in loads[number].items()}, number + 1)
    make_silver(spark, settings)
    told = differences(Path(settings.path("lake")), at_once, [*silver_of(at_once), "vault.personal_values"])
    assert told == {}, "keys begin with the seed of their example"


def test_the_days_have_what_could_make_a_difference(at_once: Path) -> None:
    """Rows in every table, rejected ones with each kind of reason, revisions, repeated clicks."""
    rows = {name: opened(at_once, name).to_pyarrow_table().to_pylist() for name in silver_of(at_once)}
    assert [name for name, told in rows.items() if not told] == []
    assert max(row["revision"] for row in rows["silver.order_lines"]) > 2
    assert any(row["is_repeated_click"] for row in rows["silver.event_flags"])
    reasons = {reason for row in rows["silver.order_lines_rejected"] for reason in row["reasons"]}
    assert {"quantity_unreadable", "unit_price_not_negative", "ordered_at_unreadable"} <= reasons
