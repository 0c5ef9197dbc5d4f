"""The replay of customers against networkx, and the rules that hold where links contradict each other."""

import datetime as dt
import random
from itertools import pairwise
from typing import Any

import networkx as nx
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.identity.clusters import Rules
from jobs.identity.history import laid_over
from jobs.identity.overrides import ALWAYS_JOIN, AS_FOUND, NEVER_JOIN
from jobs.identity.replay import Node, Span, Told, replayed
from jobs.lakehouse.identity_settings import LinkSettings

LINKS = {
    "override": LinkSettings(priority=1),
    "open_id": LinkSettings(priority=2, max_per_customer=1),
    "email": LinkSettings(priority=3),
    "phone": LinkSettings(priority=4, joins="not_against_name", half_life_days=100),
    "record_link": LinkSettings(priority=5),
}
RULES = Rules(LINKS, {})
DAY = int(dt.timedelta(days=1) / dt.timedelta(microseconds=1))
ACCOUNTS = ["a1", "a2", "a3", "王小明", "a5", "A1"]


def an_account(account: str, day: int = 0, name: str = "") -> Told:
    return Told(day * DAY, account, account, "", "", "", "", "", name, 1.0)


def a_link(account: str, rule: str, value: str, day: int, name: str = "", group: str = "") -> Told:
    kind = "account" if rule in ("override", "record_link") else rule
    return Told(day * DAY, account, account, rule, kind, value, group, value, name, 0.9)


def said(one: str, other: str, *words: tuple[int, str]) -> Rules:
    """The rules, and what was said of two accounts on some days."""
    return Rules(LINKS, {frozenset((one, other)): tuple((day * DAY, decision) for day, decision in words)})


def in_order(story: list[Told]) -> list[Told]:
    """As the job sorts them."""
    return sorted(story, key=lambda told: (told.at, told.rule != "", told.account_origin, told.rule, told.origin))


def spans_of(story: list[Told], rules: Rules = RULES) -> list[Span]:
    return replayed(in_order(story), rules)[0]


accounts_told = st.builds(an_account, st.sampled_from(ACCOUNTS), st.integers(0, 9))
links_told = st.builds(
    a_link,
    st.sampled_from(ACCOUNTS),
    st.sampled_from(["phone", "email"]),
    st.sampled_from(["1", "2", "3", "ü@x"]),
    st.integers(0, 9),
)
contested_told = links_told | st.builds(
    a_link, st.sampled_from(ACCOUNTS), st.just("open_id"), st.sampled_from(["o1", "o2"]), st.integers(0, 9)
)
stories = st.lists(accounts_told | links_told, min_size=1, max_size=25)
contested_stories = st.lists(accounts_told | contested_told, min_size=1, max_size=25)


def customers_at(spans: list[Span], moment: float) -> dict[Node, str]:
    """The customer of each node known at a moment; red when one of them has two."""
    held = [span for span in spans if span.since <= moment and (span.until is None or moment < span.until)]
    assert len({span.node for span in held}) == len(held), f"more than one customer at {moment}"
    return {span.node: span.customer_id for span in held}


def groups(customers: dict[Node, str]) -> set[frozenset[Node]]:
    """Who is one with whom, without the names of the customers."""
    return {frozenset(node for node, found in customers.items() if found == one) for one in set(customers.values())}


def expected_groups(story: list[Told], moment: float) -> set[frozenset[Node]]:
    graph: nx.Graph[Any] = nx.Graph()
    for told in story:
        if told.at <= moment:
            graph.add_node(told.account_node)
            if told.rule:
                graph.add_edge(told.account_node, told.node)
    return {frozenset(component) for component in nx.connected_components(graph)}


@settings(max_examples=300)
@given(stories)
def test_at_every_moment_customers_are_the_components_of_the_links_known_by_then(story: list[Told]) -> None:
    spans = spans_of(story)
    for half in range(-1, 21):
        moment = half * DAY / 2
        assert groups(customers_at(spans, moment)) == expected_groups(story, moment), f"on day {half / 2}"


@settings(max_examples=200)
@given(contested_stories)
def test_the_times_of_a_node_follow_each_other_without_overlap(story: list[Told]) -> None:
    by_node: dict[Node, list[Span]] = {}
    for span in sorted(spans_of(story), key=lambda span: span.since):
        by_node.setdefault(span.node, []).append(span)
    first_told = {told.account_node: min(one.at for one in story if one.account == told.account) for told in story}
    for node, spans in by_node.items():
        for one, other in pairwise(spans):
            assert one.until is not None
            assert one.until <= other.since
            assert one.until < other.since or one.customer_id != other.customer_id, "two rows for one customer"
        assert all(span.until is None or span.since < span.until for span in spans), "an empty time"
        if node[0] == "account":
            assert spans[0].since == first_told[node]
            assert spans[-1].until is None
            assert all(one.until == other.since for one, other in pairwise(spans)), (
                "an account was nobody's for a while"
            )


