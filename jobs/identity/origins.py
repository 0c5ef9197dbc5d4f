"""Origins: what stands for an account or identifier where customers are minted and ties are broken, whatever the key is now."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.lakehouse.personal import TOKEN, origin_of


def with_origin(rows: DataFrame, column: str, origin: str, rotated: DataFrame | None = None) -> DataFrame:
    """The rows with the origin of a column: its text, where a token stands for what its value's first token was hashed to.

    Args:
        rows: any rows.
        column: an id that may hold one token, alone or after a prefix.
        origin: the name of the column to add.
        rotated: `token` and `origin` of the values whose token has changed; None where no key was ever rotated.
    """
    token = F.regexp_substr(F.col(column), F.lit(TOKEN))
    known = rows.withColumn("_token", token)
    if rotated is None:
        known = known.withColumn("_origin", F.lit(None).cast("string"))
    else:
        first = rotated.select(F.col("token").alias("_token"), F.col("origin").alias("_origin"))
        known = known.join(first, on="_token", how="left")
    hashed = F.coalesce(F.col("_origin"), origin_of(F.col("_token")))
    replaced = F.replace(F.col(column), F.col("_token"), hashed)
    return known.withColumn(origin, F.coalesce(replaced, F.col(column))).drop("_token", "_origin")
