"""The best that any forecast could do in the simulated world, from the parameters that made it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt
import pandas as pd
from pyspark.sql import DataFrame

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
        season_window: season factor of each day of the window.
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


def with_silence_probability(
    persons: DataFrame, as_of: dt.date, gap_days: int, season_window: list[float]
) -> DataFrame:
    """One row per person: `person_id` and `best_probability` of no identified order in the label window."""
    season = np.asarray(season_window, dtype=np.float64)

    def batches_of(batches: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        for batch in batches:
            online = batch["online_share"].to_numpy(dtype=float)
            identified = online * batch["online_identified_share"] + (1 - online) * batch["store_identified_share"]
            rate = batch["order_rate_per_day"].to_numpy(dtype=float) * identified.to_numpy(dtype=float)
            active = (pd.to_datetime(batch["dropped_out_on"]) > pd.Timestamp(as_of)).to_numpy()
            best = silence_probability(
                rate, batch["dropout_rate_per_day"].to_numpy(dtype=float), active, gap_days, season
            )
            yield pd.DataFrame({"person_id": batch["person_id"], "best_probability": best})

    return persons.mapInPandas(batches_of, "person_id long, best_probability double")
