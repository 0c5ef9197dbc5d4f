"""Link accounts without a common identifier by names, birth dates, phones and cities as they were told, typing errors and all."""

import sys
from functools import reduce
from operator import and_

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.identity.linking import Resources, linked_pairs
from jobs.identity.linking_choice import PAIR_COLUMNS, REJECT
from jobs.identity.linking_faults import faults_of
from jobs.lakehouse.deletions import is_deletion
from jobs.lakehouse.errors import ConfigurationError
from jobs.lakehouse.job import Job
from jobs.lakehouse.keys import Keys
from jobs.lakehouse.linking_settings import LinkingModel, LinkingSettings
from jobs.lakehouse.local_rows import local_rows
from jobs.lakehouse.personal import opened
from jobs.lakehouse.run import Run
from jobs.lakehouse.vault import VALUES

LINKS, STORES = "silver.record_links", "silver.stores"
JOB = Job(
    reads=("silver.accounts", STORES, VALUES),
    writes=(LINKS,),
    settings=(LinkingSettings,),
    can_lack=(STORES,),
)
PERSONAL = ("name", "birth_date", "phone")
# What linking is told of an account.
TOLD = (*PERSONAL, "city", "registered_on")
PAIR_SCHEMA = (
    "left_account_id string, right_account_id string, match_probability double, match_weight double, decision string"
)


def as_first_told(accounts: DataFrame, stores: DataFrame | None, time_zone: str) -> DataFrame:
    """One row per account as it was first told: tokens, masks, city or that of its store, day of registration.

    What was told later would make a link known before its evidence was.
    """
    first = accounts.where("revision = 1")
    city = F.col("city")
    if stores is not None:
        places = stores.where("revision = 1").select("store_id", F.col("city").alias("store_city"))
        first, city = first.join(F.broadcast(places), on="store_id", how="left"), F.coalesce("city", "store_city")
    registered_on = F.to_date(F.from_utc_timestamp("registered_at", time_zone)).cast("string")
    return first.select(
        "account_id",
        "arrived_at",
        *[f"{kind}_token" for kind in PERSONAL],
        "name_masked",
        "phone_masked",
        city.alias("city"),
        registered_on.alias("registered_on"),
        "_record_id",
    )


def sealed_values(told: DataFrame, values: DataFrame) -> DataFrame:
    """One row per personal value of these accounts, sealed."""
    tokens = told.select(F.explode(F.array(*[f"{kind}_token" for kind in PERSONAL])).alias("token"))
    return values.join(tokens.where("token is not null").distinct(), on="token", how="left_semi").select(
        "token", "_ciphertext"
    )


def opened_values(sealed: pa.Table, keys: Keys) -> pa.ChunkedArray:
    """The plain values, one per row; only those of one batch at a time are objects of Python."""

    def plain(batch: pa.RecordBatch) -> pa.Array:
        sealed_by_token = zip(batch["token"].to_pylist(), batch["_ciphertext"].to_pylist(), strict=True)
        return pa.array([opened(keys, text, token) for token, text in sealed_by_token], pa.string())

    return pa.chunked_array([plain(batch) for batch in sealed.to_batches()], pa.string())


def as_pairs(
    told: DataFrame, values: DataFrame, keys: Keys, model: LinkingModel, settings: LinkingSettings
) -> pd.DataFrame:
    """One row per pair of accounts that are linked or to be looked at.

    The sealed values come to this process and are opened here, so that no plain one passes through Spark.

    Raises:
        ConfigurationError: there are more accounts than one process may hold.
    """
    named = told.where("name_token is not null")
    count = named.count()
    if count > settings.most_records:
        raise ConfigurationError(
            f"{count:,} accounts are to be linked, and one process holds {settings.most_records:,}: raise linking.most_records, "
            "and see that the machine has the memory (docs/identity-linking.md tells what was measured)"
        )
    rows = named.drop("arrived_at", "name_masked", "phone_masked", "_record_id").toArrow()
    sealed = sealed_values(named, values).toArrow()
    plain = opened_values(sealed, keys)
    records = {"record_id": rows["account_id"], "city": rows["city"], "registered_on": rows["registered_on"]}
    for kind in PERSONAL:
        records[kind] = plain.take(pc.index_in(rows[f"{kind}_token"], value_set=sealed["token"]))
    held = Resources(settings.memory_mib, settings.threads, settings.spill_folder)
    pairs = linked_pairs(pa.table(records), model, held)
    return pairs[pairs["decision"] != REJECT]


