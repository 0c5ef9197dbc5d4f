"""A corner shop with one undisturbed lake for the tests of faults, and how long chaos is to last."""

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from tests.system.corner_shop import CornerShop, shop_in, undisturbed_lake


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--minutes", type=float, default=10.0, help="how long tests/faults/chaos.py kills jobs")


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> CornerShop:
    """The shop and its raw files."""
    return shop_in(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def undisturbed(spark: SparkSession, shop: CornerShop) -> Path:
    """The lake of a run that nothing disturbs; tests read it."""
    return undisturbed_lake(shop)
