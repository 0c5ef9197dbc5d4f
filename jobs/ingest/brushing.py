"""Brushing: rings of accounts behind one device, address or payer that order a few products, unseen, for show."""

from __future__ import annotations

from functools import reduce

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from jobs.lakehouse.cleaning_settings import CleaningSettings
from jobs.lakehouse.event_kinds import is_product_view

DAY_SECONDS = 86_400
# Rings of which one account leads to every other in so many steps over what they share get one id.
JOINING_ROUNDS = 3


def as_shared_keys(orders: DataFrame, events: DataFrame, payments: DataFrame) -> DataFrame:
    """One row per order and thing that other accounts may share: `order_id`, `shared_key`, `key_known_at`.

    Args:
        orders: one row per order, with `delivery_address_token`.
        events: silver events; the device is the one that an order was told from.
        payments: the current payments.
    """
    told = [
        orders.select(
            "order_id", named("address", "delivery_address_token"), F.col("arrived_at").alias("key_known_at")
        ),
        events.where("order_id is not null").select(
            "order_id", named("device", "device_token"), F.col("arrived_at").alias("key_known_at")
        ),
        payments.select("order_id", named("payer", "payer_token"), F.col("arrived_at").alias("key_known_at")),
    ]
    known = reduce(DataFrame.unionByName, told).where("shared_key is not null")
    return known.groupBy("order_id", "shared_key").agg(F.min("key_known_at").alias("key_known_at"))


def named(kind: str, column: str) -> Column:
    """The value with its kind before it; null where there is none."""
    return F.concat(F.lit(f"{kind}:"), F.col(column)).alias("shared_key")


def as_crowds(orders: DataFrame, shared_keys: DataFrame) -> DataFrame:
    """One row per key that several accounts share, with how many: `crowd`."""
    owned = orders.where("account_id is not null").select("order_id", "account_id")
    keyed = owned.join(shared_keys, on="order_id", how="inner")
    return keyed.groupBy("shared_key").agg(F.count_distinct("account_id").alias("crowd")).where("crowd > 1")


def as_candidates(
    orders: DataFrame, shared_keys: DataFrame, crowds: DataFrame, settings: CleaningSettings
) -> DataFrame:
    """One row per order and key, of the keys that enough accounts share, and not so many that the key is a public place."""
    few = crowds.where(F.col("crowd").between(settings.ring_accounts, settings.public_accounts))
    known_at = F.greatest("arrived_at", "key_known_at").alias("known_at")
    shared = shared_keys.join(few, on="shared_key", how="left_semi")
    return (
        orders.where("account_id is not null")
        .join(shared, on="order_id", how="inner")
        .select("order_id", "shared_key", known_at, "account_id", "ordered_at", "is_return", "products")
    )


def with_bound(
    judged: DataFrame, candidates: DataFrame, shared_keys: DataFrame, crowds: DataFrame, settings: CleaningSettings
) -> DataFrame:
    """The candidates with `is_bound`: whether the account had shared something of another kind, too, with another account of the key.

    Who lives in one dormitory has one address in common, and no more; what a crowd shares, such as a kiosk, binds nobody.

    Args:
        judged: the candidates and what else is told of them.
        candidates: the same rows, read more than once.
        shared_keys: one row per order and key.
        crowds: how many accounts share each key.
        settings: for how long a thing counts, and what a public place is.
    """
    private = crowds.where(F.col("crowd") <= settings.public_accounts)
    others = shared_keys.join(private, on="shared_key", how="left_semi").withColumnsRenamed(
        {"shared_key": "_other_key", "key_known_at": "_other_known_at"}
    )
    pairs = candidates.join(others, on="order_id", how="inner").where(
        (_kind("shared_key") != _kind("_other_key")) & (F.col("_other_known_at") <= F.col("known_at"))
    )
    days = settings.ring_days * DAY_SECONDS
    lately = Window.partitionBy("shared_key", "_other_key").orderBy(F.unix_seconds("known_at")).rangeBetween(-days, 0)
    shared = pairs.withColumn("_accounts", F.size(F.collect_set("account_id").over(lately)))
    bound = shared.where(F.col("_accounts") > 1).select("order_id", "shared_key").distinct()
    joined = judged.join(bound.withColumn("is_bound", F.lit(True)), on=["order_id", "shared_key"], how="left")
    return joined.withColumn("is_bound", F.coalesce("is_bound", F.lit(False)))


