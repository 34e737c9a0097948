"""The held-out rubric score of the policy: replies to every held-out case, graded, and how fluent they are to the
start model.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from m2jax.evaluate.stats import bootstrap_ci, distinct_ngrams, paired_gain
from m2jax.metrics import read_jsonl
from m2jax.models.params import Params
from m2jax.rollout.single_turn import Rollout, generate, grade_rollouts
from m2jax.train import grpo, rl
from m2jax.train.step import make_logprobs

SEED_OFFSET = 1_000_003  # the evaluation's samples share no key with training's


def evaluate(parts: rl.Parts, weights: Params, file: Path, tell: Callable[[str], None] = print) -> None:
    """Writes `file`: one JSON line per held-out reply (`report.html` says which fields), sampled as in training.

    The same seed for every call: before and after differ by the weights alone. Written whole or not at all.
    """
    n = parts.config.eval.samples_per_prompt
    parts.engine.update("doctor", weights)
    rows, size = [], parts.engine.shapes.rows
    fluency = _base_logp(parts)
    for start in range(0, len(parts.heldout), size):
        cases = parts.heldout[start : start + size]
        seed = parts.config.seed + SEED_OFFSET
        rolled = generate(parts.engine, parts.tokenizer, cases, n, parts.sampling, seed=seed, first_request=start * n)
        groups = grade_rollouts(cases, *rolled, parts.judge, parts.reward)
        for group, logps in zip(groups, fluency(groups), strict=True):
            rows += [_row(rollout, j, logp) for j, (rollout, logp) in enumerate(zip(group, logps, strict=True))]
        mean = np.mean([row["score"] for row in rows])
        tell(f"{file.stem}: {min(start + size, len(parts.heldout))}/{len(parts.heldout)} cases, score {mean:.3f}")
    temporary = file.with_suffix(".partial")
    temporary.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    os.replace(temporary, file)


def summarise(file: Path) -> dict[str, float]:
    """Score with its bootstrap 95% interval over cases, fluency and length of one evaluation file."""
    rows = read_jsonl(file)
    mean, low, high = bootstrap_ci(_by_case(rows))
    return {
        "score": mean,
        "low": low,
        "high": high,
        "base_logp": float(np.mean([row["base_logp"] for row in rows])),
        "distinct3": distinct_ngrams(row["reply"] for row in rows),
        "tokens": float(np.mean([row["tokens"] for row in rows])),
    }


def gain(before: Path, after: Path) -> dict[str, float]:
    """The mean gain over cases, paired, with its bootstrap 95% interval."""
    mean, low, high = paired_gain(_by_case(read_jsonl(before)), _by_case(read_jsonl(after)))
    return {"mean": mean, "low": low, "high": high}


def _by_case(rows: Sequence[dict[str, Any]]) -> list[list[float]]:
    cases: dict[str, list[float]] = {}
    for row in rows:
        cases.setdefault(row["id"], []).append(row["score"])
    return list(cases.values())


def _row(rollout: Rollout, sample: int, base_logp: float) -> dict[str, Any]:
    criteria = [
        {
            "text": c.text,
            "points": c.points,
            "dimension": c.dimension,
            "met": v.met,
            "probability": v.probability,
            "by": v.by,
        }
        for c, v in zip(rollout.case.rubric, rollout.verdicts, strict=True)
    ]
    return {
        "id": rollout.case.id,
        "topic": rollout.case.topic,
        "messages": list(rollout.case.messages),
        "sample": sample,
        "reply": rollout.text,
        "tokens": len(rollout.completion.tokens),
        "score": rollout.score,
        "base_logp": base_logp,
        "criteria": criteria,
    }


def _base_logp(parts: rl.Parts) -> Callable[[Sequence[Sequence[Rollout]]], list[list[float]]]:
    """Mean log-prob per token of each reply under the weights the run began from."""
    logprobs = make_logprobs(parts.cfg, grpo.Grpo(l_max=1), parts.engine.dtype)
    micro = parts.config.grpo.micro_groups

    def measure(groups: Sequence[Sequence[Rollout]]) -> list[list[float]]:
        size, prompt, tokens = parts.engine.shapes.rows, parts.engine.shapes.prompt, parts.sampling.max_tokens
        ((rows, count),) = rl.minibatches(groups, size, micro, prompt, tokens)
        logp = np.asarray(logprobs(parts.engine.roles["start"], None, rl.put_groups(parts.mesh, rows)))
        total = (logp * rows.mask).reshape(-1, *logp.shape[2:]).sum(-1)
        length = rows.mask.reshape(-1, *logp.shape[2:]).sum(-1)
        return (total[:count] / length[:count]).tolist()

    return measure
