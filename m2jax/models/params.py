"""The parameter table: every array of the model declared once, with its shape, logical axes, initialiser and Hugging
Face name.

Everything else is read off the table: abstract values, shardings, random initialisation, the names that the weight
loader and the exporter use, the parameter count.

Parameters are nested dicts: `{"embed": VD, "layers": ..., "final_norm": D, "head": VD}` (`head` only where untied).
`layers` is either a tuple of one dict per layer (unrolled: what a CPU wants) or one dict whose arrays have a leading
L (scanned: what a TPU wants); `stack_layers` goes from the first to the second. The attention's weights stand
input-first, the mlp's and the vocabulary tables output-first: what a CPU multiplies by without a transposed copy
(docs/log.md).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from m2jax.models.config import ModelConfig

Params = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Row:
    """One array of the model (per layer, if `name` begins with "layers/").

    `axes` are logical axis names, one per dimension, that `sharding.Rules` maps to mesh axes. `hf` is the Hugging
    Face name ("{}" is the layer); `hf_layout` says how the stored array becomes ours, in einops' notation: "(k g h)
    d -> d k g h".
    """

    name: str
    shape: tuple[int, ...]
    axes: tuple[str | None, ...]
    init: str  # "normal" (std 0.02), "ones" or "zeros"
    hf: str
    hf_layout: str

    @property
    def in_layer(self) -> bool:
        return self.name.startswith("layers/")


def table(cfg: ModelConfig) -> tuple[Row, ...]:
    """All rows of `cfg`, in the order of the forward."""
    V, D, F, K, G, H = cfg.vocab_size, cfg.d_model, cfg.d_mlp, cfg.n_kv_heads, cfg.n_groups, cfg.d_head
    attn, mlp = "model.layers.{}.self_attn.", "model.layers.{}.mlp."
    rows = [
        Row("embed", (V, D), ("vocab", "embed"), "normal", "model.embed_tokens.weight", "v d -> v d"),
        Row("layers/attn_norm", (D,), (None,), "ones", "model.layers.{}.input_layernorm.weight", "d -> d"),
        Row(
            "layers/wq",
            (D, K, G, H),
            ("embed", "kv", None, None),
            "normal",
            attn + "q_proj.weight",
            "(k g h) d -> d k g h",
        ),
        Row(
            "layers/wk",
            (D, K, H),
            ("embed", "kv", None),
            "normal",
            attn + "k_proj.weight",
            "(k h) d -> d k h",
        ),
        Row(
            "layers/wv",
            (D, K, H),
            ("embed", "kv", None),
            "normal",
            attn + "v_proj.weight",
            "(k h) d -> d k h",
        ),
    ]
    if cfg.qkv_bias:
        rows += [
            Row("layers/bq", (K, G, H), ("kv", None, None), "zeros", attn + "q_proj.bias", "(k g h) -> k g h"),
            Row("layers/bk", (K, H), ("kv", None), "zeros", attn + "k_proj.bias", "(k h) -> k h"),
            Row("layers/bv", (K, H), ("kv", None), "zeros", attn + "v_proj.bias", "(k h) -> k h"),
        ]
    if cfg.qk_norm:
        rows += [
            Row("layers/q_norm", (H,), (None,), "ones", attn + "q_norm.weight", "h -> h"),
            Row("layers/k_norm", (H,), (None,), "ones", attn + "k_norm.weight", "h -> h"),
        ]
    rows += [
        Row(
            "layers/wo",
            (K, G, H, D),
            ("kv", None, None, "embed"),
            "normal",
            attn + "o_proj.weight",
            "d (k g h) -> k g h d",
        ),
        Row(
            "layers/mlp_norm",
            (D,),
            (None,),
            "ones",
            "model.layers.{}.post_attention_layernorm.weight",
            "d -> d",
        ),
        Row("layers/w_gate", (F, D), ("mlp", "embed"), "normal", mlp + "gate_proj.weight", "f d -> f d"),
        Row("layers/w_up", (F, D), ("mlp", "embed"), "normal", mlp + "up_proj.weight", "f d -> f d"),
        Row("layers/w_down", (D, F), ("embed", "mlp"), "normal", mlp + "down_proj.weight", "d f -> d f"),
        Row("final_norm", (D,), (None,), "ones", "model.norm.weight", "d -> d"),
    ]
    if not cfg.tied:
        rows.append(Row("head", (V, D), ("vocab", "embed"), "normal", "lm_head.weight", "v d -> v d"))
    return tuple(rows)


def build(cfg: ModelConfig, make: Callable[[Row, int | None], Any], *, stacked: bool) -> Params:
    """A parameter tree whose leaves are `make(row, layer)`.

    `layer` is None for arrays outside the layers and, with `stacked`, for the arrays that hold all layers at once.
    """
    rows = table(cfg)
    inner = [r for r in rows if r.in_layer]
    params: Params = {r.name: make(r, None) for r in rows if not r.in_layer}

    def one(layer: int | None) -> Params:
        return {r.name.removeprefix("layers/"): make(r, layer) for r in inner}

    params["layers"] = one(None) if stacked else tuple(one(i) for i in range(cfg.n_layers))
    return params


def abstract(cfg: ModelConfig, dtype: Any = jnp.float32, *, stacked: bool) -> Params:
    """The tree of `jax.ShapeDtypeStruct` of the parameters, unsharded."""

    def make(row: Row, layer: int | None) -> jax.ShapeDtypeStruct:
        lead = (cfg.n_layers,) if stacked and row.in_layer else ()
        return jax.ShapeDtypeStruct(lead + row.shape, dtype)

    return build(cfg, make, stacked=stacked)


def logical_axes(cfg: ModelConfig, *, stacked: bool) -> Params:
    """The tree of logical axis names, one tuple per array; the leading L of a stacked array is "layers"."""

    def make(row: Row, layer: int | None) -> tuple[str | None, ...]:
        return (("layers",) if stacked and row.in_layer else ()) + row.axes

    return build(cfg, make, stacked=stacked)


def init(cfg: ModelConfig, key: jax.Array, dtype: Any = jnp.float32, *, stacked: bool) -> Params:
    """Random parameters: matrices normal with std 0.02 (Qwen2's `initializer_range`), norms one, biases zero."""

    def make(row: Row, layer: int | None) -> jax.Array:
        shape = ((cfg.n_layers,) if stacked and row.in_layer else ()) + row.shape
        if row.init != "normal":
            return (jnp.ones if row.init == "ones" else jnp.zeros)(shape, dtype)
        number = [r.name for r in table(cfg)].index(row.name)
        row_key = jax.random.fold_in(jax.random.fold_in(key, number), layer or 0)
        return 0.02 * jax.random.normal(row_key, shape, dtype)

    return build(cfg, make, stacked=stacked)


def count(cfg: ModelConfig) -> int:
    """Number of parameters; a tied head counts once."""
    total = 0
    for row in table(cfg):
        size = 1
        for n in row.shape:
            size *= n
        total += size * (cfg.n_layers if row.in_layer else 1)
    return total


def stack_layers(params: Params) -> Params:
    """Unrolled -> scanned: one dict whose arrays have a leading L."""
    return params | {"layers": jax.tree.map(lambda *leaves: jnp.stack(leaves), *params["layers"])}