def as_record_links(pairs: DataFrame, told: DataFrame, model: LinkingModel) -> DataFrame:
    """One row per pair that is linked or to be looked at, with when its later account arrived, and in which record of bronze."""
    for side in ("left", "right"):
        arrivals = told.select(
            F.col("account_id").alias(f"{side}_account_id"),
            F.struct("arrived_at", "account_id", "_record_id").alias(f"_{side}"),
        )
        pairs = pairs.join(arrivals, on=f"{side}_account_id", how="inner")
    later = F.greatest("_left", "_right")
    return pairs.select(
        "left_account_id",
        "right_account_id",
        later["arrived_at"].alias("arrived_at"),
        later["_record_id"].alias("_record_id"),
        "decision",
        F.lit(model.digest).alias("linking_rules"),
        "match_probability",
        "match_weight",
    )


def with_sightings(links: DataFrame, accounts: DataFrame) -> DataFrame:
    """The links with `last_seen_at` and `seen_count`, first when both accounts are known.

    They are seen again at each later revision that tells the same of either of them.

    Args:
        links: the rows of `as_record_links`.
        accounts: revisions of silver.accounts.
    """
    told = [*[f"{kind}_token" for kind in PERSONAL], "city"]
    first = accounts.where("revision = 1").select("account_id", *[F.col(name).alias(f"_{name}") for name in told])
    is_same = reduce(and_, [F.col(name).eqNullSafe(F.col(f"_{name}")) for name in told])
    later = accounts.where((F.col("revision") > 1) & ~is_deletion()).join(first, on="account_id", how="inner")
    again = later.where(is_same).select("account_id", F.col("arrived_at").alias("_seen_at"))
    pair = ["left_account_id", "right_account_id"]
    sides = links.select(*pair, F.col("arrived_at").alias("_since"), F.explode(F.array(*pair)).alias("account_id"))
    seen = sides.join(again, on="account_id", how="inner").where("_seen_at > _since")
    counted = seen.groupBy(*pair).agg(F.max("_seen_at").alias("_last"), F.count("*").alias("_times"))
    return links.join(counted, on=pair, how="left").select(
        *links.columns,
        F.coalesce("_last", "arrived_at").alias("last_seen_at"),
        (F.lit(1) + F.coalesce("_times", F.lit(0))).alias("seen_count"),
    )


def with_kept_probabilities(links: DataFrame, published: DataFrame) -> DataFrame:
    """The links; a pair of which the same was decided by the same rules keeps the probability that was published.

    Each account that comes shifts what is learned from all of them, and with it every pair a little: who is who would have to be
    told anew of everybody, though nothing was decided otherwise.

    Args:
        links: the rows of `as_record_links`.
        published: the links as they were published last.
    """
    same, figures = (
        ["left_account_id", "right_account_id", "decision", "linking_rules"],
        ["match_probability", "match_weight"],
    )
    before = published.select(*same, F.struct(*figures).alias("_kept"))
    joined = links.join(before, on=same, how="left")
    kept = {name: F.coalesce(F.col("_kept").getField(name), F.col(name)) for name in figures}
    return joined.withColumns(kept).select(*links.columns)


def build(run: Run) -> None:
    settings = run.part(LinkingSettings)
    if settings.rules is None:
        raise ConfigurationError(
            f"{run.settings.conf_dir}/linking/accounts.yaml is missing: it says how accounts are compared"
        )
    if faults := faults_of(settings.rules, TOLD):
        raise ConfigurationError(
            f"{run.settings.conf_dir}/linking/accounts.yaml, or linking.rules of dataset {run.dataset}: {'; '.join(faults)}"
        )
    stores = run.read(STORES) if run.has(STORES) else None
    accounts = run.read("silver.accounts")
    told = as_first_told(accounts, stores, run.time_zone)
    pairs = pd.DataFrame(columns=PAIR_COLUMNS)
    if run.has(VALUES):
        pairs = as_pairs(told, run.read(VALUES), run.keys(), settings.rules, settings)
    found = run.spark.createDataFrame(pairs, PAIR_SCHEMA) if len(pairs) else local_rows(run.spark, [], PAIR_SCHEMA)
    links = with_sightings(as_record_links(found, told, settings.rules), accounts)
    published = run.previous(LINKS)
    run.publish(LINKS, links if published is None else with_kept_probabilities(links, published))


if __name__ == "__main__":
    sys.exit(JOB.main(__doc__, build))
