"""From verdicts to rewards: normalised rubric scores, their parts by dimension, and the length bonus.

Points w_i are the criteria's weights; a_i is 1 where criterion i is met. A negative criterion is met when the
undesired thing is there. Arrays of a group end in R, the replies to one prompt. Plain Python and numpy,
float64.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from m2jax.verifier import checks, guards
from m2jax.verifier.rubric import Criterion, Rubric

Normalise = Callable[[Sequence[int], Sequence[bool]], float]

PAID_QUANTILE = 0.2  # eq. 3 calls it P80: at least 80% of the group lies at or above it


@dataclass(frozen=True)
class Verdict:
    """Whether a criterion is met. `probability` is the judge's for "met", in [0, 1]; None from a check. "failed": the
    judge gave no verdict, "refused": it would not answer; both count as not met.
    """

    met: bool
    probability: float | None
    by: Literal["check", "judge", "failed", "refused"]


def grade_checks(rubric: Rubric, reply: str) -> list[Verdict | None]:
    """One entry for each criterion: what its check says of the reply, or None where the judge has to say. A positive
    one also has to be met by what counts of the reply (`guards.for_checks`).
    """
    reply = guards.visible(reply)
    counted = guards.for_checks(reply)

    def verdict(criterion: Criterion) -> Verdict | None:
        if criterion.check is None:
            return None
        found = checks.met(criterion.check, reply)
        if found and criterion.points > 0 and counted != reply:
            found = checks.met(criterion.check, counted)
        return Verdict(found, None, "check")

    return [verdict(criterion) for criterion in rubric]


def reward_parts(
    rubric: Rubric, verdicts: Sequence[Verdict | None], normalise: Normalise
) -> tuple[float, dict[str, float]]:
    """The score of one reply, and for each dimension the min-max score of its criteria, in [0, 1].

    `normalise` makes the score from (points, met): one of NORMALISATIONS. ValueError where a verdict is
    missing.
    """
    if len(verdicts) != len(rubric):
        raise ValueError(f"{len(verdicts)} verdicts for {len(rubric)} criteria; give one for each")
    for criterion, verdict in zip(rubric, verdicts, strict=True):
        if verdict is None:
            raise ValueError(f"criterion {criterion.text!r} has no verdict; ask the judge before scoring")
    points = [criterion.points for criterion in rubric]
    met = [verdict.met for verdict in verdicts]
    parts = {}
    for dimension in dict.fromkeys(criterion.dimension for criterion in rubric):
        of_it = [i for i, criterion in enumerate(rubric) if criterion.dimension == dimension]
        parts[dimension] = score_minmax([points[i] for i in of_it], [met[i] for i in of_it])
    return normalise(points, met), parts


def score_minmax(points: Sequence[int], met: Sequence[bool]) -> float:
    """(Σ w_i a_i − Σ_{w_i<0} w_i) / Σ |w_i|, in [0, 1].

    The report leaves its formula out; this is the successor's, which says that it follows it (arXiv
    2602.06570).
    """
    w, a = _arrays(points, met)
    return float((w @ a - w[w < 0].sum()) / np.abs(w).sum())


def score_healthbench(points: Sequence[int], met: Sequence[bool]) -> float:
    """Points of met criteria over the sum of positive points, at most 1 and possibly negative.

    HealthBench's score of one example (https://github.com/openai/simple-evals, healthbench_eval.py).
    """
    w, a = _arrays(points, met)
    if not (w > 0).any():
        raise ValueError(f"points are {list(points)}; HealthBench's score needs a positive one")
    return float(w @ a / w[w > 0].sum())


NORMALISATIONS: Mapping[str, Normalise] = {"minmax": score_minmax, "healthbench": score_healthbench}


def length_bonus(
    scores_R: Sequence[float] | np.ndarray,
    lengths_R: Sequence[int] | np.ndarray,
    threshold: float,
    scale: float,
) -> np.ndarray:
    """Eq. 3 of arXiv 2509.02208: scale / √length where the group is good and the reply is in its upper part.

    With P80 = quantile(scores, 0.2): a reply is paid iff P80 > threshold and its score >= P80; the others get
    0. The paper's scale is 4, for replies of some thousands of tokens; shorter ones need a smaller scale.

    Args:
      scores_R: normalised rubric scores of one prompt's replies.
      lengths_R: their lengths in tokens, at least 1.

    Returns:
      float64 [R], to be added to the scores.
    """
    scores_R, lengths_R = np.asarray(scores_R, np.float64), np.asarray(lengths_R, np.float64)
    if scores_R.ndim != 1 or scores_R.shape != lengths_R.shape or not scores_R.size:
        raise ValueError(f"scores {scores_R.shape} and lengths {lengths_R.shape}; give two equal vectors, not empty")
    if not np.isfinite(scores_R).all():
        raise ValueError(f"scores are {scores_R}; they must be finite")
    if not (lengths_R >= 1).all():
        raise ValueError(f"lengths are {lengths_R}; count at least one token (the stop token) for each reply")
    p80 = np.quantile(scores_R, PAID_QUANTILE)
    paid_R = (p80 > threshold) & (scores_R >= p80)
    return np.where(paid_R, scale / np.sqrt(lengths_R), 0.0)


def overlong_penalty(lengths_R: Sequence[int] | np.ndarray, longest: int, margin: int) -> np.ndarray:
    """DAPO's soft punishment (arXiv 2503.14476, eq. 13), in tokens: 0 up to `longest` - `margin`, from there down in a
    straight line to -1 at `longest`, where replies are cut off. margin 0 punishes nothing.

    Returns: float64 [R], to be added to the scores.
    """
    if not 0 <= margin <= longest:
        raise ValueError(f"the margin is {margin}; it must be from 0 to the {longest} tokens of the longest reply")
    lengths_R = np.asarray(lengths_R, np.float64)
    return -np.clip((lengths_R - (longest - margin)) / margin, 0, 1) if margin else np.zeros(lengths_R.shape)


def _arrays(points: Sequence[int], met: Sequence[bool]) -> tuple[np.ndarray, np.ndarray]:
    w, a = np.asarray(points, np.float64), np.asarray(met, bool)
    if w.ndim != 1 or w.shape != a.shape or not w.size or not (w != 0).all():
        raise ValueError(f"points {list(points)} and met {list(met)}; give one of each per criterion, points not 0")
    return w, a.astype(np.float64)
