"""Choice: from the evidence of pairs to probabilities and decisions, where a record may have one partner only, or any number."""

from __future__ import annotations

import math
from collections import defaultdict

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from jobs.lakehouse.linking_settings import LinkingModel

Numbers = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]
ACCEPT, REVIEW, REJECT = "accept", "review", "reject"
PAIR_COLUMNS = ["left_id", "right_id", "match_probability", "match_weight", "decision"]
MOST_ROUNDS, SETTLED = 200, 1e-6
# Larger groups of rivals are settled from the strongest pair down.
MOST_RIVALS = 400
DECIMALS = 6
# Log2 of the odds of 1 to 8.
DOUBT = -3.0


def as_decided(candidates: pd.DataFrame, sizes: tuple[int, int], model: LinkingModel) -> pd.DataFrame:
    """One row per candidate pair, by ids: probability, weight (log2 of the odds) and decision.

    Args:
        candidates: `left_id`, `right_id` and `evidence`, each pair once.
        sizes: how many records stand on either side; the same number twice within one set.
        model: the thresholds, and whether there are one or two sets.
    """
    ordered = candidates.sort_values(["left_id", "right_id"], ignore_index=True)
    evidence = ordered["evidence"].to_numpy(dtype=np.float64).round(DECIMALS)
    decide = _one_to_one if model.sets == "two" else _within_one_set
    weight, accepted = (
        decide(ordered.assign(evidence=evidence), sizes, model) if len(ordered) else (evidence, evidence > 0)
    )
    probability = probabilities(weight)
    is_open = ~accepted & (probability >= model.review_probability)
    decision = np.where(accepted, ACCEPT, np.where(is_open, REVIEW, REJECT))
    return ordered.assign(
        match_probability=probability.round(DECIMALS), match_weight=weight.round(DECIMALS), decision=decision
    )[PAIR_COLUMNS]


def probabilities(weight: Numbers) -> Numbers:
    """The probabilities of these log2 odds."""
    return np.asarray(1 / (1 + np.exp2(-np.clip(weight, -60, 60))), dtype=np.float64)


def share_of_matches(evidence: Numbers, pairs: float, most: float) -> float:
    """The share of all pairs that match: the one under which the probabilities of the candidates add up to it.

    Args:
        evidence: of the candidates; no other pair is taken to match.
        pairs: how many pairs there are in all.
        most: matches that are possible.
    """
    share = min(most, len(evidence)) / pairs / 2
    for _ in range(MOST_ROUNDS):
        before, share = share, min(probabilities(evidence + log_odds(share)).sum(), most * (1 - SETTLED)) / pairs
        if share <= 0 or abs(share / before - 1) < SETTLED:
            break
    return max(float(share), 1e-12)


def log_odds(share: float) -> float:
    """The log2 of the odds of a probability."""
    return math.log2(share / (1 - share))


def _within_one_set(
    pairs: pd.DataFrame, sizes: tuple[int, int], model: LinkingModel
) -> tuple[Numbers, npt.NDArray[np.bool_]]:
    evidence, count = pairs["evidence"].to_numpy(), sizes[0] * (sizes[0] - 1) / 2
    weight = evidence + log_odds(model.match_share or share_of_matches(evidence, count, count / 2))
    is_likely = probabilities(weight) >= model.review_probability
    enough = log_odds(model.accept_probability)
    codes, _ = pd.factorize(pd.concat([pairs["left_id"], pairs["right_id"]], ignore_index=True), sort=True)
    one, other = codes[: len(pairs)], codes[len(pairs) :]
    home = clusters(one, other, weight, is_likely, enough)
    return weight, is_likely & (home[one] == home[other])


def clusters(one: Codes, other: Codes, weight: Numbers, is_link: npt.NDArray[np.bool_], enough: float) -> Codes:
    """The cluster of each record, by the number of the record; numbers without gaps are the fastest.

    Links are taken from the strongest down. Two clusters become one where the weights of all pairs between them add up to enough:
    two records that each make a third one likely are enough together, and a chance likeness of one doesn't draw the others in.
    A pair of little likeness, or of too little to be a candidate, counts as DOUBT: what speaks against it is often one slip.
    """
    count = int(max(one.max(initial=-1), other.max(initial=-1))) + 1
    links = coo_array((np.ones(int(is_link.sum())), (one[is_link], other[is_link])), shape=(count, count))
    _, component = connected_components(links, directed=False)
    # Most pairs lie between records that no chain of links joins: they can't matter.
    matters = component[one] == component[other]
    one, other, weight, is_link = one[matters], other[matters], weight[matters], is_link[matters]
    home = list(range(count))
    members: dict[int, list[int]] = {}
    known: dict[int, dict[int, float]] = defaultdict(dict)
    for a, b, told in zip(one.tolist(), other.tolist(), np.maximum(weight, DOUBT).tolist(), strict=True):
        known[a][b] = known[b][a] = told
    order = np.lexsort((other, one, -weight))
    for place in order[is_link[order]].tolist():
        a, b = home[one[place]], home[other[place]]
        if a == b:
            continue
        ours, theirs = members.setdefault(a, [a]), members.setdefault(b, [b])
        cross = sum(known[x].get(y, DOUBT) for x in ours for y in theirs)
        if cross >= enough:
            small, large = sorted((a, b), key=lambda number: len(members[number]))
            for member in members[small]:
                home[member] = large
            members[large] += members.pop(small)
    return np.array(home, dtype=np.intp)


