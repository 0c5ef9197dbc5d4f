"""The best that any forecast could do in the simulated world, from the parameters that made it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from pyspark.sql import DataFrame, Row

from jobs.lakehouse.measures import Floats


def silence_probability(
    order_rate: Floats,
    dropout_rate: Floats,
    is_active: npt.NDArray[np.bool_],
    season_before: int,
    season_window: Floats,
) -> Floats:
    """Probability that a person places no order in a window, given the true state at the as-of date.

    Orders are a Poisson process with intensity rate × season while the person is active; dropout is exponential. With
    S(d) the survival to day d and Λ(d) the expected orders of the window up to d, the probability is
    1 − S(start) + Σ_d P(drop out on d) exp(−Λ at the middle of d) + S(end) exp(−Λ(end)).

    Args:
        order_rate: orders a day that would carry the person's identity, at season 1.
        dropout_rate: dropouts a day.
        is_active: whether the person is active at the as-of date; one who dropped out stays silent for sure.
        season_before: days between the as-of date and the window.
        season_window: season factor of each day of the window, the same for all, or by [day, person].
    """
    silence = 1 - np.exp(-dropout_rate * season_before)
    expected = np.zeros_like(order_rate)
    for day, season in enumerate(season_window):
        start = np.exp(-dropout_rate * (season_before + day))
        end = np.exp(-dropout_rate * (season_before + day + 1))
        silence += (start - end) * np.exp(-expected - order_rate * season / 2)
        expected += order_rate * season
    silence += np.exp(-dropout_rate * (season_before + len(season_window)) - expected)
    return np.where(is_active, silence, 1.0)


def identified_orders(persons: pd.DataFrame, season: Floats, moved_online: Mapping[str, Sequence[float]]) -> Floats:
    """The orders of each [day, person] that are expected to carry the person's identity, while the person is active.

    Args:
        persons: the true persons.
        season: season factor of each day.
        moved_online: of each store, the share of its orders that rain moves to the web shop, by day; none where empty.
    """

    def numbers(name: str) -> Floats:
        return persons[name].to_numpy(dtype=float)

    rate, online = numbers("order_rate_per_day"), numbers("online_share")
    by_web, by_store = numbers("online_identified_share"), numbers("store_identified_share")
    usual = rate * (online * by_web + (1 - online) * by_store)
    if not moved_online:
        return np.outer(season, usual)
    moved = pd.DataFrame(moved_online)[persons["home_store_id"].tolist()].to_numpy(dtype=float)
    return season[:, None] * (usual + moved * rate * (1 - online) * (by_web - by_store))


def moved_by_store(rows: Iterable[Row]) -> dict[str, list[float]]:
    """Of each store, the share of its orders that rain moves to the web shop, day by day, from the rows of the truth in order."""
    moved: dict[str, list[float]] = {}
    for row in rows:
        moved.setdefault(row["store_id"], []).append(float(row["moved_online_share"]))
    return moved


def with_silence_probability(
    persons: DataFrame,
    as_of: dt.date,
    gap_days: int,
    season_window: list[float],
    moved_online: Mapping[str, Sequence[float]] | None = None,
) -> DataFrame:
    """One row per person: `person_id` and `best_probability` of no identified order in the label window.

    Args:
        persons: the true persons.
        as_of: the date at whose end their state is known.
        gap_days: days between it and the window.
        season_window: season factor of each day of the window.
        moved_online: what rain does on these days; see identified_orders.
    """
    season, moved = np.asarray(season_window, dtype=np.float64), moved_online or {}

    def batches_of(batches: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        for batch in batches:
            orders = identified_orders(batch, season, moved)
            active = (pd.to_datetime(batch["dropped_out_on"]) > pd.Timestamp(as_of)).to_numpy()
            dropout = batch["dropout_rate_per_day"].to_numpy(dtype=float)
            best = silence_probability(np.ones(len(batch)), dropout, active, gap_days, orders)
            yield pd.DataFrame({"person_id": batch["person_id"], "best_probability": best})

    return persons.mapInPandas(batches_of, "person_id long, best_probability double")