@settings(max_examples=200)
@given(contested_stories, st.integers(1, 10))
def test_links_that_arrive_later_change_nothing_before_they_arrive(story: list[Told], day: int) -> None:
    early = [told for told in story if told.at < day * DAY]
    if early:
        before, after = spans_of(early), spans_of(story)
        for half in range(2 * day):
            assert customers_at(before, half * DAY / 2) == customers_at(after, half * DAY / 2), f"on day {half / 2}"


@settings(max_examples=150)
@given(contested_stories, st.randoms(use_true_random=False))
def test_the_order_of_the_rows_and_their_repetition_do_not_matter(story: list[Told], draw: random.Random) -> None:
    shuffled = [*story, *story[:3]]
    draw.shuffle(shuffled)
    assert set(spans_of(shuffled)) == set(spans_of(story))


@settings(max_examples=200)
@given(contested_stories)
def test_no_customer_ever_has_two_values_of_a_unique_kind(story: list[Told]) -> None:
    spans = spans_of(story)
    for day in range(10):
        for group in groups(customers_at(spans, day * DAY)):
            assert len([node for node in group if node[0] == "open_id"]) <= 1


@settings(max_examples=100)
@given(contested_stories, st.sampled_from(ACCOUNTS), st.sampled_from(ACCOUNTS), st.integers(0, 5))
def test_accounts_that_must_never_be_joined_are_apart_from_then_on(
    story: list[Told], one: str, other: str, day: int
) -> None:
    if one == other:
        return
    spans = spans_of(story, said(one, other, (day, NEVER_JOIN)))
    for moment in range(day, 10):
        held = customers_at(spans, moment * DAY)
        pair = [held.get(("account", name, "")) for name in (one, other)]
        assert None in pair or pair[0] != pair[1]


@settings(max_examples=150)
@given(contested_stories)
def test_a_link_that_strengthens_nobody_else_keeps_most_accounts_under_their_id(story: list[Told]) -> None:
    """At each moment a customer goes on under the id that most of its accounts had before."""
    spans = spans_of(story)
    for day in range(1, 10):
        before, after = customers_at(spans, day * DAY - 1), customers_at(spans, day * DAY)
        for one in set(after.values()):
            members = [node for node, found in after.items() if found == one and node[0] == "account"]
            told_before = [before[node] for node in members if node in before]
            if one not in told_before and told_before:
                others = {after[node] for node in after if before.get(node) in set(told_before)} - {one}
                assert others & set(told_before), f"{one} is new though nobody else goes on under {told_before}"


def test_the_customer_with_more_accounts_keeps_its_id_and_of_equals_the_older() -> None:
    story = [an_account("old", 0), an_account("b", 1), an_account("c", 2), a_link("b", "email", "x", 3)]
    story += [a_link("c", "email", "x", 3), a_link("old", "phone", "1", 5), a_link("c", "phone", "1", 5)]
    spans = spans_of(story)
    before, after = customers_at(spans, 4 * DAY), customers_at(spans, 5 * DAY)
    b, old = ("account", "b", ""), ("account", "old", "")
    assert before[b] == before["account", "c", ""] == customers_at(spans, DAY)[b]
    assert after[old] == before[b] != before[old]


def test_an_account_that_only_a_link_tells_of_is_its_customers_from_the_first_moment() -> None:
    story = [an_account("c"), a_link("c", "open_id", "o2", 0), an_account("a", 2), a_link("a", "open_id", "o1", 2)]
    held = customers_at(spans_of([*story, a_link("a", "record_link", "b", 2)]), 3 * DAY)
    assert held["account", "a", ""] == held["account", "b", ""] != held["account", "c", ""]


def test_the_weakest_bridge_between_two_persons_is_cut() -> None:
    story = [an_account("a"), an_account("b"), a_link("a", "open_id", "o1", 1), a_link("b", "open_id", "o2", 1)]
    bridged = [*story, a_link("a", "phone", "1", 2), a_link("b", "phone", "1", 3)]
    spans, refused = replayed(in_order(bridged), RULES)
    held = customers_at(spans, 9 * DAY)
    assert held["account", "a", ""] != held["account", "b", ""]
    assert held["phone", "1", ""] == held["account", "b", ""], "the fresher of two equal links, for they fade"
    assert [(told.account, told.rule) for told in refused] == [("a", "phone")]


