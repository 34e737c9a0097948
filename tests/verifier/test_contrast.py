"""What is taken off where the same words would have earned as much from other patients."""

from __future__ import annotations

import pytest

from m2jax.verifier.checks import parse_check
from m2jax.verifier.contrast import checked, common, drawn, less, taken
from m2jax.verifier.rubric import Criterion

POOL = [("heart", "a"), ("skin", "b"), ("skin", "c"), ("eye", "d"), ("eye", "e"), ("ear", "f")]


def asks_for(word: str, points: int = 2) -> tuple[Criterion, ...]:
    return (Criterion(f"Says {word}.", points, "clarity", parse_check({"words": [word]})),)


def test_others_are_fixed_by_the_key_and_of_other_groups() -> None:
    first = drawn("case-1", "skin", POOL, 3)
    assert first == drawn("case-1", "skin", list(POOL), 3) and len(set(first)) == 3
    assert not set(first) & {"b", "c"}
    assert len({drawn(f"case-{i}", "skin", POOL, 3) for i in range(20)}) > 5
    assert set(drawn("case-1", "skin", POOL, 9)) == {"a", "d", "e", "f"}


def test_the_draw_of_a_key_is_the_same_everywhere() -> None:
    """By name, so that no hash of a process decides."""
    assert drawn("clinic-train-7-2", "", POOL, 4) == ("d", "c", "e", "a")


def test_the_worked_example() -> None:
    """Two of four others would be content: 0.5. Above 0.25 a quarter is taken off, but nothing falls below 0."""
    others = [asks_for(word) for word in ("rest", "water", "ice", "salt")]
    assert common("Rest, and drink water.", others) == 0.5
    assert taken(0.5, 0.25) == 0.25 and taken(0.5, 0.5) == taken(0.2, 0.5) == 0
    assert taken(0.9, 0) == 0, "0 asks for no contrast"
    assert less(0.75, 0.25) == 0.5 and less(0.1, 0.25) == 0 and less(-0.2, 0.25) == -0.2
    assert common("Rest.", []) == 0


def test_only_what_a_machine_decides_counts() -> None:
    judged = Criterion("Is kind.", 3, "communication")
    assert checked((*asks_for("rest"), judged)) == asks_for("rest")
    assert checked((judged, *asks_for("ice", -2))) == (), "nothing can be earned there"


def test_what_is_written_for_the_grader_earns_nothing_from_others_either() -> None:
    bare = "- fever\n- rest\n- water\n- ice\n- salt\n- sleep\n- warmth\n- juice"
    assert common(bare, [asks_for("ice")]) == 0 and common("Put ice on it.", [asks_for("ice")]) == pytest.approx(1)
