"""Splink's own counts and scores as an oracle: what is counted and weighed here is what it says of the same pairs."""

import duckdb
import pandas as pd
import pytest
from splink import DuckDBAPI, Linker, SettingsCreator

from jobs.identity.linking import linked_pairs
from jobs.identity.linking_comparisons import agree_sql, comparisons
from jobs.identity.linking_counts import RANDOM_PAIRS, level_shares
from jobs.identity.linking_forms import as_written
from jobs.identity.linking_keys import Key, chosen_keys
from jobs.identity.linking_weights import START_SHARE, Comparison, gamma, real_levels, with_m, with_u
from tests.identity.people import frame, with_copies
from tests.identity.test_linking import MODEL

PERSONS, COPIES = 300, 140
POSSIBLE = (PERSONS + COPIES) * (PERSONS + COPIES - 1) / 2


def linker_of(connection: duckdb.DuckDBPyConnection, told: list[Comparison], keys: list[Key]) -> Linker:
    """Splink over the table `records`."""
    settings = SettingsCreator(
        link_type="dedupe_only",
        unique_id_column_name="record_id",
        comparisons=told,
        blocking_rules_to_generate_predictions=[agree_sql(key) for key in keys],
        probability_two_random_records_match=START_SHARE,
    )
    return Linker(DuckDBAPI(connection).register("records"), settings, log_level=None)


@pytest.mark.parametrize("is_chinese", [False, True])
def test_shares_and_weights_are_those_of_splink(is_chinese: bool) -> None:
    assert POSSIBLE < RANDOM_PAIRS, "all pairs are in the sample of both"
    records, connection = frame(with_copies(PERSONS, COPIES, is_chinese)), duckdb.connect()
    rows = as_written(records, MODEL)
    connection.register("told", rows)
    connection.execute("CREATE TABLE records AS SELECT * FROM told")
    connection.execute("CREATE VIEW set_0 AS SELECT * FROM records")
    filled = {name for name in rows.column_names if rows[name].null_count < len(rows)} - {"record_id"}
    keys, told = list(chosen_keys(connection, MODEL, filled)), comparisons(MODEL, filled)

    shares = level_shares(connection, told, (len(rows),))
    untrained = linker_of(connection, told, keys)
    untrained.training.estimate_u_using_random_sampling(max_pairs=RANDOM_PAIRS, seed=1, min_count_per_level=None)
    for ours, theirs in zip(shares, untrained.misc.save_model_to_json()["comparisons"], strict=True):
        for number, level in enumerate(reversed(real_levels(theirs))):
            assert level.get("u_probability", 0.0) == pytest.approx(ours.get(number, 0.0), abs=1e-9), level

    compared = untrained.inference.predict().as_pandas_dataframe()
    names = [gamma(comparison) for comparison in told]
    patterns = compared.groupby(names, as_index=False).size().rename(columns={"size": "pairs"})
    trained = with_m(with_u(told, shares, POSSIBLE), patterns, POSSIBLE, None)
    found = linker_of(connection, trained, keys).inference.predict().as_pandas_dataframe()
    theirs = found.set_index(["record_id_l", "record_id_r"])["match_weight"].rename_axis(["left_id", "right_id"])
    mine = linked_pairs(records, MODEL).set_index(["left_id", "right_id"])["match_weight"]
    both = pd.concat([mine, theirs], axis=1, join="inner", keys=["ours", "theirs"])
    assert len(both) == len(mine) >= COPIES * 0.9
    # The share of matches adds the same to all evidence, and each takes another.
    differences = both["ours"] - both["theirs"]
    assert differences.max() - differences.min() < 1e-4
