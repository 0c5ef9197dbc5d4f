"""A day of identity: what resolving anew only whom a day touches costs, beside a full run, on the same rows.

    python benchmarks/identity_days.py --folder <folder> [--accounts 300000] [--share 0.01]

Every account has a phone and a device, half have an e-mail address; two in five share theirs with one or two others of the same name, and
one in three hundred uses the tablet of a shop. On the day a share of the accounts is seen with another phone, partly one that
is known. Both ways write the same four tables, and must leave the same rows.
"""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.identity.evidence import ACCOUNTS, IDENTIFIERS, OVERRIDES, RECORD_LINKS, Evidence, evidence_of
from jobs.identity.increment import incremented
from jobs.identity.resolution import Resolved, resolved_all
from jobs.identity.resolve_customers import all_changes, under_kept_ids
from jobs.identity.touched import changed_accounts, touched_accounts
from jobs.lakehouse.caching import few
from jobs.lakehouse.contracts import read_contracts
from jobs.lakehouse.local_rows import empty_rows
from jobs.lakehouse.session import open_session
from jobs.lakehouse.settings import load_settings

TABLES = ("customer_ids", "identity_edges", "identity_components", "identity_changes")
# Of a thousand accounts so many are the second or third of a person; one in 300 uses the tablet.
SHARED_OF_THOUSAND, TABLET_EVERY = 400, 300
SEED = 7


def accounts_of(spark: SparkSession, count: int) -> DataFrame:
    """One row per account: its number, the person's number, and a random one."""
    mixed = F.pmod(F.xxhash64("id", F.lit(SEED)), F.lit(1000))
    person = F.when(mixed < SHARED_OF_THOUSAND, F.greatest(F.col("id") - 1 - mixed % 2, F.lit(0))).otherwise(
        F.col("id")
    )
    return spark.range(count).select(F.col("id").alias("number"), person.alias("person"), mixed.alias("mixed"))


def tables_of(spark: SparkSession, folder: Path, count: int, share: float, conf: Path) -> tuple[Evidence, Evidence]:
    """The evidence before the day, and after it."""
    contracts, identity = read_contracts(conf), load_settings("local", "world").identity
    start = F.lit("2025-01-01").cast("timestamp")
    at = start + F.make_interval(mins=F.col("number").cast("int") % 500_000)
    numbered = accounts_of(spark, count).withColumn("arrived_at", at)
    account = F.concat(F.lit("members:"), F.col("number"))
    accounts = numbered.select(
        account.alias("account_id"), F.lit(1).alias("revision"), "arrived_at",
        F.concat(F.lit("name "), F.pmod("person", F.lit(5000))).alias("name_token"),
    )  # fmt: skip
    is_tablet = F.col("number") % TABLET_EVERY == 0
    values = {
        "phone": F.concat(F.lit("phone "), F.col("person")),
        "email": F.when(F.col("number") % 2 == 0, F.concat(F.lit("email "), F.col("person"))),
        "device": F.when(is_tablet, F.lit("tablet")).otherwise(F.concat(F.lit("device "), F.col("number"))),
    }
    pairs = [entry for kind, value in values.items() for entry in (F.lit(kind), value)]
    seen = numbered.select(account.alias("account_id"), "arrived_at", F.explode(F.create_map(*pairs)))
    seen = seen.where("value is not null").withColumnsRenamed({"key": "identifier_kind", "value": "identifier_value"})
    day = numbered.where(F.pmod(F.xxhash64("number"), F.lit(10_000)) < int(share * 10_000)).select(
        account.alias("account_id"),
        (start + F.expr("interval 400 days")).alias("arrived_at"),
        F.lit("phone").alias("identifier_kind"),
        F.concat(
            F.lit("phone "), F.when(F.col("mixed") % 2 == 0, F.floor(F.col("number") / 7)).otherwise(-F.col("number"))
        ).alias("identifier_value"),
    )
    day = day.join(seen, on=["account_id", "identifier_kind", "identifier_value"], how="left_anti").select(
        *seen.columns
    )
    told = {
        "source": F.lit("members"), "first_seen_at": F.col("arrived_at"), "last_seen_at": F.col("arrived_at"),
        "seen_count": F.lit(1).cast("long"), "_record_id": F.lit(None).cast("string"),
    }  # fmt: skip
    frames = {"accounts": accounts, "before": seen.withColumns(told), "now": seen.unionByName(day).withColumns(told)}
    for name, rows in frames.items():
        rows.write.parquet(str(folder / name))
    known, before, now = (spark.read.parquet(str(folder / name)) for name in frames)
    others = {name: empty_rows(spark, contracts[name]) for name in (RECORD_LINKS, OVERRIDES)}
    states = [evidence_of({ACCOUNTS: known, IDENTIFIERS: rows, **others}, identity.links) for rows in (before, now)]
    return states[0], states[1]._replace(accounts=states[0].accounts)


