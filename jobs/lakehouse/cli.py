"""The command line of jobs: its options, the chain of runs, what is shown while they run, and exit codes."""

from __future__ import annotations

import argparse
import datetime as dt
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from rich.console import Console
from rich.status import Status
from rich.table import Table

from jobs.lakehouse.chain import run_chain
from jobs.lakehouse.errors import ConfigurationError, LakehouseError
from jobs.lakehouse.foreseen import as_foreseen, told
from jobs.lakehouse.inputs import has_feeds
from jobs.lakehouse.job import NamedJob, Result
from jobs.lakehouse.session import open_session, pin_time_zone
from jobs.lakehouse.settings import Settings, load_settings

# How what a job reads is named that comes by topic.
TOPICS = "topics."
console = Console(stderr=True, highlight=False)


def add_lake_options(parser: argparse.ArgumentParser) -> None:
    """The options that every command over a lake takes."""
    parser.add_argument("--env", default="local", help="environment, a file in conf/environments (default: local)")
    parser.add_argument("--dataset", default="world", help="dataset, a folder in conf/datasets (default: world)")
    parser.add_argument("--data", help="folder with the dataset's raw files")
    parser.add_argument("--lake", help="root folder of the dataset's tables")
    parser.add_argument("--customers", type=int, help="size of the simulated world, in persons")
    parser.add_argument("--conf-dir", help="configuration folder instead of the one that ships with the jobs")
    parser.add_argument("--print-config", action="store_true", help="print the settings and stop")


def add_date_options(parser: argparse.ArgumentParser) -> None:
    """The options of commands that work as of a day."""
    parser.add_argument("--run-date", type=dt.date.fromisoformat, help="the day up to whose end the run knows things")
    parser.add_argument("--to-date", type=dt.date.fromisoformat, help="run every day from --run-date to this one")


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """The options that every job takes."""
    add_lake_options(parser)
    add_date_options(parser)
    parser.add_argument("--dry-run", action="store_true", help="say what would be done")
    parser.add_argument("--force", action="store_true", help="run even where nothing has changed")


def add_trigger_options(parser: argparse.ArgumentParser) -> None:
    """The options of what takes topics: whether a stream ends; without either the setting `kafka.trigger` says it."""
    either = parser.add_mutually_exclusive_group()
    for mode, what in (
        ("once", "take what the topics hold by now and end (Spark's availableNow)"),
        ("continuous", "go on taking messages as they come, until SIGTERM or Ctrl-C"),
    ):
        either.add_argument(
            f"--{mode}", dest="trigger", action="store_const", const=mode, help=f"{what}; over kafka.trigger"
        )


def settings_of(options: argparse.Namespace) -> Settings:
    """The settings that the options ask for."""
    overrides = {
        "paths.lake": options.lake,
        "paths.data": options.data,
        "world.customers": options.customers,
        "kafka.trigger": getattr(options, "trigger", None),
    }
    return load_settings(options.env, options.dataset, options.conf_dir, overrides)


def done(command: Callable[[argparse.Namespace], int], options: argparse.Namespace) -> int:
    """Do what a command does, or print its settings where these alone are asked for; give the exit code."""
    return guarded(lambda: _print_settings(options) if options.print_config else command(options))


def _print_settings(options: argparse.Namespace) -> int:
    sys.stdout.write(settings_of(options).model_dump_json(indent=2) + "\n")
    return 0


def run_dates(options: argparse.Namespace, settings: Settings) -> list[dt.date]:
    """The run dates asked for; without any: the dataset's own, the world's last day, or yesterday.

    Raises:
        ConfigurationError: the range ends before it begins.
    """
    yesterday = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=1)
    default = settings.run_date or (settings.world.last_day if settings.simulated else yesterday)
    first = options.run_date or default
    last = options.to_date or first
    if last < first:
        raise ConfigurationError(f"--to-date {last} is before --run-date {first}")
    return [first + dt.timedelta(days=day) for day in range((last - first).days + 1)]


def run_as_program(named: NamedJob, arguments: Sequence[str] | None = None) -> int:
    """Parse the options of one job, run it, and give the exit code."""
    parser = argparse.ArgumentParser(prog=named.name, description=named.doc)
    add_run_options(parser)
    if takes_topics(named):
        add_trigger_options(parser)
    options = parser.parse_args(arguments)
    return done(lambda asked: run_jobs([named], asked), options)


