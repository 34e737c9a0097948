"""Attention, given to the forward as `attend`: the only file that names a kernel.

An `attend(q_BTKGH, k_BTKH, v_BTKH, cache) -> (out_BTKGH, cache)` is called once per layer with that layer's cache
(or None). All of them are exact softmax attention in float32, scaled by 1/sqrt(H); they differ in who may see whom:

- `packed`: causal within a segment;
- `prefill`: causal, and the keys and values are returned as the prefix;
- `group`: one prompt followed by R completions that each see the prompt and themselves. The learner and the judge
  use it: a prompt is computed once for its whole group;
- `decode`: one new token for each of R completions, against the prefix and the completion's own cache.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from m2jax.sharding import einsum, merge_axes, split_axis

Attend = Callable[[jax.Array, jax.Array, jax.Array, Any], tuple[jax.Array, Any]]
Cache = dict[str, jax.Array]
NEVER = -1e30  # a score that no softmax sees; finite, so that a row that sees nothing stays a number


def packed(segments_BT: jax.Array) -> Attend:
    """Causal attention within segments (int32; 0 is padding and sees only padding)."""
    T = segments_BT.shape[1]
    causal_TS = jnp.arange(T)[:, None] >= jnp.arange(T)[None, :]
    mask_BTS = (segments_BT[:, :, None] == segments_BT[:, None, :]) & causal_TS

    def attend(q: jax.Array, k: jax.Array, v: jax.Array, cache: Any) -> tuple[jax.Array, Any]:
        scores = _scores("btkgh,bskh->bkgts", q, k)
        probs = jax.nn.softmax(jnp.where(mask_BTS[:, None, None], scores, NEVER)).astype(v.dtype)
        return einsum("bkgts,bskh->btkgh", probs, v), cache

    return attend


def prefill() -> Attend:
    """Causal attention over prompts that begin at index 0, padded on the right. The cache it returns is `decode`'s
    prefix: {"k": BKHP, "v": BKPH}, the layouts a decode step multiplies by as they stand.
    """

    def attend(q: jax.Array, k: jax.Array, v: jax.Array, cache: Any) -> tuple[jax.Array, Cache]:
        return _causal(q, k, v), {"k": k.transpose(0, 2, 3, 1), "v": v.transpose(0, 2, 1, 3)}

    return attend


def group(prompt_length_B: jax.Array, prompt_size: int, n_samples: int) -> Attend:
    """Attention over rows [prompt (P slots) | completion 1 (C slots) | ... | completion R], each part padded on its
    right.

    prompt_length_B: int32, tokens of each prompt. prompt_size P and n_samples R are static; C = (T - P) / R.
    """
    P, R = prompt_size, n_samples
    in_prompt_BP = jnp.arange(P) < prompt_length_B[:, None]

    def attend(q: jax.Array, k: jax.Array, v: jax.Array, cache: Any) -> tuple[jax.Array, Any]:
        B, T, K, G, H = q.shape
        C = (T - P) // R
        q_p, k_p, v_p = q[:, :P], k[:, :P], v[:, :P]
        q_c, k_c, v_c = (split_axis(x[:, P:], 1, (R, C)) for x in (q, k, v))
        to_prompt = _scores("brckgh,bpkh->brkgcp", q_c, k_p)
        to_self = _scores("brckgh,brskh->brkgcs", q_c, k_c)
        to_prompt = jnp.where(in_prompt_BP[:, None, None, None, None], to_prompt, NEVER)
        to_self = jnp.where(jnp.tri(C, dtype=bool), to_self, NEVER)
        probs_p, probs_c = _softmax_pair(to_prompt, to_self, v.dtype)
        out_c = einsum("brkgcp,bpkh->brckgh", probs_p, v_p) + einsum("brkgcs,brskh->brckgh", probs_c, v_c)
        return jnp.concatenate([_causal(q_p, k_p, v_p), merge_axes(out_c, 1)], axis=1), cache

    return attend


def decode(prompt_length_B: jax.Array, step: jax.Array) -> Attend:
    """One token for each of R completions of B prompts, T = R.

    The cache of a layer is `prefill`'s as {"k_prompt": BKHP, "v_prompt": BKPH}, and the completions' own {"k": [B*R,
    K, H, C], "v": [B*R, K, C, H]}. The new keys and values are written at column `step` (int32 scalar; all rows are
    at the same step); a row sees its prompt and its columns up to `step`. B and R are one axis because XLA's CPU
    drops an axis R = 1 and then writes into copies of the cache.
    """

    def attend(q: jax.Array, k: jax.Array, v: jax.Array, cache: Cache) -> tuple[jax.Array, Cache]:
        R, P, C = q.shape[1], cache["k_prompt"].shape[3], cache["k"].shape[3]
        q_NKGH, k_NKH, v_NKH = (merge_axes(x, 0) for x in (q, k, v))
        k_c = jax.lax.dynamic_update_slice_in_dim(cache["k"], k_NKH[..., None], step, axis=3)
        v_c = jax.lax.dynamic_update_slice_in_dim(cache["v"], v_NKH[:, :, None], step, axis=2)
        to_self = _scores("nkgh,nkhs->nkgs", q_NKGH, k_c)
        # the R completions and G heads that read one prompt's keys are the rows of one product
        to_prompt = _scores("bkmh,bkhp->bkmp", _rows_of_prompt(q), cache["k_prompt"])
        in_prompt_BP = jnp.arange(P) < prompt_length_B[:, None]
        to_prompt = _rows_of_sample(jnp.where(in_prompt_BP[:, None, None], to_prompt, NEVER), R)
        to_self = jnp.where(jnp.arange(C) <= step, to_self, NEVER)
        probs_p, probs_c = _softmax_pair(to_prompt, to_self, v.dtype)
        probs_p = _rows_of_prompt(split_axis(probs_p, 0, (-1, R)))
        out = _rows_of_sample(einsum("bkmp,bkph->bkmh", probs_p, cache["v_prompt"]), R)
        out = out + einsum("nkgs,nksh->nkgh", probs_c, v_c)
        return split_axis(out, 0, (-1, R)), cache | {"k": k_c, "v": v_c}

    return attend


def _rows_of_prompt(x_BRKGX: jax.Array) -> jax.Array:
    """[B, R, K, G, X] -> [B, K, R*G, X]."""
    return merge_axes(x_BRKGX.transpose(0, 2, 1, 3, 4), 2)


def _rows_of_sample(x_BKMX: jax.Array, n_samples: int) -> jax.Array:
    """[B, K, R*G, X] -> [B*R, K, G, X]."""
    x_BKRGX = split_axis(x_BKMX, 2, (n_samples, -1))
    return merge_axes(x_BKRGX.transpose(0, 2, 1, 3, 4), 0)


def _causal(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
    scores = jnp.where(jnp.tri(q.shape[1], dtype=bool), _scores("btkgh,bskh->bkgts", q, k), NEVER)
    return einsum("bkgts,bskh->btkgh", jax.nn.softmax(scores).astype(v.dtype), v)


def _scores(equation: str, q: jax.Array, k: jax.Array) -> jax.Array:
    """Scaled scores in float32."""
    return einsum(equation, q * q.shape[-1] ** -0.5, k, dtype=jnp.float32)


def _softmax_pair(a: jax.Array, b: jax.Array, dtype: jnp.dtype) -> tuple[jax.Array, jax.Array]:
    """The softmax over the concatenation of two score arrays' last axes, in two parts: no copy is made to join them."""
    top = jax.lax.stop_gradient(jnp.maximum(a.max(-1, keepdims=True), b.max(-1, keepdims=True)))
    a, b = jnp.exp(a - top), jnp.exp(b - top)
    scale = 1.0 / (a.sum(-1, keepdims=True) + b.sum(-1, keepdims=True))
    return (a * scale).astype(dtype), (b * scale).astype(dtype)
