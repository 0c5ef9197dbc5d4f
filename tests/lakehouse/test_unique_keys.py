"""How many rows share a key: what Great Expectations is told, held against pandas."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest
from pyspark.sql import SparkSession

from jobs.lakehouse.contracts import Contract, ContractColumn
from jobs.lakehouse.quality import audit

COLUMNS = ("shelf", "place", "weight")
ROWS = {
    "all different": [("a", 1, 5), ("a", 2, 5), ("b", 1, 5)],
    "one key three times, another twice": [
        ("a", 1, 5),
        ("a", 1, 6),
        ("a", 1, 5),
        ("b", 2, 5),
        ("b", 2, 7),
        ("c", 1, 5),
    ],
    "parts missing": [("a", None, 5), ("a", None, 6), (None, None, 5), (None, None, 6), (None, 1, 5)],
    "no row": [],
}


@pytest.mark.parametrize("key", [("shelf",), ("shelf", "place")], ids=["of one column", "of two"])
@pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS)
def test_rows_that_share_a_key_are_counted(
    spark: SparkSession, tmp_path: Path, rows: Sequence[tuple[object, ...]], key: tuple[str, ...]
) -> None:
    columns = (
        ContractColumn("shelf", "string", ""),
        ContractColumn("place", "int", ""),
        ContractColumn("weight", "int", ""),
    )
    contract = Contract("gold.things", "One row per thing.", columns, key)
    table = pd.DataFrame(rows, columns=list(COLUMNS)).dropna(subset=list(key), how="all")
    expected = int(table.duplicated(list(key), keep=False).sum())
    (found,) = audit(spark.createDataFrame(list(rows), contract.schema), contract, tmp_path)
    assert (found.is_met, found.observed) == (expected == 0, str(expected))
    kind = "expect_column_values_to_be_unique" if len(key) == 1 else "expect_compound_columns_to_be_unique"
    assert found.expectation.startswith(f"{kind}{{"), "the name under which audits of older lakes are kept"
