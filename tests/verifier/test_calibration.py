"""A temperature and a bias that make probabilities as sure as they are right."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from m2jax.verifier.calibration import COLDEST, HOTTEST, Calibration, calibrate, fit


def test_the_worked_example() -> None:
    """Logits of 2 and -2, right three times of four: the best is sigmoid(2 / T) = 3/4, T = 2 / ln 3, without bias."""
    sure = 1 / (1 + math.exp(-2))
    probabilities, labels = [sure] * 4 + [1 - sure] * 4, [1, 1, 1, 0, 0, 0, 0, 1]
    fitted = fit(probabilities, labels)
    assert fitted.temperature == pytest.approx(2 / math.log(3), rel=1e-4) and fitted.bias == pytest.approx(0, abs=1e-4)
    assert calibrate(sure, fitted) == pytest.approx(0.75, abs=1e-4)


def test_a_judge_that_says_yes_too_often_is_moved() -> None:
    """Nine of ten who are said to be at 0.6 are not; of those at 0.95 nine of ten are."""
    fitted = fit([0.6] * 10 + [0.95] * 10, [1] + [0] * 9 + [1] * 9 + [0])
    assert calibrate(0.6, fitted) == pytest.approx(0.1, abs=1e-3) and calibrate(0.95, fitted) == pytest.approx(
        0.9, abs=1e-3
    )
    assert fitted.bias < 0


def test_judges_that_are_all_right_or_know_nothing() -> None:
    assert COLDEST <= fit([0.9, 0.2], [True, False]).temperature < 0.2  # as sure as makes no difference
    know_nothing = fit([0.9, 0.9, 0.2, 0.2], [True, False, True, False])
    assert know_nothing.temperature == pytest.approx(HOTTEST) and calibrate(0.9, know_nothing) == pytest.approx(
        0.5, abs=0.05
    )
    assert fit([1.0, 0.0, 1.0], [True, False, False]).temperature > 1


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.floats(0.3, 3.0), st.floats(-2, 2))
def test_it_finds_what_labels_were_drawn_at(seed: int, temperature: float, bias: float) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, 20_000)
    labels = rng.random(20_000) < 1 / (1 + np.exp(-(logits / temperature + bias)))
    found = fit(1 / (1 + np.exp(-logits)), labels)
    assert found.temperature == pytest.approx(temperature, rel=0.15) and found.bias == pytest.approx(bias, abs=0.2)


@given(st.floats(0, 1), st.floats(COLDEST, HOTTEST))
def test_a_temperature_alone_moves_no_verdict_to_the_other_side(p: float, temperature: float) -> None:
    got = calibrate(p, Calibration(temperature))
    assert 0 <= got <= 1
    assert (got > 0.5) <= (p > 0.5) and (got < 0.5) <= (p < 0.5)
    assert calibrate(p, Calibration()) == pytest.approx(p)


@pytest.mark.parametrize(("p", "y"), [([], []), ([0.5], [1, 0]), ([1.2], [1])], ids=str)
def test_what_cannot_be_fitted_is_refused(p: list, y: list) -> None:
    with pytest.raises(ValueError, match="labels|must be in"):
        fit(p, y)
