"""What is written down of changes: for each of the two ids, by which link or word, and what became of it."""

import datetime as dt
from collections.abc import Iterable

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.identity.causes import Judged
from jobs.identity.changes import OTHERWISE, with_level
from jobs.identity.overrides import words_of
from jobs.identity.resolve_customers import all_changes, under_kept_ids
from jobs.lakehouse.identity_settings import IdentitySettings
from tests.identity.test_resolve_customers import IDENTITY, LATER, a_word, edges_and_ids, likeness, named, phone, seen
from tests.rows import NOON, Row, account, frame_of, row_of

Cause = tuple[str, str | None, str | None]
DAY = dt.timedelta(days=1)


@pytest.fixture(scope="module", autouse=True)
def checkpoints(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> None:
    spark.sparkContext.setCheckpointDir(str(tmp_path_factory.mktemp("checkpoints")))


def with_links(kind: str, **changed: object) -> IdentitySettings:
    """The settings, one kind of link otherwise."""
    link = IDENTITY.links[kind].model_copy(update=changed)
    return IDENTITY.model_copy(update={"links": {**IDENTITY.links, kind: link}})


def causes_by_account(
    changes: DataFrame, before: DataFrame, now: DataFrame, accounts: Iterable[str], level: str = "customer_id"
) -> dict[str, set[Cause]]:
    """What is written of the customers that each account belonged to, or belongs to."""
    held: dict[str, set[str]] = {}
    for row in before.unionByName(now).where("identifier_kind = 'account'").collect():
        held.setdefault(row["identifier_value"], set()).add(row[level])
    rows = changes.where(F.col("level") == level).collect()
    return {
        name: {
            (row["change_kind"], row["cause"], row["cause_detail"])
            for row in rows
            if {row["from_customer_id"], row["to_customer_id"]} & held[name]
        }
        for name in accounts
    }


def identifiers() -> tuple[list[Row], list[Row], list[Row]]:
    """What is seen before and now, only before, and only now; every group of accounts is a world of its own."""
    always = [
        phone("gone a", "gone"), phone("bridge a", "bridge"), seen("email", "bridge b", "bridge"),
        phone("hotline a", "hotline"), phone("hotline b", "hotline"),
        seen("payer", "rule a", "wallet"), seen("payer", "rule b", "wallet"),
        *[phone(f"many {place}", f"many {place + step}") for place in range(4) for step in (0, 1)],
        phone("said a", "said"), phone("said b", "said", 1),
        phone("unsaid a", "1"), phone("unsaid b", "2"),
        phone("same a", "same"), phone("same b", "same", 1),
    ]  # fmt: skip
    before = [phone("gone b", "gone"), phone("bridge x", "bridge"), seen("email", "bridge x", "bridge")]
    now = [phone("new a", "new", 24), phone("new b", "new", 48), phone("many 4", "many 4"), phone("many 4", "many 5")]
    return always, before, now


def test_a_change_tells_by_which_link_or_word_and_what_became_of_it(spark: SparkSession) -> None:
    always, only_before, only_now = identifiers()
    names = {row["account_id"] for row in [*always, *only_before, *only_now]}
    # The first of each group came an hour before the others, and so keeps the id.
    arrivals = {name: NOON - dt.timedelta(hours=name[-1] in "a0") for name in sorted(names)}
    before_accounts = [
        account(account_id=name, name_token="ann" if name.startswith("rule") else None, arrived_at=at)
        for name, at in arrivals.items()
    ]
    now_accounts = [row for row in before_accounts if row["account_id"] != "bridge x"]
    settings = with_links("payer", joins="never").model_copy(update={"max_links_per_component": 9})
    words = [a_word("never", "said a", "said b"), a_word("always", "unsaid a", "unsaid b", NOON + DAY)]
    taken_back = [*words, a_word("as_found", "unsaid b", "unsaid a", LATER)]
    edges, published = edges_and_ids(spark, before_accounts, [*always, *only_before], overrides=words[1:])
    judged_edges, found = edges_and_ids(
        spark, now_accounts, [*always, *only_now], settings, overrides=taken_back, blocked=(("phone", "hotline"),)
    )
    now, renamed = under_kept_ids(found, published)
    said = words_of(frame_of(spark, "ops.identity_overrides", *taken_back))
    judged = Judged(edges, judged_edges, said, settings.links)
    changes = all_changes(now, renamed, None, F.lit(LATER), judged).checkpoint()
    told = causes_by_account(changes, published, now, names)
    assert told["gone b"] == {("split", "phone", "gone")}
    assert told["bridge b"] == {("split", "email", "account_gone")}, "the strongest of the links that went with it"
    assert told["hotline b"] == {("split", "phone", "blocked_value")}
    assert told["rule b"] == {("split", "payer", "does_not_join")}
    assert told["many 3"] == {("split", "phone", "suspicious_component")}
    assert told["said b"] == {("merge", "phone", "came"), ("split", "override", "never")}
    assert told["unsaid b"] == {("merge", "override", "always"), ("split", "override", "as_found")}
    assert told["new b"] == {("merge", "phone", "came")}
    assert told["same b"] == {("merge", "phone", "came")}, "what the history tells, and nothing of the run"
    exact = causes_by_account(changes, published, now, names, "customer_id_exact")
    assert exact["gone b"] == told["gone b"]
    assert exact["rule b"] == set(), "a wallet joined nobody for service"
    known = {(row["from_customer_id"], row["to_customer_id"]) for row in changes.collect()}
    without = all_changes(now, renamed, None, F.lit(LATER)).collect()
    assert {(row["from_customer_id"], row["to_customer_id"]) for row in without} == known
    assert OTHERWISE in {row["cause"] for row in without}, "who knows nothing of links says so"
    assert OTHERWISE not in {row["cause"] for row in changes.collect()}


def test_each_of_the_two_ids_has_changes_of_its_own(spark: SparkSession) -> None:
    """Likeness joins for analytics at noon; the same mailbox joins for service two days later."""
    rows = [seen("email", "card", "c@x", 24), seen("email", "web", "c@x", 48)]
    _, ids = edges_and_ids(spark, [named("card", "wang"), named("web", "wang")], rows, links=[likeness("card", "web")])
    changes = all_changes(ids, None, None, F.lit(LATER)).orderBy("changed_at").collect()
    assert [(row["level"], row["change_kind"], row["cause"], row["changed_at"]) for row in changes if row["changed_at"] > NOON] == [
        ("customer_id_exact", "merge", "email", NOON + 2 * DAY)
    ]  # fmt: skip
    assert {row["level"] for row in changes if row["changed_at"] == NOON} <= {"customer_id"}


@pytest.mark.long
def test_a_name_that_comes_is_a_cause(spark: SparkSession) -> None:
    """Two nameless accounts of one mailbox count to the name of a phone, until one of the two is named otherwise."""
    accounts = [
        named("ann", "ann"),
        named("u"),
        named("v"),
        account(account_id="u", revision=2, name_token="bob", arrived_at=LATER),
    ]
    rows = [phone("ann", "p"), phone("v", "p", 1), seen("email", "u", "u@x", 2), seen("email", "v", "u@x", 3)]
    _, ids = edges_and_ids(spark, accounts, rows)
    changes = (
        all_changes(ids, None, None, F.lit(LATER)).where("level = 'customer_id' and change_kind = 'split'").collect()
    )
    assert {(row["cause"], row["cause_detail"], row["changed_at"]) for row in changes} == {("name", "came", LATER)}


def test_changes_of_a_time_when_one_id_alone_was_logged_stay(spark: SparkSession) -> None:
    row: Row = row_of("silver.identity_changes", change_kind="merge", cause="phone")
    old = frame_of(spark, "silver.identity_changes", row).drop("level", "cause_detail")
    told = with_level(old).collect()[0].asDict()
    assert (told["level"], told["cause"], told["cause_detail"]) == ("customer_id", "phone", None)
    unnamed = frame_of(spark, "silver.identity_changes", {**row, "cause_detail": "came"}).withColumn(
        "level", F.lit(None).cast("string")
    )
    (kept,) = with_level(unnamed).collect()
    assert (kept["level"], kept["cause_detail"]) == ("customer_id", "came"), (
        "a table that got the column and no rows yet"
    )
