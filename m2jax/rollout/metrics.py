"""What a step's metrics say of its replies, and of the engine that made them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from m2jax.rollout.single_turn import Rollout

Metrics = dict[str, Any]


def rollout_metrics(rollouts: Sequence[Sequence[Rollout]]) -> Metrics:
    """Means over the replies of one step; entropy is the sampler's estimate -log p."""
    flat = [r for group in rollouts for r in group]
    mean = lambda xs: float(np.mean(list(xs)))  # noqa: E731
    metrics = {
        "reward/score": mean(r.score for r in flat),
        "reward/contrast": mean(r.lost for r in flat),
        "reward/length_bonus": mean(r.bonus for r in flat),
        "reward/total": mean(r.reward for r in flat),
        "reward/std_in_group": mean(np.std([r.reward for r in g]) for g in rollouts),
        "rollout/length": mean(len(r.completion.tokens) for r in flat),
        "rollout/stopped": mean(r.completion.stopped for r in flat),
        "rollout/entropy": mean(-r.completion.logp_full.mean() for r in flat),
    }
    if judged := [v for r in flat for v in r.verdicts if v.by != "check"]:
        metrics["reward/judge_failed"] = mean(v.by == "failed" for v in judged)
    for name in sorted({d for r in flat for d in r.dimensions}):
        metrics[f"reward/dimension/{name}"] = mean(r.dimensions[name] for r in flat if name in r.dimensions)
    return metrics


def engine_metrics(stats: dict[str, float]) -> Metrics:
    """How the engine spent a rollout: rates in tokens (or verdicts) per second, shares, and seconds in each program."""
    get = lambda name: stats.get(name, 0.0)  # noqa: E731
    per = lambda a, b: a / b if b else 0.0  # noqa: E731
    return {
        "engine/decode_tok_s": per(get("decode_tokens"), get("decode_seconds")),
        "engine/verdicts_s": per(get("verdicts"), get("score_seconds")),
        "engine/slot_occupancy": per(get("decode_tokens"), get("slot_steps")),
        "engine/prefix_hit_rate": per(get("prompt_tokens_hit"), get("prompt_tokens")),
        "engine/prompt_tokens": get("prompt_tokens"),
        "engine/prefill_tokens": get("prefill_tokens"),
        "engine/preemptions": get("preemptions"),
        "engine/prefill_seconds": get("prefill_seconds"),
        "engine/decode_seconds": get("decode_seconds"),
        "engine/score_seconds": get("score_seconds"),
        "engine/host_seconds": get("host_seconds"),
        "engine/handover_seconds": get("handover_seconds"),
    } | {name.replace("_", "/", 1): value for name, value in stats.items() if name.startswith("outside_")}
