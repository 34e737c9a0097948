"""How well verdicts agree with the truth: agreement, Cohen's kappa and F1 of yes/no pairs, and how sure a judge should
be, with bootstrap intervals that resample records (the verdicts on one reply, or of one question, are no independent
looks at the grader).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from m2jax.evaluate.figures import Figure, figure
from m2jax.evaluate.stats import pooled_ci
from m2jax.verifier.calibration import Calibration, calibrate

Pairs = Sequence[tuple[bool, bool]]  # (verdict, truth) of one record
Statistic = Callable[[np.ndarray], np.ndarray]


def table(records: Sequence[Pairs]) -> np.ndarray:
    """[records, 4] counts: of each record said and true, said alone, true alone, neither."""
    cells = ((True, True), (True, False), (False, True), (False, False))
    return np.array([[sum(tuple(map(bool, p)) == cell for p in pairs) for cell in cells] for pairs in records]).reshape(
        -1, 4
    )


def agreement(sums: np.ndarray) -> np.ndarray:
    """The share of pairs that agree, of [..., 4] counts."""
    return (sums[..., 0] + sums[..., 3]) / np.maximum(sums.sum(-1), 1)


def kappa(sums: np.ndarray) -> np.ndarray:
    """Cohen's kappa (1960, doi:10.1177/001316446002000104) of [..., 4] counts; nan where chance explains all."""
    n = np.maximum(sums.sum(-1), 1)
    said, true = (sums[..., 0] + sums[..., 1]) / n, (sums[..., 0] + sums[..., 2]) / n
    by_chance = said * true + (1 - said) * (1 - true)
    with np.errstate(divide="ignore", invalid="ignore"):
        return (agreement(sums) - by_chance) / (1 - by_chance)


def f1(sums: np.ndarray) -> np.ndarray:
    """The F1 of "yes", of [..., 4] counts; 0 where there is no true one."""
    return 2 * sums[..., 0] / np.maximum(2 * sums[..., 0] + sums[..., 1] + sums[..., 2], 1)


def agreement_figures(
    name: str, records: Sequence[Pairs], statistics: Sequence[tuple[str, Statistic, float | None]], note: str = ""
) -> list[Figure]:
    """One figure per (word, statistic, wanted). ValueError where no record has a pair."""
    counts = table([pairs for pairs in records if pairs])
    total = int(counts.sum())
    said = f"{total} verdicts, {(counts[:, 0] + counts[:, 2]).sum() / total:.0%} true"
    return [
        Figure(
            f"{name}: {word}", *pooled_ci(counts, statistic), len(counts), wanted, "; ".join(filter(None, [said, note]))
        )
        for word, statistic, wanted in statistics
    ]


def calibration_figures(
    name: str, records: Sequence[Sequence[tuple[float, bool]]], calibration: Calibration
) -> list[Figure]:
    """The log-loss, in nats a verdict, of (probability, truth) by record: as it is, and calibrated."""
    judged = [one for one in records if one]
    plain = [[_loss(p, truth) for p, truth in one] for one in judged]
    calibrated = [[_loss(calibrate(p, calibration), truth) for p, truth in one] for one in judged]
    said = f"temperature {calibration.temperature:.2f}, bias {calibration.bias:+.2f}"
    return [figure(f"{name}: log-loss as it is", plain), figure(f"{name}: log-loss", calibrated, note=said)]


def _loss(probability: float, truth: bool) -> float:
    return -math.log(max(probability if truth else 1 - probability, 1e-9))
