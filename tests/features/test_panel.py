"""The panel's dates: on a fixed grid, closed by the run date, shared by run dates near each other."""

import datetime as dt
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from jobs.features.build_customer_features import wanted_dates
from jobs.features.panel import GRID_ORIGIN, panel_dates
from jobs.lakehouse.settings import ChurnSettings, FeatureSettings

FEATURES, CHURN = FeatureSettings(), ChurnSettings()
run_dates = st.dates(dt.date(2010, 1, 1), dt.date(2040, 1, 1))
steps = st.builds(FeatureSettings, panel_step_days=st.integers(1, 60), panel_dates=st.integers(1, 20))


@given(run_dates, steps)
def test_dates_lie_on_the_grid_and_their_labels_are_closed_by_the_run_date(
    run_date: dt.date, features: FeatureSettings
) -> None:
    days = panel_dates(run_date, features, CHURN)
    step = features.panel_step_days
    assert len(days) == features.panel_dates
    assert all((day - GRID_ORIGIN).days % step == 0 for day in days)
    assert [later - day for day, later in pairwise(days)] == [dt.timedelta(days=step)] * (len(days) - 1)
    assert days[-1] + dt.timedelta(days=CHURN.label_days) <= run_date, "a label is open"
    assert days[-1] + dt.timedelta(days=CHURN.label_days + step) > run_date, "a closed label is left out"


@given(run_dates, st.integers(0, 27))
def test_run_dates_near_each_other_share_all_dates_but_one(run_date: dt.date, later: int) -> None:
    one = panel_dates(run_date, FEATURES, CHURN)
    other = panel_dates(run_date + dt.timedelta(days=later), FEATURES, CHURN)
    assert one == other or one[1:] == other[:-1]


def test_features_are_wanted_of_the_panel_and_of_the_run_date() -> None:
    run_date = dt.date(2025, 12, 28)
    panel = panel_dates(run_date, FEATURES, CHURN)
    assert wanted_dates(run_date, FEATURES, CHURN) == [*panel, run_date]
    on_panel = panel[-1]
    assert wanted_dates(on_panel, FEATURES, CHURN).count(on_panel) == 1
