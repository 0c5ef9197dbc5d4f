"""The audit against networkx: bridges, spare links and pieces of random graphs, customers as they are resolved, sums, the page."""

import random
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as of_hypothesis
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.identity.audit_customers import as_audited, links_of_customers
from jobs.identity.audit_figures import ACCOUNT_BOUNDS, SHOWN, WHOLE, figures, size_class
from jobs.identity.audit_page import page
from jobs.identity.audit_parts import Figure
from jobs.identity.bridges import bridges_of, whole_customers, with_bridges
from jobs.identity.evidence import known_accounts
from jobs.identity.stable_ids import held_accounts
from tests.identity.test_resolve_customers import IDENTITY, edges_and_ids, likeness, named, seen
from tests.rows import Row, contract_of, frame_of

SEED, CHAIN = 20251228, 3000
Edges = list[tuple[int, int]]
small = st.integers(0, 9)


@pytest.fixture(scope="module", autouse=True)
def checkpoints(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> None:
    spark.sparkContext.setCheckpointDir(str(tmp_path_factory.mktemp("checkpoints")))


@given(st.lists(st.tuples(small, small), max_size=30))
@of_hypothesis(max_examples=300)
def test_bridges_spare_links_and_pieces_are_those_of_networkx(edges: Edges) -> None:
    graph: nx.MultiGraph[int] = nx.MultiGraph()
    graph.add_edges_from(edges)
    ends = np.array(edges, np.int64).reshape(-1, 2)
    is_bridge, is_spare, piece = bridges_of(ends[:, 0], ends[:, 1])
    expected = {frozenset(edge) for edge in nx.bridges(graph)}
    assert [frozenset(edge) in expected for edge in edges] == is_bridge.tolist()
    pieces = list(nx.connected_components(graph))
    assert is_spare.sum() == len(edges) - len(graph) + len(pieces)
    assert not (is_spare & is_bridge).any()
    by_piece = {number: {*ends[piece == number].ravel().tolist()} for number in set(piece.tolist())}
    assert sorted(map(sorted, by_piece.values())) == sorted(map(sorted, pieces))


def test_a_chain_longer_than_the_stack_is_all_bridges() -> None:
    is_bridge, is_spare, piece = bridges_of(np.arange(CHAIN), np.arange(1, CHAIN + 1))
    assert is_bridge.all()
    assert not is_spare.any()
    assert set(piece) == {0}


@given(st.lists(st.lists(small, max_size=12), max_size=6))
def test_batches_are_cut_between_customers_only(drawn: list[list[int]]) -> None:
    ordered = sorted(customer for batch in drawn for customer in batch)
    rows = pd.DataFrame({"customer_id": ordered, "row": range(len(ordered))})
    cuts = np.cumsum([0, *map(len, drawn)]).tolist()
    batches = [rows[start:end] for start, end in pairwise(cuts)]
    cut = list(whole_customers(batches))
    assert [row for piece in cut for row in piece["row"]] == rows["row"].tolist()
    owners = [customer for piece in cut for customer in piece["customer_id"].unique()]
    assert len(owners) == len(set(owners)), "a customer is in two pieces"


def a_world(spark: SparkSession) -> tuple[DataFrame, DataFrame, DataFrame]:
    """Edges, customer ids and accounts: families on one phone, nameless accounts, mailboxes, devices, likeness, one OpenID each."""
    draw = random.Random(SEED)
    names = {f"f{place % 3}:{place}": draw.choice(["ann", "bob", "cid", None, None]) for place in range(90)}
    rows: list[Row] = []
    for kind, values, told in (("phone", 26, 100), ("email", 60, 60), ("device", 20, 40), ("open_id", 70, 40)):
        pairs = {(draw.choice(list(names)), f"{kind} {draw.randrange(values)}") for _ in range(told)}
        rows += [seen(kind, account, value, draw.randrange(900)) for account, value in sorted(pairs)]
    alike = {
        (f"f{one % 3}:{one}", f"f{other % 3}:{other}")
        for one, other in draw.sample([*zip(range(60), range(30, 90), strict=True)], 12)
    }
    accounts = [named(account, name) for account, name in names.items()]
    unique = {"open_id": IDENTITY.links["open_id"].model_copy(update={"max_per_customer": 1})}
    settings = IDENTITY.model_copy(update={"links": {**IDENTITY.links, **unique}})
    edges, customer_ids = edges_and_ids(
        spark, accounts, rows, settings, [likeness(*sorted(pair)) for pair in sorted(alike)]
    )
    as_published = edges.select(*contract_of("silver.identity_edges").column_names)
    return as_published.checkpoint(), customer_ids.checkpoint(), frame_of(spark, "silver.accounts", *accounts)


def graphs_of(
    edges: list[Any], owners: dict[str, str], names: dict[str, str | None]
) -> "dict[str, nx.MultiGraph[Any]]":
    """By customer, the graph of its accepted links, each with its row; worked out row by row."""
    first: dict[tuple[str, str], tuple[Any, str, str]] = {}
    for row in edges:
        if (name := names[row["account_id"]]) and row["refusal_reason"] in (None, "contradicts"):
            arrival = (row["arrived_at"], row["account_id"], name)
            first[row["rule"], row["identifier_value"]] = min(
                first.get((row["rule"], row["identifier_value"]), arrival), arrival
            )
    graphs: dict[str, nx.MultiGraph[Any]] = {}
    for place, row in enumerate(edges):
        account, value = row["account_id"], row["identifier_value"]
        group: str | None = None
        if row["rule"] == "phone":
            group = names[account] or first.get(("phone", value), (None, None, None))[2]
        if row["rule"] in ("payer", "device"):
            group = names[account] or account
        node = ("account", value) if row["identifier_kind"] == "account" else (row["identifier_kind"], value, group)
        if row["is_accepted"]:
            graphs.setdefault(owners[account], nx.MultiGraph()).add_edge(("account", account), node, place)
    return graphs


def expected_of(graph: "nx.MultiGraph[Any]") -> tuple[int, int, int, int]:
    """Joining links, bridges, spare ones, pieces: identifiers of one account are left out, then every link is taken away in turn."""
    core = graph.subgraph(
        [node for node in graph if node[0] == "account" or len(set(graph.neighbors(node))) > 1]
    ).copy()
    pieces, bridges = nx.number_connected_components(core), 0
    for one, other, place in list(core.edges(keys=True)):
        core.remove_edge(one, other, place)
        bridges += nx.number_connected_components(core) > pieces
        core.add_edge(one, other, place)
    return core.number_of_edges(), bridges, core.number_of_edges() - len(core) + pieces, pieces


def test_customers_are_held_as_networkx_says_and_every_figure_is_their_sum(spark: SparkSession) -> None:
    edges, customer_ids, accounts = a_world(spark)
    owners = {row["identifier_value"]: row["customer_id"] for row in held_accounts(customer_ids).collect()}
    names = {row["account_id"]: row["name_token"] for row in accounts.collect()}
    graphs = graphs_of(edges.collect(), owners, names)
    for account, owner in owners.items():
        graphs.setdefault(owner, nx.MultiGraph()).add_node(("account", account))

    held = held_accounts(customer_ids).select(F.col("identifier_value").alias("account_id"), "customer_id")
    told = held.join(known_accounts(accounts).select("account_id", "name_token"), on="account_id", how="left")
    links = with_bridges(links_of_customers(edges, told, IDENTITY.links)).checkpoint()
    customers = as_audited(customer_ids, links).checkpoint()
    rows = customers.collect()
    found = {row["customer_id"]: tuple(row[name] for name in (*WHOLE, "pieces")) for row in rows}
    expected = {customer: expected_of(graph) for customer, graph in graphs.items()}
    assert found == expected
    sums = [sum(column) for column in zip(*expected.values(), strict=True)]
    assert min(sums) > 0, "a world without bridges or spare links proves nothing"
    in_pieces = {customer for customer, (*_, pieces) in expected.items() if pieces > 1}
    doubtful = edges.where("refusal_reason = 'contradicts'").collect()
    assert in_pieces <= {owners[row["account_id"]] for row in doubtful if names[row["account_id"]] is None}

    changes = frame_of(spark, "silver.identity_changes")
    told_rows = figures(customers, held, edges, links, changes, None, IDENTITY.links).collect()
    told_of = {(row["section"], row["label"], row["measure"]): row["value"] for row in told_rows}
    assert len(told_of) == len(told_rows), "a figure is told once"
    assert [told_of["totals", "all", name] for name in WHOLE] == sums[:3]
    assert told_of["totals", "all", "customers_in_pieces"] == len(in_pieces)
    assert told_of["totals", "all", "customers"] == len(found) == len(set(owners.values()))
    alone = sum(
        value
        for (section, _, name), value in told_of.items()
        if (section, name) == ("feeds", "customers_of_one_account")
    )
    sizes = pd.Series(owners).value_counts()
    assert told_of["totals", "all", "customers_of_one_account"] == alone == (sizes == 1).sum()
    assert told_of["customer_sizes", "2", "customers"] == (sizes == 2).sum()
    by_rule = {
        rule: told_of["rules", rule, "bridges"]
        for section, rule, name in told_of
        if (section, name) == ("rules", "bridges")
    }
    assert sum(by_rule.values()) == sums[1]
    reasons = edges.where("not is_accepted").groupBy("rule", "refusal_reason").count().collect()
    assert {(row[0], row[1]): row[2] for row in reasons} == {
        (rule, reason): value for (section, rule, reason), value in told_of.items() if section == "refusals"
    }
    assert "contradicts" in {reason for section, _, reason in told_of if section == "refusals"}
    ranked = sorted(told_rows, key=lambda row: row["position"])

    def column(section: str, measure: str) -> list[float]:
        return [row["value"] for row in ranked if (row["section"], row["measure"]) == (section, measure)]

    assert column("largest_customers", "accounts") == sizes.nlargest(SHOWN).tolist()
    weakest = sorted(row["weakest"]["confidence"] for row in rows if row["bridges"])
    assert column("doubtful_customers", "weakest_bridge_confidence") == weakest[:SHOWN]


def test_sizes_fall_into_the_class_whose_bound_they_reach_first(spark: SparkSession) -> None:
    sizes = spark.createDataFrame([(size,) for size in (1, 5, 6, 10, 11, 101)], "size long")
    found = [row[0]["label"] for row in sizes.select(size_class(F.col("size"), ACCOUNT_BOUNDS)).collect()]
    assert found == ["1", "5", "6 – 10", "6 – 10", "11 – 20", "more than 100"]


Rows = Iterable[tuple[str, str, str, float]]


@pytest.fixture
def drawn() -> Callable[[Rows], str]:
    return lambda rows: page(
        "shop", 7, [Figure(section, label, name, 0, value, None) for section, label, name, value in rows]
    )


def test_a_page_stands_alone_and_shows_what_is_wrong(drawn: Callable[[Rows], str]) -> None:
    shown = drawn(
        [
            ("totals", "all", "customers", 4000.0),
            ("totals", "all", "accounts", 5000.0),
            ("feeds", "<b>", "accounts", 3.0),
        ]
    )
    assert "<b>1.25</b>" in shown
    assert "&lt;b&gt;" in shown
    assert "tile bad" not in shown
    assert not any(word in shown for word in ("http", "src=", "<script", "@import", "url("))
    wrong = drawn([("totals", "all", "customers", 1.0), ("totals", "all", "customers_in_pieces", 1.0)])
    assert wrong.count("tile bad") == 1


def test_a_page_of_no_figures_is_a_page(drawn: Callable[[Rows], str]) -> None:
    assert "customers that they belong to" in drawn([])
