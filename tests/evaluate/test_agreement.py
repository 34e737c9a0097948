"""Agreement of verdicts with the truth, by records."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from m2jax.evaluate.agreement import agreement, agreement_figures, calibration_figures, f1, kappa, table
from m2jax.evaluate.stats import pooled_ci
from m2jax.verifier.calibration import fit

PAIRS = [(True, True)] * 10 + [(False, False)] * 5 + [(True, False)] * 3 + [(False, True)] * 2


def test_a_worked_example() -> None:
    """20 verdicts: p_o = 15/20, by chance 0.53; F1 = 20 / (20 + 3 + 2)."""
    counts = table([PAIRS[:7], PAIRS[7:]])
    assert counts.sum(0).tolist() == [10, 3, 2, 5]
    assert agreement(counts.sum(0)) == pytest.approx(0.75)
    assert kappa(counts.sum(0)) == pytest.approx(0.22 / 0.47)
    assert f1(counts.sum(0)) == pytest.approx(20 / 25)


def test_figures_hold_their_value_and_say_how_many() -> None:
    measures = (("agreement", agreement, 0.7), ("kappa", kappa, 0.9), ("F1", f1, None))
    figures = agreement_figures("x", [PAIRS[i::4] for i in range(4)] + [[]], measures)
    assert [f.name for f in figures] == ["x: agreement", "x: kappa", "x: F1"]
    assert [f.reached for f in figures] == [True, False, None]
    for figure in figures:
        assert figure.low <= figure.value <= figure.high and figure.n == 4 and "20 verdicts" in figure.note


@given(st.lists(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=5), min_size=1, max_size=6))
def test_bounds_and_symmetry(records: list[list[tuple[bool, bool]]]) -> None:
    counts = table(records)
    swapped = table([[(b, a) for a, b in pairs] for pairs in records])
    assert 0 <= agreement(counts.sum(0)) <= 1 and 0 <= f1(counts.sum(0)) <= 1
    for measure in (agreement, kappa, f1):
        assert measure(counts.sum(0)) == pytest.approx(measure(swapped.sum(0)), nan_ok=True)


def test_more_records_narrow_the_interval() -> None:
    few, many = (pooled_ci(table([PAIRS[4 * i : 4 * i + 4] for i in range(5)] * k), agreement) for k in (1, 20))
    assert few[0] == many[0] == pytest.approx(0.75)
    assert many[2] - many[1] < 0.5 * (few[2] - few[1])
    with pytest.raises(ValueError, match="at least one"):
        pooled_ci(np.zeros((0, 4)), agreement)


def test_a_judge_that_is_too_sure_loses_less_when_it_is_calibrated() -> None:
    right = [i // 2 % 10 < 7 for i in range(200)]
    records = [[(0.99 if ok == (i % 2 == 0) else 0.01, i % 2 == 0)] for i, ok in enumerate(right)]
    fitted = fit(*zip(*(pair for one in records for pair in one), strict=True))
    plain, calibrated = calibration_figures("x", [*records, []], fitted)
    assert plain.value == pytest.approx(-np.log(0.99) * 0.7 - np.log(0.01) * 0.3)
    assert calibrated.value == pytest.approx(-np.log(0.7) * 0.7 - np.log(0.3) * 0.3, rel=0.01)
    assert "bias" in calibrated.note