def test_an_account_without_a_name_joins_no_two_names() -> None:
    story = [an_account("ann", name="ann"), an_account("bob", name="bob"), an_account("guest", 1)]
    story += [
        a_link("ann", "phone", "1", 0, name="ann", group="ann"),
        a_link("bob", "email", "b@x", 0, name="bob"),
        a_link("guest", "email", "b@x", 1),
        a_link("guest", "phone", "1", 1, group="ann"),
    ]
    held = customers_at(spans_of(story), 2 * DAY)
    assert held["account", "guest", ""] == held["account", "bob", ""] != held["account", "ann", ""]


def test_a_word_taken_back_brings_the_id_back() -> None:
    story = [an_account("a", 0), an_account("b", 1), a_link("a", "email", "x", 2), a_link("b", "email", "x", 2)]
    joined = customers_at(spans_of(story), 9 * DAY)
    apart = spans_of(story, said("a", "b", (5, NEVER_JOIN), (7, AS_FOUND)))
    assert customers_at(apart, 4 * DAY) == customers_at(apart, 8 * DAY) == joined, "what was apart for a while is known"
    held = customers_at(apart, 5 * DAY)
    assert held["account", "a", ""] == joined["account", "a", ""], "the older goes on under the id"
    assert held["account", "b", ""] not in set(joined.values()), "an id is never given twice"


def test_a_time_that_ends_tells_by_which_link_word_or_name() -> None:
    story = [an_account("a", 0), an_account("b", 1), a_link("a", "email", "x", 2), a_link("b", "email", "x", 2)]
    rules = said("a", "b", (5, NEVER_JOIN), (7, AS_FOUND), (9, ALWAYS_JOIN))
    ends = {(span.until, span.ended_by) for span in spans_of(story, rules) if span.node == ("account", "b", "")}
    days = {2: "email", 5: "override:never", 7: "override:as_found"}
    assert ends == {*((day * DAY, told) for day, told in days.items()), (None, None)}
    before = said("a", "b", (-9, ALWAYS_JOIN), (-3, NEVER_JOIN))
    assert before.said_at(in_order(story)) == {0: NEVER_JOIN}, (
        "of what was said before all that is told the last word holds"
    )
    named = [an_account("ann", name="ann"), an_account("u"), an_account("v"), an_account("u", 6, name="bob")]
    named += [a_link("ann", "phone", "1", 0, name="ann", group="ann"), a_link("v", "phone", "1", 1, group="ann")]
    named += [a_link("u", "email", "x", 2), a_link("v", "email", "x", 3)]
    ended = {span.ended_by for span in spans_of(named) if span.until == 6 * DAY}
    assert ended == {"name"}


def test_a_word_that_joins_lasts_until_it_is_taken_back_or_turned_round() -> None:
    story = [an_account("a"), an_account("b"), a_link("a", "override", "b", 2)]
    for last in (AS_FOUND, NEVER_JOIN):
        spans, refused = replayed(in_order(story), said("a", "b", (2, ALWAYS_JOIN), (5, last)))
        together = [len(set(customers_at(spans, day * DAY).values())) == 1 for day in (1, 2, 4, 5, 9)]
        assert together == [False, True, True, False, False]
        assert refused == []


def test_a_name_that_came_later_holds_from_then_on() -> None:
    story = [an_account("ann", name="ann"), a_link("ann", "phone", "1", 0, name="ann", group="ann"), an_account("u", 1)]
    story += [a_link("u", "phone", "1", 1, group="ann"), an_account("u", 5, name="bob")]
    held = {day: customers_at(spans_of(story), day * DAY) for day in (2, 6)}
    u, ann = ("account", "u", ""), ("account", "ann", "")
    assert held[2][u] == held[2][ann]
    assert held[6][u] != held[6][ann], "bob is not ann"


def test_two_strictnesses_are_laid_over_each_other() -> None:
    node = ("account", "a", "")
    spans = [Span(node, 0, 10, "c-1", "phone"), Span(node, 10, None, "c-2")]
    exact = [Span(node, 0, 4, "e-1", "email"), Span(node, 4, None, "e-2")]
    found = [
        (span.since, span.until, span.customer_id, other, span.ended_by) for span, other in laid_over(spans, exact)
    ]
    assert found == [
        (0, 4, "c-1", "e-1", None),
        (4, 10, "c-1", "e-2", "phone"),
        (10, None, "c-2", "e-2", None),
    ]
    device = ("device", "d", "")
    assert list(laid_over([Span(device, 3, None, "c-1")], [])) == [(Span(device, 3, None, "c-1"), None)]


def test_a_kind_that_the_settings_do_not_name_is_weaker_than_all_others() -> None:
    story = [
        an_account("a"),
        an_account("b", name="b"),
        a_link("a", "open_id", "o1", 1),
        a_link("b", "open_id", "o2", 1),
    ]
    held = customers_at(spans_of([*story, a_link("a", "fax", "9", 0), a_link("b", "fax", "9", 2)]), 3 * DAY)
    assert held["fax", "9", ""] == held["account", "a", ""] != held["account", "b", ""]
