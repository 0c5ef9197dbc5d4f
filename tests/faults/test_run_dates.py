"""Run dates in the wrong order, one twice, and files in two deliveries: the same tables as in order and all at once."""

import shutil
from pathlib import Path

import pytest

from tests.system.corner_shop import (
    FIRST_DATE,
    LAST_DATE,
    CornerShop,
    deliveries_committed_twice,
    differences,
    opened,
    tables_of,
    transactions_committed_twice,
)

INGEST = ("load_files", "clean_accounts", "clean_order_lines")


@pytest.mark.long
def test_the_order_of_run_dates_changes_nothing(shop: CornerShop, undisturbed: Path, backwards: Path) -> None:
    forwards = shop.folder / "forwards"
    # As if no date had run yet: the table is taken away, and the last date is made to run again.
    shutil.copytree(undisturbed, forwards, ignore=shutil.ignore_patterns("customer_features"))
    for words, run_date in (((), FIRST_DATE), (("--force",), LAST_DATE), ((), FIRST_DATE)):
        shop.run(forwards, "build_customer_features", *words, run_date=run_date)
    assert differences(forwards, backwards) == {}
    days = opened(backwards, "gold.customer_features").to_pyarrow_table(columns=["as_of_date"])["as_of_date"]
    assert {FIRST_DATE, LAST_DATE} <= set(days.to_pylist())


@pytest.mark.long
def test_files_in_two_deliveries_give_what_all_at_once_give(shop: CornerShop, undisturbed: Path) -> None:
    lake, some = shop.folder / "in_two_deliveries", shop.folder / "some"
    (some / "tills").mkdir(parents=True)
    files = sorted((shop.data / "tills").iterdir())
    for file in files[: len(files) // 2]:
        shutil.copy2(file, some / "tills")
    shop.run(lake, *INGEST, data=some)
    shop.run(lake, *INGEST)
    written = tables_of(lake)
    assert differences(lake, undisturbed, written) == {}
    assert transactions_committed_twice(lake) == deliveries_committed_twice(lake) == []
