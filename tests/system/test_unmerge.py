"""An un-merge through the chain: identity, features and scores work out anew whom it touches, and leave what a full run leaves."""

import datetime as dt
import shutil

import pytest
from pyspark.sql import SparkSession

from jobs.lakehouse.ledger import Ledger
from jobs.lakehouse.tables import Lake, Write
from tests.rows import contract_of
from tests.system.corner_shop import CornerShop, opened, rows_of, undisturbed_lake

pytestmark = pytest.mark.long

JOBS = ("resolve_customers", "build_customer_features", "score_churn")
TABLES = (
    "silver.customer_ids", "silver.identity_edges", "silver.identity_changes", "silver.identity_components",
    "gold.customer_features", "gold.churn_scores",
)  # fmt: skip
OVERRIDES = "ops.identity_overrides"


def test_an_unmerge_recomputes_the_customers_that_it_touches_and_no_other(
    spark: SparkSession, shop: CornerShop
) -> None:
    lake = shop.folder / "unmerged"
    shutil.copytree(undisturbed_lake(shop), lake)
    shop.run(lake, "build_churn_labels", "train_churn", "score_churn")
    before = {table: rows_of(lake, table) for table in TABLES}
    # Said half a year ago, so that the features as of the run date tell the two apart.
    said_at = dt.datetime(2024, 7, 1)
    word = ("card:7a", "card:7b", said_at, "never", "care desk", "two sisters")
    ledger = Ledger(spark, Lake(str(lake)), contract_of("ops.runs"))
    ledger.add_rows(OVERRIDES, contract_of(OVERRIDES), [word], Write("append"), "a person's word")
    for job in JOBS:
        shop.run(lake, job)
    increment = {table: rows_of(lake, table) for table in TABLES}
    for job in JOBS:
        shop.run(lake, job, "--force")
    assert {table: rows_of(lake, table) for table in TABLES} == increment
    for table in ("silver.customer_ids", "gold.customer_features", "gold.churn_scores"):
        assert increment[table] != before[table], "the un-merge shows"
    runs = opened(lake, "ops.runs").to_pyarrow_table(columns=["job", "message", "started_at"]).to_pylist()
    told = [run["message"] for run in sorted(runs, key=lambda run: run["started_at"])][-6:]
    assert told[0].startswith("identity: 2 of "), told
    assert told[1].startswith("features: of 2 customers anew"), told
    assert told[2].startswith("scores: 2 customers anew"), told
    assert told[3].startswith("identity: all accounts anew"), told
    assert told[4:] == ["", ""], told
