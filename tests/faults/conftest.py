"""A corner shop with lakes that nothing disturbed, for the tests of faults, and how long chaos is to last."""

import shutil
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from tests.system.corner_shop import FIRST_DATE, CornerShop, shop_in, undisturbed_lake


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--minutes", type=float, default=10.0, help="how long tests/faults/chaos.py kills jobs")
    parser.addoption("--seed", type=int, default=None, help="repeat the chaos of that seed")


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> CornerShop:
    """The shop and its raw files."""
    return shop_in(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def undisturbed(spark: SparkSession, shop: CornerShop) -> Path:
    """The lake of a run for the last date that nothing disturbed; tests read it."""
    return undisturbed_lake(shop)


@pytest.fixture(scope="session")
def backwards(shop: CornerShop, undisturbed: Path) -> Path:
    """The lake of undisturbed runs for the last date, then for the first one; tests read it."""
    lake = shop.folder / "backwards"
    shutil.copytree(undisturbed, lake)
    shop.run(lake, "build_customer_features", run_date=FIRST_DATE)
    return lake
