"""Linking: records of one person are found through typing errors, swaps, gaps and like sounds, in any order, and no others."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from pydantic import ValidationError

from jobs.identity.linking import Resources, linked_pairs
from jobs.identity.linking_choice import as_decided, assigned, clusters, probabilities, share_of_matches
from jobs.identity.linking_forms import code, day, sound, words
from jobs.lakehouse.errors import ConfigurationError
from jobs.lakehouse.linking_settings import LinkedColumn, LinkingModel, read_linking_model
from tests.identity.people import copy, frame, person, with_copies
from tests.rows import CONF_DIR

MODEL = LinkingModel.model_validate(
    {
        "columns": {
            "given_name": {"kind": "name"},
            "surname": {"kind": "name"},
            "birth_date": {"kind": "date"},
            "phone": {"kind": "code"},
            "town": {"kind": "exact"},
        },
        "swapped": [["given_name", "surname"]],
    }
)
# Few columns, quickly compared, and a seventh of all pairs.
COARSE = LinkingModel.model_validate(
    {
        "columns": {"surname": {"kind": "exact"}, "birth_date": {"kind": "exact"}, "town": {"kind": "exact"}},
        "blocking": [["town"]],
    }
)
PERSONS, COPIES = 320, 140


def accepted(pairs: pd.DataFrame) -> set[tuple[str, str]]:
    """The ids of each accepted pair, the lesser one first."""
    chosen = pairs[pairs["decision"] == "accept"]
    return {(min(pair), max(pair)) for pair in zip(chosen["left_id"], chosen["right_id"], strict=True)}


def true_pairs(count: int) -> set[tuple[str, str]]:
    return {(f"p{number:04}", f"p{number:04}-copy") for number in range(count)}


@pytest.fixture(scope="module")
def linked() -> pd.DataFrame:
    return linked_pairs(frame(with_copies(PERSONS, COPIES)), MODEL)


def test_what_is_mistyped_swapped_or_missing_is_found_and_nothing_else(linked: pd.DataFrame) -> None:
    found, true = accepted(linked), true_pairs(COPIES)
    # Among so few names two persons may differ by one digit of a birth date.
    assert len(found - true) <= 0.02 * COPIES, sorted(found - true)
    assert len(true - found) <= 0.02 * COPIES, sorted(true - found)


def test_a_probability_goes_with_its_weight_and_its_decision(linked: pd.DataFrame) -> None:
    assert linked["match_probability"].between(0, 1).all()
    assert linked["match_probability"].to_numpy() == pytest.approx(
        probabilities(linked["match_weight"].to_numpy()), abs=1e-5
    )
    assert not linked.duplicated(["left_id", "right_id"]).any()
    assert (linked["left_id"] < linked["right_id"]).all()
    assert (linked.loc[linked["decision"] == "reject", "match_probability"] < 0.5).all()


@pytest.mark.parametrize("seed", [1, 2])
def test_the_order_of_records_changes_nothing(linked: pd.DataFrame, seed: int) -> None:
    shuffled = frame(with_copies(PERSONS, COPIES)).sample(frac=1, random_state=seed)
    pd.testing.assert_frame_equal(linked_pairs(shuffled, MODEL), linked)


def test_chinese_names_of_one_sound_are_near() -> None:
    records = with_copies(PERSONS, COPIES, is_chinese=True)
    # Another character of the same sound, as a phonetic keyboard offers it, and nothing else but the birth date.
    same_sound = copy(200, "heard", is_chinese=True, phone=None, town=None)
    same_sound["surname"], same_sound["given_name"] = "章", "薇"
    other = {**same_sound, "record_id": "p0200-other", "given_name": "国"}
    told = {**person(200, is_chinese=True), "surname": "张", "given_name": "威", "phone": None}
    records = [record for record in records if record["record_id"] != "p0200"] + [told, same_sound, other]
    pairs = linked_pairs(frame(records), MODEL)
    by_pair = {
        frozenset(pair): weight
        for *pair, weight in zip(pairs["left_id"], pairs["right_id"], pairs["match_weight"], strict=True)
    }
    heard = by_pair[frozenset(("p0200", "p0200-heard"))]
    assert heard > by_pair.get(frozenset(("p0200", "p0200-other")), -20) + 1
    assert len(accepted(pairs) & true_pairs(COPIES)) >= 0.95 * COPIES


def test_of_two_sets_each_record_has_one_partner_at_most() -> None:
    left = [{**person(number), "source": "left"} for number in range(300)]
    right = [{**record, "source": "right"} for record in with_copies(0, 250)]
    twin = {**copy(3, "twin"), "phone": None, "source": "right"}
    pairs = linked_pairs(frame([*left, *right, twin]), MODEL.model_copy(update={"sets": "two"}))
    chosen = pairs[pairs["decision"] == "accept"]
    assert chosen["left_id"].is_unique
    assert chosen["right_id"].is_unique
    assert accepted(pairs) - true_pairs(250) == set()
    assert len(accepted(pairs)) >= 0.98 * 250


def test_nothing_in_common_gives_no_pairs() -> None:
    empty = frame(
        [
            {"record_id": f"{n}", "given_name": None, "surname": "", "birth_date": None, "phone": "", "town": " "}
            for n in range(9)
        ]
    )
    assert linked_pairs(empty, MODEL).empty
    assert linked_pairs(empty.head(0), MODEL).empty


def test_what_does_not_fit_into_memory_says_so_and_shows_no_value() -> None:
    with pytest.raises(ConfigurationError, match=r"linking\.memory_mib") as told:
        linked_pairs(frame(with_copies(1000, 0)), COARSE, Resources(memory_mib=4))
    assert "abbott" not in str(told.value)


def test_pairs_that_do_not_fit_are_sealed_into_files_that_are_gone_afterwards(tmp_path: Path) -> None:
    records = frame(with_copies(2000, 100))
    roomy, narrow = Resources(threads=1), Resources(memory_mib=24, threads=2)
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        linked_pairs(records, COARSE, replace(narrow, spill_folder=str(tmp_path / "file")))
    in_memory = linked_pairs(records, COARSE, replace(roomy, spill_folder=str(tmp_path / "file")))
    spilled = linked_pairs(records, COARSE, replace(narrow, spill_folder=str(tmp_path / "folder")))
    pd.testing.assert_frame_equal(spilled, in_memory)
    assert list((tmp_path / "folder").iterdir()) == []


def test_rivals_are_settled_so_that_all_together_weigh_most() -> None:
    import numpy as np

    one, other = np.array([0, 0, 1, 1, 2]), np.array([0, 1, 0, 1, 2])
    assert assigned(one, other, np.array([9.0, 8.0, 8.0, 1.0, 2.0])).tolist() == [False, True, True, False, True]
    assert assigned(one, other, np.array([9.0, 1.0, 1.0, -np.inf, -np.inf])).tolist() == [
        True,
        False,
        False,
        False,
        False,
    ]


def test_a_chance_likeness_does_not_draw_two_groups_together() -> None:
    import numpy as np

    def homes(*links: tuple[int, int, float]) -> list[int]:
        one, other, weight = (np.array(side) for side in zip(*links, strict=True))
        found: list[int] = clusters(one, other, weight, weight > 0, 3.0).tolist()
        return found

    a, b, c, x, y, z = homes((0, 1, 9), (0, 2, 9), (1, 2, 9), (3, 4, 9), (3, 5, 9), (4, 5, 9), (2, 3, 5))
    assert a == b == c != x == y == z
    assert len(set(homes((0, 1, 9), (0, 2, 2), (1, 2, 2)))) == 1, "two who each make it likely are enough together"


def test_the_share_of_matches_is_what_the_probabilities_add_up_to() -> None:
    import numpy as np

    evidence = np.array([40.0] * 30 + [-5.0] * 100)
    assert share_of_matches(evidence, 10_000, 5_000) == pytest.approx(30 / 10_000, rel=0.01)
    told = as_decided(pd.DataFrame({"left_id": ["a"], "right_id": ["b"], "evidence": [30.0]}), (10, 10), MODEL)
    assert told["decision"].tolist() == ["accept"]


@pytest.mark.parametrize(
    ("form", "value", "expected"),
    [
        (words, " Müller-Lüdenscheidt ", "muller ludenscheidt"),
        (words, "O’Neill", "oneill"),
        (words, "王 小明", "王小明"),
        (words, "ＡＢＣ", "abc"),
        (code, "138-1234 5678", "13812345678"),
        (day, "1985-3-7", "19850307"),
        (day, "19850307", "19850307"),
        (sound, "章薇", "zan wei"),
        (sound, "张威", "zan wei"),
        (sound, "smith", None),
    ],
)
def test_written_forms(form, value: str, expected: str | None) -> None:  # type: ignore[no-untyped-def]
    assert form(value) == expected


@pytest.mark.parametrize("file", sorted((CONF_DIR / "linking").glob("*.yaml")), ids=lambda file: file.stem)
def test_the_models_that_ship_can_be_read(file: Path) -> None:
    model = read_linking_model(file)
    assert 0.5 <= model.review_probability <= model.accept_probability


def test_keys_levels_and_the_share_of_matches_can_be_told() -> None:
    phone = LinkedColumn.model_validate({"kind": "code", "levels": ["left({l}, 6) = left({r}, 6)"]})
    told = MODEL.model_copy(
        update={
            "columns": {**MODEL.columns, "phone": phone},
            "blocking": (("birth_date",), ("surname:3", "given_name~"), ("given_name", "surname")),
            "match_share": COPIES / (PERSONS * PERSONS / 2),
        }
    )
    pairs = linked_pairs(frame(with_copies(PERSONS, COPIES)), told)
    assert len(accepted(pairs) & true_pairs(COPIES)) >= 0.75 * COPIES, "what agrees by no key is no candidate"
    assert len(accepted(pairs) - true_pairs(COPIES)) <= 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"columns": {"name": {"kind": "names"}}},
        {"columns": {"name": {"kind": "name"}}, "blocking": [["surname"]]},
        {"columns": {"name": {"kind": "name"}}, "blocking": [["name; DROP TABLE records"]]},
        {"columns": {"name": {"kind": "name"}}, "swapped": [["name", "surname"]]},
        {"columns": {"name": {"kind": "name"}}, "accept_probability": 0.4},
        {"columns": {}},
        {"columns": {"phone": {"kind": "code"}}, "blocking": [["phone~"]]},
        {"columns": {"name": {"kind": "name"}}, "swapped": [["name", "name"]]},
        {"columns": {"name": {"kind": "name"}, "born": {"kind": "date"}}, "swapped": [["name", "born"]]},
        {"columns": {"name": {"kind": "name", "levels": ["length({l}) > 3"]}}},
        {"columns": {"Full Name": {"kind": "name"}}},
    ],
)
def test_a_model_that_means_nothing_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        LinkingModel.model_validate(wrong)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"columns": {"email": {"kind": "text"}}}, r"columns\.email: the records tell no email, but birth_date, given_name"),
        ({"sets": "two"}, "sets: two needs a column source"),
        (
            {"columns": {"town": {"kind": "exact", "levels": ["soundex({l}) = soundex({r})"]}}},
            r"columns\.town\.levels: 'soundex\({l}\) = soundex\({r}\)' is no condition",
        ),
        ({"columns": {"town": {"kind": "exact", "levels": ["{l} = {r} AND"]}}}, r"columns\.town\.levels: "),
    ],
)  # fmt: skip
def test_a_model_that_does_not_fit_the_records_is_told_by_its_key(changed: dict[str, object], told: str) -> None:
    model = LinkingModel.model_validate({"columns": {"surname": {"kind": "name"}}, **changed})
    with pytest.raises(ConfigurationError, match=told):
        linked_pairs(frame(with_copies(4, 1)), model)
