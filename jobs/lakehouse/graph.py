"""The graph of jobs, from what each declares to read and write: order, lineage and its picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from graphlib import CycleError, TopologicalSorter
from typing import Protocol

from jobs.lakehouse.errors import ConfigurationError


class Declared(Protocol):
    """A job as the graph sees it."""

    @property
    def name(self) -> str:
        """The job's name, `<stage>.<file>`."""

    @property
    def reads(self) -> tuple[str, ...]:
        """What it reads."""

    @property
    def writes(self) -> tuple[str, ...]:
        """What it writes."""


def upstream(jobs: Sequence[Declared]) -> dict[str, set[str]]:
    """For each job, the jobs that write what it reads."""
    return {
        reader.name: {
            writer.name for writer in jobs if writer.name != reader.name and _meet(writer.writes, reader.reads)
        }
        for reader in jobs
    }


def jobs_below(above: Mapping[str, set[str]]) -> dict[str, int]:
    """For each job, how many others come one after the other once it is done: the longest chain that waits for it.

    Args:
        above: as `upstream` gives it.
    """
    below = dict.fromkeys(above, 0)
    for name in reversed(list(TopologicalSorter(above).static_order())):
        for writer in above[name]:
            below[writer] = max(below[writer], below[name] + 1)
    return below


def run_order(jobs: Sequence[Declared]) -> list[str]:
    """The names of the jobs in an order in which each comes after those that it reads from; ties by name.

    Raises:
        ConfigurationError: two jobs wait for each other.
    """
    sorter = TopologicalSorter(upstream(jobs))
    try:
        sorter.prepare()
    except CycleError as error:
        raise ConfigurationError(f"jobs wait for each other: {' → '.join(error.args[1])}") from error
    order: list[str] = []
    while sorter.is_active():
        for name in sorted(sorter.get_ready()):
            order.append(name)
            sorter.done(name)
    return order


def idle_jobs(
    jobs: Sequence[Declared], filled: set[str], can_lack: Mapping[str, tuple[str, ...]] | None = None
) -> dict[str, str]:
    """The jobs that have nothing to do on a dataset, each with a table that none of the dataset's feeds can ever fill.

    A cleaning job is idle where none of its tables is filled, every other job where a table that it reads stays out.
    Jobs that are not given are taken to do their part.

    Args:
        jobs: the jobs to be run.
        filled: the silver tables that the dataset's feeds fill, and those that are there, empty, without a feed.
        can_lack: by job, what it reads and can do without.
    """
    by_name = {job.name: job for job in jobs}
    never_filled: set[str] = set()
    idle: dict[str, str] = {}
    for job in (by_name[name] for name in run_order(jobs)):
        cleans = "bronze.*" in job.reads
        if cleans:
            silver = [table for table in job.writes if table.startswith("silver.")]
            lacking = [table for table in silver if table not in filled]
            is_idle = bool(silver) and lacking == silver
        else:
            lacking = [
                table
                for table in job.reads
                if table in never_filled and table not in (can_lack or {}).get(job.name, ())
            ]
            is_idle = bool(lacking)
        if is_idle:
            idle[job.name] = lacking[0]
        never_filled |= set(lacking) | set(job.writes if is_idle else ())
    return idle


def mermaid(jobs: list[Declared]) -> str:
    """The graph as a Mermaid flow chart, one box a job, grouped by stage."""
    lines = ["flowchart LR"]
    for stage in dict.fromkeys(name.split(".")[0] for name in run_order(jobs)):
        lines.append(f"  subgraph {stage}")
        lines += [
            f"    {job.name.replace('.', '_')}[{job.name.split('.')[1]}]"
            for job in jobs
            if job.name.startswith(f"{stage}.")
        ]
        lines.append("  end")
    for reader, writers in sorted(upstream(jobs).items()):
        lines += [f"  {writer.replace('.', '_')} --> {reader.replace('.', '_')}" for writer in sorted(writers)]
    return "\n".join(lines)


def _meet(written: tuple[str, ...], read: tuple[str, ...]) -> bool:
    return any(fnmatchcase(one, other) or fnmatchcase(other, one) for one in written for other in read)
