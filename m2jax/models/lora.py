"""Low-rank adapters (LoRA, arXiv 2106.09685): a tree beside the base weights, and the projection that uses either.

An adapter holds, for each adapted matrix, {"a": [inputs, r], "b": [r, outputs]} under the layer's key "<name>_lora";
`attach` puts it into the parameter tree, where `project` finds it. The update is `x @ a @ b * (alpha / r)`, with
that scale folded into `a` at
initialisation time: `b` starts at zero, so an adapter begins as the identity.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from m2jax.models.config import ModelConfig
from m2jax.models.params import Params, Row, table
from m2jax.sharding import einsum, times

TARGETS = ("wq", "wk", "wv", "wo", "w_gate", "w_up", "w_down")
_INPUT_FIRST = {"wq": 1, "wk": 1, "wv": 1, "wo": 3}  # how many leading axes are inputs; the rest are output-first


def project(equation: str, x: jax.Array, layer: Params, name: str, rows_BR: jax.Array | None = None) -> jax.Array:
    """`einsum(equation, x, layer[name])`, plus the adapter's low-rank term where the layer has one for `name`.

    rows_BR: which of the adapter's ranks each row of the batch uses, 0 or 1 (None: all): see `join`.
    """
    y = times(equation, x, layer[name])
    adapter = layer.get(f"{name}_lora")
    if adapter is None:
        return y
    left, out = equation.split("->")
    x_dims, w_dims = left.split(",")
    inputs = "".join(d for d in w_dims if d not in out)
    outputs = "".join(d for d in w_dims if d in out)
    low_dims = "".join(d for d in x_dims if d not in inputs) + "r"
    low = times(f"{x_dims},{inputs}r->{low_dims}", x, adapter["a"].astype(x.dtype))
    if rows_BR is not None:
        low = low * rows_BR[:, None].astype(x.dtype)
    return y + times(f"{low_dims},r{outputs}->{out}", low, adapter["b"].astype(x.dtype))


def init(cfg: ModelConfig, key: jax.Array, rank: int, alpha: float, *, stacked: bool) -> Any:
    """A float32 adapter for every matrix of every layer, in the layers' own form (tuple or stacked).

    `a` is normal with std alpha / (rank * sqrt(inputs)); `b` is zero.
    """
    rows = {r.name.removeprefix("layers/"): r for r in table(cfg) if r.in_layer}

    def one(layer: int) -> Params:
        return {
            f"{name}_lora": _pair(rows[name], jax.random.fold_in(jax.random.fold_in(key, layer), i), rank, alpha)
            for i, name in enumerate(TARGETS)
        }

    layers = tuple(one(i) for i in range(cfg.n_layers))
    return jax.tree.map(lambda *x: jnp.stack(x), *layers) if stacked else layers


def logical_axes(cfg: ModelConfig, *, stacked: bool) -> Any:
    """Logical axes of the adapter's arrays: those of the matrix, the rank axis replicated."""
    rows = {r.name.removeprefix("layers/"): r for r in table(cfg) if r.in_layer}
    lead = ("layers",) if stacked else ()

    def pair(row: Row) -> Params:
        outputs, inputs = _split(row, row.axes)
        return {"a": (*lead, *inputs, None), "b": (*lead, None, *outputs)}

    layer = {f"{name}_lora": pair(rows[name]) for name in TARGETS}
    return layer if stacked else tuple(layer for _ in range(cfg.n_layers))


def sides(cfg: ModelConfig, name: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The axes of a matrix of `TARGETS` that are its inputs, and those that are its outputs, in sizes."""
    (row,) = (row for row in table(cfg) if row.name == f"layers/{name}")
    outputs, inputs = _split(row, row.shape)
    return inputs, outputs


def rank(adapter: Any) -> int:
    """The rank of an adapter."""
    return jax.tree.leaves(adapter[0] if isinstance(adapter, tuple) else adapter)[0].shape[-1]


def is_adapter(tree: Any) -> bool:
    """Whether a tree is an adapter, and not a model's parameters."""
    return all(name.endswith("_lora") for name in (tree[0] if isinstance(tree, tuple) else tree))


def join(adapters: Sequence[Any]) -> Any:
    """Several adapters as one of all their ranks: a row of a batch uses its own by a mask over the ranks."""
    if isinstance(adapters[0], tuple):
        return tuple(_join(layers, 0) for layers in zip(*adapters, strict=True))
    return _join(adapters, 1)


def attach(params: Params, adapter: Any) -> Params:
    """The parameter tree with the adapter's arrays in its layers. Nothing is copied."""
    if isinstance(adapter, tuple):
        return params | {"layers": tuple(w | a for w, a in zip(params["layers"], adapter, strict=True))}
    return params | {"layers": params["layers"] | adapter}


def merge(params: Params) -> Params:
    """Folds attached adapters into the weights, for serving or export: `w + a @ b`."""

    def fold(layer: Params) -> Params:
        weights = {k: v for k, v in layer.items() if not k.endswith("_lora")}
        for key, adapter in layer.items():
            if key.endswith("_lora"):
                name = key.removesuffix("_lora")
                inputs, outputs = "xyz"[: adapter["a"].ndim - 1], "uvw"[: adapter["b"].ndim - 1]
                order = inputs + outputs if name in _INPUT_FIRST else outputs + inputs
                delta = einsum(f"{inputs}r,r{outputs}->{order}", adapter["a"], adapter["b"])
                weights[name] = weights[name] + delta.astype(weights[name].dtype)
        return weights

    layers = params["layers"]
    return params | {"layers": tuple(map(fold, layers)) if isinstance(layers, tuple) else jax.vmap(fold)(layers)}


def _join(layers: Sequence[Params], rank_axis_of_b: int) -> Params:
    def side(name: str, which: str, axis: int) -> jax.Array:
        return jnp.concatenate([layer[name][which] for layer in layers], axis)

    return {name: {"a": side(name, "a", -1), "b": side(name, "b", rank_axis_of_b)} for name in layers[0]}


def _pair(row: Row, key: jax.Array, rank: int, alpha: float) -> Params:
    outputs, inputs = _split(row, row.shape)
    std = alpha / (rank * math.sqrt(math.prod(inputs)))
    return {"a": std * jax.random.normal(key, (*inputs, rank)), "b": jnp.zeros((rank, *outputs))}


def _split(row: Row, axes: tuple[Any, ...]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """A matrix's axes as (outputs, inputs)."""
    n = _INPUT_FIRST.get(row.name.removeprefix("layers/"))
    return (axes[n:], axes[:n]) if n else (axes[:1], axes[1:])
