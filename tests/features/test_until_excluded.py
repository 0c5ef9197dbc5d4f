"""What is flagged counts as of the dates before it was known, and no longer as of those after."""

import datetime as dt

from pyspark.sql import SparkSession

from jobs.features.build_customer_features import customer_features
from jobs.features.build_demand_history import as_weekly_sales
from jobs.features.visibility import as_of_dates, until_excluded
from tests.rows import SHANGHAI, customer_id, event, frame_of, local, local_date, order_line, row_of

MONDAY = local("2025-03-03 12:00")
DAY = dt.timedelta(days=1)
WINDOWS = (7, 30, 90, 365)


def test_a_flag_takes_a_row_out_from_the_day_on_which_it_was_known(spark: SparkSession) -> None:
    lines = [
        order_line(order_line_id=name, order_id=name, account_id="a", ordered_at=MONDAY, ordered_date=local_date(MONDAY), arrived_at=MONDAY)
        for name in ("plain", "brushed", "only marked")
    ]  # fmt: skip
    clicks = [event(event_id=name, account_id="a", event_at=MONDAY, arrived_at=MONDAY) for name in ("one", "again")]
    order_flags = [
        row_of("silver.order_flags", order_id="brushed", excluded_at=MONDAY + 2 * DAY),
        row_of("silver.order_flags", order_id="only marked"),
    ]
    event_flags = frame_of(
        spark, "silver.event_flags", row_of("silver.event_flags", event_id="again", arrived_at=MONDAY + DAY)
    )
    days = [local_date(MONDAY) + number * DAY for number in range(3)]
    features = customer_features(
        until_excluded(
            frame_of(spark, "silver.order_lines", *lines), frame_of(spark, "silver.order_flags", *order_flags), "order_id"
        ),
        until_excluded(
            frame_of(spark, "silver.events", *clicks), event_flags.withColumnRenamed("arrived_at", "excluded_at"), "event_id"
        ),
        frame_of(spark, "silver.customer_ids", customer_id(identifier_value="a", valid_from=MONDAY - DAY)),
        as_of_dates(spark, days, SHANGHAI),
        WINDOWS,
    )  # fmt: skip
    found = {row["as_of_date"]: (row["order_count"], row["event_count_7d"]) for row in features.collect()}
    assert found == {days[0]: (3, 2), days[1]: (3, 1), days[2]: (2, 1)}


def test_a_corrected_line_ends_with_its_correction_or_its_flag_whichever_is_first(spark: SparkSession) -> None:
    lines = [
        order_line(order_id="flagged first", superseded_at=MONDAY + 3 * DAY),
        order_line(order_id="corrected first", superseded_at=MONDAY + DAY),
        order_line(order_id="neither"),
    ]
    flags = [
        row_of("silver.order_flags", order_id=name, excluded_at=MONDAY + 2 * DAY)
        for name in ("flagged first", "corrected first")
    ]
    ended = until_excluded(
        frame_of(spark, "silver.order_lines", *lines), frame_of(spark, "silver.order_flags", *flags), "order_id"
    )
    found = {row["order_id"]: row["superseded_at"] for row in ended.collect()}
    assert found == {"flagged first": MONDAY + 2 * DAY, "corrected first": MONDAY + DAY, "neither": None}
    assert set(ended.columns) == set(frame_of(spark, "silver.order_lines").columns)


def test_demand_leaves_out_what_was_known_for_brushing_when_the_week_was_closed(spark: SparkSession) -> None:
    close = local("2025-03-13 00:00")
    lines = [
        order_line(order_line_id=name, order_id=name, quantity=pieces, arrived_at=MONDAY,
                   ordered_at=MONDAY, ordered_date=local_date(MONDAY))
        for name, pieces in (("plain", 1), ("known in time", 10), ("known later", 100))
    ]  # fmt: skip
    flags = [
        row_of("silver.order_flags", order_id="known in time", excluded_at=close - dt.timedelta(seconds=1)),
        row_of("silver.order_flags", order_id="known later", excluded_at=close),
    ]
    clean = until_excluded(
        frame_of(spark, "silver.order_lines", *lines), frame_of(spark, "silver.order_flags", *flags), "order_id"
    )
    (row,) = as_weekly_sales(clean, 3, SHANGHAI).collect()
    assert row["gross_units"] == 101
