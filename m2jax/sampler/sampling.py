"""One token from a row of logits, and its log-probability under the two distributions that matter.

`full` is softmax(logits / temperature) over the whole vocabulary: what the learner computes. `sampling` is `full`
cut to top-k and top-p and renormalised: what the token was drawn from. They agree when nothing is cut. A greedy
token (temperature 0) was drawn with probability 1, and its `full` is taken at temperature 1.
"""

from __future__ import annotations

import dataclasses
import math

import jax
import jax.numpy as jnp


@dataclasses.dataclass(frozen=True)
class Sampling:
    """How a role samples. Static: a change compiles a new program.

    temperature: 0 is greedy. top_k: 0 keeps all. top_p: 1.0 keeps all. max_tokens: length of a completion, its stop
    token included.
    stop: token ids that end a completion (empty: only `max_tokens` does).
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    max_tokens: int = 128
    stop: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.temperature < 0 or not math.isfinite(self.temperature):
            raise ValueError(f"temperature {self.temperature} must be 0 (greedy) or a positive number")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p {self.top_p} must lie in (0, 1]")
        if self.top_k < 0 or self.max_tokens < 1:
            raise ValueError(f"top_k {self.top_k} must be >= 0 and max_tokens {self.max_tokens} >= 1")


def sample(logits_NV: jax.Array, uniform_N: jax.Array, how: Sampling) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Draws one token per row by inverting the distribution at `uniform_N` (float32 in [0, 1)).

    Returns (tokens_N int32, logp_full_N, logp_sampling_N), log-probabilities float32 in nats.
    """
    logits_NV = logits_NV.astype(jnp.float32)
    scaled_NV = logits_NV / (how.temperature or 1.0)
    lse_N = jax.nn.logsumexp(scaled_NV, axis=-1)
    if how.temperature == 0:
        tokens_N = jnp.argmax(logits_NV, -1).astype(jnp.int32)
        return tokens_N, _pick(scaled_NV, tokens_N) - lse_N, jnp.zeros_like(lse_N)
    kept_NV = _truncate(scaled_NV, lse_N, how)
    weights_NV = jnp.exp(kept_NV - lse_N[:, None])
    tokens_N = _invert(weights_NV, uniform_N)
    picked_N = _pick(scaled_NV, tokens_N)
    cut = how.top_k or how.top_p < 1
    lse_kept_N = lse_N + jnp.log(weights_NV.sum(-1)) if cut else lse_N
    return tokens_N, picked_N - lse_N, picked_N - lse_kept_N


def uniforms(seed: jax.Array, request_N: jax.Array, position: jax.Array) -> jax.Array:
    """One float32 in [0, 1) per row from (seed, request, position): batch mates, slots and restarts do not enter.

    seed: uint32 scalar; request_N: uint32 [N]; position: int32 scalar, the token's index in its completion.
    """

    def one(request: jax.Array) -> jax.Array:
        return jax.random.uniform(jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), request), position))

    return jax.vmap(one)(request_N)


def _truncate(scaled_NV: jax.Array, lse_N: jax.Array, how: Sampling) -> jax.Array:
    """Logits outside top-k, then outside top-p of what is left, become -inf. Ties with the last kept token stay."""
    if not how.top_k and how.top_p == 1:
        return scaled_NV
    V = scaled_NV.shape[-1]
    sorted_NK, _ = jax.lax.top_k(scaled_NV, min(how.top_k or V, V))
    probs_NK = jnp.exp(sorted_NK - lse_N[:, None])
    before_NK = jnp.cumsum(probs_NK, -1) - probs_NK
    kept_NK = before_NK < how.top_p * probs_NK.sum(-1, keepdims=True)
    floor_N = jnp.where(kept_NK, sorted_NK, jnp.inf).min(-1)
    return jnp.where(scaled_NV >= floor_N[:, None], scaled_NV, -jnp.inf)


def _invert(weights_NV: jax.Array, uniform_N: jax.Array) -> jax.Array:
    """The token where the running sum of weights passes uniform * total.

    In two levels (which block, which token in it), so that no sum runs over the whole vocabulary.
    """
    N, V = weights_NV.shape
    width = next(w for w in range(math.isqrt(V), 0, -1) if V % w == 0)
    blocks_NJW = weights_NV.reshape(N, V // width, width)
    block_N, rest_N = _step_into(blocks_NJW.sum(-1), uniform_N * blocks_NJW.sum((-1, -2)))
    inside_NW = jnp.take_along_axis(blocks_NJW, block_N[:, None, None], axis=1)[:, 0]
    token_N, _ = _step_into(inside_NW, rest_N)
    return (block_N * width + token_N).astype(jnp.int32)


def _step_into(weights_NJ: jax.Array, goal_N: jax.Array) -> tuple[jax.Array, jax.Array]:
    """First index whose running sum exceeds the goal, never one of weight zero, and what is left of the goal there."""
    running_NJ = jnp.cumsum(weights_NJ, -1)
    passed_NJ = (running_NJ > goal_N[:, None]) & (weights_NJ > 0)
    last_N = weights_NJ.shape[-1] - 1 - jnp.argmax(jnp.flip(weights_NJ > 0, -1), -1)
    index_N = jnp.where(passed_NJ.any(-1), jnp.argmax(passed_NJ, -1), last_N)
    at_N = index_N[:, None]
    before_N = jnp.take_along_axis(running_NJ, at_N, -1)[:, 0] - jnp.take_along_axis(weights_NJ, at_N, -1)[:, 0]
    return index_N, goal_N - before_N


def _pick(x_NV: jax.Array, index_N: jax.Array) -> jax.Array:
    return jnp.take_along_axis(x_NV, index_N[:, None], -1)[:, 0]
