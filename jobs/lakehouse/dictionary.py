"""Generated documents: the data dictionary from the contracts, the job table and the picture of the README from the jobs."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jobs.lakehouse.contracts import Contract, read_contracts
from jobs.lakehouse.errors import ConfigurationError, ContractError
from jobs.lakehouse.graph import mermaid
from jobs.lakehouse.job import NamedJob
from jobs.lakehouse.settings import find_conf_dir

DICTIONARY = "docs/data-dictionary.md"
README = "README.md"
# What the freshness of a contract is worth.
FRESHNESS = (
    "*Asked for: fresh within …* is what a contract wants of a table (`slaProperties`), and says how often to run its job; no job "
    "holds a table against it, and `ops.runs` has when each was written. Measured is what tables are made from: "
    "`ingest.audit_feeds` holds the age of each feed's newest record against the feed's own promise (`expect` in its "
    "[declaration](feeds.md#a-feed)), in `ops.audits` and `ops.feeds`."
)


def add_commands(commands: Any, all_jobs: Callable[[], Mapping[str, NamedJob]]) -> None:
    """Add docs to the command line."""
    parser = commands.add_parser("docs", help="write the data dictionary and the generated parts of the README")
    parser.add_argument("--check", action="store_true", help="only say whether they are up to date; exit 2 if not")
    parser.add_argument("--conf-dir", help="configuration folder")

    def command(options: argparse.Namespace) -> int:
        return write_docs(find_conf_dir(options.conf_dir), all_jobs(), check=options.check)

    parser.set_defaults(command=command)


def write_docs(conf_dir: Path, jobs: Mapping[str, NamedJob], check: bool) -> int:
    """Write the generated documents, or check that they are up to date.

    Raises:
        ContractError: with `check`, when a document is not what would be generated.
    """
    root = conf_dir.resolve().parent
    readme = root / README
    if not readme.is_file():
        raise ConfigurationError(f"{readme} is missing; run this in a checkout")
    generated = {
        root / DICTIONARY: data_dictionary(read_contracts(conf_dir)),
        readme: with_generated_parts(readme.read_text(encoding="utf-8"), jobs),
    }
    stale = [file for file, text in generated.items() if not file.exists() or file.read_text(encoding="utf-8") != text]
    if check and stale:
        raise ContractError(f"not up to date: {', '.join(file.name for file in stale)}; run `make docs`")
    for file in stale:
        file.write_text(generated[file], encoding="utf-8")
        sys.stdout.write(f"wrote {file.relative_to(root)}\n")
    return 0


def data_dictionary(contracts: Mapping[str, Contract]) -> str:
    """The data dictionary in Markdown: a section per table, a row per column."""
    lines = ["# Data dictionary", "", "Generated from `conf/contracts` by `make docs`.", "", FRESHNESS, ""]
    for table, contract in sorted(contracts.items()):
        lines += [f"## {table}", "", contract.grain, ""]
        lines += [f"Key: {', '.join(f'`{name}`' for name in contract.key)}. "] if contract.key else []
        lines += [f"Asked for: fresh within {contract.freshness}."] if contract.freshness else []
        lines += [
            "",
            "| column | type | unit | required | personal data | meaning |",
            "| --- | --- | --- | --- | --- | --- |",
        ]
        lines += [
            f"| `{column.name}` | {column.data_type.replace('|', '')} | {column.unit} | {'yes' if column.is_required else ''} "
            f"| {column.classification} | {column.comment} |"
            for column in contract.columns
        ]
        if contract.row_rules:
            lines += [
                "",
                "Row rules: " + "; ".join(f"`{rule.name}`: `{rule.condition}`" for rule in contract.row_rules),
            ]
        lines.append("")
    return "\n".join(lines)


def job_table(jobs: Mapping[str, NamedJob]) -> str:
    """The README's table of jobs, in the order of a full run."""
    lines = ["| job | what it does | reads | writes |", "| --- | --- | --- | --- |"]
    for named in jobs.values():
        reads, writes = (", ".join(f"`{name}`" for name in names) for names in (named.reads, named.writes))
        lines.append(f"| `{named.name}` | {named.sentence} | {reads} | {writes} |")
    return "\n".join(lines)


def with_generated_parts(readme: str, jobs: Mapping[str, NamedJob]) -> str:
    """The README with its job table and picture as they should be."""
    parts = {"jobs": job_table(jobs), "graph": f"```mermaid\n{mermaid(list(jobs.values()))}\n```"}
    for name, text in parts.items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        readme = pattern.sub(lambda match, text=text: f"{match[1]}{text}\n{match[2]}", readme)  # type: ignore[misc]
    return readme
