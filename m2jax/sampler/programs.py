"""What runs on the device: prefill, decode and score, each a pure function jitted once per shape.

A batch is B distinct prompts of at most P tokens, padded on the right, with R samples each: a prompt's keys and
values are computed once and shared by its samples.
"""

from __future__ import annotations

import functools
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from m2jax.models import attention
from m2jax.models.config import ModelConfig
from m2jax.models.decoder import forward, unembed
from m2jax.models.params import Params
from m2jax.sampler.sampling import Sampling, sample, uniforms
from m2jax.sharding import batch_spec, einsum, merge_axes, reshape, reshard, spec_of, split_axis


@flax.struct.dataclass
class Prefix:
    """Prompts after prefill: the per-layer cache (`attention.prefill`), the logits [B, V] after each prompt's last
    token.
    """

    cache: Any
    logits_BV: jax.Array
    length_B: jax.Array


@flax.struct.dataclass
class Completions:
    """What decode returns, all [B, R, C]: tokens int32, and their log-probabilities (see `sampling`) in nats.

    `length_BR` counts a row's tokens, its stop token included; what lies beyond is undefined.
    """

    tokens: jax.Array
    logp_full: jax.Array
    logp_sampling: jax.Array
    length_BR: jax.Array


@functools.partial(jax.jit, static_argnums=0)
def prefill(cfg: ModelConfig, params: Params, tokens_BP: jax.Array, length_B: jax.Array) -> Prefix:
    """Runs the prompts once. tokens_BP: int32, right-padded; length_B: int32; 0 fills the batch."""
    positions_BP = _positions(tokens_BP)
    hidden_BPD, cache = forward(cfg, params, tokens_BP, positions_BP, attention.prefill())
    at_end_BP = (jnp.arange(tokens_BP.shape[1]) == length_B[:, None] - 1).astype(hidden_BPD.dtype)
    last_BD = einsum("bp,bpd->bd", at_end_BP, hidden_BPD)
    return Prefix(cache, _logits(params, last_BD), length_B)


