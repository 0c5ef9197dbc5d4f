"""What an event of silver.events is: a view of a product, a step towards a purchase, a purchase, or neither."""

from collections.abc import Sequence

from pyspark.sql import Column
from pyspark.sql import functions as F

# Steps towards an order that name a product, by the Segment specification of e-commerce; nobody looks at it again for them.
STEPS_AFTER_VIEW = (
    "Product Added",
    "Product Removed",
    "Cart Viewed",
    "Checkout Started",
    "Checkout Step Viewed",
    "Checkout Step Completed",
    "Payment Info Entered",
    "Order Updated",
    "Order Refunded",
    "Order Cancelled",
)


def is_tracked() -> Column:
    """Whether an event is something that was done; a page that was loaded, or a log-in, tells of nothing more."""
    return F.col("event_type") == "track"


def is_purchase(purchase_events: Sequence[str]) -> Column:
    """Whether an event tells of an order; the names of such events are a setting."""
    return is_tracked() & F.coalesce(F.col("event_name").isin(*purchase_events), F.lit(False))


def is_product_view(purchase_events: Sequence[str]) -> Column:
    """Whether an event is a look at a product: neither a purchase nor a step on the way to one."""
    is_step = F.coalesce(F.col("event_name").isin(*STEPS_AFTER_VIEW), F.lit(False))
    return is_tracked() & F.col("product_id").isNotNull() & ~is_purchase(purchase_events) & ~is_step
