"""The history of customers against networkx: at every moment, who is one customer is what the links known by then say."""

import datetime as dt
from collections.abc import Iterable
from itertools import pairwise
from typing import Any, NamedTuple

import networkx as nx
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.identity.history import replayed

START = dt.datetime(2025, 1, 1)
COLUMNS = ["account_id", "identifier_kind", "identifier_value", "arrived_at"]
ACCOUNTS = ["a1", "a2", "a3", "王小明", "a5", "A1"]


class Told(NamedTuple):
    """An account (kind None) or link becoming known, so many days after the start."""

    account: str
    kind: str | None
    value: str | None
    day: int


accounts_told = st.builds(Told, st.sampled_from(ACCOUNTS), st.none(), st.none(), st.integers(0, 9))
links_told = st.builds(
    Told,
    st.sampled_from(ACCOUNTS),
    st.sampled_from(["phone", "email"]),
    st.sampled_from(["1", "2", "3", "ü@x"]),
    st.integers(0, 9),
)
stories = st.lists(accounts_told | links_told, min_size=1, max_size=25)


def at(day: float) -> pd.Timestamp:
    return pd.Timestamp(START + dt.timedelta(days=day))


def history_of(story: Iterable[Told]) -> pd.DataFrame:
    rows = [(told.account, told.kind, told.value, at(told.day)) for told in story]
    known = pd.DataFrame(rows, columns=COLUMNS).astype({"identifier_kind": object, "identifier_value": object})
    return replayed(known.assign(account_origin=known["account_id"], identifier_origin=known["identifier_value"]))


def customers_at(history: pd.DataFrame, moment: pd.Timestamp) -> dict[tuple[str, str], str]:
    """The customer of each account and identifier known at a moment; red when one of them has two."""
    known = history[(history["valid_from"] <= moment) & (history["valid_to"].isna() | (moment < history["valid_to"]))]
    nodes = list(zip(known["identifier_kind"], known["identifier_value"], strict=True))
    twice = sorted({node for node in nodes if nodes.count(node) > 1})
    assert not twice, f"more than one customer at {moment}: {twice}"
    return dict(zip(nodes, known["customer_id"], strict=True))


def groups(customers: dict[tuple[str, str], str]) -> set[frozenset[tuple[str, str]]]:
    """Who is one with whom, without the names of the customers."""
    return {
        frozenset(node for node, customer in customers.items() if customer == one) for one in set(customers.values())
    }


def expected_groups(story: Iterable[Told], day: float) -> set[frozenset[tuple[str, str]]]:
    graph: nx.Graph[Any] = nx.Graph()
    for told in story:
        if told.day <= day:
            graph.add_node(("account", told.account))
            if told.kind is not None:
                graph.add_edge(("account", told.account), (told.kind, told.value))
    return {frozenset(component) for component in nx.connected_components(graph)}


def rows_of(history: pd.DataFrame) -> set[tuple[Any, ...]]:
    plain = history.astype(object).where(history.notna(), None)
    return set(plain.itertuples(index=False, name=None))


@settings(max_examples=300)
@given(stories)
def test_at_every_moment_customers_are_the_components_of_the_links_known_by_then(story: list[Told]) -> None:
    history = history_of(story)
    for day in [day / 2 for day in range(-1, 21)]:
        assert groups(customers_at(history, at(day))) == expected_groups(story, day), f"on day {day}"


