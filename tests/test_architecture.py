"""The rules of the house, held by reading its source: rooms, jobs, tables, clocks, and documents that are generated."""

import ast
import importlib.metadata
import re
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from jobs.__main__ import all_jobs, main
from jobs.lakehouse.contracts import read_contracts
from jobs.lakehouse.dictionary import write_docs
from jobs.lakehouse.graph import run_order, upstream
from jobs.lakehouse.inputs import WAYS_IN
from jobs.lakehouse.job import NamedJob
from jobs.lakehouse.vault import ADDED_TO
from tests.rows import CONF_DIR

CHECKOUT = CONF_DIR.parent
GOLDEN = Path(__file__).parent / "golden"
JOBS = all_jobs()
SOURCES = sorted((CHECKOUT / "jobs").rglob("*.py"))
ROOMS_OF_TRUTH = ("simulate", "evaluate", "lakehouse")

LINES = 300
LONGER = {"jobs/lakehouse/settings.py": "one small class per section, read from top to bottom"}

# Who may bring rows to the driver, and why these are few whatever the size of the data.
ROWS_TO_THE_DRIVER = {
    "identity/link_records.py": "linking.most_records accounts at most, and the sealed values that they tell; more are refused",
    "identity/door.py": "the links of one customer, two hundred of them; the figures of the audit",
    "identity/overrides.py": "one row per pair of accounts that a person spoke of",
    "features/currency.py": "one row per currency that should not be there",
    "ingest/audit_feeds.py": "one row per feed",
    "ingest/load_files.py": "one row per file ever delivered",
    "ingest/shapes.py": "one row per new file of JSON",
    "ingest/stream_topics.py": "one row per partition of a topic",
    "simulate/merchandise.py": "one row per product, store and week of the assortment",
    "train/train_churn.py": "dates of the panel, bins of a calibration, five example rows",
    "train/train_demand.py": "13 horizons, series of the plot, five example rows",
    "evaluate/measure_promises.py": "one row per day of the calendar and per store and day of a label window",
    "evaluate/true_marks.py": "one row per column that is repaired",
    "evaluate/true_rows.py": "one row for events and one for order lines",
}
TO_THE_DRIVER = ("collect", "toPandas", "toArrow", "toLocalIterator")
CLOCKS = ("now", "today", "utcnow", "current_timestamp", "current_date", "localtimestamp", "curdate")
CLOCK_IN_SQL = re.compile(r"\b(current_date|current_timestamp|localtimestamp|curdate)\b|\bnow\(\)", re.IGNORECASE)
# A delivery that declares no arrival of its own arrives when it is loaded.
ASK_THE_CLOCK = ("lakehouse/", "ingest/load_files.py", "ingest/load_tables.py", "ingest/stream_topics.py")
# What bears marks, and where they are (docs/adr/0013).
MARKS = {
    "silver.order_lines": "silver.order_flags",
    "silver.orders": "silver.order_flags",
    "silver.events": "silver.event_flags",
}
# Who reads such rows and not their marks, and why.
WITHOUT_MARKS = {
    "ingest.flag_events": "makes the marks",
    "ingest.flag_orders": "makes the marks",
    "ingest.collect_orders": "one row per order as it was delivered; its id leads to its marks",
    "ingest.collect_identifiers": "what was seen with an account was seen, whoever it was; identity has limits of its own",
    "ingest.repair_values": "a store tells its city, whatever was bought there",
}
# Written outside the jobs, by persons at the door.
BY_HAND = ("ops.identity_overrides",)


def told(file: Path) -> str:
    """The file's name below jobs/."""
    return str(file.relative_to(CHECKOUT / "jobs"))


