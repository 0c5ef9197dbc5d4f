"""The goals of cleaning on a world that no rule was shaped on: none is missed by more than chance."""

import pytest
from pyspark.sql import SparkSession

from benchmarks.world_identity import jobs_up_to
from benchmarks.world_marks import LAST, MORE_BAD_ACTORS, scores_of
from jobs.lakehouse.chain import run_chain
from tests.conftest import MakeSettings

pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]

WORLD = {"world.customers": 1500, "world.weeks": 26, "world.seed": 20301, **MORE_BAD_ACTORS}
# What the marks are for; a score of another name would be judged, too, but must not be all there is.
JUDGED = ("bots", "repeated clicks", "brushing", "near duplicates", "outliers", "share valid", "duplicates")


def test_no_goal_of_cleaning_is_missed_by_more_than_chance(
    compiling_spark: SparkSession, settings: MakeSettings
) -> None:
    made = settings(overrides=WORLD)
    for result in run_chain(jobs_up_to(*LAST), compiling_spark, made, made.world.last_day):
        assert result.outcome == "done", result
    judged = [score for score in scores_of(compiling_spark, made) if score.goal is not None and score.value is not None]
    for name in JUDGED:
        assert any(score.metric.startswith(name) for score in judged), name
    missed = [score for score in judged if not score.is_met and (score.value_high or 0) < (score.goal or 0)]
    assert not missed, [(score.metric, score.level, score.value, score.note) for score in missed]
    assert all((score.value or 0) > 0.85 for score in judged), "few things leave much to chance, but not all"
