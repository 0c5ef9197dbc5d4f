"""Great Expectations' uniqueness of a key, counted by one aggregation; of itself it sorts all rows by the key, several times over."""

from __future__ import annotations

from typing import Any

from great_expectations.execution_engine import SparkDFExecutionEngine
from great_expectations.expectations import core
from great_expectations.expectations.expectation import BatchExpectation
from great_expectations.expectations.metrics.metric_provider import metric_value
from great_expectations.expectations.metrics.table_metric_provider import TableMetricProvider
from great_expectations.validator.metric_configuration import MetricConfiguration
from pyspark.sql import functions as F

REPEATED = "table.repeated_keys"


class RepeatedKeys(TableMetricProvider):  # type: ignore[misc]
    """How many rows have a key, and how many of them one that another row has as well."""

    metric_name = REPEATED
    value_keys = ("key",)

    @metric_value(engine=SparkDFExecutionEngine)  # type: ignore[untyped-decorator]
    def _spark(cls, execution_engine: Any, **asked: Any) -> tuple[int, int]:  # noqa: N805 - called by this name
        key = asked["metric_value_kwargs"]["key"]
        keyed = execution_engine.get_domain_records(asked["metric_domain_kwargs"]).na.drop("all", subset=key)
        by_key = keyed.groupBy(*key).agg(F.count(F.lit(1)).alias("rows"))
        of_several = F.when(F.col("rows") > 1, F.col("rows"))
        with_key, repeated = by_key.agg(F.sum("rows"), F.sum(of_several)).first() or (None, None)
        return with_key or 0, repeated or 0


class _UniqueKey:
    """What both expectations do otherwise than Great Expectations, whose names, settings and pages they keep."""

    def get_validation_dependencies(self: Any, execution_engine: Any = None, runtime_configuration: Any = None) -> Any:
        """Ask for the one count that the expectation is judged by."""
        needed = BatchExpectation.get_validation_dependencies(self, execution_engine, runtime_configuration)
        asked = self.configuration.kwargs
        key = asked.get("column_list") or [asked["column"]]
        needed.set_metric_configuration(
            REPEATED, MetricConfiguration(REPEATED, {"batch_id": asked.get("batch_id")}, {"key": list(key)})
        )
        return needed

    def _validate(self, metrics: Any, runtime_configuration: Any = None, execution_engine: Any = None) -> Any:
        with_key, repeated = metrics[REPEATED]
        share = {"unexpected_percent": 100 * repeated / with_key} if with_key else {}
        return {"success": not repeated, "result": {"element_count": with_key, "unexpected_count": repeated, **share}}


# Great Expectations knows an expectation by the name of its class, and takes that which was declared last.
class ExpectColumnValuesToBeUnique(_UniqueKey, core.ExpectColumnValuesToBeUnique):  # type: ignore[misc]
    """No value of the column is there twice."""


class ExpectCompoundColumnsToBeUnique(_UniqueKey, core.ExpectCompoundColumnsToBeUnique):  # type: ignore[misc]
    """No values of the columns, taken together, are there twice."""