def calls(file: Path) -> Iterator[tuple[str, int]]:
    """The last name of everything that a file calls, with its line."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            yield name, node.lineno


def job_file(named: NamedJob) -> Path:
    stage, _, name = named.name.partition(".")
    return CHECKOUT / "jobs" / stage / f"{name}.py"


@pytest.mark.parametrize("named", [pytest.param(named, id=name) for name, named in JOBS.items()])
def test_a_job_file_has_the_shape_of_a_job(named: NamedJob) -> None:
    source = job_file(named).read_text("utf-8")
    tree = ast.parse(source)
    assert named.sentence, "the module's docstring is the help text"
    assert named.sentence[-1] in ".?", named.sentence
    assert named.writes, "a job that writes nothing is no job"
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert ast.unparse(functions["build"].args) == "run: Run"
    assert source.endswith('if __name__ == "__main__":\n    sys.exit(JOB.main(__doc__, build))\n')
    assert "_" in job_file(named).stem, "a job file is named verb_object"


def test_every_program_is_a_job_that_the_door_knows() -> None:
    programs = {told(file) for file in SOURCES if "\nif __name__ ==" in file.read_text("utf-8")}
    assert programs - {"__main__.py"} == {told(job_file(named)) for named in JOBS.values()}


def test_no_file_beside_a_job_hides_a_module_that_others_import() -> None:
    taken = {*sys.stdlib_module_names, *importlib.metadata.packages_distributions()} - {"jobs", "conf"}
    folders = {job_file(named).parent for named in JOBS.values()}
    hidden = [told(file) for folder in folders for file in folder.glob("*.py") if file.stem in taken]
    assert hidden == [], "spark-submit puts the folder of a job first on the path"


def test_every_table_is_written_by_one_job() -> None:
    writers: dict[str, list[str]] = {}
    for named in JOBS.values():
        # A job that takes feeds in writes the bronze tables of those that come in its way, and adds to the vault by key.
        ways = [name for name in named.reads if name.split(".")[0] in WAYS_IN]
        for table in named.writes:
            if table not in ADDED_TO:
                writers.setdefault(" ".join((table, *ways)) if table == "bronze.*" else table, []).append(named.name)
    shared = {table: names for table, names in writers.items() if len(names) > 1}
    assert shared == {}
    contracts = {table for table in read_contracts(CONF_DIR) if table.split(".")[0] in ("silver", "gold")}
    assert contracts - set(writers) == set(), "tables with a contract and no writer"
    tables = {*ADDED_TO, *writers}
    tables = {table for table in tables if table.split(".")[0] in ("silver", "gold", "vault", "ops")}
    assert tables - set(read_contracts(CONF_DIR)) == set(), "tables that are written without a contract"


def test_a_gold_table_promises_rows_only_where_what_it_reads_does() -> None:
    contracts = read_contracts(CONF_DIR)

    def promises_rows(table: str) -> bool:
        expectations = contracts[table].expectations if table in contracts else ()
        return any(expected.type == "expect_table_row_count_to_be_between" for expected in expectations)

    unfounded = {
        table: named.reads
        for named in JOBS.values()
        for table in named.writes
        if table.startswith("gold.") and promises_rows(table) and not any(map(promises_rows, named.reads))
    }
    assert unfounded == {}, "a retailer without such a feed could never publish these"


def test_everything_that_is_read_is_written_by_someone() -> None:
    written = [name for named in JOBS.values() for name in named.writes]
    orphans = {
        named.name: name
        for named in JOBS.values()
        for name in named.reads
        if name not in BY_HAND and not any(fnmatchcase(name, other) or fnmatchcase(other, name) for other in written)
    }
    assert orphans == {}


def test_who_reads_rows_that_bear_marks_reads_the_marks_too() -> None:
    lacking = {
        name
        for name, named in JOBS.items()
        if any(table in named.reads and marks not in named.reads for table, marks in MARKS.items())
    }
    assert lacking == set(WITHOUT_MARKS), "leave flagged rows out, or show figures with and without them"


def test_the_graph_has_an_order_in_which_nobody_waits() -> None:
    order = run_order(list(JOBS.values()))
    assert list(JOBS) == order
    place = {name: position for position, name in enumerate(order)}
    late = [
        (name, above)
        for name, writers in upstream(list(JOBS.values())).items()
        for above in writers
        if place[above] > place[name]
    ]
    assert late == []
    assert order.index("simulate.write_world") < order.index("ingest.load_files")


def test_only_evaluate_reads_the_truth() -> None:
    readers = {
        named.name.split(".")[0] for named in JOBS.values() for name in named.reads if fnmatchcase("truth.x", name)
    }
    assert readers <= {"evaluate"}
    mentions = [
        told(file)
        for file in SOURCES
        if told(file).split("/")[0] not in ROOMS_OF_TRUTH and "truth" in file.read_text("utf-8").lower()
    ]
    assert mentions == []


def test_no_transform_asks_the_clock() -> None:
    asked = [
        f"{told(file)}:{line} {name}"
        for file in SOURCES
        if not told(file).startswith(ASK_THE_CLOCK)
        for name, line in calls(file)
        if name in CLOCKS
    ]
    asked += [
        f"{told(file)}:{node.lineno} {node.value!r}"
        for file in SOURCES
        if not told(file).startswith(ASK_THE_CLOCK)
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and CLOCK_IN_SQL.search(node.value)
        and not re.search(r"\s\w+\s\w+\s", node.value)
    ]
    asked += [
        str(file.relative_to(CHECKOUT))
        for file in CONF_DIR.rglob("*.yaml")
        if CLOCK_IN_SQL.search(file.read_text("utf-8"))
    ]
    assert asked == []


def test_rows_come_to_the_driver_only_where_they_are_few() -> None:
    found = {
        told(file)
        for file in SOURCES
        if not told(file).startswith("lakehouse/")
        for name, _ in calls(file)
        if name in TO_THE_DRIVER
    }
    assert found - set(ROWS_TO_THE_DRIVER) == set(), (
        "give the reason in ROWS_TO_THE_DRIVER, or keep the rows where they are"
    )
    assert set(ROWS_TO_THE_DRIVER) - found == set(), "no longer needed"


def test_files_are_small() -> None:
    lines = {str(file.relative_to(CHECKOUT)): len(file.read_text("utf-8").splitlines()) for file in SOURCES}
    assert {name: count for name, count in lines.items() if count > LINES and name not in LONGER} == {}
    assert {name: count for name, count in lines.items() if count > LINES * 1.2} == {}


def test_imports_keep_to_their_rooms() -> None:
    lint = Path(sys.executable).parent / "lint-imports"
    ended = subprocess.run([lint, "--no-cache"], cwd=CHECKOUT, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stdout
    assert "0 broken" in ended.stdout


def test_generated_documents_are_fresh() -> None:
    assert write_docs(CONF_DIR, JOBS, check=True) == 0


@pytest.mark.parametrize(
    ("golden", "arguments"),
    [("jobs.txt", ["--help"]), ("jobs_run.txt", ["run", "--help"]), ("clean_order_lines.txt", None)],
)
def test_help_is_what_it_was(
    golden: str, arguments: list[str] | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    named = JOBS["ingest.clean_order_lines"]
    with pytest.raises(SystemExit) as ended:
        _ = main(arguments) if arguments else named.job.main(named.doc, named.build, ["--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    command = f"-m jobs {' '.join(arguments)}" if arguments else "-m jobs.ingest.clean_order_lines --help"
    assert shown == (GOLDEN / golden).read_text("utf-8"), (
        f"meant so? COLUMNS=100 python {command} > tests/golden/{golden}, and tell it in the changelog"
    )


def test_the_job_list_names_every_job_with_what_it_reads_and_writes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    listed = capsys.readouterr().out
    for named in JOBS.values():
        assert f"{named.name}\n    {named.sentence}\n" in listed
        assert f"writes {', '.join(named.writes)}\n" in listed
