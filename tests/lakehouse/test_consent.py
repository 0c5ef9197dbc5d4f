"""Consent: the last decision known at a time counts, in whatever order decisions arrive, and silence is no consent."""

import datetime as dt
import random
from typing import Any

import pytest
from pyspark.sql import SparkSession

from jobs.lakehouse.consent import accounts_that_allow
from tests.rows import NOON, Row, frame_of, row_of

DAY = dt.timedelta(days=1)
# Whoever agreed on the first day and was never told otherwise.
ALWAYS = ("agreed", "agreed twice at once", "older one deleted")


def consent(account: str, is_granted: bool, decided: int, arrived: float | None = None, **overrides: Any) -> Row:
    """A revision of a decision that was made, and arrived, so many days after noon."""
    return row_of(
        "silver.consents",
        account_id=account,
        is_granted=is_granted,
        decided_at=NOON + decided * DAY,
        arrived_at=NOON + (decided + 0.1 if arrived is None else arrived) * DAY,
        **{"purpose": "analytics", **overrides},
    )


def deleted(account: str, is_granted: bool, decided: int, arrived: float, revision: int = 2) -> Row:
    """The last revision of a decision that was found deleted so many days after noon: it repeats what was known."""
    over = {"superseded_at": NOON + arrived * DAY, "revision": revision}
    return consent(account, is_granted, decided, arrived, **over)


def decisions() -> list[Row]:
    """What accounts decided, and when that was known."""
    return [
        consent("agreed", True, 1),
        consent("refused", False, 1),
        consent("withdrew", True, 1),
        consent("withdrew", False, 5),
        consent("came back", False, 1),
        consent("came back", True, 5),
        consent("told late", False, 1, arrived=8),
        consent("told late", True, 0, arrived=0.5),
        consent("overtaken", False, 5, arrived=5.5),
        consent("overtaken", True, 2, arrived=6),
        consent("corrected", True, 1, arrived=1.5),
        consent("corrected", False, 1, arrived=2.5, revision=2),
        consent("both at once", True, 1, arrived=1.5),
        consent("both at once", False, 1, arrived=1.5, revision=2),
        consent("agreed twice at once", True, 1, arrived=1.5, superseded_at=NOON + 1.5 * DAY),
        consent("agreed twice at once", True, 1, arrived=1.5, revision=2),
        consent("deleted", True, 1, arrived=1.5, superseded_at=NOON + 6 * DAY),
        deleted("deleted", True, 1, arrived=6),
        consent("refusal deleted", True, 0, arrived=0.5),
        consent("refusal deleted", False, 1, superseded_at=NOON + 3 * DAY),
        deleted("refusal deleted", False, 1, arrived=3),
        consent("older one deleted", True, 0, arrived=0.5),
        deleted("older one deleted", True, 0, arrived=6),
        consent("older one deleted", True, 1),
        deleted("decided again", True, 1, arrived=3),
        consent("decided again", True, 5),
        consent("deleted and told again", True, 1, arrived=1.5),
        deleted("deleted and told again", True, 1, arrived=3),
        consent("deleted and told again", True, 1, arrived=5, revision=3),
        consent("other purpose", True, 1, purpose="marketing_sms"),
    ]


@pytest.mark.parametrize(
    ("day", "allowed"),
    [
        (0, set()),
        (1, {"told late", "refusal deleted", "older one deleted"}),
        (2, {*ALWAYS, "withdrew", "told late", "corrected", "deleted", "deleted and told again"}),
        (4, {*ALWAYS, "withdrew", "told late", "deleted"}),
        (7, {*ALWAYS, "came back", "told late", "decided again", "deleted and told again"}),
        (9, {*ALWAYS, "came back", "decided again", "deleted and told again"}),
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
