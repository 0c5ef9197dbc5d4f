"""The whole chain through spark-submit, as one wheel, on a standalone cluster of two workers."""

from pathlib import Path

import pytest

from tests.system.corner_shop import differences, opened, tables_of
from tests.system.submitted_chain import Submitted


@pytest.mark.long
def test_the_whole_chain_runs_on_two_workers(submitted: Submitted) -> None:
    assert submitted.exit_code == 0, submitted.log[-3000:]
    assert submitted.executors == 2
    runs = opened(submitted.lake, "ops.runs").to_pyarrow_table(columns=["job", "outcome", "environment"]).to_pylist()
    assert {(run["outcome"], run["environment"]) for run in runs} == {("succeeded", "cluster")}
    assert {"train.train_churn", "train.train_demand", "score.score_churn"} <= {run["job"] for run in runs}


@pytest.mark.long
def test_the_cluster_leaves_the_tables_of_one_machine(lake: Path, undisturbed: Path) -> None:
    assert differences(lake, undisturbed, tables_of(undisturbed)) == {}
