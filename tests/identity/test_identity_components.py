"""Connected components on Spark against networkx: random, chain, star, pairs, shared and foreign identifiers."""

import datetime as dt
import random
from functools import cache
from typing import Any

import networkx as nx
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.identity.components import _check, accepted_links, node_id, with_component
from jobs.identity.history import as_history
from jobs.identity.origins import with_origin
from jobs.lakehouse.errors import QualityGateError
from tests.rows import NOON, Row, account, frame_of, identifier

CAPS = {"phone": 3, "email": 3, "device": 1}
Links = list[tuple[str, str, str]]


def random_links(name: str, accounts: int, values: int, links: int) -> Links:
    draw = random.Random(f"{name} 20251228")
    return [
        (
            f"{name}:{draw.randrange(accounts)}",
            draw.choice(["phone", "email"]),
            f"{name}:{draw.randrange(values)}",
        )
        for _ in range(links)
    ]


@cache
def graphs() -> dict[str, Links]:
    """Named graphs that share no node; the order of links is the order of their arrival."""
    return {
        "sparse": random_links("sparse", 150, 150, 120),
        "dense": random_links("dense", 60, 60, 160),
        "small": random_links("small", 5, 4, 8),
        "chain": [(f"chain:{n + step}", "phone", f"chain:{n}") for n in range(25) for step in (0, 1)],
        "star": [("star:0", "email", f"star:{n}") for n in range(40)],
        "pairs": [(f"pair:{n}", "phone", f"pair:{n // 2}") for n in range(20)],
        "shared": [(f"shared:{n}", "phone", "a shop's own") for n in range(9)],
        "devices": [(f"device:{n}", "device", "a tablet") for n in range(3)],
        "foreign": [
            ("王小明", "email", "Ñandú@exämple.de"),
            ("ßtraße 😀", "email", "Ñandú@exämple.de"),
            ("e\u0301", "phone", "é"),
        ],
        "same text": [("0", "phone", "0"), ("1", "email", "0"), ("phone", "phone", "account")],
    }


def arrival(place: int) -> dt.datetime:
    return NOON + dt.timedelta(minutes=place)


def seen_links() -> list[Row]:
    """A row per account and identifier, at its first arrival."""
    told = [link for links in graphs().values() for link in links]
    firsts = {link: place for place, link in reversed(list(enumerate(told)))}
    return [
        identifier(account_id=one, identifier_kind=kind, identifier_value=value, arrived_at=arrival(place))
        for (one, kind, value), place in firsts.items()
    ]


def known_accounts() -> list[Row]:
    names = {link[0] for links in graphs().values() for link in links} | {"alone", "孤"}
    return [account(account_id=name, arrived_at=NOON - dt.timedelta(days=1)) for name in sorted(names)]


def expected_components() -> set[frozenset[str]]:
    """Who is one with whom by networkx: of each identifier the first accounts only, as many as its kind allows."""
    graph: nx.Graph[Any] = nx.Graph()
    graph.add_nodes_from(row["account_id"] for row in known_accounts())
    joined: dict[tuple[str, str], list[str]] = {}
    for row in sorted(seen_links(), key=lambda row: (row["arrived_at"], row["account_id"])):
        accounts = joined.setdefault((row["identifier_kind"], row["identifier_value"]), [])
        if len(accounts) < CAPS[row["identifier_kind"]]:
            accounts.append(row["account_id"])
    for accounts in joined.values():
        nx.add_path(graph, accounts)
    return {frozenset(component) for component in nx.connected_components(graph)}


def groups_of(rows: list[Any], group: str, member: str) -> set[frozenset[str]]:
    found: dict[Any, set[str]] = {}
    for row in rows:
        found.setdefault(row[group], set()).add(row[member])
    return {frozenset(members) for members in found.values()}


def resolved(spark: SparkSession, partitions: int, seed: int) -> DataFrame:
    """Accounts and links with their component, from rows shuffled and spread over so many partitions."""
    accounts, links = known_accounts(), seen_links()
    random.Random(seed).shuffle(accounts)
    random.Random(seed + 1).shuffle(links)
    accepted = accepted_links(seen(frame_of(spark, "silver.identifiers", *links).repartition(partitions)), CAPS)
    known = with_origin(frame_of(spark, "silver.accounts", *accounts), "account_id", "account_origin")
    return with_component(known.repartition(partitions), accepted)


