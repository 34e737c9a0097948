"""Temperature calibration: one scalar that makes a judge's probabilities as sure as they are right.

p becomes sigmoid(logit(p) / T), with T fitted on labels by log-loss (Guo et al. 2017, arXiv 1706.04599, section 4.2).
No verdict changes side. Host numpy, float64.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

COLDEST, HOTTEST = 0.05, 20.0  # where labels leave no best value between, as where all verdicts are right
_EDGE = 1e-9


def calibrate(probability: float, temperature: float) -> float:
    """sigmoid(logit(p) / T) in [0, 1]; 0 and 1 stay."""
    if not 0 < probability < 1:
        return float(probability)
    odds = np.log(probability) - np.log1p(-probability)
    return float(_sigmoid(odds / temperature))


def fit_temperature(probabilities_N: Sequence[float], labels_N: Sequence[bool]) -> float:
    """The T in [COLDEST, HOTTEST] of least log-loss, for a judge's probabilities of "met" and what people say.

    The loss is convex in 1/T: its slope is bisected. ValueError where there are no labels, or not one each.
    """
    p_N, y_N = np.asarray(probabilities_N, np.float64), np.asarray(labels_N, np.float64)
    if p_N.ndim != 1 or p_N.shape != y_N.shape or not p_N.size:
        raise ValueError(f"probabilities {p_N.shape} and labels {y_N.shape}; give one label for each, at least one")
    if not ((p_N >= 0) & (p_N <= 1)).all():
        raise ValueError(f"probabilities go from {p_N.min()} to {p_N.max()}; they must be in [0, 1]")
    p_N = np.clip(p_N, _EDGE, 1 - _EDGE)
    logit_N = np.log(p_N) - np.log1p(-p_N)

    def slope(inverse: float) -> float:
        return float(np.mean((_sigmoid(inverse * logit_N) - y_N) * logit_N))

    low, high = 1 / HOTTEST, 1 / COLDEST
    if slope(low) >= 0:
        return HOTTEST
    if slope(high) <= 0:
        return COLDEST
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return 2 / (low + high)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return (1 + np.tanh(x / 2)) / 2  # does not overflow
