"""One token from a row of logits, and its log-probability under the two distributions that matter.

`full` is softmax(logits / temperature) over the whole vocabulary: what the learner computes. `sampling` is `full`
cut to what a grammar allows, to top-k and to top-p, and renormalised: what the token was drawn from. They agree when
nothing is cut. A greedy token (temperature 0) was drawn with probability 1, and its `full` is taken at temperature 1.
"""

from __future__ import annotations

import dataclasses
import math

import flax.struct
import jax
import jax.numpy as jnp

LIKELIEST = 20  # alternatives of a token, where they are asked for
LEAST_TEMPERATURE, LEAST_TOP_P = 1e-4, 1e-6  # what is smaller is nothing in float32, or makes logits infinite


@dataclasses.dataclass(frozen=True)
class Sampling:
    """How a role samples.

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
        if self.temperature and not LEAST_TEMPERATURE <= self.temperature < math.inf:
            raise ValueError(f"temperature {self.temperature} must be 0 (greedy) or from {LEAST_TEMPERATURE} up")
        if not LEAST_TOP_P <= self.top_p <= 1:
            raise ValueError(f"top_p {self.top_p} must lie in [{LEAST_TOP_P}, 1]")
        if self.top_k < 0 or self.max_tokens < 1:
            raise ValueError(f"top_k {self.top_k} must be >= 0 and max_tokens {self.max_tokens} >= 1")


@flax.struct.dataclass
class Knobs:
    """`Sampling` row by row, on the device: float32 temperature_N and top_p_N, int32 top_k_N (see `Sampling`)."""

    temperature_N: jax.Array
    top_k_N: jax.Array
    top_p_N: jax.Array


def sample(
    logits_NV: jax.Array, key_N: jax.Array, how: Knobs, allowed_NV: jax.Array | None = None
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Draws one token per row with the row's random key (`keys`).

    allowed_NV: bool, the tokens a row may draw (None: all). Returns (tokens_N int32, logp_full_N, logp_sampling_N),
    log-probabilities float32 in nats.
    """
    greedy_N = how.temperature_N == 0
    cut_N = ~greedy_N & ((how.top_k_N > 0) | (how.top_p_N < 1))
    scaled_NV = logits_NV.astype(jnp.float32) / jnp.where(greedy_N, 1.0, how.temperature_N)[:, None]
    lse_N = jax.nn.logsumexp(scaled_NV, axis=-1)
    kept_NV = scaled_NV if allowed_NV is None else jnp.where(allowed_NV, scaled_NV, -jnp.inf)
    kept_NV = jax.lax.cond(cut_N.any(), lambda x: _truncate(x, cut_N, how), lambda x: x, kept_NV)
    best_N = kept_NV.max(-1)
    weights_NV = jnp.exp(kept_NV - best_N[:, None])
    drawn_N = _draw(weights_NV, key_N)
    tokens_N = jax.lax.cond(
        greedy_N.any(), lambda: jnp.where(greedy_N, jnp.argmax(kept_NV, -1).astype(jnp.int32), drawn_N), lambda: drawn_N
    )
    logp_full_N = _pick(scaled_NV, tokens_N) - lse_N
    renormalised_N = _pick(scaled_NV, tokens_N) - best_N - jnp.log(weights_NV.sum(-1))
    logp_N = jnp.where(cut_N, renormalised_N, logp_full_N) if allowed_NV is None else renormalised_N
    return tokens_N, logp_full_N, jnp.where(greedy_N, 0.0, logp_N)


