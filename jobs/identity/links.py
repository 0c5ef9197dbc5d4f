"""Links: what is seen with accounts becomes the edges of the graph of customers, each with its rule, its source and its fate."""

from __future__ import annotations

from collections.abc import Mapping

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from jobs.lakehouse.identity_settings import LinkSettings

RECORD_LINK, OVERRIDE = "record_link", "override"
# The tables that tell of links between accounts.
TABLE_OF = {RECORD_LINK: "silver.record_links", OVERRIDE: "ops.identity_overrides"}
ALWAYS, NEVER = "always", "never"
NOBODY = ""  # the group of an identifier that all its accounts share
LOW_CONFIDENCE, TAKEN_BACK = "low_confidence", "taken_back"
# What of an account a link needs to know.
NAMES = ("account_id", "name_token", "named_at")


def setting_of(links: Mapping[str, LinkSettings], name: str, rule: str = "rule") -> Column:
    """A setting of the kind of link that a row has; null for a kind that is not among the settings."""
    entries = [F.lit(entry) for rule_name in sorted(links) for entry in (rule_name, getattr(links[rule_name], name))]
    return F.try_element_at(F.create_map(*entries), F.col(rule)) if entries else F.lit(None)


def with_group(seen: DataFrame, links: Mapping[str, LinkSettings]) -> DataFrame:
    """Rows of identifiers with `identifier_group`: whose it is, where persons of several names share one value.

    A family's phone is one identifier per name, so that it joins each person's accounts and not the family. What needs
    a name to join is, with an account that has none, that account's alone.

    Args:
        seen: rows with `rule`, `account_id` and `name_token`.
        links: the settings of each kind.
    """
    joins = setting_of(links, "joins")
    alone = F.concat(F.lit("account:"), F.col("account_id"))
    group = (
        F.when(joins == "not_against_name", F.coalesce("name_token", F.lit(NOBODY)))
        .when(joins == "with_same_name", F.coalesce("name_token", alone))
        .when(joins == "always", F.lit(NOBODY))
        .otherwise(alone)
    )
    return seen.withColumn("identifier_group", group)


def judged(seen: DataFrame, links: Mapping[str, LinkSettings], blocked: DataFrame) -> DataFrame:
    """Rows of identifiers with `refusal_reason`, null where the link may join.

    Since the first accounts to arrive are the ones kept, a link never vanishes because of what comes later.

    Args:
        seen: rows with `rule`, `identifier_value`, `arrived_at`, `account_origin`, `identifier_origin`.
        links: the settings of each kind.
        blocked: `rule` and `identifier_value` of what must never join.
    """
    arrivals = Window.partitionBy("rule", "identifier_value").orderBy("arrived_at", "account_origin")
    of_account = Window.partitionBy("rule", "account_id").orderBy("arrived_at", "identifier_origin")
    stopped = blocked.select("rule", "identifier_value", F.lit(True).alias("_is_blocked"))
    marked = seen.join(F.broadcast(stopped), on=["rule", "identifier_value"], how="left")
    reason = (
        F.when(F.col("_is_blocked"), "blocked_value")
        .when(F.coalesce(setting_of(links, "joins"), F.lit(NEVER)) == NEVER, "does_not_join")
        .when(setting_of(links, "confidence") < setting_of(links, "min_confidence"), LOW_CONFIDENCE)
        .when(F.row_number().over(arrivals) > setting_of(links, "max_accounts"), "too_many_accounts")
        .when(F.row_number().over(of_account) > setting_of(links, "max_per_account"), "too_many_values")
    )
    return marked.withColumn("refusal_reason", reason).drop("_is_blocked")


def with_owner(seen: DataFrame) -> DataFrame:
    """Rows of identifiers with `is_owner`: whether the value, where nothing else tells, belongs to this group's customer.

    It is the group that the first account to arrive belongs to, so that it never changes because of what comes later.
    """
    first = F.min(F.struct("arrived_at", "account_origin", "identifier_group"))
    owner = first.over(Window.partitionBy("rule", "identifier_value"))["identifier_group"]
    return seen.withColumn("is_owner", F.col("identifier_group") == owner)


def named_later(joining: DataFrame, links: Mapping[str, LinkSettings]) -> DataFrame:
    """One more link for each account that was told with a name only after its value: to the name's group, from then on."""
    later = joining.where("later_name is not null").drop("identifier_group")
    told = later.withColumns({"name_token": F.col("later_name"), "arrived_at": F.col("named_at")})
    grouped = with_group(told, links).where(setting_of(links, "joins").isin("not_against_name", "with_same_name"))
    return grouped.withColumns({"is_owner": F.lit(False), "later_name": F.lit(None).cast("string")})


