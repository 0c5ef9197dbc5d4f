"""Real labelled sets are linked as well as docs/identity-linking.md says, the labels unseen."""

from pathlib import Path

import pytest

from benchmarks.linking import fake_1000, febrl, measured

pytestmark = pytest.mark.sets


@pytest.mark.parametrize(("number", "goal"), [(1, 0.998), (2, 0.998), (3, 0.998), (4, 0.9995)])
def test_febrl(test_data: Path, number: int, goal: float) -> None:
    result = measured(febrl(test_data / "febrl", number))
    assert result.pairs.f1 >= goal, str(result.pairs)
    assert result.groups.f1 >= goal, str(result.groups)


def test_fake_1000(test_data: Path) -> None:
    result = measured(fake_1000(test_data / "splink-fake-1000"))
    assert result.groups.precision >= 0.99, str(result.groups)
    assert result.groups.f1 >= 0.95, str(result.groups)
