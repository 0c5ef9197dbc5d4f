"""What an event of silver.events is: a view of a product, a purchase, or neither."""

from collections.abc import Sequence

from pyspark.sql import Column
from pyspark.sql import functions as F


def is_tracked() -> Column:
    """Whether an event is something that was done; a page that was loaded, or a log-in, tells of nothing more."""
    return F.col("event_type") == "track"


def is_purchase(purchase_events: Sequence[str]) -> Column:
    """Whether an event tells of an order; the names of such events are a setting."""
    return is_tracked() & F.coalesce(F.col("event_name").isin(*purchase_events), F.lit(False))


def is_product_view(purchase_events: Sequence[str]) -> Column:
    """Whether an event is a look at a product."""
    return is_tracked() & F.col("product_id").isNotNull() & ~is_purchase(purchase_events)
