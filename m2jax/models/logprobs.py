"""Log-probabilities of given tokens, blockwise over the vocabulary: an array [B, T, V] never exists.

One pass over the blocks keeps a running maximum, sum of exponentials, sum of exponentials times logits, and the
target's logit (online softmax, arXiv 1805.02867); the backward pass recomputes each block's probabilities from the
log-sum-exp.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp

from m2jax.sharding import P, einsum, einsum_to, reshape, reshard, spec_of

BLOCK = 8192  # logits held at once per token and vocabulary shard
LOWEST = -1e30  # below any logit, and finite


def token_logprobs(
    hidden_BTD: jax.Array, unembed_VD: jax.Array, targets_BT: jax.Array, temperature: float = 1.0
) -> tuple[jax.Array, jax.Array]:
    """log softmax(hidden @ unembed.T / temperature) at `targets_BT`, and the entropy of that distribution.

    Returns (logp_BT, entropy_BT), float32, in nats. Differentiable in hidden and unembed through `logp`; the entropy
    is a measurement and carries no gradient. The vocabulary may be sharded (over `model`), the batch too.
    """
    shards = _vocab_shards(unembed_VD)
    V, D = unembed_VD.shape
    n_blocks = _n_blocks(V // shards)
    shape = (shards, n_blocks, V // shards // n_blocks, D)
    over_vocab, over_model_dim = spec_of(unembed_VD)
    blocks_SNVD = reshape(unembed_VD, shape, P(over_vocab, None, None, over_model_dim))
    return _token_logprobs(temperature, hidden_BTD, blocks_SNVD, targets_BT)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _token_logprobs(temperature: float, hidden: jax.Array, blocks: jax.Array, targets: jax.Array) -> Any:
    return _forward(temperature, hidden, blocks, targets)[0]


def _forward(temperature: float, hidden: jax.Array, blocks: jax.Array, targets: jax.Array) -> Any:
    def step(carry: Any, block: Any) -> Any:
        top, total, weighted, target = carry
        logits, hit = _block_logits(temperature, hidden, targets, blocks.shape[1], *block)
        new_top = jnp.maximum(top, logits.max(-1))
        keep = jnp.exp(top - new_top)
        weight = jnp.exp(logits - new_top[..., None])
        total = total * keep + weight.sum(-1)
        weighted = weighted * keep + (weight * logits).sum(-1)
        return (new_top, total, weighted, target + jnp.where(hit, logits, 0.0).sum(-1)), None

    # one running value per token and vocabulary shard, joined after the last block
    zero_BTS = jnp.zeros((*targets.shape, blocks.shape[0]), jnp.float32)
    zero_BTS = reshard(zero_BTS, P(*spec_of(targets), spec_of(blocks)[0]))
    carry, _ = jax.lax.scan(step, (zero_BTS + LOWEST, zero_BTS, zero_BTS, zero_BTS), _over_blocks(blocks))
    top, total, weighted, target = carry
    best = top.max(-1)
    keep = jnp.exp(top - best[..., None])
    total, weighted = (total * keep).sum(-1), (weighted * keep).sum(-1)
    lse = best + jnp.log(total)
    return (target.sum(-1) - lse, lse - weighted / total), (hidden, blocks, targets, lse)


def _backward(temperature: float, saved: Any, cotangents: Any) -> Any:
    hidden, blocks, targets, lse = saved
    g_BT = cotangents[0]

    def step(d_hidden: jax.Array, block: Any) -> Any:
        logits, hit = _block_logits(temperature, hidden, targets, blocks.shape[1], *block)
        probs = jnp.exp(logits - lse[..., None, None])
        d_logits = (g_BT[..., None, None] / temperature * (hit - probs)).astype(hidden.dtype)
        weight_SVD = block[0]
        d_hidden = d_hidden + einsum_to(spec_of(hidden), "btsv,svd->btd", d_logits, weight_SVD)
        d_weight = einsum_to(spec_of(weight_SVD), "btsv,btd->svd", d_logits, hidden)
        return d_hidden, d_weight

    d_hidden, d_blocks = jax.lax.scan(step, jnp.zeros_like(hidden, jnp.float32), _over_blocks(blocks))
    return d_hidden.astype(hidden.dtype), jnp.moveaxis(d_blocks, 0, 1).astype(blocks.dtype), None


_token_logprobs.defvjp(_forward, _backward)


def _over_blocks(blocks_SNVD: jax.Array) -> Any:
    """What the scan walks over: the weights of one block per vocabulary shard, and its number."""
    return jnp.moveaxis(blocks_SNVD, 1, 0), jnp.arange(blocks_SNVD.shape[1])


def _block_logits(
    temperature: float,
    hidden: jax.Array,
    targets: jax.Array,
    n_blocks: int,
    weight_SVD: jax.Array,
    number: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """Logits [B, T, S, V of a block] in float32, and where the target is among them."""
    S, Vb, _ = weight_SVD.shape
    logits = einsum("btd,svd->btsv", hidden, weight_SVD, dtype=jnp.float32) / temperature
    shard, column = jnp.arange(S)[:, None], jnp.arange(Vb)[None, :]
    return logits, targets[..., None, None] == (shard * n_blocks + number) * Vb + column


def _vocab_shards(unembed_VD: jax.Array) -> int:
    name = spec_of(unembed_VD)[0]
    return 1 if name is None else jax.sharding.get_abstract_mesh().shape[name]


def _n_blocks(vocab: int) -> int:
    """The fewest equal blocks of at most `BLOCK` columns; real vocabularies are multiples of a large power of two."""
    return next(n for n in range(1, vocab + 1) if vocab % n == 0 and vocab // n <= BLOCK)
