"""Quality: row rules that part valid from rejected rows in the same pass, and audits of a staged table."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.lakehouse.contracts import Contract, Expectation
from jobs.lakehouse.errors import QualityGateError

os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")

REASONS = "_reject_reasons"
DUPLICATE = "_is_duplicate"
RECORD = "_record"
UNPARSEABLE = "record_unparseable"
# Below the lake's root.
DOCS_FOLDER = "ops/data_docs"
RESULTS = "validations"
# GX keeps the context of the moment for the whole process; jobs that run side by side take turns.
TURN = threading.Lock()
log = logging.getLogger("jobs")


@dataclass(frozen=True)
class Audited:
    """One expectation held against a table: what was expected, whether it held, and what was found."""

    table: str
    expectation: str
    severity: str
    is_met: bool
    observed: str

    @property
    def failure(self) -> str:
        """What to say where it did not hold."""
        return f"{self.table}: {self.expectation}: observed {self.observed}"


def with_reject_reasons(rows: DataFrame, contract: Contract) -> DataFrame:
    """The rows with `_reject_reasons`: the names of the row rules that each one breaks, added to those it already has.

    A required column that is null breaks `<column>_missing`, unless a reason already names that column.
    """
    known = F.col(REASONS) if REASONS in rows.columns else F.array().cast("array<string>")
    missing = [
        F.when(
            F.col(column.name).isNull() & ~_any_starts_with(known, f"{column.name}_"), F.lit(f"{column.name}_missing")
        )
        for column in contract.columns
        if column.is_required and column.name in rows.columns
    ]
    broken = [F.when(~F.coalesce(F.expr(rule.condition), F.lit(True)), F.lit(rule.name)) for rule in contract.row_rules]
    found = F.concat(known, F.array_compact(F.array(*missing, *broken).cast("array<string>")))
    # A record that could not be parted into fields lacks them all; one reason says so.
    return rows.withColumn(REASONS, F.when(F.array_contains(known, UNPARSEABLE), known).otherwise(found))


def _any_starts_with(reasons: Column, prefix: str) -> Column:
    return F.exists(reasons, lambda reason: reason.startswith(prefix))


def is_rejected() -> Column:
    """Whether a staged row broke a rule."""
    return F.size(REASONS) > 0


def as_rejected_rows(staged: DataFrame, run_id: str) -> DataFrame:
    """One row per rejected record, as the `_rejected` tables keep it."""
    record_id = F.col("_record_id") if "_record_id" in staged.columns else F.lit(None).cast("string")
    return staged.where(is_rejected()).select(
        record_id.alias("_record_id"),
        F.col(REASONS).alias("reasons"),
        F.col(RECORD).alias("record"),
        F.lit(run_id).alias("_run_id"),
    )


def audit(staged_valid: DataFrame, contract: Contract, docs_folder: Path) -> list[Audited]:
    """Run the contract's suite on the rows about to be published, and keep its result for the Data Docs.

    Counts only: no value of a row is pulled to the driver or written into the docs.
    """
    import great_expectations as gx  # noqa: PLC0415 - takes three seconds, and most commands never audit

    expectations = list(contract.critical_expectations)
    if not expectations:
        return []
    logging.getLogger("great_expectations").setLevel(logging.ERROR)
    docs_folder.mkdir(parents=True, exist_ok=True)
    with TURN, TemporaryDirectory(prefix="_writing-", dir=docs_folder) as written:
        context = _context(Path(written))
        name = contract.table
        batch = (
            context.data_sources.add_spark("staged", persist=False)
            .add_dataframe_asset(name)
            .add_batch_definition_whole_dataframe("staged")
        )
        suite = context.suites.add(_suite(gx, contract))
        definition = context.validation_definitions.add(gx.ValidationDefinition(name=name, data=batch, suite=suite))
        result = definition.run(
            batch_parameters={"dataframe": staged_valid},
            result_format={"result_format": "BASIC", "partial_unexpected_count": 0},
        )
        _keep_results(Path(written), docs_folder / RESULTS)
    return [_as_audited(name, rule, entry) for rule, entry in zip(expectations, result.results, strict=True)]


def refuse_failed(audited: list[Audited], consequence: str) -> None:
    """Say which expectations were not met.

    Raises:
        QualityGateError: one of them is critical; its message ends with the consequence.
    """
    failed = [entry for entry in audited if not entry.is_met]
    critical = [entry.failure for entry in failed if entry.severity == "critical"]
    for entry in failed:
        if entry.severity != "critical":
            log.warning(entry.failure)
    if critical:
        raise QualityGateError(f"{'; '.join(critical)}; {consequence}")


def build_data_docs(docs_folder: Path, contracts: Iterable[Contract]) -> Path:
    """Render the kept results and the suites as pages where there are new results, and tell where their index is."""
    import great_expectations as gx  # noqa: PLC0415 - as above

    index = docs_folder / "local_site" / "index.html"
    newest = max((file.stat().st_mtime for file in (docs_folder / RESULTS).rglob("*.json")), default=0.0)
    if not index.is_file() or index.stat().st_mtime < newest:
        context = _context(docs_folder / RESULTS, docs_folder / "local_site")
        for contract in contracts:
            if contract.critical_expectations:
                context.suites.add(_suite(gx, contract))
        context.build_data_docs()
    return index


def _context(results_folder: Path, site_folder: Path | None = None) -> Any:
    """A GX context of this process alone: nothing but results is ever written, so that nothing can be half written or fought over."""
    import great_expectations as gx  # noqa: PLC0415 - as above
    from great_expectations.data_context.types.base import (  # noqa: PLC0415
        DataContextConfig,
        InMemoryStoreBackendDefaults,
        ProgressBarsConfig,
    )

    config = DataContextConfig(
        store_backend_defaults=InMemoryStoreBackendDefaults(), progress_bars=ProgressBarsConfig(globally=False)
    )
    results = {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(results_folder)}
    config.stores[config.validation_results_store_name] = {
        "class_name": "ValidationResultsStore",
        "store_backend": results,
    }
    if site_folder:
        pages = {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(site_folder)}
        index = {"class_name": "DefaultSiteIndexBuilder"}
        config.data_docs_sites = {
            "local_site": {"class_name": "SiteBuilder", "store_backend": pages, "site_index_builder": index}
        }
    return gx.get_context(mode="ephemeral", project_config=config)


def _keep_results(written: Path, kept: Path) -> None:
    """Move each result into its place in one step."""
    for file in written.rglob("*.json"):
        place = kept / file.relative_to(written)
        place.parent.mkdir(parents=True, exist_ok=True)
        file.replace(place)


def _suite(gx: Any, contract: Contract) -> Any:
    from great_expectations.expectations.registry import get_expectation_impl  # noqa: PLC0415 - as above

    from jobs.lakehouse import unique_keys  # noqa: F401, PLC0415 - as above; it declares how repeated keys are counted

    expectations = [get_expectation_impl(rule.type)(**rule.kwargs) for rule in contract.critical_expectations]
    return gx.ExpectationSuite(name=contract.table, expectations=expectations)


def _as_audited(table: str, rule: Expectation, entry: Any) -> Audited:
    kwargs = {key: value for key, value in entry.expectation_config.kwargs.items() if key != "batch_id"}
    observed = entry.result.get("observed_value", entry.result.get("unexpected_count"))
    expectation = f"{entry.expectation_config.type}{kwargs}"
    return Audited(table, expectation, rule.severity, bool(entry.success), str(observed))
