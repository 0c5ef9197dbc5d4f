"""Linking: pairs of records that may be of one person, each with its probability, learned from the records alone.

Fellegi and Sunter's model: Splink blocks and compares on DuckDB in memory, what is learned and weighed comes from counts. No value
ever reaches a disk.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import duckdb
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
from splink.internals.exceptions import SplinkException

from jobs.identity.linking_choice import as_decided
from jobs.identity.linking_comparisons import LEAST_FREQUENCY, comparisons
from jobs.identity.linking_counts import RANDOM_PAIRS, frequencies, level_shares
from jobs.identity.linking_faults import faults_of
from jobs.identity.linking_forms import as_written
from jobs.identity.linking_keys import chosen_keys
from jobs.identity.linking_pairs import SHARE_OF_PAIRS, Candidates, compared, evidence_of
from jobs.identity.linking_weights import Comparison, Numbers, gamma, pattern_weights, real_levels, with_m, with_u
from jobs.identity.sealed_files import SealedFiles
from jobs.lakehouse.errors import ConfigurationError, DataError
from jobs.lakehouse.linking_settings import LinkingModel

# Pairs that speak rather against than for one person are no candidates; most that agree by one key alone are such.
LEAST_EVIDENCE = 0.0
MIB = 2**20


@dataclass(frozen=True)
class Resources:
    """What linking may take of the machine: memory in MiB, threads, and the folder for pairs that do not fit into the memory.

    However many threads there are, the result is the same to the last digit: they count, and only counts are reckoned with.
    """

    memory_mib: int = 2048
    threads: int = 2
    spill_folder: str | None = None


def linked_pairs(
    records: pd.DataFrame | pa.Table, model: LinkingModel, resources: Resources | None = None
) -> pd.DataFrame:
    """One row per pair of records with a chance to match: ids, probability, weight (log2 of the odds) and decision.

    The order of the records changes nothing.

    Args:
        records: `record_id`, the columns of the model, and `source` where there are two sets.
        model: the columns, keys and thresholds.
        resources: what linking may take of the machine.

    Raises:
        ConfigurationError: the model asks for what the records don't tell, or the memory did not suffice.
    """
    held = resources or Resources()
    names = records.column_names if isinstance(records, pa.Table) else records.columns
    if faults := faults_of(model, [str(name) for name in names]):
        raise ConfigurationError(f"records can't be linked: {'; '.join(faults)}")
    rows = as_written(records, model)
    connection = duckdb.connect(":memory:")
    # The plain values are in these tables: what does not fit into memory fails, and is not written to a disk.
    connection.execute("SET temp_directory = ''")
    connection.execute(f"SET memory_limit = '{held.memory_mib}MiB'")
    connection.execute(f"SET threads = {held.threads}")
    logging.getLogger("splink").setLevel(logging.CRITICAL)  # its messages quote conditions and settings
    try:
        with SealedFiles(held.spill_folder) as files:
            scored = _scored(connection, rows, model, held, files)
    except (duckdb.Error, SplinkException) as error:
        # Their messages may quote values.
        if "Out of Memory" in str(error):
            problem = f"linking {len(rows):,} records takes more than {held.memory_mib} MiB; raise linking.memory_mib"
            raise ConfigurationError(problem) from None
        raise DataError(f"records can't be linked: {type(error).__name__}") from None
    finally:
        connection.close()
    sizes = _sizes(rows, model)
    decided = as_decided(scored, (sizes[0], sizes[-1]), model)
    ids = rows["record_id"].to_numpy()
    return decided.assign(**{side: ids[decided[side].to_numpy(dtype=np.int64)] for side in ("left_id", "right_id")})


def _sizes(rows: pa.Table, model: LinkingModel) -> tuple[int, ...]:
    """How many records there are in each set."""
    if model.sets == "one":
        return (len(rows),)
    sources = rows["source"].to_numpy()
    first = int((sources == min(sources, default="")).sum())
    return first, len(rows) - first


def _scored(
    connection: duckdb.DuckDBPyConnection, rows: pa.Table, model: LinkingModel, held: Resources, files: SealedFiles
) -> pd.DataFrame:
    """One row per candidate pair, by numbers of records, with its evidence: log2 of how many times likelier it is if they are one."""
    sizes = _sizes(rows, model)
    _load(connection, rows, len(sizes))
    filled = {name for name in rows.column_names if rows[name].null_count < len(rows)} - {"record_id", "source"}
    keys = chosen_keys(connection, model, filled)
    possible = sizes[0] * (sizes[0] - 1) / 2 if len(sizes) == 1 else float(sizes[0] * sizes[1])
    if not keys or not possible:
        return pd.DataFrame({"left_id": [], "right_id": [], "evidence": []})
    told = comparisons(model, filled)
    told = with_u(told, level_shares(connection, told, sizes), min(possible, RANDOM_PAIRS))
    candidates = Candidates(told, int(SHARE_OF_PAIRS * held.memory_mib * MIB), files)
    for left, right, code in compared(connection, told, keys, len(sizes), held.memory_mib):
        candidates.add(left, right, code)
    # In one order, however the pairs came in parts: sums in another differ in their last digits.
    patterns = candidates.patterns().sort_values([gamma(comparison) for comparison in told])
    return _weighed(candidates, rows, with_m(told, patterns, possible, model.match_share))


def _load(connection: duckdb.DuckDBPyConnection, rows: pa.Table, sets: int) -> None:
    """A table of all records, and one of each set."""
    numbered = rows.append_column("record_no", pa.array(np.arange(len(rows), dtype=np.uint32)))
    connection.register("told", numbered)
    connection.execute("CREATE TABLE records AS SELECT * FROM told")
    connection.unregister("told")
    if sets == 1:
        connection.execute("CREATE VIEW set_0 AS SELECT * FROM records")
        return
    for number, source in enumerate(sorted(set(rows["source"].to_pylist()))):
        of_source = "SELECT * EXCLUDE (source) FROM records WHERE source = ? ORDER BY record_no"
        connection.execute(f"CREATE TABLE set_{number} AS {of_source}", [source])


def _weighed(candidates: Candidates, rows: pa.Table, told: list[Comparison]) -> pd.DataFrame:
    """One row per candidate pair whose evidence speaks for one person."""
    patterns = candidates.patterns()
    by_pattern = pattern_weights(told, patterns)
    exact: dict[str, tuple[npt.NDArray[np.bool_], Numbers]] = {}
    for comparison in told:
        levels = real_levels(comparison)
        if "tf_adjustment_column" in levels[0]:
            name = comparison["output_column_name"]
            frequency: Numbers = np.maximum(frequencies(rows[name].combine_chunks()), LEAST_FREQUENCY)
            is_same = patterns[gamma(comparison)].to_numpy() == len(levels) - 1
            exact[name] = is_same, np.log2(levels[0]["u_probability"] / frequency)
    parts = []
    for part in candidates.parts():
        evidence = evidence_of(part, by_pattern, exact)
        is_candidate = evidence >= LEAST_EVIDENCE
        left, right, _ = part[:, is_candidate]
        parts.append(pd.DataFrame({"left_id": left, "right_id": right, "evidence": evidence[is_candidate]}))
    return pd.concat(parts, ignore_index=True)
