"""Calibration: what makes a judge's probabilities as sure as they are right.

p becomes sigmoid(logit(p) / T + b), with the temperature T and the bias b fitted on labels by log-loss (Platt 1999;
with b = 0 the temperature scaling of Guo et al. 2017, arXiv 1706.04599). T alone moves no verdict to the other side; b
does: a judge that says Yes too often is made to ask for more. Host numpy, float64.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import minimize

COLDEST, HOTTEST = 0.05, 20.0  # where labels leave no best value between, as where all verdicts are right
MOST_BIAS = 10.0
_EDGE = 1e-9


class Calibration(NamedTuple):
    """As it comes, nothing changes."""

    temperature: float = 1.0
    bias: float = 0.0


def of_card(card: Mapping[str, Any]) -> Calibration:
    """That of the judge that an adapter makes, as its card says (`adapters.card`); none where it says nothing."""
    return Calibration(**card.get("calibration", {}))


def calibrate(probability: float, calibration: Calibration) -> float:
    """sigmoid(logit(p) / T + b) in [0, 1]; 0 and 1 stay."""
    if not 0 < probability < 1:
        return float(probability)
    odds = np.log(probability) - np.log1p(-probability)
    return float(_sigmoid(odds / calibration.temperature + calibration.bias))


def fit(probabilities_N: Sequence[float], labels_N: Sequence[bool]) -> Calibration:
    """The calibration of least log-loss, for a judge's probabilities of "met" and what is true: T in [COLDEST,
    HOTTEST], b in [-MOST_BIAS, MOST_BIAS]. The loss is convex in (1 / T, b). ValueError where there are no labels, or
    not one each.
    """
    p_N, y_N = np.asarray(probabilities_N, np.float64), np.asarray(labels_N, np.float64)
    if p_N.ndim != 1 or p_N.shape != y_N.shape or not p_N.size:
        raise ValueError(f"probabilities {p_N.shape} and labels {y_N.shape}; give one label for each, at least one")
    if not ((p_N >= 0) & (p_N <= 1)).all():
        raise ValueError(f"probabilities go from {p_N.min()} to {p_N.max()}; they must be in [0, 1]")
    p_N = np.clip(p_N, _EDGE, 1 - _EDGE)
    logit_N = np.log(p_N) - np.log1p(-p_N)

    def loss(point: np.ndarray) -> tuple[float, np.ndarray]:
        z_N = point[0] * logit_N + point[1]
        wrong_N = _sigmoid(z_N) - y_N
        return float(np.mean(np.logaddexp(0, z_N) - y_N * z_N)), np.array([np.mean(wrong_N * logit_N), wrong_N.mean()])

    bounds = [(1 / HOTTEST, 1 / COLDEST), (-MOST_BIAS, MOST_BIAS)]
    inverse, bias = minimize(loss, np.array([1.0, 0.0]), jac=True, bounds=bounds, options={"gtol": 1e-10}).x
    return Calibration(float(1 / inverse), float(bias))


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return (1 + np.tanh(x / 2)) / 2  # does not overflow