@settings(max_examples=200)
@given(stories)
def test_the_times_of_an_identifier_follow_each_other_without_overlap_or_gap(story: list[Told]) -> None:
    history = history_of(story)
    first_told = {("account", told.account): 99 for told in story}
    for told in story:
        nodes = [("account", told.account)] + ([(told.kind, str(told.value))] if told.kind else [])
        for node in nodes:
            first_told[node] = min(first_told.get(node, 99), told.day)
    spans = history.sort_values("valid_from").groupby(["identifier_kind", "identifier_value"])
    assert {node for node, _ in spans} == set(first_told)
    for key, span in spans:
        node = str(key[0]), str(key[1])
        starts, ends = list(span["valid_from"]), list(span["valid_to"])
        assert starts[0] == at(first_told[node]), f"{node} is known before or after it was told"
        assert ends[:-1] == starts[1:], f"{node} has a gap or an overlap: {starts}, {ends}"
        assert pd.isna(ends[-1]), f"{node} ends"
        assert all(start < end for start, end in zip(starts, ends[:-1], strict=False)), f"{node} has an empty time"
        customers = list(span["customer_id"])
        assert all(one != other for one, other in pairwise(customers)), f"{node} has two rows for one customer"


@settings(max_examples=200)
@given(stories)
def test_the_older_customer_keeps_its_id(story: list[Told]) -> None:
    history = history_of(story)
    known_from = {
        account: min(told.day for told in story if told.account == account)
        for account in {told.account for told in story}
    }
    accounts = history[history["identifier_kind"] == "account"].sort_values("valid_from")
    first_id = accounts.groupby("identifier_value")["customer_id"].first()
    for day in range(10):
        customers = customers_at(history, at(day))
        for group in groups(customers):
            oldest = min((known_from[value], value) for kind, value in group if kind == "account")[1]
            held = {customers[node] for node in group}
            assert held == {first_id[oldest]}, f"on day {day} the customer of {sorted(group)} is not {oldest}'s"


@settings(max_examples=150)
@given(stories, st.randoms(use_true_random=False))
def test_the_order_of_the_rows_and_their_repetition_do_not_matter(story: list[Told], random: Any) -> None:
    shuffled = [*story, *story[:3]]
    random.shuffle(shuffled)
    assert rows_of(history_of(shuffled)) == rows_of(history_of(story))


@settings(max_examples=200)
@given(stories, st.integers(1, 10))
def test_links_that_arrive_later_change_nothing_before_they_arrive(story: list[Told], day: int) -> None:
    early = [told for told in story if told.day < day]
    if not early:
        return
    before, after = history_of(early), history_of(story)
    for moment in [at(half / 2) for half in range(2 * day)]:
        assert customers_at(before, moment) == customers_at(after, moment), f"at {moment}"
    ended = before[before["valid_to"].notna()]
    assert rows_of(ended) <= rows_of(after), "a time that had ended was changed"


def test_a_link_between_two_customers_ends_the_younger_one() -> None:
    history = history_of(
        [
            Told("old", None, None, 0),
            Told("young", None, None, 3),
            Told("old", "phone", "1", 4),
            Told("young", "phone", "1", 6),
        ]
    )
    accounts = history[history["identifier_kind"] == "account"].sort_values(["identifier_value", "valid_from"])
    kept = accounts["customer_id"].iloc[0]
    assert list(accounts["identifier_value"]) == ["old", "young", "young"]
    assert list(accounts["valid_from"]) == [at(0), at(3), at(6)]
    assert [None if pd.isna(end) else end for end in accounts["valid_to"]] == [None, at(6), None]
    assert accounts["customer_id"].iloc[1] != kept
    assert accounts["customer_id"].iloc[2] == kept


@given(story=stories)
def test_other_names_under_the_same_origins_give_the_same_customers(story: list[Told]) -> None:
    """As after a rotation of the key: every token has another name, and what it stood for first is known."""

    def renamed(name: str | None) -> str | None:
        return None if name is None else name[::-1] + "-new"

    rows = [(told.account, told.kind, told.value, at(told.day)) for told in story]
    known = pd.DataFrame(rows, columns=COLUMNS).astype({"identifier_kind": object, "identifier_value": object})
    origins = known.assign(account_origin=known["account_id"], identifier_origin=known["identifier_value"])
    other = origins.assign(
        account_id=known["account_id"].map(renamed), identifier_value=known["identifier_value"].map(renamed)
    )
    before, after = replayed(origins), replayed(other)
    pd.testing.assert_frame_equal(before.assign(identifier_value=before["identifier_value"].map(renamed)), after)
