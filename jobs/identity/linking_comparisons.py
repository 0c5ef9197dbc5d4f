"""Comparisons: in which ways two values of a kind agree, from the same to nothing in common, as Splink takes them."""

from __future__ import annotations

from typing import Any

from jobs.identity.linking_forms import SOUND
from jobs.lakehouse.linking_settings import KEY, LinkedColumn, LinkingModel

Level = dict[str, Any]
# A rare value counts more than a frequent one, but not without end: a value that stands twice in all may do so by a slip.
LEAST_FREQUENCY = 1e-5
LEAST_LIKENESS = 0.6


def comparisons(model: LinkingModel, filled: set[str]) -> list[dict[str, Any]]:
    """One comparison per column that holds values, its levels from near to far.

    Args:
        model: the columns and their kinds.
        filled: the columns that hold any value; the sound of a column that has no Chinese is none of them.
    """
    return [
        {"output_column_name": name, "comparison_levels": _levels(name, column, model, filled)}
        for name, column in model.columns.items()
        if name in filled
    ]


def _levels(name: str, column: LinkedColumn, model: LinkingModel, filled: set[str]) -> list[Level]:
    nothing: Level = {
        "sql_condition": f"{name}_l IS NULL OR {name}_r IS NULL",
        "label_for_charts": "missing",
        "is_null_level": True,
    }
    told = [condition_over(condition, name) for condition in column.levels] or _of_kind(name, column, model, filled)
    exact: Level = {"sql_condition": f"{name}_l = {name}_r", "label_for_charts": "same"}
    if column.kind != "day":
        exact |= {"tf_adjustment_column": name, "tf_minimum_u_value": LEAST_FREQUENCY}
    near = [{"sql_condition": condition, "label_for_charts": condition} for condition in told]
    return [nothing, exact, *near, {"sql_condition": "ELSE", "label_for_charts": "else"}]


def condition_over(condition: str, name: str) -> str:
    """A told condition over `l` and `r`, as one over the column on the left and on the right."""
    return condition.replace("{l}", f"{name}_l").replace("{r}", f"{name}_r")


def _of_kind(name: str, column: LinkedColumn, model: LinkingModel, filled: set[str]) -> list[str]:
    left, right = f"{name}_l", f"{name}_r"
    likeness = f"jaro_winkler_similarity({left}, {right})"
    some_edits = _edits(left, right, f"0.34 * greatest(length({left}), length({right}))")
    swapped = [f"{left} = {other}_r AND {other}_l = {right}" for other in _partners(name, model) if other in filled]
    moved = [f"{left} = {other}_r OR {other}_l = {right}" for other in _partners(name, model) if other in filled]
    same_sound = [f"{name}{SOUND}_l = {name}{SOUND}_r"] if name + SOUND in filled else []
    starts = f"(starts_with({left}, {right}) OR starts_with({right}, {left})) AND least(length({left}), length({right})) >= 3"
    month_and_day = f"{left}[1:4] = {right}[1:4] AND {left}[5:6] = {right}[7:8] AND {left}[7:8] = {right}[5:6]"
    days = f"abs(date_diff('day', try_strptime({left}, '%Y%m%d'), try_strptime({right}, '%Y%m%d')))"
    by_kind = {
        "name": [*same_sound, *swapped, _edits(left, right, "1"), *moved, f"{likeness} >= 0.88", f"{likeness} >= 0.75"],
        "text": [
            *same_sound,
            *swapped,
            _edits(left, right, "1"),
            f"{_edits(left, right, '2')} OR ({starts})",
            *moved,
            f"{some_edits} OR {likeness} >= 0.9",
        ],
        "date": [
            month_and_day,
            _edits(left, right, "1"),
            _edits(left, right, "2"),
            f"{left}[1:4] = {right}[1:4] OR {left}[5:8] = {right}[5:8]",
        ],
        "code": [_edits(left, right, "1"), _edits(left, right, "2"), some_edits],
        "postcode": [_edits(left, right, "1"), _edits(left, right, "2")],
        "exact": [_edits(left, right, "1")],
        "day": [f"{days} <= 1", f"{days} <= 7", f"{days} <= 31"],
    }
    return by_kind[column.kind]


def _edits(left: str, right: str, most: str) -> str:
    """The condition that no more letters than this are another, missing, too many or swapped with the next.

    Counting swaps costs six times as much as counting the other edits, of which a swap is two: for most pairs these say enough.
    Short values that have little in common are no slips of each other, however few their letters.
    """
    edits = f"levenshtein({left}, {right})"
    unlike = f"jaro_similarity({left}, {right}) < {LEAST_LIKENESS} OR {edits} > 2 * {most}"
    with_swaps = f"damerau_levenshtein({left}, {right}) <= {most}"
    return f"(CASE WHEN {unlike} THEN FALSE WHEN {edits} <= {most} THEN TRUE ELSE {with_swaps} END)"


def _partners(name: str, model: LinkingModel) -> list[str]:
    """The columns whose values stand in this one by mistake."""
    return [other for pair in model.swapped if name in pair for other in pair if other != name]


def key_sql(part: str, side: str) -> str:
    """A part of a key as SQL over one side of a pair."""
    told = KEY.fullmatch(part)
    assert told is not None
    column = f"{side}.{told['column']}{SOUND if told['sound'] else ''}"
    # Shorter values would agree with each other and nothing else.
    return f"left({column}, {told['length']})" if told["length"] else column


def agree_sql(key: tuple[str, ...]) -> str:
    """The condition that two records agree by a key."""
    return " AND ".join(f"{key_sql(part, 'l')} = {key_sql(part, 'r')}" for part in key)
