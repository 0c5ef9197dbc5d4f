"""Run dates in the wrong order, one twice, and files in two deliveries: the same tables as in order and all at once."""

import shutil
from pathlib import Path

import pytest

from tests.system.corner_shop import (
    DATA_JOBS,
    FIRST_DATE,
    LAST_DATE,
    CornerShop,
    differences,
    opened,
    transactions_committed_twice,
)


@pytest.mark.slow
def test_the_order_of_run_dates_and_the_number_of_deliveries_change_nothing(
    shop: CornerShop, undisturbed: Path
) -> None:
    backwards, forwards = shop.folder / "backwards", shop.folder / "forwards"
    shutil.copytree(undisturbed, backwards)
    for run_date in (FIRST_DATE, LAST_DATE):
        shop.run(backwards, *DATA_JOBS, run_date=run_date)

    some = shop.folder / "some"
    (some / "tills").mkdir(parents=True)
    files = sorted((shop.data / "tills").iterdir())
    for file in files[: len(files) // 2]:
        shutil.copy2(file, some / "tills")
    shop.run(forwards, *DATA_JOBS, run_date=FIRST_DATE, data=some)
    for run_date in (FIRST_DATE, LAST_DATE):
        shop.run(forwards, *DATA_JOBS, run_date=run_date)

    assert differences(forwards, backwards) == {}
    assert transactions_committed_twice(backwards) == transactions_committed_twice(forwards) == []
    features = opened(backwards, "gold.customer_features").to_pyarrow_table(columns=["as_of_date"])
    assert {FIRST_DATE, LAST_DATE} <= set(features["as_of_date"].to_pylist())
