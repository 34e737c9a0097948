"""How hard tasks are for a model, before it trains on them: the share of its replies that a rule rewards.

The paper keeps tasks of suitable difficulty (section 5, RL stage 1) without saying which; those whose groups would
rarely differ are left out (docs/paper.md).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from m2jax.data.tasks import Task
from m2jax.rollout.kept import Row, kept
from m2jax.rollout.single_turn import Reward, Rollout, roll_out
from m2jax.sampler.engine import Engine
from m2jax.text.tokenizer import Tokenizer


def pass_rates(
    engine: Engine,
    tokenizer: Tokenizer,
    tasks: Sequence[Task],
    k: int,
    file: Path,
    *,
    who: Mapping[str, Any],
    at_once: int,
    seed: int = 0,
    tell: Callable[[str], None] = print,
) -> dict[str, float]:
    """The mean score of k replies of the role "start" to each task, by its id, in [0, 1]; kept in `file` (`kept`)."""

    def roll(part: Sequence[Task], first: int) -> list[list[Rollout]]:
        return roll_out(engine, tokenizer, part, k, None, Reward(), seed=seed, first_key=first * k, role="start")

    def rate(task: Task, group: list[Rollout]) -> Row:
        return {"id": task.id, "rate": float(np.mean([rollout.score for rollout in group]))}

    return {row["id"]: row["rate"] for row in kept(tasks, at_once, file, who, roll, rate, tell)}