def _one_to_one(
    pairs: pd.DataFrame, sizes: tuple[int, int], model: LinkingModel
) -> tuple[Numbers, npt.NDArray[np.bool_]]:
    """The weights, and which pairs are accepted, at most one per record.

    What is accepted takes its two records out; among those that are left a partner is easier to guess, so that the share of
    matches is estimated anew until nothing more is accepted.
    """
    evidence = pairs["evidence"].to_numpy()
    one, other = (pd.factorize(pairs[name], sort=True)[0] for name in ("left_id", "right_id"))
    weight, accepted = np.full(len(pairs), -np.inf), np.zeros(len(pairs), dtype=np.bool_)
    is_open, left_over = np.ones(len(pairs), dtype=np.bool_), sizes
    while is_open.any() and min(left_over) > 0:
        possible = float(left_over[0] * left_over[1])
        share = model.match_share or share_of_matches(evidence[is_open], possible, min(left_over))
        weight[is_open] = evidence[is_open] + log_odds(min(share, 1 - SETTLED))
        wanted = is_open & (weight > 0)
        best = assigned(one, other, np.where(wanted, weight, -np.inf))
        sure = best & (probabilities(weight) >= model.accept_probability)
        if not sure.any():
            break
        accepted |= sure
        is_open &= ~np.isin(one, one[sure]) & ~np.isin(other, other[sure])
        left_over = (sizes[0] - int(accepted.sum()), sizes[1] - int(accepted.sum()))
        if model.match_share:
            break
    return weight, accepted


def assigned(one: npt.NDArray[np.intp], other: npt.NDArray[np.intp], weight: Numbers) -> npt.NDArray[np.bool_]:
    """Which pairs together weigh most where no record is in two of them; pairs of minus infinity are none."""
    chosen = np.zeros(len(weight), dtype=np.bool_)
    places = np.flatnonzero(np.isfinite(weight))
    width = int(one.max(initial=0)) + 1
    nodes = width + int(other.max(initial=0)) + 1
    edges = coo_array((np.ones(len(places)), (one[places], width + other[places])), shape=(nodes, nodes))
    _, component = connected_components(edges, directed=False)
    group_of = component[one[places]]
    for group in np.split(places[np.argsort(group_of, kind="stable")], np.flatnonzero(np.diff(np.sort(group_of))) + 1):
        chosen[_best_of(group, one, other, weight)] = True
    return chosen


def _best_of(
    group: npt.NDArray[np.intp], one: npt.NDArray[np.intp], other: npt.NDArray[np.intp], weight: Numbers
) -> list[int]:
    """The places of the heaviest pairs of one group of rivals."""
    if len(group) == 1:
        return [int(group[0])]
    lefts, row = np.unique(one[group], return_inverse=True)
    rights, column = np.unique(other[group], return_inverse=True)
    if max(len(lefts), len(rights)) > MOST_RIVALS:
        return _strongest_first(group, one, other, weight)
    gains, place_of = np.zeros((len(lefts), len(rights))), np.full((len(lefts), len(rights)), -1)
    gains[row, column], place_of[row, column] = weight[group], group
    places = place_of[linear_sum_assignment(gains, maximize=True)]
    return [int(place) for place in places if place >= 0]


def _strongest_first(
    group: npt.NDArray[np.intp], one: npt.NDArray[np.intp], other: npt.NDArray[np.intp], weight: Numbers
) -> list[int]:
    taken_left: set[int] = set()
    taken_right: set[int] = set()
    chosen: list[int] = []
    for place in group[np.lexsort((other[group], one[group], -weight[group]))].tolist():
        if one[place] not in taken_left and other[place] not in taken_right:
            taken_left.add(one[place])
            taken_right.add(other[place])
            chosen.append(place)
    return chosen