@functools.partial(jax.jit, static_argnums=(0, 3))
def decode(
    cfg: ModelConfig, params: Params, prefix: Prefix, how: Sampling, seed: jax.Array, request_BR: jax.Array
) -> Completions:
    """Samples R completions of each prompt until every row has stopped or reached `how.max_tokens`.

    seed: uint32 scalar. request_BR: uint32, names each sample: same seed, request and weights give the same tokens.
    A prompt of length 0 only fills the batch: nothing waits for its rows.
    """
    (B, R), C = request_BR.shape, how.max_tokens
    row = reshard(jnp.zeros((B, R, C)), batch_spec(3))

    def draw(logits_BRV: jax.Array, step: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        logits_NV = merge_axes(reshard(logits_BRV, batch_spec(3)), 0)
        drawn = sample(logits_NV, uniforms(seed, merge_axes(request_BR, 0), step), how)
        return tuple(reshape(x, (B, R), batch_spec(2)) for x in drawn)

    def record(state: Any, drawn: Any, step: jax.Array, cache: Any) -> Any:
        arrays, done, length = state
        tokens = drawn[0]
        arrays = tuple(
            jax.lax.dynamic_update_slice_in_dim(a, x[..., None].astype(a.dtype), step, axis=2)
            for a, x in zip(arrays, drawn, strict=True)
        )
        length = jnp.where(done, length, step + 1)
        done = done | jnp.isin(tokens, jnp.asarray(how.stop or (-1,), jnp.int32))
        return (arrays, done, length), tokens, step + 1, cache

    def advance(carry: Any) -> Any:
        state, tokens_BR, step, cache = carry
        positions_BR = prefix.length_B[:, None] + jnp.broadcast_to(step - 1, tokens_BR.shape)
        attend = attention.decode(prefix.length_B, step - 1)
        merged = _zip_cache(prefix.cache, cache)
        hidden_BRD, merged = forward(cfg, params, tokens_BR, positions_BR, attend, merged)
        drawn = draw(_logits(params, hidden_BRD), step)
        return record(state, drawn, step, _own(merged))

    def unfinished(carry: Any) -> jax.Array:
        (_, done, _), _, step, _ = carry
        return (step < C) & ~done.all()

    filler_BR = (row[..., 0] + prefix.length_B[:, None]) == 0
    start = ((row.astype(jnp.int32), row, row), filler_BR, row[..., 0].astype(jnp.int32))
    logits_BRV = jnp.broadcast_to(prefix.logits_BV[:, None], (B, R, prefix.logits_BV.shape[-1]))
    carry = record(start, draw(logits_BRV, jnp.int32(0)), jnp.int32(0), _empty_cache(prefix.cache, R, C))
    ((tokens, logp_full, logp_sampling), _, length), *_ = jax.lax.while_loop(unfinished, advance, carry)
    return Completions(tokens, logp_full, logp_sampling, length)


@functools.partial(jax.jit, static_argnums=(0, 4, 5))
def score(
    cfg: ModelConfig,
    params: Params,
    tokens_BT: jax.Array,
    prefix_length_B: jax.Array,
    prefix_size: int,
    n_suffixes: int,
    suffix_length_BR: jax.Array,
    choices_C: jax.Array,
) -> jax.Array:
    """Log-probabilities [B, R, C] of single next tokens `choices_C` after each of R suffixes of a shared prefix.

    tokens_BT: [prefix (P slots) | suffix 1 | ... | suffix R], each part right-padded; lengths int32. Nothing is
    decoded.
    """
    P_, R = prefix_size, n_suffixes
    S = (tokens_BT.shape[1] - P_) // R
    positions_BT = group_positions(prefix_length_B, P_, R, S)
    attend = attention.group(prefix_length_B, P_, R)
    hidden_BTD, _ = forward(cfg, params, tokens_BT, positions_BT, attend)
    suffixes_BRSD = split_axis(hidden_BTD[:, P_:], 1, (R, S))
    at_end_BRS = (jnp.arange(S) == suffix_length_BR[..., None] - 1).astype(hidden_BTD.dtype)
    last_BRD = einsum("brs,brsd->brd", at_end_BRS, suffixes_BRSD)
    logp_BRV = jax.nn.log_softmax(_logits(params, last_BRD))
    return reshard(logp_BRV, batch_spec(3))[..., choices_C]


def group_positions(prompt_length_B: jax.Array, prompt_size: int, n_samples: int, size: int) -> jax.Array:
    """Rope positions, int32 [B, P + R*C], of rows laid out for `attention.group`: each completion continues its
    prompt.
    """
    in_completion = jnp.tile(jnp.arange(size), n_samples)
    after_BT = prompt_length_B[:, None] + in_completion[None, :]
    prompt_BP = jnp.broadcast_to(jnp.arange(prompt_size), (prompt_length_B.shape[0], prompt_size))
    return jnp.concatenate([reshard(prompt_BP, batch_spec(2)), after_BT], axis=1)


def _logits(params: Params, hidden: jax.Array) -> jax.Array:
    """[..., D] -> [..., V] in float32."""
    dims = "br"[: hidden.ndim - 1]
    return einsum(f"{dims}d,vd->{dims}v", hidden, unembed(params), dtype=jnp.float32)


def _positions(tokens_BT: jax.Array) -> jax.Array:
    return reshard(jnp.broadcast_to(jnp.arange(tokens_BT.shape[1]), tokens_BT.shape), batch_spec(2))


def _empty_cache(prefix_cache: Any, n_samples: int, size: int) -> Any:
    """The completions' own cache as `attention.decode` wants it, zeros (after any leading L)."""
    if isinstance(prefix_cache, tuple):
        return tuple(_empty_cache(layer, n_samples, size) for layer in prefix_cache)
    v, spec = prefix_cache["v"], spec_of(prefix_cache["v"])
    *lead, B, K, _, H = v.shape
    shapes = {"k": (*lead, B * n_samples, K, H, size), "v": (*lead, B * n_samples, K, size, H)}
    return {name: reshard(jnp.zeros(shape, v.dtype), spec) for name, shape in shapes.items()}


def _zip_cache(prefix: Any, own: Any) -> Any:
    """The per-layer trees that `attention.decode` reads."""
    if isinstance(prefix, tuple):
        return tuple(_zip_cache(p, o) for p, o in zip(prefix, own, strict=True))
    return {"k_prompt": prefix["k"], "v_prompt": prefix["v"], **own}


def _own(merged: Any) -> Any:
    if isinstance(merged, tuple):
        return tuple(map(_own, merged))
    return {"k": merged["k"], "v": merged["v"]}
