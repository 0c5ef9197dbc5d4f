"""Clean the order and receipt lines of every feed into silver order lines, one row per revision of a line, amounts exact."""

import sys

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.ingest.cleaning import publish_mapped
from jobs.lakehouse.job import Job
from jobs.lakehouse.run import Run

JOB = Job(reads=("bronze.*",), writes=("silver.order_lines",))
TABLE = "silver.order_lines"


def with_line_facts(lines: DataFrame, time_zone: str) -> DataFrame:
    """The lines with their amount, their business day and whether goods came back.

    A source that tells what a line came to is believed to the penny: there the unit price is what was rounded.
    """
    computed = F.try_multiply("quantity", "unit_price_amount").try_cast("decimal(18,4)")
    return lines.withColumns(
        {
            "line_amount": F.coalesce("line_amount", computed),
            "ordered_date": F.to_date(F.from_utc_timestamp("ordered_at", time_zone)),
            "is_return": F.col("quantity") < 0,
        }
    )


def build(run: Run) -> None:
    publish_mapped(run, TABLE, lambda lines: with_line_facts(lines, run.time_zone))


if __name__ == "__main__":
    sys.exit(JOB.main(__doc__, build))
