"""Consent: the last decision known at a time counts, in whatever order decisions arrive, and silence is no consent."""

import datetime as dt
import random
from typing import Any

import pytest
from pyspark.sql import SparkSession

from jobs.lakehouse.consent import accounts_that_allow
from tests.rows import NOON, Row, frame_of, row_of

DAY = dt.timedelta(days=1)


def consent(account: str, is_granted: bool, decided: int, arrived: float | None = None, **overrides: Any) -> Row:
    """A decision made, and arrived, so many days after noon."""
    return row_of(
        "silver.consents",
        account_id=account,
        is_granted=is_granted,
        decided_at=NOON + decided * DAY,
        arrived_at=NOON + (decided + 0.1 if arrived is None else arrived) * DAY,
        **{"purpose": "analytics", **overrides},
    )


def decisions() -> list[Row]:
    """What seven and more accounts decided, and when that was known."""
    return [
        consent("agreed", True, 1),
        consent("refused", False, 1),
        consent("withdrew", True, 1),
        consent("withdrew", False, 5, revision=2),
        consent("came back", False, 1),
        consent("came back", True, 5, revision=2),
        consent("told late", False, 1, arrived=8),
        consent("told late", True, 0, arrived=0.5),
        consent("overtaken", False, 5, arrived=5.5),
        consent("overtaken", True, 2, arrived=6, revision=2),
        consent("corrected", True, 1, arrived=1.5),
        consent("corrected", False, 1, arrived=2.5, revision=2),
        consent("both at once", True, 1, arrived=1.5),
        consent("both at once", False, 1, arrived=1.5, revision=2),
        consent("other purpose", True, 1, purpose="marketing_sms"),
    ]


@pytest.mark.parametrize(
    ("day", "allowed"),
    [
        (0, set()),
        (1, {"told late"}),
        (2, {"agreed", "withdrew", "told late", "corrected"}),
        (4, {"agreed", "withdrew", "told late"}),
        (7, {"agreed", "came back", "told late"}),
        (9, {"agreed", "came back"}),
    ],
)
def test_the_last_decision_known_by_then_counts(spark: SparkSession, day: int, allowed: set[str]) -> None:
    shuffled = random.Random(day).sample(decisions(), len(decisions()))
    rows = accounts_that_allow(frame_of(spark, "silver.consents", *shuffled), "analytics", NOON + day * DAY).collect()
    assert {row["account_id"] for row in rows} == allowed
    assert len(rows) == len(allowed), "one row per account"


def test_the_instant_itself_is_not_known_yet(spark: SparkSession) -> None:
    consents = frame_of(spark, "silver.consents", consent("agreed", True, 1, arrived=1))
    assert accounts_that_allow(consents, "analytics", NOON + DAY).isEmpty()
    assert not accounts_that_allow(consents, "analytics", NOON + DAY + dt.timedelta(microseconds=1)).isEmpty()
