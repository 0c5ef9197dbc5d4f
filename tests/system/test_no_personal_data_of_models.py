"""The whole chain on a cluster, with models, scores and figures, leaves no raw personal value: in the lake, logs, event log and MLflow."""

from pathlib import Path

import pytest

from jobs.lakehouse.needles import Needles, needles_of
from jobs.lakehouse.scan import scan
from tests.system.canaries import largest, planted
from tests.system.corner_shop import CornerShop, till_lines
from tests.system.submitted_chain import Submitted

PHONES = sorted({line["phone"] for line in till_lines()} - {""})


@pytest.fixture(scope="module")
def needles() -> Needles:
    """The phones of the shop's customers."""
    return needles_of([("phone", phone) for phone in PHONES])


def left_by(submitted: Submitted, shop: CornerShop) -> dict[str, list[Path]]:
    """What the chain left, without the vault and without the program itself, by where it lies."""
    cluster = shop.folder / "cluster"
    return {
        "lake": [path for path in submitted.lake.iterdir() if path.name != "vault"],
        "MLflow's store": sorted(shop.folder.glob("mlflow.db*")),
        "MLflow's artifacts": [shop.folder / "mlflow"],
        "logs": sorted({*cluster.glob("*.log"), *cluster.glob("worker-*/app-*/*/std*")}),
        "event log": [submitted.events],
    }


@pytest.mark.long
def test_no_phone_stands_outside_of_the_vault(submitted: Submitted, shop: CornerShop, needles: Needles) -> None:
    assert submitted.exit_code == 0, submitted.log[-3000:]
    raw = scan([shop.data], needles)
    assert {finding.number for finding in raw.findings} == set(range(len(PHONES)))
    for place, paths in left_by(submitted, shop).items():
        report = scan(paths, needles)
        assert report.size_bytes > 10_000, place
        assert report.undecoded == (), place
        assert report.findings == (), place
    vault = scan([submitted.lake / "vault"], needles)
    assert vault.files > 1
    assert vault.is_clean, vault


@pytest.mark.long
def test_canaries_in_models_and_logs_are_found(
    submitted: Submitted, shop: CornerShop, needles: Needles, tmp_path: Path
) -> None:
    canary = f"0086-{PHONES[7]}"
    files = [
        planted(shop.folder / "mlflow.db", tmp_path, "SQLite", canary),
        planted(largest(shop.folder / "mlflow", "**/*.ubj"), tmp_path, "bytes", canary),
        planted(largest(shop.folder / "mlflow", "**/MLmodel"), tmp_path, "text", canary),
        planted(largest(shop.folder / "mlflow", "**/*.png"), tmp_path / "picture", "bytes", canary),
        planted(largest(submitted.events, "**/*"), tmp_path, "gzip", canary),
        planted(largest(submitted.lake, "gold/churn_scores/**/*.parquet"), tmp_path, "Parquet values", canary),
        planted(largest(submitted.lake, "ops/runs/**/*.json"), tmp_path, "JSON", canary),
    ]
    report = scan([tmp_path], needles)
    assert {(Path(finding.file), finding.number) for finding in report.findings} == {(file, 7) for file in files}
    assert "params.value" in {finding.place for finding in report.findings}
