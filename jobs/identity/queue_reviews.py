"""Queue the pairs of accounts that somebody should look at: alike, not surely of one person, not joined, and with no word said of them."""

import sys

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.identity.link_records import as_first_told
from jobs.identity.links import RECORD_LINK
from jobs.identity.overrides import last_words
from jobs.identity.stable_ids import held_accounts
from jobs.lakehouse.identity_settings import IdentitySettings
from jobs.lakehouse.job import Job
from jobs.lakehouse.run import Run

REVIEWS, LINKS, IDS = "silver.link_reviews", "silver.record_links", "silver.customer_ids"
STORES, OVERRIDES = "silver.stores", "ops.identity_overrides"
JOB = Job(
    reads=("silver.accounts", STORES, LINKS, IDS, OVERRIDES),
    writes=(REVIEWS,),
    settings=(IdentitySettings,),
    can_lack=(STORES, OVERRIDES),
)
SIDES = ("left", "right")
PAIR = [f"{side}_account_id" for side in SIDES]
SHOWN = ("name_masked", "phone_masked", "city")


def unsure_links(links: DataFrame, min_confidence: float) -> DataFrame:
    """The links that join nobody by themselves: those to be looked at, and members of a likely group that are less alike than that.

    Args:
        links: rows of silver.record_links.
        min_confidence: the probability from which a link joins.
    """
    return links.where((F.col("decision") == "review") | (F.col("match_probability") < min_confidence))


def as_reviews(links: DataFrame, told: DataFrame, customer_ids: DataFrame, overrides: DataFrame | None) -> DataFrame:
    """One row per pair to be looked at, with what may be shown of its accounts.

    Args:
        links: the rows of `unsure_links`.
        told: what `as_first_told` gives of the accounts.
        customer_ids: the history of silver.customer_ids.
        overrides: rows of ops.identity_overrides, where there are any.
    """
    held = held_accounts(customer_ids).select(F.col("identifier_value").alias("account_id"), "customer_id")
    shown = told.select("account_id", *SHOWN).join(held, on="account_id", how="left")
    waiting = links.select(*PAIR, "arrived_at", "match_probability")
    for side, account in zip(SIDES, PAIR, strict=True):
        of_side = shown.select(
            F.col("account_id").alias(account),
            *[F.col(name).alias(f"{side}_{name}") for name in (*SHOWN, "customer_id")],
        )
        waiting = waiting.join(of_side, on=account, how="inner")
    waiting = waiting.where("not left_customer_id <=> right_customer_id")
    if overrides is not None:
        said = last_words(overrides).where("decision <> 'as_found'").toDF(*PAIR, "decision")
        waiting = waiting.join(said, on=PAIR, how="left_anti")
    return waiting


def build(run: Run) -> None:
    stores, overrides = (run.read(name) if run.has(name) else None for name in (STORES, OVERRIDES))
    told = as_first_told(run.read("silver.accounts"), stores, run.time_zone)
    links = unsure_links(run.read(LINKS), run.part(IdentitySettings).links[RECORD_LINK].min_confidence)
    reviews = as_reviews(links, told, run.read(IDS), overrides)
    run.publish(REVIEWS, reviews.select(*run.contract(REVIEWS).column_names))


if __name__ == "__main__":
    sys.exit(JOB.main(__doc__, build))
