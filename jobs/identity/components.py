"""Connected components of edges between 64-bit ids, by contraction or by GraphFrames, checked against the edges."""

from __future__ import annotations

from functools import reduce

from graphframes import GraphFrame
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.identity.union_find import as_forest, as_labels, refuse_torn
from jobs.lakehouse.caching import cached
from jobs.lakehouse.identity_settings import IdentitySettings

EDGES, LABELS = "src long, dst long", "id long, component long"
# Each round leaves at most half of the ids that are not yet with their smallest; ten leave one in a thousand of the worst graph.
ROUNDS = 10


def node_id(kind: Column, value: Column) -> Column:
    """A stable 64-bit id of a node: GraphFrames then needs none of its own, which would change from run to run."""
    return F.xxhash64(kind, value)


def with_components(edges: DataFrame, settings: IdentitySettings) -> DataFrame:
    """One row per id of the edges, with the connected component that it lies in.

    By `contract`, edges that one process can hold are joined there, in one pass; more than that are contracted
    by rounds in which each id takes the smallest of its neighbours (Kiveris and others, Connected components in MapReduce
    and beyond, 2014), until what is left fits, or GraphFrames joins the rest. A component is then called by its smallest id.

    Args:
        edges: `src` and `dst`, read more than once where there are many of them.
        settings: the engine, and how many edges one process may hold.

    Raises:
        QualityGateError: the result contradicts its own edges.
    """
    if settings.engine == "graphframes":
        return checked(edges, by_graphframes(edges))
    if edges.count() <= settings.edges_per_process:
        return edges.repartition(1).mapInArrow(as_labels, LABELS)
    return checked(edges, by_contraction(edges, settings.edges_per_process))


def by_graphframes(edges: DataFrame) -> DataFrame:
    """Components by GraphFrames alone; a checkpoint folder must be set."""
    ids = ids_of(edges)
    with cached(ids), cached(edges):
        found: DataFrame = GraphFrame(ids, edges.where("src <> dst")).connectedComponents()
        labels = found.select("id", "component").checkpoint()
        # GraphFrames leaves its result persisted.
        found.unpersist()
        return labels


def by_contraction(edges: DataFrame, edges_per_process: int) -> DataFrame:
    """Components by rounds of smallest neighbours, then in one process or by GraphFrames; a checkpoint folder must be set."""
    left = edges.mapInArrow(as_forest, EDGES).checkpoint()
    steps: list[DataFrame] = []
    while len(steps) < ROUNDS and left.count() > edges_per_process:
        both = left.union(left.select("dst", "src"))
        step = both.groupBy(F.col("src").alias("id")).agg(F.min("dst").alias("smallest"))
        step = step.select("id", F.least("id", "smallest").alias("component")).checkpoint()
        steps.append(step)
        moved = with_ends(left, step, "inner").where("one <> other")
        between = moved.select(F.least("one", "other").alias("src"), F.greatest("one", "other").alias("dst")).distinct()
        left = between.mapInArrow(as_forest, EDGES).checkpoint()
    fits = left.count() <= edges_per_process
    labels = left.repartition(1).mapInArrow(as_labels, LABELS) if fits else by_graphframes(left)
    found = reduce(_through, reversed(steps), labels)
    # An id whose only edge leads to itself is a component too.
    return _through(found, ids_of(edges).withColumn("component", F.col("id"))).checkpoint()


def ids_of(edges: DataFrame) -> DataFrame:
    """One row per id that is an end of an edge."""
    return edges.select(F.col("src").alias("id")).union(edges.select("dst")).distinct()


def with_ends(edges: DataFrame, components: DataFrame, how: str) -> DataFrame:
    """The edges with the components of their two ends, `one` and `other`."""
    one = components.select(F.col("id").alias("src"), F.col("component").alias("one"))
    other = components.select(F.col("id").alias("dst"), F.col("component").alias("other"))
    return edges.join(one, on="src", how=how).join(other, on="dst", how=how)


def _through(labels: DataFrame, step: DataFrame) -> DataFrame:
    """The step's ids with the component of the group that they went into, or that group where it went no further."""
    later = labels.select(F.col("id").alias("component"), F.col("component").alias("later"))
    joined = step.join(later, on="component", how="left")
    return joined.select("id", F.coalesce("later", "component").alias("component"))


def checked(edges: DataFrame, components: DataFrame) -> DataFrame:
    """The components, once every edge is found to lie inside one and every id to have one.

    Raises:
        QualityGateError: they contradict the edges.
    """
    ends = components.select("id", "component")
    torn = (
        with_ends(edges, ends, "left").where(~F.col("one").eqNullSafe(F.col("other")) | F.col("one").isNull()).count()
    )
    refuse_torn(torn, ends.count(), ids_of(edges).count())
    return components


def grown(components: DataFrame, added: DataFrame, settings: IdentitySettings) -> DataFrame:
    """The components after more edges have come: as if all edges had been joined anew, at the cost of the new ones.

    Args:
        components: `id` and `component`, the smallest id of each component, of the edges so far.
        added: the edges that came, `src` and `dst`; few enough that what they join can be sent to every process.
        settings: as for `with_components`.
    """
    before = components.select("id", F.col("component").alias("before"))
    known = (
        ids_of(added).join(before, on="id", how="left").withColumn("component", F.coalesce("before", "id")).checkpoint()
    )
    lifted = with_ends(added, known, "inner").select(F.col("one").alias("src"), F.col("other").alias("dst"))
    merged = with_components(lifted, settings).checkpoint()
    first = F.broadcast(merged.select(F.col("component").alias("later"), F.col("id").alias("component")))
    new = known.where("before is null").select("id", "component")
    joined = components.select("id", "component").union(new).join(first, on="component", how="left")
    return joined.select("id", F.coalesce("later", "component").alias("component"))