def _kind(key: str) -> Column:
    return F.substring_index(key, ":", 1)


def as_viewers(candidates: DataFrame, events: DataFrame) -> DataFrame:
    """One row per order of the candidates that the events tell of, and account or device that it may have been looked for with.

    `order_id`, `viewer`, and of the order `ordered_at` and `known_at`.
    """
    told = events.where("order_id is not null").select("order_id", "device_token").distinct()
    orders = candidates.select("order_id", "account_id", "ordered_at", "known_at").distinct()
    return orders.join(told, on="order_id", how="inner").select("order_id", "ordered_at", "known_at", as_viewer())


def as_viewer() -> Column:
    """A row's account and device, each with its kind before it, in a row of its own."""
    return F.explode(F.array_compact(F.array(named("account", "account_id"), named("device", "device_token")))).alias(
        "viewer"
    )


def with_unbrowsed(
    candidates: DataFrame, viewers: DataFrame, events: DataFrame, settings: CleaningSettings
) -> DataFrame:
    """The candidates with `is_unbrowsed`: neither the account nor the device had looked at anything before; null if not known.

    It is known of orders that the events tell of, by what had arrived with the order.

    Args:
        candidates: one row per order and key.
        viewers: what `as_viewers` tells of them.
        events: silver events.
        settings: for how long a look counts.
    """
    seen = events.where(is_product_view(settings.purchase_events)).select(
        as_viewer(), F.col("event_at").alias("seen_at"), F.col("arrived_at").alias("seen_arrived_at")
    )
    seconds_before = F.unix_seconds("ordered_at") - F.unix_seconds("seen_at")
    looked = (
        seen.join(viewers, on="viewer", how="inner")
        .where(
            seconds_before.between(0, settings.browse_hours * 3600) & (F.col("seen_arrived_at") <= F.col("known_at"))
        )
        .select("order_id", F.lit(False).alias("_unseen"))
        .distinct()
    )
    judged = viewers.select("order_id").distinct().join(looked, on="order_id", how="left")
    judged = judged.select("order_id", F.coalesce("_unseen", F.lit(True)).alias("is_unbrowsed"))
    return candidates.join(judged, on="order_id", how="left")


def squared_counts(products: Column) -> Column:
    """The sum over these products of the square of how often each is there, by one pass over them in order."""
    so_far = F.struct(F.lit(None).cast("string").alias("product"), F.lit(0).alias("times"), F.lit(0).alias("squares"))

    def with_next(told: Column, product: Column) -> Column:
        times = F.when(told["product"] == product, told["times"] + 1).otherwise(1)
        # The next odd number leads from one square to the next.
        return F.struct(
            product.alias("product"), times.alias("times"), (told["squares"] + 2 * times - 1).alias("squares")
        )

    return F.aggregate(F.array_sort(products), so_far, with_next, lambda told: told["squares"])


def same_product_share(squares: Column, total: Column) -> Column:
    """The chance that two products, drawn at random from so many, are the same (Simpson 1949; Herfindahl's index).

    Args:
        squares: what `squared_counts` tells of them.
        total: how many they are.
    """
    return F.coalesce(F.try_divide(squares, F.pow(total.cast("double"), F.lit(2.0))), F.lit(0.0))


def same_product_pairs(squares: Column, total: Column) -> Column:
    """The share of pairs among products that are alike, which is unbiased however few they are; 0 of one.

    Args:
        squares: what `squared_counts` tells of them.
        total: how many they are.
    """
    return F.coalesce(F.try_divide(squares - total, total.cast("double") * (total - 1)), F.lit(0.0))


