"""AdamW with a linear warm-up, and a fall where one is wanted, behind a global-norm clip."""

from __future__ import annotations

import dataclasses

import jax
import optax


@dataclasses.dataclass(frozen=True)
class Optimizer:
    """Defaults are verl's DAPO recipe for Qwen2.5-32B (the report publishes none). fall_steps: the rate falls linearly
    from the end of the warm-up to a tenth at this update; 0: it stays.
    """

    lr: float = 1e-6
    warmup_steps: int = 10
    weight_decay: float = 0.1
    clip_norm: float = 1.0
    b1: float = 0.9
    b2: float = 0.999
    eps: float = 1e-8
    fall_steps: int = 0


def make(o: Optimizer) -> optax.GradientTransformation:
    """Gradient clip by global norm, then AdamW; the rate climbs linearly to `lr` over `warmup_steps` updates, then
    stays or falls.
    """
    falling = max(o.fall_steps - o.warmup_steps, 1)

    def rate(count: jax.Array) -> jax.Array:
        climbed = ((count + 1) / max(o.warmup_steps, 1)).clip(max=1.0)
        fallen = ((count + 1 - o.warmup_steps) / falling).clip(0.0, 1.0) if o.fall_steps else 0.0
        return o.lr * climbed * (1 - 0.9 * fallen)

    return optax.chain(
        optax.clip_by_global_norm(o.clip_norm),
        optax.adamw(rate, b1=o.b1, b2=o.b2, eps=o.eps, weight_decay=o.weight_decay),
    )
