"""Keys: which pairs are worth comparing, chosen by how many pairs each key gives."""

from __future__ import annotations

from itertools import combinations

import duckdb

from jobs.identity.linking_comparisons import key_sql
from jobs.identity.linking_forms import SOUND
from jobs.lakehouse.linking_settings import LinkingModel

Key = tuple[str, ...]
# Pairs that one key may give per record, and the fewest that a set of any size may give.
PAIRS_PER_RECORD, FEWEST_PAIRS = 20, 200_000
PREFIX = 3


def chosen_keys(connection: duckdb.DuckDBPyConnection, model: LinkingModel, filled: set[str]) -> dict[Key, int]:
    """The keys by which pairs are compared, with how many pairs each gives.

    Every column that parts the records finely enough is a key by itself, by its beginning and by its sound; coarser ones are
    keys together with a second or a third one.
    """
    if model.blocking:
        return {key: _pairs_of(connection, key) for key in model.blocking}
    ((count,),) = connection.sql("SELECT count(*) FROM records").fetchall()
    limit = max(FEWEST_PAIRS, PAIRS_PER_RECORD * count)
    parts = _parts(model, filled)
    pairs: dict[Key, int] = {}
    for size in (1, 2, 3):
        for key in combinations(parts, size):
            # What holds a key that is fine enough adds nothing to it, and a column says the same of itself at any length.
            is_covered = any(set(other) < set(key) for other in pairs)
            if not is_covered and len({_column(part) for part in key}) == size:
                found = _pairs_of(connection, key)
                if found <= limit:
                    pairs[key] = found
    return pairs


def _column(part: str) -> str:
    return part.split(":", maxsplit=1)[0].rstrip("~")


def _parts(model: LinkingModel, filled: set[str]) -> list[str]:
    parts: list[str] = []
    for name, column in model.columns.items():
        if name in filled and column.kind != "day":
            parts.append(name)
            parts += [f"{name}~"] if name + SOUND in filled else []
            parts += [f"{name}:{PREFIX}"] if column.kind in ("name", "text") else []
    return parts


def _pairs_of(connection: duckdb.DuckDBPyConnection, key: Key) -> int:
    """How many pairs agree by a key: of each value with each other record of the same value."""
    columns = ", ".join(key_sql(part, "records") for part in key)
    is_told = " AND ".join(f"{key_sql(part, 'records')} IS NOT NULL" for part in key)
    groups = f"SELECT count(*) AS records FROM records WHERE {is_told} GROUP BY {columns}"  # noqa: S608 - names of columns
    ((pairs,),) = connection.sql(f"SELECT coalesce(sum(records * (records - 1) / 2), 0) FROM ({groups})").fetchall()  # noqa: S608
    return int(pairs)