def timed(work: Callable[[], str]) -> tuple[float, str]:
    """The seconds that it took, and what it told."""
    began = time.monotonic()
    told = work()
    return time.monotonic() - began, told


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="a folder that is not there yet; removed afterwards")
    parser.add_argument("--accounts", type=int, default=300_000)
    parser.add_argument("--share", type=float, default=0.01)
    told = parser.parse_args()
    folder, settings = told.folder.resolve(), load_settings("local", "world")
    spark = open_session(settings, "benchmark of identity's days")
    spark.sparkContext.setCheckpointDir(str(folder / "checkpoints"))
    identity, contracts = settings.identity, read_contracts(Path(settings.conf_dir))
    blocked = spark.createDataFrame([], "rule string, identifier_value string")
    before, now = tables_of(spark, folder, told.accounts, told.share, Path(settings.conf_dir))

    def write(found: Resolved, target: str, before: DataFrame | None, rest: Resolved | None = None) -> None:
        ids, renamed = under_kept_ids(found.customer_ids, before)
        written = spark.read.parquet(str(folder / "published" / TABLES[3])) if before is not None else None
        changes = all_changes(ids, renamed, written, F.lit("2026-03-01").cast("timestamp"))
        for place, (name, rows) in enumerate(zip(TABLES, (ids, *found[1:], changes), strict=True)):
            told = rows.select(*contracts[f"silver.{name}"].column_names)
            whole = told.unionByName(rest[place].select(*told.columns)) if rest and place < len(rest) else told
            whole.write.parquet(str(folder / target / name))

    def read(target: str) -> Resolved:
        return Resolved(*(spark.read.parquet(str(folder / target / name)) for name in TABLES[:3]))

    def full(evidence: Evidence, target: str, published: Resolved | None) -> str:
        write(resolved_all(evidence, identity, blocked), target, published.customer_ids if published else None)
        return "all accounts"

    def increment(target: str, published: Resolved) -> str:
        changed = few(changed_accounts(before, now).checkpoint())
        touched = touched_accounts(before, now, changed, published.components, identity.links, blocked).checkpoint()
        touched = few(touched)
        found, held, rest = incremented(now, published, touched, identity, blocked)
        write(found, target, held, rest)
        return f"{changed.count():,} accounts changed, {touched.count():,} touched"

    print("| accounts | run | seconds | anew |\n| ---: | --- | ---: | --- |")
    full(before, "published", None)
    published = read("published")
    for name, work in (
        ("full", lambda: full(now, "full", published)),
        ("a day", lambda: increment("increment", published)),
    ):
        seconds, anew = timed(work)
        print(f"| {told.accounts:,} | {name} | {seconds:,.1f} | {anew} |", flush=True)
    for name in TABLES:
        one, other = (spark.read.parquet(str(folder / target / name)) for target in ("full", "increment"))
        if one.exceptAll(other).count() + other.exceptAll(one).count():
            raise SystemExit(f"{name} differs")
    spark.stop()
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
