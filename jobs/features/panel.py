"""The panel of dates that churn is learned from: a fixed grid, so that each run shares most of its dates with the last."""

from __future__ import annotations

import datetime as dt

from jobs.lakehouse.settings import ChurnSettings, FeatureSettings

# A Sunday: the grid's dates are ends of weeks.
GRID_ORIGIN = dt.date(2000, 1, 2)


def panel_dates(run_date: dt.date, features: FeatureSettings, churn: ChurnSettings) -> list[dt.date]:
    """The newest grid dates whose label windows are closed by the run date, oldest first."""
    newest_labelled = run_date - dt.timedelta(days=churn.label_days)
    steps = (newest_labelled - GRID_ORIGIN).days // features.panel_step_days
    newest = GRID_ORIGIN + dt.timedelta(days=steps * features.panel_step_days)
    return [
        newest - dt.timedelta(days=features.panel_step_days * back) for back in reversed(range(features.panel_dates))
    ]
