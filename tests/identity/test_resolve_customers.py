"""From identifiers to customers on Spark: shared phones, blocked values, likeness, a person's word, ids that stay."""

import datetime as dt

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.identity.changes import OTHERWISE
from jobs.identity.evidence import evidence_of
from jobs.identity.resolution import resolved_all
from jobs.identity.resolve_customers import Renamed, all_changes, under_kept_ids
from jobs.lakehouse.identity_settings import IdentitySettings
from jobs.lakehouse.settings import load_settings
from tests.rows import CONF_DIR, NOON, Row, account, frame_of, identifier, row_of

IDENTITY = load_settings("local", "world", str(CONF_DIR)).identity
LATER = NOON + dt.timedelta(days=30)


@pytest.fixture(scope="module", autouse=True)
def checkpoints(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> None:
    spark.sparkContext.setCheckpointDir(str(tmp_path_factory.mktemp("checkpoints")))


def phone(account_id: str, value: str, hours: int = 0) -> Row:
    return identifier(account_id=account_id, identifier_value=value, arrived_at=NOON + dt.timedelta(hours=hours))


def seen(kind: str, account_id: str, value: str, hours: int = 0) -> Row:
    return {**phone(account_id, value, hours), "identifier_kind": kind}


def named(account_id: str, name: str | None = None) -> Row:
    return account(account_id=account_id, name_token=name, arrived_at=NOON)


def edges_and_ids(
    spark: SparkSession, accounts: list[Row], identifiers: list[Row], settings: IdentitySettings = IDENTITY,
    links: list[Row] | None = None, overrides: list[Row] | None = None, blocked: tuple[tuple[str, str], ...] = (),
) -> tuple[DataFrame, DataFrame]:  # fmt: skip
    """What the job makes of these rows: the edges with their fate, and the customer ids."""
    tables = {"silver.accounts": accounts, "silver.identifiers": identifiers}
    tables |= {"silver.record_links": links or [], "ops.identity_overrides": overrides or []}
    evidence = evidence_of({name: frame_of(spark, name, *rows) for name, rows in tables.items()}, settings.links)
    stopped = spark.createDataFrame(list(blocked), "rule string, identifier_value string")
    customer_ids, judged, _ = resolved_all(evidence, settings, stopped)
    return judged.checkpoint(), customer_ids.checkpoint()


def held_now(customer_ids: DataFrame, column: str = "customer_id") -> set[frozenset[str]]:
    """Which accounts are one customer now."""
    groups: dict[str, set[str]] = {}
    for row in customer_ids.where("identifier_kind = 'account' and valid_to is null").collect():
        groups.setdefault(row[column], set()).add(row["identifier_value"])
    return {frozenset(group) for group in groups.values()}


def held_at(customer_ids: DataFrame, at: dt.datetime) -> set[frozenset[str]]:
    """Which accounts were one customer at a time."""
    held = customer_ids.where(f"valid_from <= timestamp'{at}' and coalesce(valid_to > timestamp'{at}', true)")
    return held_now(held.withColumn("valid_to", F.lit(None)))


def changes_of_all(
    customer_ids: DataFrame, renamed: Renamed | None, written: DataFrame | None, at: dt.datetime
) -> DataFrame:
    """The changes of customer_id."""
    return all_changes(customer_ids, renamed, written, F.lit(at)).where("level = 'customer_id'")


def fates(edges: DataFrame) -> dict[tuple[str, str], str | None]:
    return {(row["account_id"], row["identifier_value"]): row["refusal_reason"] for row in edges.collect()}


def a_word(decision: str, one: str, other: str, at: dt.datetime = LATER) -> Row:
    return row_of("ops.identity_overrides", account_id=one, other_account_id=other, decision=decision, made_at=at)


def likeness(one: str, other: str, decision: str = "accept") -> Row:
    return row_of(
        "silver.record_links", left_account_id=one, right_account_id=other, decision=decision, arrived_at=NOON
    )


def test_a_family_phone_joins_the_accounts_of_each_name_and_not_the_family(spark: SparkSession) -> None:
    accounts = [named("ann web", "ann"), named("ann card", "ann"), named("bob card", "bob"), named("unknown")]
    rows = [phone(row["account_id"], "family", place) for place, row in enumerate(accounts)]
    edges, customer_ids = edges_and_ids(spark, accounts, rows)
    assert held_now(customer_ids) == {frozenset({"ann web", "ann card", "unknown"}), frozenset({"bob card"})}
    owners = customer_ids.where("identifier_kind = 'phone' and valid_to is null").collect()
    assert len(owners) == 1, "the phone belongs to the first that it arrived with"
    assert all(reason is None for reason in fates(edges).values())


def test_a_cookie_joins_accounts_of_one_name_and_not_of_two(spark: SparkSession) -> None:
    accounts = [named("ann web", "ann"), named("ann old", "ann"), named("bob", "bob"), named("nameless")]
    rows = [seen("cookie", row["account_id"], "browser", place) for place, row in enumerate(accounts)]
    edges, customer_ids = edges_and_ids(spark, accounts, rows)
    assert held_now(customer_ids) == {frozenset({"ann web", "ann old"}), frozenset({"bob"}), frozenset({"nameless"})}
    assert held_now(customer_ids, "customer_id_exact") == {frozenset({row["account_id"]}) for row in accounts}
    assert {row["confidence"] for row in edges.collect()} == {IDENTITY.links["cookie"].confidence}
    assert IDENTITY.links["cookie"].priority > IDENTITY.links["device"].priority


def test_a_device_joins_by_name_alone_and_belongs_to_its_first_account(spark: SparkSession) -> None:
    accounts = [named("ann web", "ann"), named("ann old", "ann"), named("nameless"), named("nameless too")]
    rows = [seen("device", row["account_id"], "tablet", place) for place, row in enumerate(accounts)]
    _, customer_ids = edges_and_ids(spark, accounts, rows)
    assert held_now(customer_ids) == {
        frozenset({"ann web", "ann old"}),
        frozenset({"nameless"}),
        frozenset({"nameless too"}),
    }
    tablet = customer_ids.where("identifier_kind = 'device' and valid_to is null").collect()
    ann = customer_ids.where("identifier_value = 'ann web' and valid_to is null").collect()
    assert [row["customer_id"] for row in tablet] == [ann[0]["customer_id"]]
    assert tablet[0]["customer_id_exact"] is None, "no exact link holds a device"


def test_a_blocked_value_joins_nobody_and_belongs_to_nobody(spark: SparkSession) -> None:
    rows = [phone("a", "hotline"), phone("b", "hotline")]
    blocked = (("phone", "hotline"),)
    edges, customer_ids = edges_and_ids(spark, [named("a"), named("b")], rows, blocked=blocked)
    assert held_now(customer_ids) == {frozenset({"a"}), frozenset({"b"})}
    assert customer_ids.where("identifier_kind = 'phone'").count() == 0
    assert set(fates(edges).values()) == {"blocked_value"}


def test_a_value_of_too_many_accounts_joins_the_first_to_arrive(spark: SparkSession) -> None:
    most = IDENTITY.links["email"].max_accounts
    accounts = [named(f"a{place}") for place in range(most + 2)]
    rows = [seen("email", row["account_id"], "shop@x", place) for place, row in enumerate(accounts)]
    edges, customer_ids = edges_and_ids(spark, accounts, rows)
    assert max(len(group) for group in held_now(customer_ids)) == most
    assert [reason for reason in fates(edges).values() if reason] == ["too_many_accounts"] * 2


def test_a_suspicious_component_is_put_aside_account_by_account(spark: SparkSession) -> None:
    settings = IDENTITY.model_copy(update={"max_links_per_component": 5})
    chain = [phone(f"a{place}", f"p{place + step}") for place in range(6) for step in (0, 1)]
    accounts = [named(f"a{place}") for place in range(6)]
    edges, customer_ids = edges_and_ids(spark, [*accounts, named("b")], [*chain, phone("b", "own")], settings)
    assert held_now(customer_ids) == {frozenset({row["account_id"]}) for row in [*accounts, named("b")]}
    found = fates(edges)
    assert found.pop(("b", "own")) is None
    assert set(found.values()) == {"suspicious_component"}


def test_likeness_joins_for_analytics_and_not_for_service(spark: SparkSession) -> None:
    accounts = [named("card", "wang"), named("web", "wang"), named("doubtful", "wang")]
    rows = [phone("web", "1"), phone("card", "2"), phone("doubtful", "3")]
    links = [likeness("card", "web"), likeness("doubtful", "web", "review")]
    edges, customer_ids = edges_and_ids(spark, accounts, rows, links=links)
    assert held_now(customer_ids) == {frozenset({"card", "web"}), frozenset({"doubtful"})}
    assert held_now(customer_ids, "customer_id_exact") == {frozenset({name}) for name in ("card", "web", "doubtful")}
    told = edges.where("rule = 'record_link'").collect()
    assert [(row["account_id"], row["identifier_value"], row["is_exact"]) for row in told] == [("card", "web", False)]
    assert (told[0]["source"], told[0]["first_seen_at"], told[0]["seen_count"]) == ("silver.record_links", NOON, 1)


def test_a_persons_word_joins_separates_and_is_taken_back(spark: SparkSession) -> None:
    accounts, rows = [named("a"), named("b"), named("c")], [phone("a", "1"), phone("b", "1"), phone("c", "2")]
    words = [a_word("never", "b", "a"), a_word("always", "c", "a")]
    _, customer_ids = edges_and_ids(spark, accounts, rows, overrides=words)
    assert held_now(customer_ids) == {frozenset({"a", "c"}), frozenset({"b"})}
    before = customer_ids.where(f"valid_from < timestamp'{LATER}' and identifier_kind = 'account'").collect()
    first = {row["identifier_value"]: row["customer_id"] for row in before}
    assert first["a"] == first["b"] != first["c"], "until the word was said the links held"
    undone = [
        *words,
        a_word("as_found", "a", "b", LATER + dt.timedelta(1)),
        a_word("as_found", "a", "c", LATER + dt.timedelta(1)),
    ]
    _, customer_ids = edges_and_ids(spark, accounts, rows, overrides=undone)
    assert held_now(customer_ids) == {frozenset({"a", "b"}), frozenset({"c"})}


def test_a_word_that_is_taken_back_held_until_then(spark: SparkSession) -> None:
    accounts, rows = [named("a"), named("b"), named("c")], [phone("a", "1"), phone("b", "1")]
    ends = {"never": ("a", "b"), "always": ("a", "c")}
    days = {word: LATER + dt.timedelta(days=place) for place, word in enumerate(("first", "again", "last"))}
    words = [a_word(word, *pair, days[day]) for word, pair in ends.items() for day in ("first", "again")]
    words += [a_word("as_found", *pair, days["last"]) for pair in ends.values()]
    edges, customer_ids = edges_and_ids(spark, accounts, rows, overrides=words)
    assert held_now(customer_ids) == {frozenset({"a", "b"}), frozenset({"c"})}
    for told in ("first", "again"):
        assert held_at(customer_ids, days[told]) == {frozenset({"a", "c"}), frozenset({"b"})}, told
    assert fates(edges)["a", "c"] == "taken_back"
    (word,) = edges.where("rule = 'override'").collect()
    assert (word["first_seen_at"], word["last_seen_at"], word["seen_count"]) == (days["first"], days["again"], 2)


def test_a_persons_word_holds_in_a_component_that_is_put_aside(spark: SparkSession) -> None:
    settings = IDENTITY.model_copy(update={"max_links_per_component": 5})
    chain = [phone(f"a{place}", f"p{place + step}") for place in range(6) for step in (0, 1)]
    accounts = [named(f"a{place}") for place in range(6)]
    words = [a_word("always", "a0", "a5"), a_word("never", "a1", "a2")]
    edges, customer_ids = edges_and_ids(spark, accounts, chain, settings, overrides=words)
    assert held_now(customer_ids) == {frozenset({"a0", "a5"}), *(frozenset({f"a{place}"}) for place in range(1, 5))}
    assert fates(edges)["a0", "a5"] is None


def test_a_name_told_later_changes_nothing_before(spark: SparkSession) -> None:
    unnamed = account(account_id="x", name_token=None, arrived_at=NOON)
    revised = account(account_id="x", revision=2, name_token="bob", arrived_at=LATER)
    accounts = [named("ann", "ann"), named("bob", "bob"), unnamed]
    rows = [phone("ann", "family"), phone("x", "family", 1), phone("bob", "family", 2)]
    rows += [seen("device", "bob", "tablet"), seen("device", "x", "tablet", 1)]
    _, before = edges_and_ids(spark, accounts, rows)
    edges, after = edges_and_ids(spark, [*accounts, revised], rows)
    assert held_now(before) == {frozenset({"ann", "x"}), frozenset({"bob"})}
    assert held_at(after, LATER - dt.timedelta(1)) == held_now(before), "nobody knew its name"
    assert held_now(after) == {frozenset({"ann"}), frozenset({"bob", "x"})}
    assert {reason for reason in fates(edges).values() if reason} == set(), "each edge has a link that joins"


def test_an_edge_of_two_links_is_refused_only_where_both_are(spark: SparkSession) -> None:
    accounts = [named("ann", "ann"), named("bob", "bob"), named("u"), named("v")]
    rows = [phone("ann", "p"), phone("v", "p", 1), phone("u", "p", 2)]
    rows += [seen("email", "bob", "b@x"), seen("email", "u", "b@x", 2)]
    edges, customer_ids = edges_and_ids(spark, accounts, rows)
    assert held_now(customer_ids) == {frozenset({"ann"}), frozenset({"bob", "u", "v"})}
    assert {fate for (_, value), fate in fates(edges).items() if value == "p"} == {None}


@pytest.mark.long
def test_rules_that_change_leave_most_accounts_under_their_published_id(spark: SparkSession) -> None:
    accounts = [named("old"), *[named(f"n{place}") for place in range(3)]]
    rows = [phone("old", "1", -9), phone("n0", "1"), *[seen("email", f"n{place}", "n@x") for place in range(3)]]
    _, published = edges_and_ids(spark, accounts, rows)
    assert len(held_now(published)) == 1
    apart = IDENTITY.model_copy(
        update={"links": {**IDENTITY.links, "phone": IDENTITY.links["phone"].model_copy(update={"joins": "never"})}}
    )
    _, found = edges_and_ids(spark, accounts, rows, apart)
    kept, renamed = under_kept_ids(found, published)
    now = {row["identifier_value"]: row["customer_id"] for row in kept.where("identifier_kind = 'account'").collect()}
    before = {row["customer_id"] for row in published.where("valid_to is null").collect()}
    assert {now["n0"], now["n1"], now["n2"]} == before
    assert now["old"] not in before, "an id is one customer's"
    again, none = under_kept_ids(found, kept)
    assert sorted(map(repr, again.collect())) == sorted(map(repr, kept.collect())), "and stays so"
    assert renamed is not None
    assert none is not None
    changes = {row["change_kind"]: row for row in changes_of_all(kept, renamed, None, LATER).collect()}
    assert {*changes} == {"split", "rename"}
    (first,) = before
    assert (changes["split"]["from_customer_id"], changes["split"]["to_customer_id"]) == (first, now["old"])
    assert changes["rename"]["to_customer_id"] == first


@pytest.mark.long
def test_a_customer_that_is_merged_away_keeps_its_published_id_in_the_history(spark: SparkSession) -> None:
    """Three accounts go by the id of one that left them; then they are merged into an older and larger customer."""
    accounts = [named("old"), *[named(f"n{place}") for place in range(3)], *[named(f"y{place}") for place in range(5)]]
    ring = [seen("email", f"n{place}", "n@x") for place in range(3)]
    rows = [phone("old", "1", -9), phone("n0", "1"), *ring, *[seen("open_id", f"y{place}", "y") for place in range(5)]]
    apart = IDENTITY.model_copy(
        update={"links": {**IDENTITY.links, "phone": IDENTITY.links["phone"].model_copy(update={"joins": "never"})}}
    )
    _, first = edges_and_ids(spark, accounts, rows)
    kept, _ = under_kept_ids(edges_and_ids(spark, accounts, rows, apart)[1], first)
    (id_kept,) = {row["customer_id"] for row in kept.where("identifier_value = 'n0' and valid_to is null").collect()}
    merged = [*rows, seen("email", "n2", "y@x", 48), seen("email", "y0", "y@x", 48)]
    after, renamed = under_kept_ids(edges_and_ids(spark, accounts, merged, apart)[1], kept)
    past = after.where("identifier_value = 'n0' and valid_to is not null").orderBy("valid_from").collect()
    assert past[-1]["customer_id"] == id_kept
    changes = changes_of_all(after, renamed, None, LATER).where("change_kind <> 'rename'")
    told = changes.where(F.col("from_customer_id") == id_kept).collect()
    (now,) = {row["customer_id"] for row in after.where("identifier_value = 'n0' and valid_to is null").collect()}
    assert [(row["change_kind"], row["to_customer_id"]) for row in told] == [("merge", now)]


@pytest.mark.long
def test_what_was_published_stays_written_and_its_undoing_is_told(spark: SparkSession) -> None:
    accounts, rows = [named("a"), named("b")], [phone("a", "1"), phone("b", "1")]
    _, joined = edges_and_ids(spark, accounts, rows)
    first = changes_of_all(joined, None, None, LATER)
    asunder, renamed = under_kept_ids(edges_and_ids(spark, accounts, rows[:1])[1], joined)
    second = changes_of_all(asunder, renamed, first, LATER).checkpoint()
    told = second.where("change_kind <> 'rename'").collect()
    assert [(row["change_kind"], row["cause"]) for row in told] == [("split", OTHERWISE)], "b's phone is gone"
    again, renamed = under_kept_ids(joined, asunder)
    third = changes_of_all(again, renamed, second, LATER + dt.timedelta(1)).collect()
    assert {*told} < {*third}, "once written, it stays"
    assert [row["cause"] for row in third if row["change_kind"] == "merge"] == [OTHERWISE]


def test_a_merge_is_written_down_with_its_cause(spark: SparkSession) -> None:
    rows = [phone("a", "1", 1), phone("b", "1", 5)]
    _, customer_ids = edges_and_ids(spark, [named("a"), named("b")], rows)
    changes = changes_of_all(customer_ids, None, None, LATER).collect()
    assert [(row["change_kind"], row["cause"], row["account_count"]) for row in changes] == [("merge", "phone", 1)]
    assert changes[0]["changed_at"] == NOON + dt.timedelta(hours=5)
