"""A chain of jobs: each starts when those that it reads from are done, a few of them side by side in one session."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, TypeVar

from pyspark.sql import SparkSession

from jobs.lakehouse.graph import idle_jobs, jobs_below, upstream
from jobs.lakehouse.job import NamedJob, Result, execute
from jobs.lakehouse.settings import Settings
from jobs.lakehouse.sources import mapped_tables, read_sources

T = TypeVar("T")
Tell = Callable[[int, list[NamedJob]], None]


def run_chain(
    jobs: Sequence[NamedJob], spark: SparkSession, settings: Settings, run_date: dt.date, *,
    force: bool = False, dry_run: bool = False, tell: Tell = lambda ended, running: None,
) -> Iterator[Result]:  # fmt: skip
    """Run jobs for one date and give the result of each as it ends.

    After a failure no other job is started; those that run beside it come to their end, then the failure is raised.

    Args:
        jobs: the jobs, in an order in which each comes after those that it reads from.
        spark: the session that they share.
        settings: the settings; `spark.jobs_at_once` is how many run side by side.
        run_date: the day up to whose end they know things.
        force: whether they run even where nothing has changed.
        dry_run: whether they only say what they would do.
        tell: is told how many jobs have ended and which run, each time that this changes.

    Raises:
        LakehouseError: a job failed.
    """
    idle = _idle(jobs, settings)
    at_once = min(settings.spark.jobs_at_once, len(jobs))
    above = upstream(list(jobs))
    # One after the other they run as given; side by side, those first that most others wait for, one after the other.
    below = jobs_below(above) if at_once > 1 else {}
    waiting = {named.name: named for named in sorted(jobs, key=lambda named: -below.get(named.name, 0))}
    running: dict[Future[Result], NamedJob] = {}
    would_run: set[str] = set()
    failure: BaseException | None = None
    # One job after the other runs in this thread, where alone a stream can be told to end by a signal.
    with InThisThread() if at_once < 2 else ThreadPoolExecutor(at_once, thread_name_prefix="job") as pool:
        while running or (waiting and failure is None):
            for named in [] if failure else startable(waiting, above, list(running.values()), at_once):
                del waiting[named.name]
                if named.name in idle:
                    running[pool.submit(Result, named.name, "nothing to do", note=idle[named.name])] = named
                    continue
                running[
                    pool.submit(
                        execute, named, spark, settings, run_date, force=force, dry_run=dry_run,
                        upstream_would_run=bool(above[named.name] & would_run),
                    )
                ] = named  # fmt: skip
            tell(len(jobs) - len(waiting) - len(running), list(running.values()))
            try:
                ended = wait(running, return_when=FIRST_COMPLETED).done
            except KeyboardInterrupt:
                spark.sparkContext.cancelAllJobs()
                raise
            for future in ended:
                named = running.pop(future)
                if (error := future.exception()) is not None:
                    failure = failure or error
                    continue
                if future.result().outcome == "would run":
                    would_run.add(named.name)
                yield future.result()
    if failure is not None:
        raise failure


class InThisThread(Executor):
    """Does what it is given at once."""

    def submit(self, work: Callable[..., T], /, *arguments: Any, **named: Any) -> Future[T]:
        """Do the work, and give a future that has ended."""
        future: Future[T] = Future()
        try:
            future.set_result(work(*arguments, **named))
        except Exception as error:
            future.set_exception(error)
        return future


def startable(
    waiting: dict[str, NamedJob], above: dict[str, set[str]], running: Sequence[NamedJob], at_once: int
) -> list[NamedJob]:
    """The jobs that may start now, in their order: as many as there is room for, and of those that take all slots one."""
    started: list[NamedJob] = []
    unfinished = set(waiting) | {named.name for named in running}
    for named in waiting.values():
        beside = [*running, *started]
        if len(beside) >= at_once:
            break
        takes_turns = named.job.takes_all_slots and any(other.job.takes_all_slots for other in beside)
        if not above[named.name] & unfinished and not takes_turns:
            started.append(named)
    return started


def _idle(jobs: Sequence[NamedJob], settings: Settings) -> dict[str, str]:
    """The jobs that have nothing to do on the dataset, and why."""
    filled = mapped_tables(read_sources(Path(settings.conf_dir), settings.dataset))
    filled |= {table for named in jobs if named.job.fills_without_feeds for table in named.writes}
    idle = idle_jobs(list(jobs), filled, {named.name: named.job.can_lack for named in jobs})
    return {name: f"no feed of dataset {settings.dataset} fills {table}" for name, table in idle.items()}