def seen(identifiers: DataFrame) -> DataFrame:
    """Identifiers with the origins that the job gives them where no key was rotated."""
    return with_origin(
        with_origin(identifiers, "account_id", "account_origin"), "identifier_value", "identifier_origin"
    )


@pytest.fixture(scope="module")
def told(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> DataFrame:
    spark.sparkContext.setCheckpointDir(str(tmp_path_factory.mktemp("checkpoints")))
    return resolved(spark, 1, 1)


def test_components_are_those_of_networkx_on_every_graph(told: DataFrame) -> None:
    found, expected = groups_of(told.collect(), "component", "account_id"), expected_components()
    wrong = sorted(sorted(group) for group in found ^ expected)
    assert not wrong, f"{len(wrong)} groups differ, such as {wrong[0][:10]}"


def test_an_identifier_joins_no_more_accounts_than_its_kind_allows(told: DataFrame) -> None:
    found = groups_of(told.collect(), "component", "account_id")
    assert frozenset({"shared:0", "shared:1", "shared:2"}) in found
    assert {frozenset({f"shared:{n}"}) for n in range(3, 9)} <= found
    assert {frozenset({f"device:{n}"}) for n in range(3)} <= found


def test_partitions_and_the_order_of_rows_change_neither_components_nor_history(
    spark: SparkSession, told: DataFrame
) -> None:
    again = resolved(spark, 7, 20)
    assert groups_of(again.collect(), "component", "account_id") == groups_of(told.collect(), "component", "account_id")
    history, history_again = (sorted(map(repr, as_history(rows).collect())) for rows in (told, again.repartition(5)))
    assert history_again == history


def test_the_history_as_of_now_holds_the_same_groups_as_the_components(told: DataFrame) -> None:
    current = as_history(told).where("valid_to is null and identifier_kind = 'account'").collect()
    assert groups_of(current, "customer_id", "identifier_value") == expected_components()


def test_the_graphs_hold_nodes_whose_ids_are_negative_and_beyond_2_to_the_62(told: DataFrame) -> None:
    ids = told.select(node_id(F.lit("account"), F.col("account_id")).alias("node")).agg(
        F.min("node").alias("least"), F.max("node").alias("greatest"), F.count_distinct("node").alias("nodes")
    )
    found = ids.collect()[0]
    assert found["least"] < -(2**62)
    assert found["greatest"] > 2**62
    assert found["nodes"] == len(known_accounts())


def test_the_first_accounts_to_arrive_are_those_that_a_shared_identifier_joins(spark: SparkSession) -> None:
    links = [
        identifier(account_id=name, arrived_at=NOON + dt.timedelta(hours=hours))
        for name, hours in (("late", 5), ("b", 1), ("a", 1), ("c", 2), ("d", 3))
    ]
    other = identifier(account_id="late", identifier_kind="fax", identifier_value="1")
    kept = accepted_links(seen(frame_of(spark, "silver.identifiers", *links, other)), CAPS).collect()
    assert sorted(row["account_id"] for row in kept) == ["a", "b", "c"], "a kind that is not named joins nothing"


def test_a_component_that_contradicts_its_edges_is_refused(spark: SparkSession) -> None:
    nodes = spark.createDataFrame([(1,), (-2,), (3,)], "id long")
    edges = spark.createDataFrame([(1, -2)], "src long, dst long")
    _check(nodes, edges, spark.createDataFrame([(1, 1), (-2, 1), (3, 3)], "id long, component long"))
    with pytest.raises(QualityGateError, match="1 edges between two components"):
        _check(nodes, edges, spark.createDataFrame([(1, 1), (-2, -2), (3, 3)], "id long, component long"))
    with pytest.raises(QualityGateError, match="2 nodes for 3"):
        _check(nodes, edges, spark.createDataFrame([(1, 1), (-2, 1)], "id long, component long"))