def of_unnamed(joining: DataFrame, links: Mapping[str, LinkSettings]) -> DataFrame:
    """One more link for each unnamed account on a value that named ones share: to the first name's group, once both are there.

    An account that was named before that has none.
    """
    of_value = Window.partitionBy("rule", "identifier_value")
    named = F.when(F.col("name_token").isNotNull(), F.struct("arrived_at", "account_origin", "identifier_group"))
    joins = joining.where(setting_of(links, "joins") == "not_against_name").withColumn(
        "_first", F.min(named).over(of_value)
    )
    return (
        joins.where("name_token is null and _first is not null")
        .withColumn("arrived_at", F.greatest("arrived_at", F.col("_first.arrived_at")))
        .where("later_name is null or arrived_at < named_at")
        .withColumns({"identifier_group": F.col("_first.identifier_group"), "is_owner": F.lit(False)})
        .drop("_first")
    )


def as_edges(
    identifiers: DataFrame, names: DataFrame, links: Mapping[str, LinkSettings], blocked: DataFrame
) -> DataFrame:
    """One row per account and identifier: by what rule it joins, with what confidence, or why it does not.

    `name_token` is the account's name where it was known when the identifier was seen, `later_name` where it came later.

    Args:
        identifiers: rows of silver.identifiers with `account_origin` and `identifier_origin`.
        names: the columns `NAMES`: the first name that the account was told with, and when.
        links: the settings of each kind.
        blocked: `rule` and `identifier_value` of what must never join.
    """
    seen = identifiers.withColumn("rule", F.col("identifier_kind")).join(names, on="account_id", how="left")
    is_later = F.col("named_at") > F.col("arrived_at")
    seen = seen.withColumns(
        {
            "later_name": F.when(is_later, F.col("name_token")),
            "name_token": F.when(~is_later, F.col("name_token")),
        }
    )
    told = judged(with_group(seen, links), links, blocked)
    return with_owner(told).withColumns(
        {
            "confidence": F.coalesce(setting_of(links, "confidence"), F.lit(0.0)),
            "is_exact": F.coalesce(setting_of(links, "is_exact"), F.lit(False)),
        }
    )


def as_told(edges: DataFrame, links: Mapping[str, LinkSettings]) -> DataFrame:
    """The edges that may join, as the replay reads them; of a refused one the owner alone is told, by a link of its own."""
    # A word that was taken back held for a time; the replay knows until when.
    joining = edges.where(f"refusal_reason is null or refusal_reason = '{TAKEN_BACK}'")
    joining = joining.unionByName(named_later(joining, links))
    owned = edges.where("refusal_reason = 'does_not_join' and is_owner").withColumn(
        "identifier_group", F.concat(F.lit("account:"), F.col("account_id"))
    )
    first = Window.partitionBy("rule", "identifier_value").orderBy("arrived_at", "account_origin")
    owned = owned.withColumn("_rank", F.row_number().over(first)).where("_rank = 1").drop("_rank")
    return joining.unionByName(of_unnamed(joining, links)).unionByName(owned)


def between_accounts(pairs: DataFrame, rule: str, links: Mapping[str, LinkSettings]) -> DataFrame:
    """Pairs of accounts as edges: from the first account of each pair to the other.

    Args:
        pairs: `account_id`, `other_account_id`, `arrived_at`, `last_seen_at`, `seen_count`, `confidence`, `holds`, `_record_id`, with
            origins `account_origin` and `other_origin`.
        rule: `record_link` or `override`.
        links: the settings of each kind; a rule that is not among them joins nothing.
    """
    is_told = rule in links and links[rule].joins == ALWAYS
    return pairs.select(
        "account_id",
        F.lit(rule).alias("rule"),
        F.lit("account").alias("identifier_kind"),
        F.col("other_account_id").alias("identifier_value"),
        F.lit(NOBODY).alias("identifier_group"),
        "arrived_at",
        "account_origin",
        F.col("other_origin").alias("identifier_origin"),
        "confidence",
        (
            F.when(~F.col("holds"), TAKEN_BACK).when(F.col("confidence") < links[rule].min_confidence, LOW_CONFIDENCE)
            if is_told
            else F.lit("does_not_join")
        ).alias("refusal_reason"),
        F.lit(TABLE_OF[rule]).alias("source"),
        F.col("arrived_at").alias("first_seen_at"),
        *("last_seen_at", "seen_count", "_record_id"),
        *[F.lit(None).cast("string").alias(name) for name in ("name_token", "later_name")],
        F.lit(None).cast("timestamp").alias("named_at"),
        F.lit(False).alias("is_owner"),
        F.lit(is_told and links[rule].is_exact).alias("is_exact"),
    )
