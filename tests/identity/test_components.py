"""Connected components on Spark against networkx: every engine, random graphs, chain, star, self-loops, ids at the ends of 64 bits."""

import random
from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as of_hypothesis
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession

from jobs.identity.components import checked, grown, with_components
from jobs.identity.union_find import labelled
from jobs.lakehouse.errors import QualityGateError
from jobs.lakehouse.identity_settings import IdentitySettings

Edges = list[tuple[int, int]]
LARGEST = 2**63 - 1
ENGINES = {
    "one process": IdentitySettings(),
    "distributed rounds": IdentitySettings(edges_per_process=1),
    "graphframes": IdentitySettings(engine="graphframes"),
}
ids = st.integers(-(2**63), LARGEST) | st.integers(-6, 6)


def scattered(name: int) -> int:
    """A name as an id anywhere in 64 bits, so that order says nothing of the graph."""
    return (name * 0x9E3779B97F4A7C15 + 2**63) % 2**64 - 2**63


def a_graph() -> Edges:
    """Random persons, a star of 60, a chain of 90, a pair told three times, a loop, and the two ends of 64 bits."""
    draw = random.Random(20251228)
    sparse = [(draw.randrange(300), draw.randrange(300)) for _ in range(170)]
    star = [(1000, 1000 + spoke) for spoke in range(1, 60)]
    chain = [(2000 + link, 2001 + link) for link in range(90)]
    told = [
        (scattered(one), scattered(other)) for one, other in [*sparse, *star, *chain, *3 * [(5000, 5001)], (6000, 6000)]
    ]
    edges = [*told, (-(2**63), LARGEST), (LARGEST, 2**62 + 1)]
    draw.shuffle(edges)
    return edges


def expected(edges: Edges) -> dict[int, int]:
    """Each id and the smallest of its component, by networkx."""
    graph: nx.Graph[int] = nx.Graph()
    graph.add_edges_from(edges)
    return {node: min(component) for component in nx.connected_components(graph) for node in component}


def frame(spark: SparkSession, edges: Edges, partitions: int = 3) -> DataFrame:
    return spark.createDataFrame(edges, "src long, dst long").repartition(partitions)


def smallest_of(components: DataFrame) -> dict[int, int]:
    """Each id and the smallest of its component, whatever the engine calls components."""
    rows = components.collect()
    members: dict[int, list[int]] = {}
    for row in rows:
        members.setdefault(row["component"], []).append(row["id"])
    assert len(rows) == len({row["id"] for row in rows}), "an id is in two components"
    return {member: min(group) for group in members.values() for member in group}


@pytest.fixture(scope="module", autouse=True)
def checkpoints(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> None:
    spark.sparkContext.setCheckpointDir(str(tmp_path_factory.mktemp("checkpoints")))


@pytest.mark.parametrize(
    "engine", [name if name != "graphframes" else pytest.param(name, marks=pytest.mark.long) for name in ENGINES]
)
def test_every_engine_finds_the_components_of_networkx(spark: SparkSession, engine: str) -> None:
    found = with_components(frame(spark, a_graph()), ENGINES[engine])
    assert smallest_of(found) == expected(a_graph())


@pytest.mark.parametrize("engine", ["one process", pytest.param("distributed rounds", marks=pytest.mark.long)])
def test_a_component_is_called_by_its_smallest_id_however_its_edges_lie(spark: SparkSession, engine: str) -> None:
    for partitions in (1, 4):
        rows = with_components(frame(spark, a_graph(), partitions), ENGINES[engine]).collect()
        assert {row["id"]: row["component"] for row in rows} == expected(a_graph())


def test_no_edges_have_no_components(spark: SparkSession) -> None:
    for engine in (ENGINES["one process"], ENGINES["distributed rounds"]):
        assert with_components(frame(spark, []), engine).count() == 0


@given(st.lists(st.tuples(ids, ids), min_size=1, max_size=60))
@of_hypothesis(max_examples=300)
def test_a_union_find_over_arrays_is_networkx(edges: Edges) -> None:
    ends = np.array(edges, dtype=np.int64)
    found, labels = labelled(ends[:, 0], ends[:, 1])
    assert dict(zip(found.tolist(), labels.tolist(), strict=True)) == expected(edges)


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.long), pytest.param(3, marks=pytest.mark.long)])
def test_components_that_grow_are_those_of_all_edges(spark: SparkSession, seed: int) -> None:
    edges = a_graph()
    random.Random(seed).shuffle(edges)
    cut = len(edges) - 60
    before = with_components(frame(spark, edges[:cut]), IdentitySettings())
    found = grown(before, frame(spark, edges[cut:]), IdentitySettings()).collect()
    assert {row["id"]: row["component"] for row in found} == expected(edges)


@pytest.mark.parametrize(
    ("components", "told"),
    [
        ([(1, 1), (-2, -2), (3, 3)], "1 edges between two components"),
        ([(1, 1), (-2, 1)], "1 edges between two components"),
        ([(1, 1), (-2, 1), (3, 3), (3, 3)], "4 found for 3 expected"),
    ],
)
def test_components_that_contradict_their_edges_are_refused(spark: SparkSession, components: Any, told: str) -> None:
    edges = frame(spark, [(1, -2), (3, 3)])
    checked(edges, spark.createDataFrame([(1, 1), (-2, 1), (3, 3)], "id long, component long"))
    with pytest.raises(QualityGateError, match=told):
        checked(edges, spark.createDataFrame(components, "id long, component long"))
