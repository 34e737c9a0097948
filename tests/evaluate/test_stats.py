"""Intervals, gains and variety on cases that can be worked out by hand or by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from m2jax.evaluate.figures import figure, share
from m2jax.evaluate.stats import bootstrap_ci, dimension_scores, distinct_ngrams, paired_gain

numbers = st.lists(st.floats(-10, 10, allow_nan=False), min_size=1, max_size=12)


def test_two_prompts_give_the_interval_one_can_count() -> None:
    # Resamples of {0, 1}: means 0, 1/2, 1 with probabilities 1/4, 1/2, 1/4.
    assert bootstrap_ci([0.0, 1.0]) == (0.5, 0.0, 1.0)
    assert bootstrap_ci([0.0, 1.0], level=0.4) == (0.5, 0.5, 0.5)  # the 30% and 70% points are both 1/2


def test_the_interval_has_its_textbook_width() -> None:
    values = np.random.default_rng(0).normal(size=400)
    mean, low, high = bootstrap_ci(values)
    half = 1.96 * values.std() / np.sqrt(400)
    assert mean == pytest.approx(values.mean())
    assert (mean - low, high - mean) == (pytest.approx(half, rel=0.06), pytest.approx(half, rel=0.06))


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    hits = 0
    for trial in range(200):
        _, low, high = bootstrap_ci(rng.normal(0.3, 1.0, size=40), n=400, seed=trial)
        hits += low <= 0.3 <= high
    assert 0.89 <= hits / 200 <= 0.985  # 0.95 within what 200 trials and 400 resamples allow


@settings(max_examples=30, deadline=None)
@given(values=numbers, copies=st.integers(2, 5))
def test_repeated_samples_of_a_prompt_add_no_certainty(values: list[float], copies: int) -> None:
    repeated = [[value] * copies for value in values]
    assert bootstrap_ci(repeated, n=200) == pytest.approx(bootstrap_ci(values, n=200), abs=1e-9)


def test_prompts_weigh_the_same_whatever_their_samples() -> None:
    assert bootstrap_ci([[0.0, 0.0, 0.0], [1.0]], n=10)[0] == 0.5


@settings(max_examples=30, deadline=None)
@given(values=numbers, seed=st.integers(0, 9))
def test_the_interval_is_a_function_of_its_seed_and_stays_in_range(values: list[float], seed: int) -> None:
    mean, low, high = bootstrap_ci(values, n=100, seed=seed)
    assert (mean, low, high) == bootstrap_ci(values, n=100, seed=seed)
    assert min(values) - 1e-9 <= low <= high <= max(values) + 1e-9


def test_large_sets_are_drawn_in_pieces_with_the_same_law(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(2).normal(size=50)
    whole = bootstrap_ci(values, n=4000)
    monkeypatch.setattr("m2jax.evaluate.stats.CHUNK", 777)
    pieces = bootstrap_ci(values, n=4000)
    assert pieces == pytest.approx(whole, abs=0.03)


def test_pairing_removes_the_spread_between_prompts() -> None:
    before = np.linspace(0, 1, 20)
    gain, low, high = paired_gain(before, before + 0.1)
    assert (gain, low, high) == (pytest.approx(0.1), pytest.approx(0.1), pytest.approx(0.1))
    _, unpaired_low, _ = bootstrap_ci(before + 0.1 - before.mean())
    assert unpaired_low < 0


def test_paired_gain_takes_different_numbers_of_samples() -> None:
    assert paired_gain([[0.0, 1.0], [0.2]], [[1.0], [0.1, 0.3, 0.5]])[0] == pytest.approx((0.5 + 0.1) / 2)
    with pytest.raises(ValueError, match="2 prompts and after 1"):
        paired_gain([0.0, 1.0], [1.0])


@pytest.mark.parametrize(
    ("values", "options", "said"),
    [
        ([], {}, "no prompt"),
        ([[1.0], []], {}, "no samples"),
        ([0.0, float("nan")], {}, "prompt 1 is nan"),
        ([0.0], {"n": 0}, "n is 0"),
        ([0.0], {"level": 1.0}, "level 1.0"),
    ],
)
def test_bad_input_is_named(values: list, options: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        bootstrap_ci(values, **options)


def test_distinct_ngrams_by_hand() -> None:
    # "a b c a b c": abc bca cab abc, of which 3 differ.
    assert distinct_ngrams(["a b c a b c"]) == 0.75
    # "take rest ." twice, "rest . take", ". take rest"; then "take rest ." again: 3 of 5. Signs count as words.
    assert distinct_ngrams(["Take rest. Take rest.", "Take rest."]) == pytest.approx(3 / 5)
    assert distinct_ngrams(["Rest, now.", "rest, now."]) == 0.5  # case does not tell them apart
    assert distinct_ngrams(["a b", "c a"], n=2) == 1.0  # "b c" does not run across texts
    assert distinct_ngrams(["hm", ""]) == 0.0
    with pytest.raises(ValueError, match="n is 0"):
        distinct_ngrams(["a"], n=0)


@settings(max_examples=50, deadline=None)
@given(texts=st.lists(st.text("ab ,", max_size=12), max_size=5), copies=st.integers(1, 4))
def test_saying_everything_again_divides_the_share(texts: list[str], copies: int) -> None:
    assert distinct_ngrams(texts * copies, 2) == pytest.approx(distinct_ngrams(texts, 2) / copies)


def criterion(dimension: str, points: float, met: bool) -> dict:
    return {"dimension": dimension, "points": points, "met": met}


def test_dimension_scores_by_hand() -> None:
    first = [criterion("safety", 5, True), criterion("safety", -3, False), criterion("tone", 2, False)]
    second = [criterion("safety", 5, False), criterion("safety", -3, True), criterion("other", 0, True)]
    # safety: (5 + 3)/8 = 1, then (0 − 3 + 3)/8 = 0; tone only in the first; 0 points count for nothing.
    assert dimension_scores([first, second]) == {"safety": 0.5, "tone": 0.0}
    # The worked example of the normalisation: weights +5 and −3, nothing met, 3/8.
    assert dimension_scores([[criterion("x", 5, False), criterion("x", -3, False)]]) == {"x": 0.375}
    assert dimension_scores([]) == {}


def test_a_share_that_is_the_same_throughout_is_not_certain() -> None:
    always, never = share("x", [[1.0, 1.0]] * 20), share("x", [0.0] * 20)
    # Wilson's for 20 of 20, from a table of confidence limits: 0.839
    assert (always.value, always.high) == (1.0, 1.0) and always.low == pytest.approx(0.839, abs=5e-4)
    assert (never.value, never.low) == (0.0, 0.0) and never.high == pytest.approx(0.161, abs=5e-4)
    assert share("x", [0.0, 1.0] * 10) == figure("x", [0.0, 1.0] * 10)
    assert share("x", [1.0] * 2000).low > always.low
