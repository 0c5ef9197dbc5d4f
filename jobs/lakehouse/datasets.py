"""Datasets: folders of conf/datasets, each whole by itself, or saying only in what it differs from the one that it extends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from jobs.lakehouse.errors import ConfigurationError

Declared = dict[str, Any]
DATASET = "dataset.yaml"
EXTENDS = "extends"
ONE_WAY_IN = ("files", "topic", "table")


def read_yaml(file: Path) -> Declared:
    """The keys and values of a file; none where it is empty.

    Raises:
        ConfigurationError: there is no such file, or it holds something else.
    """
    if not file.is_file():
        kind = {"environments": "environment", "datasets": "dataset"}.get(file.parent.name, "dataset")
        siblings = [path.stem for path in file.parent.glob("*.yaml")] or [
            path.name for path in file.parents[1].glob("*")
        ]
        raise ConfigurationError(f"unknown {kind}: {file} is missing; there are: {', '.join(sorted(siblings))}")
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{file} is not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise ConfigurationError(f"{file} must hold keys and values, not {type(content).__name__}")
    return content


def dataset_folders(conf_dir: Path, dataset: str) -> list[Path]:
    """The dataset's folder, and before it those of the datasets that it extends, the first of all first.

    Raises:
        ConfigurationError: a dataset extends one that is not there, or, in the end, itself.
    """
    above, folders = [dataset], [conf_dir / "datasets" / dataset]
    while base := read_yaml(folders[0] / DATASET).get(EXTENDS):
        file = folders[0] / DATASET
        above.append(str(base))
        if above.count(str(base)) > 1:
            raise ConfigurationError(f"{file}: datasets extend each other: {' → '.join(above)}")
        if not (conf_dir / "datasets" / str(base) / DATASET).is_file():
            known = sorted(path.parent.name for path in (conf_dir / "datasets").glob(f"*/{DATASET}"))
            raise ConfigurationError(f"{file}: extends: {base} is no dataset; there are: {', '.join(known)}")
        folders.insert(0, conf_dir / "datasets" / str(base))
    return folders


def dataset_settings(conf_dir: Path, dataset: str) -> list[Declared]:
    """What the dataset.yaml of each of the dataset's folders sets, in the order of `dataset_folders`."""
    told = [read_yaml(folder / DATASET) for folder in dataset_folders(conf_dir, dataset)]
    return [{key: value for key, value in content.items() if key != EXTENDS} for content in told]


def declared_feeds(conf_dir: Path, dataset: str) -> dict[str, tuple[Path, Declared]]:
    """By name, what is declared of each of the dataset's feeds, and the last file that declares it."""
    feeds: dict[str, tuple[Path, Declared]] = {}
    for folder in dataset_folders(conf_dir, dataset):
        for file in sorted(folder.glob("*.yaml")):
            if file.name != DATASET:
                _, below = feeds.get(file.stem, (file, {}))
                feeds[file.stem] = file, with_own(below, read_yaml(file))
    return feeds


def with_own(below: Declared, own: Declared) -> Declared:
    """A feed as the dataset extended declares it, with what the dataset's own file says in place of the same keys.

    A feed comes in one way: one that is told anew takes the place of the other.
    """
    comes_anew = any(way in own for way in ONE_WAY_IN)
    kept = {key: value for key, value in below.items() if not (comes_anew and key in ONE_WAY_IN)}
    return {**kept, **own}
