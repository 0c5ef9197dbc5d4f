"""Linking: pairs of records that may be of one person, each with its probability, learned from the records alone.

Fellegi and Sunter's model, fitted and applied by Splink on DuckDB in memory: nothing of it ever reaches a disk.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import duckdb
import pandas as pd
from splink import DuckDBAPI, Linker, SettingsCreator
from splink.internals.exceptions import SplinkException

from jobs.identity.linking_choice import as_decided, log_odds
from jobs.identity.linking_comparisons import agree_sql, comparisons
from jobs.identity.linking_forms import as_written
from jobs.identity.linking_keys import Key, chosen_keys
from jobs.identity.linking_weights import START_SHARE, with_m, with_u
from jobs.lakehouse.errors import ConfigurationError, DataError
from jobs.lakehouse.linking_settings import LinkingModel

# Pairs that speak rather against than for one person are no candidates; most that agree by one key alone are such.
LEAST_EVIDENCE = 0.0
U_PAIRS = 2_000_000


@dataclass(frozen=True)
class Resources:
    """What linking may take of the machine: memory in MiB, and threads; only one thread sums in the same order every time."""

    memory_mib: int = 2048
    threads: int = 1


def linked_pairs(records: pd.DataFrame, model: LinkingModel, resources: Resources | None = None) -> pd.DataFrame:
    """One row per pair of records with a chance to match: ids, probability, weight (log2 of the odds) and decision.

    The order of the records changes nothing.

    Args:
        records: `record_id`, the columns of the model, and `source` where there are two sets.
        model: the columns, keys and thresholds.
        resources: what linking may take of the machine.

    Raises:
        ConfigurationError: the memory did not suffice.
    """
    held = resources or Resources()
    rows = as_written(records, model)
    connection = duckdb.connect(":memory:")
    # The plain values are in these tables: what does not fit into memory fails, and is not written to a disk.
    connection.execute("SET temp_directory = ''")
    connection.execute(f"SET memory_limit = '{held.memory_mib}MiB'")
    connection.execute(f"SET threads = {held.threads}")
    logging.getLogger("splink").setLevel(logging.CRITICAL)  # its messages quote conditions and settings
    try:
        scored = _scored(connection, rows, model)
    except (duckdb.Error, SplinkException) as error:
        # Their messages may quote values.
        if "Out of Memory" in str(error):
            problem = f"linking {len(rows):,} records takes more than {held.memory_mib} MiB; raise linking.memory_mib"
            raise ConfigurationError(problem) from None
        raise DataError(f"records can't be linked: {type(error).__name__}") from None
    finally:
        connection.close()
    return as_decided(scored, _possible_pairs(rows, model), model)


def _possible_pairs(rows: pd.DataFrame, model: LinkingModel) -> tuple[int, int]:
    """From how many records to how many a pair may lead."""
    if model.sets == "one":
        return len(rows), len(rows)
    first = int((rows["source"] == rows["source"].min()).sum())
    return first, len(rows) - first


def _scored(connection: duckdb.DuckDBPyConnection, rows: pd.DataFrame, model: LinkingModel) -> pd.DataFrame:
    """One row per candidate pair with its evidence: the log2 of how many times likelier it is if the two are one."""
    connection.register("told", rows)
    connection.execute("CREATE TABLE records AS SELECT * FROM told ORDER BY record_id")
    connection.unregister("told")
    filled = {name for name in rows.columns if rows[name].notna().any()} - {"record_id", "source"}
    keys = chosen_keys(connection, model, filled)
    if not keys:
        return pd.DataFrame({"left_id": [], "right_id": [], "evidence": []})
    untrained = _linker(connection, model, comparisons(model, filled), keys, shows_levels=True)
    untrained.training.estimate_u_using_random_sampling(max_pairs=U_PAIRS, seed=1, min_count_per_level=None)
    compared = untrained.inference.predict().physical_name
    first, second = _possible_pairs(rows, model)
    possible = first * (first - 1) / 2 if model.sets == "one" else float(first * second)
    told = with_u(comparisons(model, filled), untrained.misc.save_model_to_json(), min(possible, U_PAIRS))
    columns = ", ".join(f"gamma_{comparison['output_column_name']}" for comparison in told)
    patterns = connection.sql(f"SELECT {columns}, count(*) AS pairs FROM {compared} GROUP BY ALL ORDER BY ALL").df()  # noqa: S608
    connection.execute(f"DROP TABLE {compared}")
    trained = _linker(connection, model, with_m(told, patterns, possible, model.match_share), keys, shows_levels=False)
    start = log_odds(START_SHARE)
    found = trained.inference.predict(threshold_match_weight=LEAST_EVIDENCE + start).as_pandas_dataframe()
    return pd.DataFrame(
        {"left_id": found["record_id_l"], "right_id": found["record_id_r"], "evidence": found["match_weight"] - start}
    )


def _linker(
    connection: duckdb.DuckDBPyConnection,
    model: LinkingModel,
    told: list[dict[str, Any]],
    keys: list[Key],
    shows_levels: bool,
) -> Linker:
    settings = SettingsCreator(
        link_type="dedupe_only" if model.sets == "one" else "link_only",
        unique_id_column_name="record_id",
        comparisons=told,
        blocking_rules_to_generate_predictions=[agree_sql(key) for key in keys],
        probability_two_random_records_match=START_SHARE,
        retain_matching_columns=shows_levels,
    )
    api = DuckDBAPI(connection)
    if model.sets == "one":
        return Linker(api.register("records"), settings, log_level=None)
    sources = sorted(source for (source,) in connection.sql("SELECT DISTINCT source FROM records").fetchall())
    for number, source in enumerate(sources):
        of_source = "SELECT * EXCLUDE (source) FROM records WHERE source = ? ORDER BY record_id"
        connection.execute(f"CREATE OR REPLACE TABLE set_{number} AS {of_source}", [source])
    return Linker(
        [api.register(f"set_{number}", dataset_display_name=f"set_{number}") for number in range(len(sources))],
        settings,
        log_level=None,
    )