def guarded(command: Callable[[], int]) -> int:
    """Do what a command does; an error that a job foresaw becomes one line and its exit code."""
    pin_time_zone()
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        return command()
    except LakehouseError as error:
        _show_error(str(error))
        return error.exit_code


def takes_topics(named: NamedJob) -> bool:
    """Whether a job takes in what comes by topic, and so heeds how a stream is to end."""
    return any(name.startswith(TOPICS) for name in named.reads)


def run_jobs(jobs: list[NamedJob], options: argparse.Namespace) -> int:
    """Run jobs in the order given, for each run date; stop at the first failure and give its exit code.

    Raises:
        ConfigurationError: the options say how a stream ends, and none of the jobs has one.
    """
    trigger = getattr(options, "trigger", None)
    if trigger and not any(takes_topics(named) for named in jobs):
        raise ConfigurationError(
            f"--{trigger} is for jobs that take topics (stream_topics); none of those asked for does"
        )
    settings = settings_of(options)
    chosen = [named for named in jobs if settings.simulated or not named.job.only_simulated]
    # In a chain the ways in that the dataset has no feed for are left out; asked for by itself, such a job says so.
    chosen = [named for named in chosen if has_feeds(named.reads, named.writes, settings)] or chosen
    results: list[Result] = []
    try:
        with _progress() as status:
            spark = open_session(settings, "customer-lakehouse")
            for run_date in run_dates(options, settings):
                ended = run_chain(
                    chosen, spark, settings, run_date,
                    force=options.force, dry_run=options.dry_run,
                    tell=partial(_show_running, status, len(chosen)),
                )  # fmt: skip
                for result in ended:
                    results.append(result)
                    console.print(_line(result, run_date), markup=False, soft_wrap=True)
    except LakehouseError:
        raise
    except Exception as error:
        if isinstance(foreseen := as_foreseen(error, settings), LakehouseError):
            raise foreseen from error
        console.print_exception(max_frames=8)
        _show_error(told(error))
        return 1
    finally:
        if len(results) > 1:
            _show_summary(results)
    return 0


@contextmanager
def _progress() -> Iterator[Status | None]:
    """A live line on a terminal, nothing elsewhere."""
    if console.is_terminal:
        with console.status("starting Spark") as status:
            yield status
    else:
        yield None


def _show_running(status: Status | None, in_all: int, ended: int, running: list[NamedJob]) -> None:
    """Say how far the chain is and which jobs run; of one alone, what it does."""
    if status is not None and running:
        told = [named.name if len(running) > 1 else f"{named.name}: {named.sentence}" for named in running]
        status.update(f"[{ended}/{in_all}] {', '.join(told)}")


def _line(result: Result, run_date: dt.date) -> str:
    """What a finished job says of itself."""
    start = f"{run_date}  {result.name:<36} {result.outcome:<13}"
    record = result.record
    if record is None:
        return f"{start} {result.note}".rstrip()
    counts = f"in {record.rows_read:>10,}  out {record.rows_written:>10,}  rejected {record.rows_rejected:>6,}"
    line = f"{start} {counts}  {record.seconds:>6.1f} s"
    return f"{line}  {record.message}" if record.message else line


def _show_summary(results: list[Result]) -> None:
    """One row per job: rows in, out, rejected and dropped as duplicates, seconds and peak memory."""
    table = Table(title="jobs", title_justify="left")
    table.add_column("job", no_wrap=True)
    table.add_column("outcome", no_wrap=True)
    for heading in ("rows in", "rows out", "rejected", "duplicates", "seconds", "peak MiB"):
        table.add_column(heading, justify="right", no_wrap=True)
    for result in results:
        record = result.record
        counts = (
            (record.rows_read, record.rows_written, record.rows_rejected, record.rows_deduplicated) if record else ()
        )
        cost = (f"{record.seconds:.1f}", f"{record.peak_memory_mib:,}") if record else ()
        table.add_row(result.name, result.outcome, *(f"{count:,}" for count in counts), *cost)
    records = [result.record for result in results if result.record]
    if records:
        table.add_section()
        # Jobs run side by side: their seconds overlap.
        elapsed = max(r.finished_at for r in records) - min(r.started_at for r in records)
        peak = max(r.peak_memory_mib for r in records)
        table.add_row("all, by the clock", "", "", "", "", "", f"{elapsed.total_seconds():.1f}", f"{peak:,}")
    Console(highlight=False, width=None if console.is_terminal else 132).print(table)


def _show_error(text: str) -> None:
    console.print(f"error: {text}", style="red", markup=False, soft_wrap=True)
