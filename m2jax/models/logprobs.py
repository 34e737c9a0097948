"""Log-probabilities of given tokens, and how far two models' distributions lie apart, blockwise over the vocabulary: an
array [B, T, V] never exists.

One pass over the blocks keeps a running maximum, sum of exponentials, and sums of exponentials times logits (or their
difference), and the target's logit (online softmax, arXiv 1805.02867); the backward pass recomputes each block's
probabilities from the log-sum-exp.
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
    return _token_logprobs(temperature, hidden_BTD, _blocks(unembed_VD), targets_BT)


def token_logprobs_and_kl(
    hidden_BTD: jax.Array,
    unembed_VD: jax.Array,
    targets_BT: jax.Array,
    reference_BTD: jax.Array,
    reference_VD: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """log p at `targets_BT`, and KL(p || q) over the whole vocabulary, where p = softmax(hidden @ unembed.T) and q is
    the same of the reference. With logits z of p and y of q

        KL = sum_v p_v (z_v - y_v) - lse(z) + lse(y)        dKL/dz_v = p_v (log p_v - log q_v - KL)

    Returns float32 [B, T] each, in nats. Differentiable in hidden and unembed through both; the reference is given. Its
    unembedding is laid out as the other.
    """
    reference = jax.lax.stop_gradient((reference_BTD, _blocks(reference_VD)))
    return _logprobs_and_kl(hidden_BTD, _blocks(unembed_VD), targets_BT, *reference)


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
        return _transposed(d_logits, hidden, weight_SVD, d_hidden)

    d_hidden, d_blocks = jax.lax.scan(step, jnp.zeros_like(hidden, jnp.float32), _over_blocks(blocks))
    return d_hidden.astype(hidden.dtype), jnp.moveaxis(d_blocks, 0, 1).astype(blocks.dtype), None


_token_logprobs.defvjp(_forward, _backward)


@jax.custom_vjp
def _logprobs_and_kl(*args: jax.Array) -> tuple[jax.Array, jax.Array]:
    return _kl_forward(*args)[0]


def _kl_forward(
    hidden: jax.Array, blocks: jax.Array, targets: jax.Array, reference: jax.Array, reference_blocks: jax.Array
) -> Any:
    def step(carry: Any, block: Any) -> Any:
        top, total, apart, target, reference_top, reference_total = carry
        (weight_SVD, number), (reference_SVD, _) = block
        z, hit = _block_logits(1.0, hidden, targets, blocks.shape[1], weight_SVD, number)
        y = _logits(reference, reference_SVD)
        new_top, new_reference_top = jnp.maximum(top, z.max(-1)), jnp.maximum(reference_top, y.max(-1))
        keep, weight = jnp.exp(top - new_top), jnp.exp(z - new_top[..., None])
        total, apart = total * keep + weight.sum(-1), apart * keep + (weight * (z - y)).sum(-1)
        reference_total = reference_total * jnp.exp(reference_top - new_reference_top)
        reference_total = reference_total + jnp.exp(y - new_reference_top[..., None]).sum(-1)
        target = target + jnp.where(hit, z, 0.0).sum(-1)
        return (new_top, total, apart, target, new_reference_top, reference_total), None

    zero_BTS = jnp.zeros((*targets.shape, blocks.shape[0]), jnp.float32)
    zero_BTS = reshard(zero_BTS, P(*spec_of(targets), spec_of(blocks)[0]))
    lowest_BTS = zero_BTS + LOWEST
    start = (lowest_BTS, zero_BTS, zero_BTS, zero_BTS, lowest_BTS, zero_BTS)
    both = _over_blocks(blocks), _over_blocks(reference_blocks)
    top, total, apart, target, reference_top, reference_total = jax.lax.scan(step, start, both)[0]
    lse, mean_apart = _join(top, total, apart)
    reference_lse, _ = _join(reference_top, reference_total, zero_BTS)
    kl = mean_apart - lse + reference_lse
    saved = (hidden, blocks, targets, reference, reference_blocks, lse, reference_lse, kl)
    return (target.sum(-1) - lse, kl), saved


def _kl_backward(saved: Any, cotangents: Any) -> Any:
    hidden, blocks, targets, reference, reference_blocks, lse, reference_lse, kl = saved
    g_logp, g_kl, lse, far = (x[..., None, None] for x in (*cotangents, lse, reference_lse - lse - kl))

    def step(d_hidden: jax.Array, block: Any) -> Any:
        (weight_SVD, number), (reference_SVD, _) = block
        z, hit = _block_logits(1.0, hidden, targets, blocks.shape[1], weight_SVD, number)
        y, probs = _logits(reference, reference_SVD), jnp.exp(z - lse)
        d_logits = g_logp * (hit - probs) + g_kl * probs * (z - y + far)
        return _transposed(d_logits.astype(hidden.dtype), hidden, weight_SVD, d_hidden)

    both = _over_blocks(blocks), _over_blocks(reference_blocks)
    d_hidden, d_blocks = jax.lax.scan(step, jnp.zeros_like(hidden, jnp.float32), both)
    return d_hidden.astype(hidden.dtype), jnp.moveaxis(d_blocks, 0, 1).astype(blocks.dtype), None, None, None


_logprobs_and_kl.defvjp(_kl_forward, _kl_backward)


def _join(top_BTS: jax.Array, total_BTS: jax.Array, sum_BTS: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The log-sum-exp, and a sum over its total, of the vocabulary's shards together: [B, T] each."""
    best = top_BTS.max(-1)
    keep = jnp.exp(top_BTS - best[..., None])
    total = (total_BTS * keep).sum(-1)
    return best + jnp.log(total), (sum_BTS * keep).sum(-1) / total


def _transposed(d_logits: jax.Array, hidden: jax.Array, weight_SVD: jax.Array, d_hidden: jax.Array) -> Any:
    """`d_hidden` with what a block adds to it, and the gradient of the block's weights."""
    d_hidden = d_hidden + einsum_to(spec_of(hidden), "btsv,svd->btd", d_logits, weight_SVD)
    return d_hidden, einsum_to(spec_of(weight_SVD), "btsv,btd->svd", d_logits, hidden)


def _blocks(unembed_VD: jax.Array) -> jax.Array:
    """[vocabulary shards, blocks, V of a block, D]."""
    shards = _vocab_shards(unembed_VD)
    V, D = unembed_VD.shape
    n_blocks = _n_blocks(V // shards)
    shape = (shards, n_blocks, V // shards // n_blocks, D)
    over_vocab, over_model_dim = spec_of(unembed_VD)
    return reshape(unembed_VD, shape, P(over_vocab, None, None, over_model_dim))


def _logits(hidden: jax.Array, weight_SVD: jax.Array) -> jax.Array:
    """Float32 [B, T, S, V of a block]."""
    return einsum("btd,svd->btsv", hidden, weight_SVD, dtype=jnp.float32)


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
    logits = _logits(hidden, weight_SVD) / temperature
    shard, column = jnp.arange(S)[:, None], jnp.arange(Vb)[None, :]
    return logits, targets[..., None, None] == (shard * n_blocks + number) * Vb + column


def _vocab_shards(unembed_VD: jax.Array) -> int:
    name = spec_of(unembed_VD)[0]
    return 1 if name is None else jax.sharding.get_abstract_mesh().shape[name]


def _n_blocks(vocab: int) -> int:
    """The fewest equal blocks of at most `BLOCK` columns; real vocabularies are multiples of a large power of two."""
    return next(n for n in range(1, vocab + 1) if vocab % n == 0 and vocab // n <= BLOCK)
