"""Views and purchases are what was done: neither a page that is called like one nor a log-in counts."""

from pyspark.sql import SparkSession

from jobs.lakehouse.event_kinds import is_product_view, is_purchase
from tests.rows import event, frame_of

PURCHASES = ("Order Completed",)


def test_only_what_was_done_is_a_view_or_a_purchase(spark: SparkSession) -> None:
    events = [
        event(event_id=f"{event_type} {name} {product}", event_type=event_type, event_name=name, product_id=product)
        for event_type in ("track", "page", "identify")
        for name in ("Product Viewed", "Product Added", "Checkout Started", "Order Completed", None)
        for product in ("p", None)
    ]
    rows = frame_of(spark, "silver.events", *events)
    views = {row["event_id"] for row in rows.where(is_product_view(PURCHASES)).collect()}
    purchases = {row["event_id"] for row in rows.where(is_purchase(PURCHASES)).collect()}
    assert views == {"track Product Viewed p", "track None p"}
    assert purchases == {"track Order Completed p", "track Order Completed None"}
    assert rows.where(is_purchase(PURCHASES).isNull() | is_product_view(PURCHASES).isNull()).isEmpty()