def with_ring_score(candidates: DataFrame, settings: CleaningSettings) -> DataFrame:
    """The candidates with `ring_score`: above 0 where, with this order, its key had all that makes a ring in some last days.

    That is enough accounts and orders, of few products, and the goods mostly bought unseen or brought back. Of accounts that are bound
    by two kinds of things less is asked, but two of the three: a ring that also buys what others buy is diluted.
    """
    days = settings.ring_days * DAY_SECONDS
    lately = Window.partitionBy("shared_key").orderBy(F.unix_seconds("known_at")).rangeBetween(-days, 0)
    sold = ~F.col("is_return")
    counted = candidates.withColumns(
        {
            "_accounts": F.size(F.collect_set("account_id").over(lately)),
            "_orders": F.count_if(sold).over(lately),
            "_returns": F.count_if("is_return").over(lately),
            "_unbrowsed": F.coalesce(F.avg(F.when(sold, F.col("is_unbrowsed").cast("int"))).over(lately), F.lit(0.0)),
            "_bound": F.avg(F.when(sold, F.col("is_bound").cast("int"))).over(lately),
            "_products": F.flatten(F.collect_list(F.when(sold, F.col("products"))).over(lately)),
        }
    )
    is_many = (F.col("_accounts") >= settings.ring_accounts) & (F.col("_orders") >= settings.ring_orders)
    squares, total = F.col("_squares"), F.size("_products")
    # The products of the others are not looked at.
    shares = counted.withColumn("_squares", F.when(is_many, squared_counts(F.col("_products")))).withColumns(
        {
            "_same": same_product_share(squares, total),
            "_same_pairs": same_product_pairs(squares, total),
            "_returned": F.least(F.coalesce(F.try_divide("_returns", "_orders"), F.lit(0.0)), F.lit(1.0)),
        }
    )
    is_show = (F.col("_unbrowsed") >= settings.ring_unbrowsed_share) | (
        F.col("_returned") >= settings.ring_returned_share
    )
    is_plain = (F.col("_same") >= settings.ring_same_product_share) & is_show
    signs = [
        F.col("_same_pairs") >= settings.ring_bound_same_product_share,
        F.col("_unbrowsed") >= settings.ring_bound_unbrowsed_share,
        (F.col("_returned") >= settings.ring_bound_returned_share) & (F.col("_returns") > 1),
    ]
    is_bound = F.coalesce(F.col("_bound") >= settings.ring_bound_share, F.lit(False))
    is_hidden = is_bound & (reduce(lambda one, other: one + other, [sign.cast("int") for sign in signs]) > 1)
    is_ring = is_many & (is_plain | is_hidden)
    left_open = (1 - F.col("_same")) * (1 - F.col("_unbrowsed")) * (1 - F.col("_returned"))
    score = F.when(is_ring, 1 - left_open).otherwise(0.0)
    return shares.withColumn("ring_score", score).drop(
        "_accounts",
        "_orders",
        "_returns",
        "_unbrowsed",
        "_bound",
        "_products",
        "_squares",
        "_same",
        "_same_pairs",
        "_returned",
    )


def as_brushed_orders(candidates: DataFrame, settings: CleaningSettings) -> DataFrame:
    """One row per order of a ring: `order_id`, `ring_id`, `known_at`, `score`.

    A key that had all that makes a ring taints its orders of the days before, which were the evidence and are known from
    then on, and of as many days after, known when they arrive.

    Args:
        candidates: with `is_unbrowsed`.
        settings: what makes a ring.
    """
    days = settings.ring_days * DAY_SECONDS
    in_order = Window.partitionBy("shared_key").orderBy(F.unix_seconds("known_at"))
    before, after = in_order.rangeBetween(-days, 0), in_order.rangeBetween(0, days)
    ring_at = F.when(F.col("ring_score") > 0, F.col("known_at"))
    tainted = with_ring_score(candidates, settings).withColumns(
        {
            "_before": F.max("ring_score").over(before),
            "_after": F.max("ring_score").over(after),
            "_later_at": F.min(ring_at).over(after),
        }
    )
    caught = tainted.where((F.col("_before") > 0) | (F.col("_after") > 0)).withColumns(
        {
            "known_at": F.when(F.col("_before") > 0, F.col("known_at")).otherwise(F.col("_later_at")),
            "score": F.greatest("_before", "_after"),
        }
    )
    joined = caught.join(as_rings(caught), on="account_id", how="left")
    return joined.groupBy("order_id").agg(
        F.min("ring_id").alias("ring_id"), F.min("known_at").alias("known_at"), F.max("score").alias("score")
    )


def as_rings(caught: DataFrame) -> DataFrame:
    """One row per account of a ring: `account_id`, `ring_id`; accounts that share a tainted key, or lead to one that does, are one."""
    edges = caught.select("account_id", "shared_key").distinct().withColumn("_ring", F.col("shared_key"))
    for _ in range(JOINING_ROUNDS):
        for end in ("account_id", "shared_key"):
            edges = edges.withColumn("_ring", F.min("_ring").over(Window.partitionBy(end)))
    # The key may hold a token: the id tells nothing of it.
    ring_id = F.concat(F.lit("ring-"), F.substring(F.sha2("_ring", 256), 1, 16))
    return edges.groupBy("account_id").agg(F.min(ring_id).alias("ring_id"))
