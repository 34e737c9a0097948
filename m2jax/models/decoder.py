"""The forward: one function that training, prefill, decode and scoring all call; only the attention passed in differs.

Conventions: arrays carry their dimensions in their names (key in `models/config.py`). Compute happens in the
parameters' own dtype; norms, rope and softmax in float32.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from m2jax.models.attention import Attend, Pages, Stack
from m2jax.models.config import ModelConfig, RopeScaling
from m2jax.models.lora import project
from m2jax.models.params import Params
from m2jax.sharding import take_rows

KEPT = ("qkv", "attended", "middle", "gate", "up")  # activations of a layer that `remat` can name, as they are made


def forward(
    cfg: ModelConfig,
    params: Params,
    tokens_BT: jax.Array,
    positions_BT: jax.Array,
    attend: Attend,
    cache: Any = None,
    *,
    ranks_BR: jax.Array | None = None,
    remat: str = "none",
) -> tuple[jax.Array, Any]:
    """The decoder up to its final norm.

    Args:
      tokens_BT, positions_BT: int32; `positions_BT` is what rope sees and need not grow along T.
      attend: see `models/attention.py`; called once per layer.
      cache: per-layer state for `attend`: a tuple of L trees if the layers are unrolled, one tree with leading L if
      scanned; or `Pages`, which goes from layer to layer.
      ranks_BR: where an adapter is attached, which of its ranks each row uses (0 or 1; None: all).
      remat: what the backward pass keeps of a layer's activations: "none" is recomputed, "full": all but the layer's
        input, or names of `KEPT` joined by commas: all but those.

    Returns:
      hidden_BTD in the parameters' dtype, and the new cache in the form of `cache`. Logits are `hidden @
      unembed(params).T`.
    """
    x_BTD = take_rows(params["embed"], tokens_BT)
    rope = rope_table(cfg, positions_BT)

    def block(layer: Params, x_BTD: jax.Array, cache: Any) -> tuple[jax.Array, Any]:
        return _block(cfg, layer, x_BTD, rope, attend, cache, ranks_BR)

    layers = params["layers"]
    if remat != "none":
        # a scan's body is no place where XLA could undo it
        block = jax.checkpoint(block, policy=remat_policy(remat), prevent_cse=isinstance(layers, tuple))
    if isinstance(layers, tuple):
        block = jax.jit(block)  # traced once for all layers
    if isinstance(cache, Pages | Stack) and isinstance(layers, tuple):
        for layer in layers:
            x_BTD, cache = block(layer, x_BTD, cache)
    elif isinstance(cache, Pages | Stack):
        (x_BTD, cache), _ = jax.lax.scan(lambda xc, layer: (block(layer, *xc), None), (x_BTD, cache), layers)
    elif isinstance(layers, tuple):
        new = []
        for i, layer in enumerate(layers):
            x_BTD, layer_cache = block(layer, x_BTD, None if cache is None else cache[i])
            new.append(layer_cache)
        cache = tuple(new)
    else:
        x_BTD, cache = jax.lax.scan(lambda x, lc: block(lc[0], x, lc[1]), x_BTD, (layers, cache))
    return rms_norm(x_BTD, params["final_norm"], cfg.rms_eps), cache


def unembed(params: Params) -> jax.Array:
    """The output projection as VD: the embedding where tied. Logits are `hidden @ unembed(params).T`."""
    return params.get("head", params["embed"])


def remat_policy(remat: str) -> Any:
    """What `jax.checkpoint` may keep, by the names that `forward` takes; ValueError for another."""
    names = () if remat in ("none", "full") else tuple(remat.split(","))
    if unknown := set(names) - set(KEPT):
        raise ValueError(
            f"remat {remat!r} names {sorted(unknown)}; it is 'none', 'full', or of {', '.join(KEPT)}, joined by commas"
        )
    return jax.checkpoint_policies.save_only_these_names(*names)


@jax.custom_jvp
def silu(x: jax.Array) -> jax.Array:
    """x * sigmoid(x), from the exponential: XLA's logistic on CPU is built on tanh and costs a digit of the logits."""
    return x / (1 + jnp.exp(-x))


@silu.defjvp
def _silu_jvp(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    (x,), (dx,) = primals, tangents
    gate = 1 / (1 + jnp.exp(-x))
    return x * gate, dx * gate * (1 + x * (1 - gate))


def rms_norm(x: jax.Array, weight: jax.Array, eps: float) -> jax.Array:
    """Root-mean-square norm over the last axis (arXiv 1910.07467), computed in float32."""
    x32 = x.astype(jnp.float32)
    scale = jax.lax.rsqrt(jnp.mean(x32 * x32, axis=-1, keepdims=True) + eps)
    return (x32 * scale).astype(x.dtype) * weight


def rope_table(cfg: ModelConfig, positions_BT: jax.Array) -> tuple[jax.Array, jax.Array]:
    """cos and sin, float32 [B, T, H/2], of the rotary angles at `positions_BT`."""
    angles = positions_BT[..., None].astype(jnp.float32) * jnp.asarray(_rope_frequencies(cfg), jnp.float32)
    return jnp.cos(angles), jnp.sin(angles)


def rotate(x: jax.Array, rope: tuple[jax.Array, jax.Array]) -> jax.Array:
    """Rotary embedding (arXiv 2104.09864) of [B, T, ..., H]: channel i turns with channel i + H/2, as in
    transformers.
    """
    cos, sin = (t.reshape(t.shape[:2] + (1,) * (x.ndim - 3) + t.shape[2:]) for t in rope)
    a, b = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    return jnp.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1).astype(x.dtype)


def _block(
    cfg: ModelConfig,
    layer: Params,
    x_BTD: jax.Array,
    rope: tuple[jax.Array, jax.Array],
    attend: Attend,
    cache: Any,
    ranks_BR: jax.Array | None,
) -> tuple[jax.Array, Any]:
    def times(equation: str, x: jax.Array, name: str) -> jax.Array:
        return project(equation, x, layer, name, ranks_BR)

    y_BTD = rms_norm(x_BTD, layer["attn_norm"], cfg.rms_eps)
    q_BTKGH = checkpoint_name(times("btd,dkgh->btkgh", y_BTD, "wq"), "qkv")
    k_BTKH = checkpoint_name(times("btd,dkh->btkh", y_BTD, "wk"), "qkv")
    v_BTKH = checkpoint_name(times("btd,dkh->btkh", y_BTD, "wv"), "qkv")
    if cfg.qkv_bias:
        q_BTKGH, k_BTKH, v_BTKH = q_BTKGH + layer["bq"], k_BTKH + layer["bk"], v_BTKH + layer["bv"]
    if cfg.qk_norm:
        q_BTKGH = rms_norm(q_BTKGH, layer["q_norm"], cfg.rms_eps)
        k_BTKH = rms_norm(k_BTKH, layer["k_norm"], cfg.rms_eps)
    out_BTKGH, cache = attend(rotate(q_BTKGH, rope), rotate(k_BTKH, rope), v_BTKH, cache)
    x_BTD = checkpoint_name(x_BTD + times("btkgh,kghd->btd", out_BTKGH, "wo"), "middle")
    y_BTD = rms_norm(x_BTD, layer["mlp_norm"], cfg.rms_eps)
    gate_BTF = silu(checkpoint_name(times("btd,fd->btf", y_BTD, "w_gate"), "gate"))
    y_BTF = gate_BTF * checkpoint_name(times("btd,fd->btf", y_BTD, "w_up"), "up")
    return x_BTD + times("btf,df->btd", y_BTF, "w_down"), cache


@functools.cache
def _rope_frequencies(cfg: ModelConfig) -> tuple[float, ...]:
    """Angle per position of each channel pair, in radians."""
    frequencies = [cfg.rope_theta ** (-2.0 * i / cfg.d_head) for i in range(cfg.d_head // 2)]
    if cfg.rope_scaling:
        frequencies = [_scale_llama3(cfg.rope_scaling, f) for f in frequencies]
    return tuple(frequencies)


def _scale_llama3(s: RopeScaling, frequency: float) -> float:
    """Llama-3.1's rule: long waves are slowed by `factor`, short ones kept, those between interpolated."""
    wavelength = 2 * math.pi / frequency
    long_wave, short_wave = (s.original_max_positions / f for f in (s.low_freq_factor, s.high_freq_factor))
    if wavelength < short_wave:
        return frequency
    if wavelength > long_wave:
        return frequency / s.factor
    mix = (s.original_max_positions / wavelength - s.low_freq_factor) / (s.high_freq_factor - s.low_freq_factor)
    return (1 - mix) * frequency / s.factor + mix * frequency
