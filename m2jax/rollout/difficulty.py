"""How hard tasks are for a model, before it trains on them: the share of its replies that a rule rewards.

The paper keeps tasks of suitable difficulty (section 5, RL stage 1) without saying which; those whose groups would
rarely differ are left out (docs/paper.md).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from m2jax import distributed
from m2jax.data.tasks import Task
from m2jax.metrics import read_jsonl
from m2jax.rollout.single_turn import Reward, roll_out
from m2jax.sampler.engine import Engine
from m2jax.text.tokenizer import Tokenizer


def pass_rates(
    engine: Engine,
    tokenizer: Tokenizer,
    tasks: Sequence[Task],
    k: int,
    file: Path,
    *,
    at_once: int,
    seed: int = 0,
    role: str = "start",
    tell: Callable[[str], None] = print,
) -> dict[str, float]:
    """The mean score of k replies to each task, by its id, in [0, 1]. `file` (JSONL) gets each one when it is known,
    and those it has already are not asked again: a run that was stopped goes on.
    """
    rates = {row["id"]: row["rate"] for row in distributed.from_first(read_jsonl(file) if file.is_file() else [])}
    for start in range(0, len(tasks), at_once):
        part = tasks[start : start + at_once]
        if all(task.id in rates for task in part):
            continue
        groups = roll_out(engine, tokenizer, part, k, None, Reward(), seed=seed, first_key=start * k, role=role)
        found = [
            {"id": task.id, "rate": float(np.mean([rollout.score for rollout in group]))}
            for task, group in zip(part, groups, strict=True)
        ]
        rates |= {row["id"]: row["rate"] for row in found}
        if distributed.is_first():
            with file.open("a") as out:
                out.write("".join(json.dumps(row) + "\n" for row in found))
            tell(f"{start + len(part)}/{len(tasks)} tasks tried")
    return {task.id: rates[task.id] for task in tasks}
