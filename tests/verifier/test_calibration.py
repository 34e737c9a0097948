"""A temperature that makes probabilities as sure as they are right."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from m2jax.verifier.calibration import COLDEST, HOTTEST, calibrate, fit_temperature


def test_the_worked_example() -> None:
    """Logits of 2 and -2, right three times of four: the best is sigmoid(2 / T) = 3/4, so T = 2 / ln 3."""
    sure = 1 / (1 + math.exp(-2))
    probabilities, labels = [sure] * 4 + [1 - sure] * 4, [1, 1, 1, 0, 0, 0, 0, 1]
    temperature = fit_temperature(probabilities, labels)
    assert temperature == pytest.approx(2 / math.log(3), rel=1e-6)
    assert calibrate(sure, temperature) == pytest.approx(0.75)


def test_judges_that_are_all_right_or_know_nothing() -> None:
    assert fit_temperature([0.9, 0.2], [True, False]) == COLDEST
    assert fit_temperature([0.9, 0.9], [True, False]) == pytest.approx(HOTTEST)
    assert fit_temperature([1.0, 0.0, 1.0], [True, False, False]) > 1


@given(st.integers(0, 2**32 - 1), st.floats(0.3, 3.0))
def test_it_finds_the_temperature_that_labels_were_drawn_at(seed: int, true: float) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, 20_000)
    labels = rng.random(20_000) < 1 / (1 + np.exp(-logits / true))
    assert fit_temperature(1 / (1 + np.exp(-logits)), labels) == pytest.approx(true, rel=0.12)


@given(st.floats(0, 1), st.floats(COLDEST, HOTTEST))
def test_no_verdict_changes_side(p: float, temperature: float) -> None:
    got = calibrate(p, temperature)
    assert 0 <= got <= 1
    assert (got > 0.5) <= (p > 0.5) and (got < 0.5) <= (p < 0.5)
    assert calibrate(p, 1.0) == pytest.approx(p)


@pytest.mark.parametrize(("p", "y"), [([], []), ([0.5], [1, 0]), ([1.2], [1])], ids=str)
def test_what_cannot_be_fitted_is_refused(p: list, y: list) -> None:
    with pytest.raises(ValueError, match="labels|must be in"):
        fit_temperature(p, y)
