"""Rewards from verdicts: worked examples, bounds, and the two conditions of the length bonus."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from m2jax.verifier.checks import parse_check
from m2jax.verifier.reward import (
    NORMALISATIONS,
    Verdict,
    grade_checks,
    length_bonus,
    overlong_penalty,
    reward_parts,
    score_healthbench,
    score_minmax,
)
from m2jax.verifier.rubric import Criterion

POINTS = st.lists(st.tuples(st.integers(-10, 10).filter(bool), st.booleans()), min_size=1, max_size=12)


@pytest.mark.parametrize(
    ("points", "met", "minmax", "healthbench"),
    [
        ([5, -3], [False, False], 3 / 8, 0.0),  # nothing triggered: (0 + 3) / 8; 0 / 5
        ([5, -3], [True, False], 1.0, 1.0),
        ([5, -3], [True, True], 5 / 8, 2 / 5),  # (5 - 3 + 3) / 8; (5 - 3) / 5
        ([5, -3], [False, True], 0.0, -3 / 5),
        ([4, 2, 10, -4], [True, False, True, True], 14 / 20, 10 / 16),  # (14 - 4 + 4) / 20; (14 - 4) / 16
    ],
)
def test_scores_by_hand(points: list[int], met: list[bool], minmax: float, healthbench: float) -> None:
    assert score_minmax(points, met) == pytest.approx(minmax)
    assert score_healthbench(points, met) == pytest.approx(healthbench)
    assert NORMALISATIONS["minmax"](points, met) == pytest.approx(minmax)
    assert NORMALISATIONS["healthbench"](points, met) == pytest.approx(healthbench)


@given(POINTS)
def test_minmax_spans_zero_to_one_and_rewards_what_is_right(pairs: list[tuple[int, bool]]) -> None:
    points, met = [p for p, _ in pairs], [m for _, m in pairs]
    assert 0 <= score_minmax(points, met) <= 1
    assert score_minmax(points, [p > 0 for p in points]) == pytest.approx(1)
    assert score_minmax(points, [p < 0 for p in points]) == pytest.approx(0)
    flipped = [not met[0], *met[1:]]
    gain = score_minmax(points, flipped) - score_minmax(points, met)
    assert (gain > 0) == ((points[0] > 0) == flipped[0])


def test_scores_refuse_what_they_cannot_divide() -> None:
    with pytest.raises(ValueError, match="needs a positive one"):
        score_healthbench([-1], [False])
    for points, met in (([], []), ([1, 2], [True]), ([1, 0], [True, True])):
        with pytest.raises(ValueError, match="one of each per criterion"):
            score_minmax(points, met)


def test_a_reply_is_graded_and_split_by_dimension() -> None:
    rubric = (
        Criterion("Advises rest", 5, "treatment", parse_check({"words": ["rest"]})),
        Criterion("Advises surgery", -3, "treatment", parse_check({"words": ["surgery"]})),
        Criterion("Is kind", 2, "empathy"),
    )
    verdicts = grade_checks(rubric, "Rest, or surgery.")
    assert verdicts == [Verdict(True, None, "check"), Verdict(True, None, "check"), None]
    with pytest.raises(ValueError, match="'Is kind' has no verdict"):
        reward_parts(rubric, verdicts, score_minmax)
    with pytest.raises(ValueError, match="2 verdicts for 3 criteria"):
        reward_parts(rubric, verdicts[:2], score_minmax)
    verdicts[2] = Verdict(False, 0.2, "judge")
    score, parts = reward_parts(rubric, verdicts, score_minmax)
    assert score == pytest.approx(5 / 10)  # (5 - 3 + 3) / 10
    assert parts == pytest.approx({"treatment": 5 / 8, "empathy": 0})
    assert list(parts) == ["treatment", "empathy"]
    assert reward_parts(rubric, verdicts, score_healthbench)[0] == pytest.approx(2 / 7)


def test_length_bonus_by_hand() -> None:
    # Sorted 0.5 0.7 0.8 0.9 0.95 1.0: quantile 0.2 of six is at place 0.2 * 5 = 1: 0.7.
    scores, lengths = [0.9, 0.5, 0.7, 0.8, 1.0, 0.95], [100, 4, 400, 1, 1600, 25]
    expected = [4 / 10, 0, 4 / 20, 4 / 1, 4 / 40, 4 / 5]  # only 0.5 lies under 0.7
    np.testing.assert_allclose(length_bonus(scores, lengths, 0.6, 4), expected)
    np.testing.assert_allclose(length_bonus(scores, lengths, 0.6, 1), np.divide(expected, 4))
    # Between places: of [0.6, 0.8, 1.0], place 0.4 gives 0.6 + 0.4 * 0.2 = 0.68.
    np.testing.assert_allclose(length_bonus([0.8, 0.6, 1.0], [16, 16, 16], 0.67, 4), [1, 0, 1])


def test_length_bonus_needs_the_group_strictly_above_the_threshold() -> None:
    scores, lengths = [0.75] * 4, [16] * 4
    assert length_bonus(scores, lengths, 0.75, 4).tolist() == [0] * 4  # P80 = threshold is not enough
    assert length_bonus(scores, lengths, 0.7, 4).tolist() == [1] * 4  # score = P80 is
    assert length_bonus([0.1, 0.1, 1, 1], lengths, 0.5, 4).tolist() == [0] * 4  # two good replies do not carry it


def test_length_bonus_refuses_bad_groups() -> None:
    for scores, lengths, message in (
        ([], [], "not empty"),
        ([0.5], [1, 2], "equal vectors"),
        ([0.5, 0.5], [1, 0], "at least one token"),
        ([0.5, np.nan], [1, 1], "finite"),
    ):
        with pytest.raises(ValueError, match=message):
            length_bonus(scores, lengths, 0.5, 4)


def test_the_last_tokens_of_an_overlong_reply_cost():
    """Eq. 13 of arXiv 2503.14476 by hand: a limit of 20, of which the last 4 cost a quarter each."""
    np.testing.assert_allclose(overlong_penalty([1, 16, 17, 18, 20, 30], 20, 4), [0, 0, -0.25, -0.5, -1, -1])
    np.testing.assert_array_equal(overlong_penalty([1, 20], 20, 0), [0, 0])
    for margin in (-1, 21):
        with pytest.raises(ValueError, match=f"margin is {margin}; it must be from 0 to the 20 tokens"):
            overlong_penalty([1], 20, margin)
