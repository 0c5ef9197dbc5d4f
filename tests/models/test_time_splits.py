"""Models are judged on later rows than they learned from: no training label closes after the test's as-of date."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from jobs.features.panel import panel_dates
from jobs.lakehouse.errors import DataError
from jobs.lakehouse.settings import ChurnSettings, DemandSettings, FeatureSettings
from jobs.score.forecast_demand import newest_origin
from jobs.train.train_churn import Split, refuse_unfit, split_dates
from jobs.train.train_demand import only_closed, split_weeks

CHURN = ChurnSettings()
TEST = dt.date(2025, 9, 28)


@given(st.lists(st.dates(dt.date(2024, 1, 1), dt.date(2025, 12, 31)), min_size=1, max_size=20, unique=True))
def test_no_label_of_training_or_validation_closes_after_the_test_date(days: list[dt.date]) -> None:
    test = max(days)
    usable = sorted(day for day in days if (test - day).days >= CHURN.label_days)
    if len(usable) < 2:
        with pytest.raises(DataError, match=f"{CHURN.label_days} days before {test}, there are {len(usable)}"):
            split_dates(days, CHURN)
        return
    split = split_dates(days, CHURN)
    assert split.test == test
    assert [*split.training, split.validation] == usable


def test_the_panel_of_the_settings_leaves_dates_to_learn_from() -> None:
    days = panel_dates(dt.date(2025, 12, 28), FeatureSettings(), CHURN)
    split = split_dates(days, CHURN)
    assert len(split.training) >= 3
    assert max(split.training) < split.validation < split.test


@given(
    st.dates(dt.date(2024, 1, 1), dt.date(2025, 12, 31)),
    st.builds(
        DemandSettings,
        horizon_weeks=st.integers(1, 26),
        test_origins=st.integers(1, 8),
        calibration_weeks=st.integers(1, 12),
    ),
)
def test_test_origins_have_a_whole_horizon_and_calibration_ends_at_the_first(
    day: dt.date, settings: DemandSettings
) -> None:
    newest = day - dt.timedelta(days=day.weekday())
    split = split_weeks(newest, settings)
    week = dt.timedelta(weeks=1)
    assert split.last_test_origin + settings.horizon_weeks * week == newest
    assert (split.last_test_origin - split.first_test_origin) // week + 1 == settings.test_origins
    # What is learned from ends with the first test origin, the last week that its forecasts know of.
    assert (split.first_test_origin - split.calibration_from) // week + 1 == settings.calibration_weeks
    assert split.calibration_from.weekday() == 0


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ([0, 1, 1], "3 training rows, fewer than churn.min_training_rows = 4"),
        ([0, 0, 0, 0], "one class only .0 churned."),
        ([1, 1, 1, 1], "one class only .4 churned."),
        ([0, 1, 0, 1], ""),
    ],
)
def test_too_few_rows_or_one_class_are_refused(spark: SparkSession, labels: list[int], reason: str) -> None:
    before = TEST - dt.timedelta(days=100)
    # The test's own rows are no training rows, and their classes don't count.
    rows = [(before, label) for label in labels] + [(TEST, 0), (TEST, 1), (TEST, 1)]
    frame = spark.createDataFrame(rows, "as_of_date date, is_churned int")
    split = Split([before], before, TEST)
    if not reason:
        refuse_unfit(frame, split, minimum=4)
        return
    with pytest.raises(DataError, match=reason):
        refuse_unfit(frame, split, minimum=4)


def test_a_week_is_used_from_the_day_on_which_it_is_closed(spark: SparkSession) -> None:
    weeks = [(dt.date(2025, 3, 3), dt.date(2025, 2, 24)), (dt.date(2025, 2, 24), dt.date(2025, 2, 17))]
    rows = spark.createDataFrame(weeks, "week_start_date date, origin_week date")
    # The week of 3 March ends on the 9th and is closed at the end of the 12th.
    found = {
        day: sorted(row["week_start_date"].day for row in only_closed(rows, dt.date(2025, 3, day), 3).collect())
        for day in (11, 12)
    }
    assert found == {11: [24], 12: [3, 24]}
    origins = {
        day: {str(row["origin_week"]) for row in newest_origin(rows, dt.date(2025, 3, day), 3).collect()}
        for day in (4, 5)
    }
    assert origins == {4: {"2025-02-17"}, 5: {"2025-02-24"}}
    with pytest.raises(DataError, match="closed by 2025-02-25"):
        newest_origin(rows, dt.date(2025, 2, 25), 3)
