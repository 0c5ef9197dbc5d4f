"""Folders that appear whole or not at all, on any file system that Hadoop knows."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pyspark.sql import SparkSession

from jobs.lakehouse.errors import DataError
from jobs.lakehouse.settings import WorldSettings

MARK = "_WORLD.json"  # written last: a folder that has it is complete


class WorldExistsError(DataError):
    """A world of other settings, or something that is no world, already lies in the folder."""


@dataclass(frozen=True)
class FileSystem:
    """The file system behind a path, through Hadoop's API, so that s3a:// and hdfs:// work like a local disk."""

    jvm: Any
    hadoop: Any

    def path(self, text: str) -> Any:
        """A Hadoop path."""
        return self.jvm.org.apache.hadoop.fs.Path(text)

    def exists(self, text: str) -> bool:
        """Whether there is a file or folder of this name."""
        return bool(self.hadoop.exists(self.path(text)))

    def names(self, folder: str) -> list[str]:
        """The sorted names of the files and folders in a folder; none where there is no folder."""
        if not self.exists(folder):
            return []
        return sorted(entry.getPath().getName() for entry in self.hadoop.listStatus(self.path(folder)))

    def rename(self, old: str, new: str) -> None:
        """Give a file or folder another name.

        Raises:
            OSError: the file system refused.
        """
        if not self.hadoop.rename(self.path(old), self.path(new)):
            raise OSError(f"could not rename {old} to {new}")

    def make_folder(self, folder: str) -> None:
        """Make a folder and those above it."""
        self.hadoop.mkdirs(self.path(folder))

    def remove(self, folder: str) -> None:
        """Delete a file or a folder with all that is in it, if it is there."""
        self.hadoop.delete(self.path(folder), True)

    def write_text(self, file: str, text: str) -> None:
        """Write a small text file."""
        stream = self.hadoop.create(self.path(file), True)
        stream.write(bytearray(text.encode()))
        stream.close()

    def read_text(self, file: str) -> str:
        """The content of a small text file."""
        stream = self.hadoop.open(self.path(file))
        text = str(self.jvm.org.apache.commons.io.IOUtils.toString(stream, "UTF-8"))
        stream.close()
        return text


def file_system(spark: SparkSession, folder: str) -> FileSystem:
    """The file system on which a folder lies."""
    context: Any = spark.sparkContext
    path = context._jvm.org.apache.hadoop.fs.Path(folder)
    return FileSystem(context._jvm, path.getFileSystem(context._jsc.hadoopConfiguration()))


def world_facts(content: str, settings: WorldSettings, actions: Sequence[Any]) -> dict[str, Any]:
    """All that a folder of the world depends on."""
    return {"content": content, "settings": settings.model_dump(mode="json"), "actions": list(actions)}


def is_written(files: FileSystem, folder: str, facts: dict[str, Any]) -> bool:
    """Whether the folder holds the complete world of these facts.

    Raises:
        WorldExistsError: it holds something else.
    """
    if not files.names(folder):
        return False
    if not files.exists(f"{folder}/{MARK}"):
        raise WorldExistsError(f"{folder} is not empty and has no {MARK}: name another folder, or empty this one")
    found = json.loads(files.read_text(f"{folder}/{MARK}"))
    if found != facts:
        differing = sorted(
            key for key in facts["settings"] if found.get("settings", {}).get(key) != facts["settings"][key]
        )
        raise WorldExistsError(
            f"{folder} holds a world with other settings ({', '.join(differing) or 'other content or actions'}): "
            "name another folder, or delete this one to write the world anew"
        )
    return True


def written_once(
    spark: SparkSession, folder: str, facts: dict[str, Any], write: Callable[[FileSystem, str], None]
) -> bool:
    """Whether the folder was written now; False where it already held the same.

    `write` fills a temporary folder beside it, which then takes the folder's name.

    Raises:
        WorldExistsError: the folder holds something else.
    """
    folder = folder.rstrip("/")
    files = file_system(spark, folder)
    if is_written(files, folder, facts):
        return False
    unfinished = f"{folder}.unfinished"
    files.remove(unfinished)
    files.make_folder(unfinished)
    write(files, unfinished)
    files.write_text(f"{unfinished}/{MARK}", json.dumps(facts, indent=2, sort_keys=True) + "\n")
    files.remove(folder)
    files.rename(unfinished, folder)
    return True
