"""Components that are put aside: by which limit, and who is told why."""

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs.identity.audit_figures import of_components
from jobs.identity.audit_page import page
from jobs.identity.audit_parts import Figure
from jobs.identity.door import put_aside
from jobs.identity.evidence import evidence_of
from jobs.identity.resolution import component_sizes, resolved_all, suspicion
from jobs.lakehouse.identity_settings import IdentitySettings
from tests.identity.test_resolve_customers import IDENTITY, named, seen
from tests.rows import Row, customer_id, frame_of, row_of

NARROW = {"max_links_per_component": 4, "max_accounts_per_component": 3, "max_names_per_component": 2}
REASONS = {"links": "too_many_links", "accounts": "too_many_accounts", "names": "too_many_names", "large enough": None}


@pytest.fixture(scope="module", autouse=True)
def checkpoints(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> None:
    spark.sparkContext.setCheckpointDir(str(tmp_path_factory.mktemp("checkpoints")))


def aside(component: int, reason: str, account_id: str, link_count: int = 12) -> Row:
    return row_of(
        "silver.identity_components", account_id=account_id, component_id=component, is_put_aside=True,
        put_aside_reason=reason, link_count=link_count, account_count=3, name_count=2,
    )  # fmt: skip


def test_each_limit_puts_a_component_aside_and_what_meets_them_all_stays(spark: SparkSession) -> None:
    """Of each component: accounts by the names that they have, and how many links there are in all."""
    shapes = {"links": (["a", "a"], 5), "accounts": (["a", "a", "", ""], 3), "names": (["a", "b", "c"], 3)}
    shapes["large enough"] = (["a", "b", ""], 4)
    rows = []
    for component, (names, links) in shapes.items():
        rows += [(component, place, "", name) for place, name in enumerate(names)]
        # A name that was told later stands on another row of the account, and is the same name.
        rows += [(component, place, "", name) for place, name in enumerate(names)]
        rows += [(component, place % len(names), "phone", "") for place in range(links)]
    placed = spark.createDataFrame(rows, "component_id string, src long, rule string, name string")
    settings = IdentitySettings.model_validate(NARROW)
    found = component_sizes(placed).withColumn("reason", suspicion(settings)).collect()
    assert {row["component_id"]: row["reason"] for row in found} == REASONS
    sizes = {row["component_id"]: (row["link_count"], row["account_count"], row["name_count"]) for row in found}
    assert sizes["large enough"] == (4, 3, 2)
    assert {component: sizes[component] for component in ("links", "names")} == {"links": (5, 2, 1), "names": (3, 3, 3)}


def test_a_component_of_too_many_names_joins_nobody_and_its_accounts_tell_why(spark: SparkSession) -> None:
    names = ["ann", "bob", "cid"]
    accounts = [named(name, name) for name in names]
    rows = [seen("email", name, value) for name, value in zip(names, ("1@x", "1@x", "2@x"), strict=True)]
    rows.append(seen("email", "bob", "2@x"))
    tables = {
        "silver.accounts": accounts,
        "silver.identifiers": rows,
        "silver.record_links": [],
        "ops.identity_overrides": [],
    }
    frames = {name: frame_of(spark, name, *told) for name, told in tables.items()}
    nothing = spark.createDataFrame([], "rule string, identifier_value string")
    settings = IDENTITY.model_copy(update={"max_names_per_component": 2})
    found = resolved_all(evidence_of(frames, settings.links), settings, nothing)
    held = found.customer_ids.where("valid_to is null and identifier_kind = 'account'")
    assert held.select("customer_id").distinct().count() == len(names)
    told = found.components.select("account_id", "is_put_aside", "put_aside_reason", "name_count").collect()
    assert sorted(map(tuple, told)) == [(name, True, "too_many_names", 3) for name in names]
    assert {row["refusal_reason"] for row in found.edges.collect()} == {"suspicious_component"}


def test_who_asks_after_a_customer_is_told_why_its_links_join_nobody(spark: SparkSession) -> None:
    ids = [customer_id(customer_id="c", identifier_value="a"), customer_id(customer_id="d", identifier_value="b")]
    components = [aside(7, "too_many_names", "a"), row_of("silver.identity_components", account_id="b")]
    frames = frame_of(spark, "silver.customer_ids", *ids), frame_of(spark, "silver.identity_components", *components)
    (line,) = put_aside(*frames, "c")
    assert line.startswith("put aside, too_many_names: 12 links of 3 accounts with 2 names hang together")
    assert "identity.max_names_per_component" in line
    assert put_aside(*frames, "d") == []


def test_the_audit_counts_what_is_put_aside_by_reason(spark: SparkSession) -> None:
    rows = [aside(7, "too_many_names", "a"), aside(7, "too_many_names", "b"), aside(8, "too_many_links", "c", 2001)]
    rows += [aside(9, "too_many_names", "d", 5), row_of("silver.identity_components", account_id="e")]
    told = of_components(frame_of(spark, "silver.identity_components", *rows))
    summed = told.groupBy("section", "label", "measure", "position").agg(F.sum("value").alias("value")).collect()
    assert {(row["label"], row["measure"]): row["value"] for row in summed} == {
        ("too_many_names", "components"): 2, ("too_many_names", "accounts"): 3, ("too_many_names", "links"): 17,
        ("too_many_links", "components"): 1, ("too_many_links", "accounts"): 1, ("too_many_links", "links"): 2001,
    }  # fmt: skip
    shown = page("shop", 7, [Figure(**row.asDict(), note=None) for row in summed])
    assert "accounts of too many names" in shown
    assert "2,001" in shown
    assert "Put aside" not in page("shop", 7, [])