def alternatives(logits_NV: jax.Array, token_N: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(ids int32, log-probabilities float32 in nats), [N, 1 + `LIKELIEST`]: the token's, then the likeliest tokens' in
    order, of softmax(logits).
    """
    logp_NV = jax.nn.log_softmax(logits_NV.astype(jnp.float32), axis=-1)
    top_NK, ids_NK = jax.lax.top_k(logp_NV, min(LIKELIEST, logits_NV.shape[-1]))
    own_N1 = _pick(logp_NV, token_N)[:, None]
    return jnp.concatenate([token_N[:, None], ids_NK.astype(jnp.int32)], 1), jnp.concatenate([own_N1, top_NK], 1)


def keys(seed: jax.Array, request_NW: jax.Array, position_N: jax.Array) -> jax.Array:
    """One random key per row from (seed, request, position): batch mates, slots and restarts do not enter.

    seed: uint32 scalar; request_NW: uint32 [N, words]; position_N: int32, the token's index in its completion.
    """

    def one(request_W: jax.Array, position: jax.Array) -> jax.Array:
        key = jax.random.key(seed)
        for word in request_W:
            key = jax.random.fold_in(key, word)
        return jax.random.fold_in(key, position)

    return jax.vmap(one)(request_NW, position_N)


def _truncate(scaled_NV: jax.Array, cut_N: jax.Array, how: Knobs) -> jax.Array:
    """Logits outside top-k, then outside top-p of what is left, become -inf. Ties with the last kept token stay."""
    keys_NV = _sortable(scaled_NV)
    in_k_NV = keys_NV >= _floor(keys_NV, jnp.ones_like(scaled_NV), how.top_k_N)[:, None]
    in_k_NV |= (how.top_k_N == 0)[:, None]
    weights_NV = jnp.where(in_k_NV, jnp.exp(scaled_NV - scaled_NV.max(-1, keepdims=True)), 0.0)
    in_p_NV = keys_NV >= _floor(keys_NV, weights_NV, how.top_p_N * weights_NV.sum(-1))[:, None]
    in_p_NV |= (how.top_p_N == 1)[:, None]
    return jnp.where((in_k_NV & in_p_NV) | ~cut_N[:, None], scaled_NV, -jnp.inf)


def _sortable(x: jax.Array) -> jax.Array:
    """uint32 in the order of the float32 they come from."""
    bits, sign = jax.lax.bitcast_convert_type(x, jnp.uint32), jnp.uint32(1 << 31)
    return jnp.where(bits < sign, bits | sign, ~bits)


def _floor(keys_NV: jax.Array, weights_NV: jax.Array, goal_N: jax.Array) -> jax.Array:
    """Of each row the highest key from which on the weights sum to at least the goal; 0 where all together do not.

    Settled bit by bit: 32 passes over the vocabulary take less time than sorting it.
    """

    def settle(i: jax.Array, floor_N: jax.Array) -> jax.Array:
        raised_N = floor_N | (jnp.uint32(1 << 31) >> i.astype(jnp.uint32))
        total_N = jnp.where(keys_NV >= raised_N[:, None], weights_NV, 0.0).sum(-1)
        return jnp.where(total_N >= goal_N, raised_N, floor_N)

    return jax.lax.fori_loop(0, 32, settle, keys_NV[:, 0] & 0)


def _draw(weights_NV: jax.Array, key_N: jax.Array) -> jax.Array:
    """A token of each row, as likely as its weight; never one of weight zero.

    In two levels (which block, which token in it), so that a row needs noise for some hundred numbers and not for its
    vocabulary. Each is the largest log-weight with Gumbel noise (https://arxiv.org/abs/1411.0030): where weights are
    computed a little differently, in a batch of another shape, it falls the other way only where two are that close.
    A point in the running sum would cross into another of thousands of unlikely tokens at once.
    """
    N, V = weights_NV.shape
    width = next(w for w in range(math.isqrt(V), 0, -1) if V % w == 0)
    blocks_NJW = weights_NV.reshape(N, V // width, width)
    key_N2 = jax.vmap(jax.random.split)(key_N)
    block_N = _perturbed_best(blocks_NJW.sum(-1), key_N2[:, 0])
    token_N = _perturbed_best(_pick(blocks_NJW, block_N), key_N2[:, 1])
    return (block_N * width + token_N).astype(jnp.int32)


def _perturbed_best(weights_NJ: jax.Array, key_N: jax.Array) -> jax.Array:
    """argmax of the log-weights with Gumbel noise."""
    noise_NJ = jax.vmap(lambda key: jax.random.gumbel(key, weights_NJ.shape[1:], mode="high"))(key_N)
    return jnp.argmax(jnp.log(weights_NJ) + noise_NJ, -1)


def _pick(x: jax.Array, index_N: jax.Array) -> jax.Array:
    """x[n, index[n]] for every row n."""
    return jax.vmap(lambda row, i: row[i])(x, index_N)
