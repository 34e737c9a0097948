"""The held-out rubric score of the policy: replies to every held-out case, graded, and how fluent they are to the
start model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from m2jax import distributed
from m2jax.data.tasks import Task
from m2jax.evaluate.stats import bootstrap_ci, distinct_ngrams, paired_gain
from m2jax.lines import write_jsonl
from m2jax.metrics import read_jsonl
from m2jax.rollout.dialogues import criteria_of, tokens_of
from m2jax.rollout.single_turn import Rollout, pay, results_of, single_turn
from m2jax.sampler.requests import Dialogue, Score
from m2jax.text.tokenizer import Tokenizer
from m2jax.train import rl
from m2jax.verifier.grader import check_judged
from m2jax.verifier.rubric import Case

SEED_OFFSET = 1_000_003  # the evaluation's samples share no key with training's


def evaluate(parts: rl.Parts, role: str, file: Path, tell: Callable[[str], None] = print) -> None:
    """Writes `file`: one JSON line per held-out reply of `role` (`_row` has the fields), sampled as in
    training.

    The same seed for every call: before and after differ by the weights alone. Written whole or not at all, by the
    first process.
    """
    n, seed = parts.config.eval.samples_per_prompt, parts.config.seed + SEED_OFFSET
    total, graded = n * len(parts.heldout), 0

    def counted(dialogue: Dialogue) -> Dialogue:
        nonlocal graded
        result = yield from dialogue
        graded += 1
        if graded % 10 == 0 and distributed.is_first():
            tell(f"{file.stem}: {graded}/{total} replies graded")
        return result

    parts.engine.forget()  # the same to the bit, whatever ran before
    dialogues = [counted(_dialogue(parts, case, role)) for case in parts.heldout for _ in range(n)]
    ended = results_of(parts.engine.run(dialogues, seed=seed))
    groups = [ended[i * n : (i + 1) * n] for i in range(len(parts.heldout))]
    check_judged([[v for reply, _ in group for v in reply.verdicts] for group in groups])
    paid = pay(parts.heldout, [[reply for reply, _ in group] for group in groups], parts.reward, parts.heldout)
    if not distributed.is_first():
        return
    rows = [
        _row(rollout, j, base_logp, parts.tokenizer)
        for rollouts, group in zip(paid, groups, strict=True)
        for j, (rollout, (_, base_logp)) in enumerate(zip(rollouts, group, strict=True))
    ]
    tell(f"{file.stem}: {len(parts.heldout)} cases, score {np.mean([row['score'] for row in rows]):.3f}")
    write_jsonl(file, rows)


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


def said(summary: dict[str, Any]) -> str:
    """The line that ends a run."""
    b, a, g = (summary[key] for key in ("before", "after", "gain"))
    return (
        f"held-out score {b['score']:.3f} -> {a['score']:.3f}, "
        f"gain {g['mean']:+.3f} (95% interval {g['low']:+.3f} to {g['high']:+.3f})"
    )


def _by_case(rows: Sequence[dict[str, Any]]) -> list[list[float]]:
    cases: dict[str, list[float]] = {}
    for row in rows:
        cases.setdefault(row["id"], []).append(row["score"])
    return list(cases.values())


def _row(rollout: Rollout, sample: int, base_logp: float, tokenizer: Tokenizer) -> dict[str, Any]:
    return {
        "id": rollout.case.id,
        "topic": rollout.case.topic,
        "messages": list(rollout.case.messages),
        "sample": sample,
        "reply": rollout.text,
        "tokens": len(rollout.completion.tokens),
        "score": rollout.score,
        "shared": rollout.shared,
        "lost": rollout.lost,
        "base_logp": base_logp,
        "criteria": criteria_of(rollout.case, rollout.verdicts, rollout.score),
    } | tokens_of(rollout.completion, tokenizer)


def _dialogue(parts: rl.Parts, case: Case | Task, role: str) -> Dialogue:
    """A graded reply, and its mean log-prob per token under the weights the run began from."""
    reply = yield from single_turn(case, parts.tokenizer, role, parts.judge)
    tokens, logps = reply.completion.tokens.tolist(), []
    for i in range(0, len(tokens), rl.PIECE):
        logps += yield Score("start", [*reply.prompt, *tokens[:i]], [tokens[i : i + rl.PIECE]])
    return reply, float(np.concatenate(logps).mean())
