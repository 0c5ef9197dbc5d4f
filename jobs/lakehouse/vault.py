"""The vault: which key its values were sealed by."""

from __future__ import annotations

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs.lakehouse.errors import ConfigurationError
from jobs.lakehouse.keys import Keys
from jobs.lakehouse.tables import Lake, read_table, table_version

VALUES, PAYLOADS = "vault.personal_values", "vault.payloads"
# What every job that takes records in adds to, by key: locked for the moment of the write, not for the whole run.
ADDED_TO = (VALUES, PAYLOADS)


def refuse_another_key(spark: SparkSession, lake: Lake, keys: Keys) -> None:
    """Check that the lake's tokens are of this key: under two keys one person would become two, without a word.

    Raises:
        ConfigurationError: they were made by another one.
    """
    path = lake.path(VALUES)
    if table_version(spark, path) is None:
        return
    other = read_table(spark, path).where(F.col("key_id") != keys.key_id).select("key_id").first()
    if other is not None:
        raise ConfigurationError(
            f"the lake's tokens were made by key {other['key_id']}, not by {keys.key_id}: give that key, or the new one after "
            "python -m jobs rotate-keys"
        )
