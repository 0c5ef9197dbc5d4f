"""One currency: amounts that are added up and bear the dataset's currency are all told in it."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.lakehouse.errors import DataError


def refuse_other_currencies(lines: DataFrame, table: str, currency_code: str) -> None:
    """Nothing where every product line that can count is in the dataset's currency; services count in no amount.

    Revisions that were superseded count too: as of a date before they held.
    The statistics of the files tell of most that they hold no other currency, so that these are not read.

    Args:
        lines: order lines, `line_kind` and `currency_code`.
        table: where they come from.
        currency_code: the dataset's, of its calendar.

    Raises:
        DataError: some are in another currency.
    """
    others = lines.where((F.col("currency_code") != currency_code) & (F.col("line_kind") == "product"))
    counts = {row["currency_code"]: row["count"] for row in others.groupBy("currency_code").count().collect()}
    if counts:
        found = ", ".join(f"{count:,} in {code}" for code, count in sorted(counts.items()))
        raise DataError(
            f"{table}: product lines in another currency than the dataset's {currency_code}: {found}. Amounts of two "
            "currencies are never added up: have the mapping of the feed convert them (columns: line_amount, "
            "unit_price_amount, list_price_amount, currency_code), or make a dataset of its own of these lines, whose "
            "calendar.currency_code is theirs"
        )
