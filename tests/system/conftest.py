"""The lake of the chain that was submitted to a cluster, for all tests of the system."""

from pathlib import Path

import pytest

from tests.system.submitted_chain import Submitted


@pytest.fixture(scope="session")
def lake(submitted: Submitted) -> Path:
    """The lake that the submitted chain left; tests read it."""
    assert submitted.exit_code == 0, submitted.log[-3000:]
    return submitted.lake
