"""Datasets that extend another one: what they say takes the place of what that says, and nothing else does."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from jobs.lakehouse.datasets import dataset_folders, declared_feeds, with_own
from jobs.lakehouse.errors import ConfigurationError
from jobs.lakehouse.inputs import has_feeds
from jobs.lakehouse.settings import load_settings
from jobs.lakehouse.sources import Source, fed_by, read_sources
from jobs.simulate import send_world
from tests.rows import CONF_DIR

FEED = {
    "source": "clicks",
    "description": "Clicks.",
    "files": "clicks/*.json",
    "format": "json",
    "arrival": "try_to_timestamp(at)",
    "fields": [{"name": "at", "description": "When."}],
    "tables": {"events": {"columns": {"event_id": "at"}}},
}


def conf(folder: Path, **datasets: Mapping[str, Any]) -> Path:
    """A configuration with these datasets, each a mapping of file to content."""
    (folder / "environments").mkdir()
    for file in ("base.yaml", "environments/local.yaml"):
        (folder / file).write_text("", "utf-8")
    for name, files in datasets.items():
        (folder / "datasets" / name).mkdir(parents=True)
        for file, content in files.items():
            (folder / f"datasets/{name}/{file}.yaml").write_text(yaml.safe_dump(content), "utf-8")
    return folder


SHOP = {"dataset": {"title": "Shop", "churn": {"gap_days": 9}}, "clicks": FEED}


def test_own_settings_stand_above_those_of_the_dataset_extended(tmp_path: Path) -> None:
    stream = {"dataset": {"extends": "shop", "title": "Stream", "churn": {"seed": 3}}}
    folder = conf(tmp_path, shop=SHOP, stream=stream)
    settings = load_settings("local", "stream", str(folder))
    assert (settings.dataset, settings.title, settings.churn.gap_days, settings.churn.seed) == (
        "stream",
        "Stream",
        9,
        3,
    )
    assert settings.path("lake").endswith("lake/stream")
    assert load_settings("local", "shop", str(folder)).title == "Shop"


def test_a_feed_has_what_its_own_file_says_and_else_what_the_dataset_extended_says(tmp_path: Path) -> None:
    hours = {**FEED, "source": "hours", "files": "hours.csv", "format": "csv"}
    visits = {**FEED, "source": "visits", "files": "visits.csv", "format": "csv"}
    middle = {"dataset": {"extends": "shop"}, "clicks": {"topic": {"name": "clicks"}}, "visits": visits}
    top = {"dataset": {"extends": "middle"}, "clicks": {"description": "Clicks by wire."}}
    folder = conf(tmp_path, shop={**SHOP, "hours": hours}, middle=middle, top=top)
    assert [path.name for path in dataset_folders(folder, "top")] == ["shop", "middle", "top"]
    feeds = read_sources(folder, "top")
    assert {name: feed.way_in for name, feed in feeds.items()} == {
        "clicks": "topics",
        "hours": "files",
        "visits": "files",
    }
    assert (feeds["clicks"].description, feeds["clicks"].format) == ("Clicks by wire.", "json")
    assert feeds["clicks"].fields == read_sources(folder, "shop")["clicks"].fields
    assert declared_feeds(folder, "top")["hours"][0] == folder / "datasets/shop/hours.yaml"


@pytest.mark.parametrize("way", [{"files": "b"}, {"topic": {"name": "b"}}, {"table": {"name": "b"}}])
@pytest.mark.parametrize("below", [{"files": "a"}, {"topic": {"name": "a"}}, {"table": {"name": "a"}}])
def test_a_way_in_takes_the_place_of_the_other(below: dict[str, Any], way: dict[str, Any]) -> None:
    assert with_own({"format": "json", **below}, way) == {"format": "json", **way}
    assert with_own(below, {"format": "csv"}) == {**below, "format": "csv"}


@pytest.mark.parametrize(
    ("datasets", "told"),
    [
        (
            {"stream": {"dataset": {"extends": "shopp"}}},
            "stream/dataset.yaml: extends: shopp is no dataset; .*: shop, st",
        ),
        ({"stream": {"dataset": {"extends": "stream"}}}, "datasets extend each other: stream → stream"),
        (
            {"stream": {"dataset": {"extends": "other"}}, "other": {"dataset": {"extends": "stream"}}},
            "other/dataset.yaml: datasets extend each other: stream → other → stream",
        ),
        ({"stream": {"dataset": {"extends": "shop"}, "visits": {"topic": {"name": "v"}}}}, "stream/visits.yaml: "),
        ({"stream": {"dataset": {"extends": "shop"}, "clicks": {"source": "visits"}}}, "must be named 'clicks'"),
        ({"stream": {"dataset": {"extends": "shop"}, "clicks": ["topic"]}}, "clicks.yaml must hold keys and values"),
    ],
)
def test_what_does_not_fit_together_is_refused_by_the_name_of_its_file(
    tmp_path: Path, datasets: dict[str, Any], told: str
) -> None:
    folder = conf(tmp_path, shop=SHOP, **datasets)
    with pytest.raises(ConfigurationError, match=told) as refused:
        read_sources(folder, "stream")
    assert refused.value.exit_code == 2


def test_a_wrong_base_is_told_where_settings_are_read_too(tmp_path: Path) -> None:
    folder = conf(tmp_path, shop=SHOP, stream={"dataset": {"extends": "shopp"}})
    with pytest.raises(ConfigurationError, match="shopp is no dataset"):
        load_settings("local", "stream", str(folder))


def test_the_world_by_wire_differs_from_the_world_in_the_ways_in_alone() -> None:
    world, by_wire = read_sources(CONF_DIR, "world"), read_sources(CONF_DIR, "world-by-wire")
    assert list(by_wire) == list(world)
    topics, tables = fed_by(by_wire, "topics"), fed_by(by_wire, "database")
    assert set(topics) == {"app_events", "footfall", "kiosks"}
    assert set(tables) == {"web_accounts", "member_cards", "consents", "points", "web_orders", "payments"}

    def but_for_the_way_in(source: Source) -> dict[str, Any]:
        return source.model_dump(exclude={"files", "topic", "table"})

    for name, source in by_wire.items():
        assert but_for_the_way_in(source) == but_for_the_way_in(world[name]), name
        assert source.bronze_contract.column_names[: len(world[name].bronze_contract.column_names)] == (
            world[name].bronze_contract.column_names
        )
    assert {source.table.partition_column for source in tables.values() if source.table} == {None, "exported_at"}


def test_the_world_is_sent_where_feeds_come_by_wire_and_nowhere_else() -> None:
    job = send_world.JOB
    found = {
        dataset: has_feeds(job.reads, job.writes, load_settings("local", dataset))
        for dataset in ("world", "world-by-wire", "online-retail")
    }
    assert found == {"world": False, "world-by-wire": True, "online-retail": False}
