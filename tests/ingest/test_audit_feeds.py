"""Fresh or stale, usual or not: what feeds promise, held against when their records arrived."""

import datetime as dt

import pytest
from pyspark.sql import SparkSession

from jobs.ingest.audit_feeds import arrivals_by_feed, audited_feed
from jobs.lakehouse.sources import Source

AS_OF = dt.datetime(2025, 6, 1)


def feed(**promised: object) -> Source:
    return Source.model_validate(
        {
            "source": "tills",
            "description": "Tills.",
            "files": "tills/*.csv",
            "arrival": "now",
            "expect": promised,
            "fields": [{"name": "a", "description": "a."}],
            "tables": {},
        }
    )


def days_before(*days: float) -> list[tuple[str, dt.datetime]]:
    return [("tills", AS_OF - dt.timedelta(days=day)) for day in days]


def test_weeks_are_counted_back_from_the_as_of(spark: SparkSession) -> None:
    # Three this week, then 2, 0 (a week without any is a week), 1, 5; and one that had not arrived yet.
    arrived = [*days_before(0.1, 1, 6.9, 7.1, 13, 22, 28.1, 29, 30, 31, 34.9), ("tills", AS_OF)]
    rows = spark.createDataFrame(
        [*arrived, ("new", AS_OF - dt.timedelta(days=8))], "source string, arrived_at timestamp"
    )
    found = {row["source"]: row for row in arrivals_by_feed(rows, AS_OF).collect()}
    assert found["tills"]["newest_at"] == AS_OF - dt.timedelta(days=0.1)
    assert (found["tills"]["rows_this_week"], found["tills"]["usual_rows"]) == (3, 2)
    assert (found["new"]["rows_this_week"], found["new"]["usual_rows"]) == (0, None), "too young to have a usual week"


@pytest.mark.parametrize(
    ("newest", "is_met", "observed"),
    [(1.5, True, "1.5 days old"), (2.5, False, "2.5 days old"), (None, False, "nothing has arrived")],
)
def test_freshness(newest: float | None, is_met: bool, observed: str) -> None:
    newest_at = None if newest is None else AS_OF - dt.timedelta(days=newest)
    (entry,) = audited_feed(feed(fresh_within_days=2, severity="critical"), newest_at, 0, None, AS_OF)
    assert (entry.table, entry.severity, entry.is_met, entry.observed) == ("bronze.tills", "critical", is_met, observed)


@pytest.mark.parametrize(("rows", "is_met"), [(49, False), (50, True), (200, True), (201, False)])
def test_volume(rows: int, is_met: bool) -> None:
    promised = feed(week_to_usual_ratio=(0.5, 2))
    (entry,) = audited_feed(promised, AS_OF, rows, 100, AS_OF)
    assert entry.is_met is is_met
    assert audited_feed(promised, AS_OF, rows, None, AS_OF) == [], "nothing usual to compare with"
