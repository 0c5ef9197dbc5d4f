"""The one door: python -m jobs {list, graph, run, show, restore, migrate, identity, requeue, rotate-keys, register, docs, tier, vacuum}."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from importlib.resources import files

from jobs.identity import door as identity
from jobs.ingest import retries
from jobs.lakehouse import catalog, dictionary, migration, requeue, rotation, storage
from jobs.lakehouse.cli import add_lake_options, add_run_options, add_trigger_options, done, run_jobs, settings_of
from jobs.lakehouse.errors import ConfigurationError
from jobs.lakehouse.graph import mermaid, run_order, upstream
from jobs.lakehouse.job import NamedJob

STAGES = ("simulate", "ingest", "identity", "features", "insight", "train", "score", "evaluate")


def all_jobs() -> dict[str, NamedJob]:
    """Every job of the suite by name: the modules of the stages that declare a JOB, in the order of a full run."""
    found: dict[str, NamedJob] = {}
    for stage in STAGES:
        names = sorted(entry.name for entry in (files("jobs") / stage).iterdir())
        for name in names:
            if name.endswith(".py") and not name.startswith("_"):
                module = importlib.import_module(f"jobs.{stage}.{name.removesuffix('.py')}")
                if hasattr(module, "JOB"):
                    job = NamedJob(
                        module.__name__.removeprefix("jobs."), module.__doc__ or "", module.JOB, module.build
                    )
                    found[job.name] = job
    return {name: found[name] for name in run_order(list(found.values()))}


def chosen_jobs(names: list[str], every: bool, start: str | None) -> list[NamedJob]:
    """The jobs asked for by name (`clean_orders` or `ingest.clean_orders`), all, or all from one on.

    Raises:
        ConfigurationError: no job has that name, or none was asked for.
    """
    jobs = all_jobs()
    short = {name.split(".")[1]: name for name in jobs}

    def resolved(name: str) -> str:
        if short.get(name, name) not in jobs:
            raise ConfigurationError(f"there is no job {name!r}; python -m jobs list shows them")
        return short.get(name, name)

    if start:
        order = list(jobs)
        return [jobs[name] for name in order[order.index(resolved(start)) :]]
    if every:
        return list(jobs.values())
    if not names:
        raise ConfigurationError("name one or more jobs, or give --all")
    wanted = {resolved(name) for name in names}
    return [named for name, named in jobs.items() if name in wanted]


def list_jobs(options: argparse.Namespace) -> int:
    """One line per job: its name, what it reads and writes, and its sentence."""
    for named in all_jobs().values():
        sys.stdout.write(f"{named.name}\n    {named.sentence}\n")
        sys.stdout.write(f"    reads  {', '.join(named.reads) or '–'}\n    writes {', '.join(named.writes) or '–'}\n")
    return 0


def show_graph(options: argparse.Namespace) -> int:
    """The order of a full run with what each job waits for, or the Mermaid picture."""
    jobs = list(all_jobs().values())
    if options.mermaid:
        sys.stdout.write(mermaid(list(jobs)) + "\n")
        return 0
    above = upstream(list(jobs))
    for named in jobs:
        sys.stdout.write(f"{named.name:<36} after {', '.join(sorted(above[named.name])) or '–'}\n")
    return 0


def run(options: argparse.Namespace) -> int:
    """Run jobs, and after a full run print the scoreboard and where to look."""
    jobs = chosen_jobs(options.jobs, options.all, options.start)
    code = run_jobs(jobs, options)
    if code == 0 and options.all and not options.dry_run:
        catalog.tell_what_was_built(settings_of(options))
    return code


def parser() -> argparse.ArgumentParser:
    """The command line."""
    root = argparse.ArgumentParser(prog="python -m jobs", description=__doc__)
    root.set_defaults(print_config=False)
    commands = root.add_subparsers(required=True, metavar="command")
    listing = commands.add_parser("list", help="the jobs, what each reads and writes")
    listing.set_defaults(command=list_jobs)
    graph = commands.add_parser("graph", help="the order of a full run")
    graph.add_argument("--mermaid", action="store_true", help="as a Mermaid flow chart")
    graph.set_defaults(command=show_graph)
    running = commands.add_parser("run", help="run jobs in the order of the graph")
    running.add_argument("jobs", nargs="*", metavar="JOB", help="jobs by name")
    running.add_argument("--all", action="store_true", help="every job")
    running.add_argument("--from", dest="start", metavar="JOB", help="every job from this one on")
    add_run_options(running)
    add_trigger_options(running)
    running.set_defaults(command=run)
    catalog.add_commands(commands)
    dictionary.add_commands(commands, all_jobs)
    identity.add_commands(commands, add_lake_options)
    migration.add_commands(commands)
    requeue.add_commands(commands, all_jobs, retries.retry_of)
    rotation.add_commands(commands)
    storage.add_commands(commands)
    return root


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line asks, and give the exit code."""
    options = parser().parse_args(arguments)
    return done(options.command, options)


if __name__ == "__main__":
    sys.exit(main())
