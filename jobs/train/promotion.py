"""Promotion: a new model becomes champion only when it beats the present one on the same rows."""

from __future__ import annotations

from jobs.lakehouse.run import Run
from jobs.lakehouse.tracking import Training


def log_and_promote(run: Run, model: str, training: Training, beats_champion: bool | None) -> None:
    """Log a training, and make it champion where it beats the present one, or where there is none (None)."""
    tags = {f"input.{table}": version for table, version in run.inputs.items()}
    tags |= {"run_id": run.run_id, "run_date": run.run_date.isoformat(), "fingerprint": run.fingerprint}
    version = run.tracking.log(model, f"{model} {run.run_date}", tags, training)
    promoted = beats_champion is not False
    if promoted:
        run.tracking.promote(model, version)
    run.facts[f"{run.tracking.registered_name(model)} {version}"] = (
        "champion" if promoted else "not better than the champion"
    )
