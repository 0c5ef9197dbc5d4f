"""The graph of jobs: who waits for whom."""

from dataclasses import dataclass

import pytest

from jobs.lakehouse.errors import ConfigurationError
from jobs.lakehouse.graph import Declared, idle_jobs, jobs_below, mermaid, run_order, upstream


@dataclass(frozen=True)
class Step:
    name: str
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()


LOAD = Step("ingest.load", ("files.*",), ("bronze.*", "ops.deliveries"))
CLEAN = Step("ingest.clean", ("bronze.orders",), ("silver.orders",))
COUNT = Step("insight.count", ("silver.orders",), ("gold.counts",))
CLERK = Step("insight.audit", ("ops.deliveries",), ("gold.audits",))


def test_a_job_comes_after_those_it_reads_from_and_ties_go_by_name() -> None:
    jobs: list[Declared] = [COUNT, CLERK, CLEAN, LOAD]
    assert run_order(jobs) == ["ingest.load", "ingest.clean", "insight.audit", "insight.count"]
    assert run_order(jobs[::-1]) == run_order(jobs)


def test_a_pattern_meets_the_tables_it_covers_on_either_side() -> None:
    everything = Step("serve.scan", ("silver.*",), ())
    assert upstream([LOAD, CLEAN, everything]) == {
        "ingest.load": set(),
        "ingest.clean": {"ingest.load"},
        "serve.scan": {"ingest.clean"},
    }


def test_a_job_does_not_wait_for_itself() -> None:
    history = Step("identity.resolve", ("silver.ids",), ("silver.ids",))
    assert run_order([history]) == ["identity.resolve"]


def test_jobs_that_wait_for_each_other_are_named() -> None:
    back = Step("insight.feed", ("gold.counts",), ("bronze.orders",))
    with pytest.raises(ConfigurationError, match="jobs wait for each other") as caught:
        run_order([CLEAN, COUNT, back])
    for name in ("ingest.clean", "insight.count", "insight.feed"):
        assert name in str(caught.value)


def test_the_picture_has_a_box_per_job_and_an_arrow_per_joint() -> None:
    picture = mermaid([LOAD, CLEAN, COUNT]).splitlines()
    assert picture[0] == "flowchart LR"
    assert "  ingest_load --> ingest_clean" in picture
    assert "  ingest_clean --> insight_count" in picture
    assert sum("[" in line for line in picture) == 3


def test_jobs_that_no_feed_can_ever_serve_are_idle_and_say_what_they_lack() -> None:
    orders = Step("ingest.clean_orders", ("bronze.*",), ("silver.orders",))
    prices = Step("ingest.clean_prices", ("bronze.*",), ("silver.prices", "silver.stock"))
    compare = Step("insight.compare", ("silver.prices", "gold.counts"), ("gold.compared",))
    warn = Step("decide.warn", ("silver.stock",), ("gold.warnings",))
    jobs: list[Declared] = [LOAD, orders, prices, COUNT, compare, warn]
    assert idle_jobs(jobs, {"silver.orders", "silver.prices", "silver.stock"}) == {}
    assert idle_jobs(jobs, {"silver.orders", "silver.prices"}) == {"decide.warn": "silver.stock"}
    assert idle_jobs(jobs, {"silver.stock"}) == {
        "ingest.clean_orders": "silver.orders",
        "insight.count": "silver.orders",
        "insight.compare": "silver.prices",
    }


def test_a_job_that_can_do_without_a_table_is_not_idle_for_it() -> None:
    orders = Step("ingest.clean_orders", ("bronze.*",), ("silver.orders",))
    payments = Step("ingest.clean_payments", ("bronze.*",), ("silver.payments",))
    flag = Step("ingest.flag", ("silver.orders", "silver.payments"), ("silver.flags",))
    jobs: list[Declared] = [orders, payments, flag]
    assert set(idle_jobs(jobs, {"silver.orders"})) == {"ingest.clean_payments", "ingest.flag"}
    can_lack = {"ingest.flag": ("silver.payments",)}
    assert set(idle_jobs(jobs, {"silver.orders"}, can_lack)) == {"ingest.clean_payments"}
    assert "ingest.flag" in idle_jobs(jobs, {"silver.payments"}, can_lack)


def test_a_job_alone_is_not_idle_for_tables_that_others_fill() -> None:
    assert idle_jobs([COUNT], set()) == {}


def test_the_longest_chain_below_a_job_is_counted() -> None:
    above: dict[str, set[str]] = {
        "load": set(),
        "clean": {"load"},
        "audit": {"load"},
        "train": {"clean"},
        "score": {"train"},
    }
    assert jobs_below(above) == {"load": 3, "clean": 2, "audit": 0, "train": 1, "score": 0}
