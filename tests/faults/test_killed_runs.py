"""Killed at named points of each kind of write, and started again: the same tables as of an undisturbed run."""

from pathlib import Path

import pytest

from tests.faults.kills import FEATURES, INGEST
from tests.system.corner_shop import (
    FIRST_DATE,
    CornerShop,
    deliveries_committed_twice,
    differences,
    tables_of,
    transactions_committed_twice,
    unaccounted_versions,
    unbalanced_runs,
)


@pytest.mark.long
def test_append_insert_and_replace_survive_kills(shop: CornerShop, killed_ingest: Path, undisturbed: Path) -> None:
    lake = killed_ingest
    shop.run(lake, *INGEST)
    written = tables_of(lake)
    assert {"bronze.tills", "vault.personal_values", "ops.deliveries", "silver.order_lines"} <= {*written}
    assert differences(lake, undisturbed, written) == {}
    assert transactions_committed_twice(lake) == deliveries_committed_twice(lake) == []
    assert unaccounted_versions(lake) == []
    assert unbalanced_runs(lake) == []


@pytest.mark.long
def test_replaced_slices_survive_kills(shop: CornerShop, killed_features: Path, backwards: Path) -> None:
    lake = killed_features
    shop.run(lake, *FEATURES, run_date=FIRST_DATE)
    assert differences(lake, backwards) == {}
    assert transactions_committed_twice(lake) == deliveries_committed_twice(lake) == []
    assert unaccounted_versions(lake) == []
