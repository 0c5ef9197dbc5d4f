"""How long chaos is to last, and lakes with more than one run date."""

import shutil
from pathlib import Path

import pytest

from tests.system.corner_shop import FIRST_DATE, CornerShop


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--minutes", type=float, default=10.0, help="how long tests/faults/chaos.py kills jobs")
    parser.addoption("--seed", type=int, default=None, help="repeat the chaos of that seed")


@pytest.fixture(scope="session")
def backwards(shop: CornerShop, undisturbed: Path) -> Path:
    """The lake of undisturbed runs for the last date, then for the first one; tests read it."""
    lake = shop.folder / "backwards"
    shutil.copytree(undisturbed, lake)
    shop.run(lake, "build_customer_features", run_date=FIRST_DATE)
    return lake
