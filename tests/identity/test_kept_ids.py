"""Ids that were published stay: whatever engine finds the components, and where nothing has changed."""

import datetime as dt

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs.identity.resolve_customers import all_changes, under_kept_ids
from tests.identity.test_resolve_customers import IDENTITY, LATER, edges_and_ids, fates, held_now, named, phone, seen

pytestmark = pytest.mark.long


@pytest.fixture(scope="module", autouse=True)
def checkpoints(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> None:
    spark.sparkContext.setCheckpointDir(str(tmp_path_factory.mktemp("checkpoints")))


def test_the_other_engine_keeps_all_ids_and_tells_no_change(spark: SparkSession) -> None:
    """Two persons of a family, a chain, a ring and an account alone."""
    accounts = [named("ann", "ann"), named("bob", "bob"), *[named(f"a{place}") for place in range(9)]]
    rows = [phone("ann", "family"), phone("bob", "family", 1), phone("a8", "own")]
    rows += [phone(f"a{place}", f"p{place + step}", place) for place in range(4) for step in (0, 1)]
    rows += [seen("email", f"a{place}", "ring@x", place) for place in range(4, 8)]
    by_contraction, by_graphframes = (
        edges_and_ids(spark, accounts, rows, IDENTITY.model_copy(update={"engine": engine}))
        for engine in ("contract", "graphframes")
    )
    published, renamed = under_kept_ids(by_contraction[1], None)
    written = all_changes(published, renamed, None, F.lit(LATER)).checkpoint()
    assert len(held_now(published)) == 5
    assert written.count() > 3
    kept, renamed = under_kept_ids(by_graphframes[1], published)
    assert renamed is not None
    assert renamed.ids.collect() == []
    # What a component is called is the engine's own.
    told = [column for column in published.columns if column != "_component_id"]
    assert sorted(map(repr, kept.select(*told).collect())) == sorted(map(repr, published.select(*told).collect()))
    changes = all_changes(kept, renamed, written, F.lit(LATER + dt.timedelta(1)))
    assert sorted(map(repr, changes.collect())) == sorted(map(repr, written.collect()))
    assert fates(by_graphframes[0]) == fates(by_contraction[0])


def test_a_run_in_which_nothing_changes_tells_nothing(spark: SparkSession) -> None:
    """The ring goes by the id of one that left it, and that one by a new id, which stays its own."""
    accounts = [named(f"a{place}") for place in range(4, 9)]
    rows = [phone("a8", "own"), *[seen("email", f"a{place}", "ring@x", place) for place in range(4, 8)]]
    _, first = edges_and_ids(spark, accounts, [*rows, seen("email", "a8", "ring@x", -9)])
    _, found = edges_and_ids(spark, accounts, rows)
    published, renamed = under_kept_ids(found, first)
    written = all_changes(published, renamed, None, F.lit(LATER)).checkpoint()
    kept, renamed = under_kept_ids(found, published)
    assert sorted(map(repr, kept.collect())) == sorted(map(repr, published.collect()))
    changes = all_changes(kept, renamed, written, F.lit(LATER + dt.timedelta(1)))
    assert sorted(map(repr, changes.collect())) == sorted(map(repr, written.collect()))
