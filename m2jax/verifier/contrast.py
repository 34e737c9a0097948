"""Contrast: what a reply earns by saying what would be right for anybody.

    others = drawn(case.id, group, pool)     rubrics of other patients, the same for every reply to the case
    lost = taken(common(reply, others), 0.5)

A reply to a patient answers her rubric and only in part those of others: an honest one earns about 0.4 there. A
constant text that fits every rubric earns as much from others as from her. So the same reply is graded, by checks
alone, against `OTHERS` rubrics of other patients, and what the mean of these scores is above a share is taken off.
Nothing is drawn but by the case's id, so that the replies of a group are compared with the same patients, in every
process and after a restart.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from m2jax.verifier.reward import grade_checks, score_minmax
from m2jax.verifier.rubric import Rubric

T = TypeVar("T")

OTHERS = 4  # rubrics that a reply is set against


def checked(rubric: Rubric) -> Rubric:
    """The criteria that a machine decides; none where nothing can be earned by them."""
    own = tuple(c for c in rubric if c.check is not None)
    return own if any(c.points > 0 for c in own) else ()


def drawn(key: str, group: str, pool: Sequence[tuple[str, T]], k: int = OTHERS) -> tuple[T, ...]:
    """k of the (group, thing) of other groups, fixed by the key; all of them where there are no more."""
    seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8])
    order = np.random.default_rng(seed).permutation(len(pool))
    return tuple([pool[i][1] for i in order if pool[i][0] != group][:k])


def common(reply: str, others: Sequence[Rubric]) -> float:
    """The mean min-max score of the reply by the others' rubrics, in [0, 1]; 0 where there are none."""
    scores = []
    for rubric in others:
        met = [verdict.met for verdict in grade_checks(rubric, reply)]
        scores.append(score_minmax([c.points for c in rubric], met))
    return float(np.mean(scores)) if scores else 0.0


def taken(shared: float, above: float) -> float:
    """What is taken off a score where the mean over others is `shared`; above 0: contrast is not asked for."""
    return max(0.0, shared - above) if above else 0.0


def less(score: float, lost: float) -> float:
    """The score without what is taken off: not below 0 for that."""
    return max(score - lost, min(score, 0.0))
