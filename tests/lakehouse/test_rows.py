"""The row builders of the tests themselves: what they call valid is valid by the contract."""

from functools import reduce

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.lakehouse.contracts import read_contracts
from jobs.lakehouse.quality import REASONS, with_reject_reasons
from tests import rows


@pytest.mark.long
def test_the_base_row_of_a_contract_breaks_none_of_its_rules(spark: SparkSession) -> None:
    judged = []
    for table, contract in read_contracts(rows.CONF_DIR).items():
        if not contract.row_rules:
            continue
        made = rows.order_line() if table == "silver.order_lines" else rows.row_of(table)
        reasons = with_reject_reasons(rows.frame_of(spark, table, made), contract)
        judged.append(reasons.select(F.lit(table).alias("table"), REASONS))
    rejected = reduce(DataFrame.union, judged).where(F.size(REASONS) > 0).collect()
    assert not rejected, f"base rows are rejected: {[tuple(row) for row in rejected]}"


def test_a_builder_refuses_a_column_that_the_contract_does_not_have() -> None:
    with pytest.raises(AssertionError, match=r"silver\.events has no column colour"):
        rows.event(colour="red")
