"""The paged key-value cache on the device.

N pages of S tokens in each layer. The pages lie over (data, fsdp) like the rows of a batch, the heads over `model`: a
row's table names pages of its own shard (`pages.Pages` does their books), so that no cache line ever crosses the mesh.
There are two forms, told apart by their keys:

- dense: per layer {"k": [N, K, H, S], "v": [N, K, S, H]}. Reading is a gather of whole pages into the past that
  attention multiplies by; it happens once for a whole run of decode steps;
- ragged: {"kv": [L, N, S, 2K, H]}, what the TPU kernel reads as it stands (`attention.ragged` also writes it).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental.layout import Layout, with_layout_constraint

from m2jax.models import attention
from m2jax.models.config import ModelConfig
from m2jax.sharding import P, batch_spec, reshard

Cache = Any  # dense: a tuple of L layers, or one layer with a leading L; ragged: {"kv"}
_PAGES = P(("data", "fsdp"), "model", None, None)


def empty(cfg: ModelConfig, n_pages: int, page_size: int, dtype: Any, *, stacked: bool) -> Cache:
    """A cache of `n_pages` (all shards together), zeros, on the mesh that is set; ragged where the kernel runs."""
    if attention.ragged_serves(cfg.n_kv_heads, cfg.d_head, dtype):
        return zeros(ragged(cfg, n_pages, page_size, dtype))
    return zeros(dense(cfg, n_pages, page_size, dtype, stacked=stacked))


def dense(cfg: ModelConfig, n_pages: int, page_size: int, dtype: Any, *, stacked: bool) -> Cache:
    """The abstract dense cache. stacked: one layer with a leading L instead of a tuple, as the parameters have it."""
    K, H, S = cfg.n_kv_heads, cfg.d_head, page_size
    lead, spec = ((cfg.n_layers,), P(None, *_PAGES)) if stacked else ((), _PAGES)
    shapes = {"k": (*lead, n_pages, K, H, S), "v": (*lead, n_pages, K, S, H)}
    layer = {name: _abstract(shape, dtype, spec) for name, shape in shapes.items()}
    return layer if stacked else (layer,) * cfg.n_layers


def ragged(cfg: ModelConfig, n_pages: int, page_size: int, dtype: Any) -> Cache:
    """The abstract ragged cache."""
    shape = (cfg.n_layers, n_pages, page_size, 2 * cfg.n_kv_heads, cfg.d_head)
    return {"kv": _abstract(shape, dtype, attention.KV_SPEC)}


def zeros(abstract: Cache) -> Cache:
    """An abstract cache, made: zeros where its layout puts them."""
    return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype, device=x.sharding), abstract)


def is_ragged(cache: Cache) -> bool:
    """Which form a cache has."""
    return "kv" in cache


def page_size(cache: Cache) -> int:
    """S: tokens in a page."""
    if is_ragged(cache):
        return cache["kv"].shape[2]
    return (cache[0] if isinstance(cache, tuple) else cache)["k"].shape[-1]


def per_layer(f: Callable[..., Any], *trees: Any) -> Any:
    """`f` on each layer of trees that are tuples of layers or have a leading L."""
    if isinstance(trees[0], tuple):
        return tuple(f(*layers) for layers in zip(*trees, strict=True))
    return jax.vmap(f)(*trees)


def read(layer: dict[str, jax.Array] | attention.Pages, table_BN: jax.Array) -> dict[str, jax.Array]:
    """The pages of each row's table in a row: the past {"k": BKHS, "v": BKSH} of S = N * page_size tokens."""
    if isinstance(layer, attention.Pages):
        return _read_ragged(layer, table_BN)

    def local(k: jax.Array, v: jax.Array, table: jax.Array) -> tuple[jax.Array, jax.Array]:
        (B, N), (_, K, H, S) = table.shape, k.shape
        k_BKHNS = k[table].transpose(0, 2, 3, 1, 4)
        v_BKNSH = v[table].transpose(0, 2, 1, 3, 4)
        return k_BKHNS.reshape(B, K, H, N * S), v_BKNSH.reshape(B, K, N * S, H)

    return dict(zip("kv", _local(local, layer["k"], layer["v"], table_BN), strict=True))


def write(
    layer: dict[str, jax.Array],
    new: dict[str, jax.Array],
    table_BN: jax.Array,
    start_B: jax.Array,
    count_B: jax.Array,
) -> dict[str, jax.Array]:
    """Writes the first `count_B` columns of new {"k": BKHT, "v": BKTH} at the tokens from `start_B` on of each row's
    table. What lies beyond a row's count goes to page 0.
    """

    def local(
        k: jax.Array, v: jax.Array, new_k: jax.Array, new_v: jax.Array, table: jax.Array, *ends: jax.Array
    ) -> Any:
        T, S = new_k.shape[-1], k.shape[-1]
        start, count = (x[:, None] for x in ends)
        at_BT = start + jnp.arange(T)
        block_BT = jnp.minimum(at_BT // S, table.shape[1] - 1)
        page_BT = jnp.where(jnp.arange(T) < count, jax.vmap(lambda row, i: row[i])(table, block_BT), 0)
        k = k.at[page_BT, :, :, at_BT % S].set(new_k.transpose(0, 3, 1, 2))
        return k, v.at[page_BT, :, at_BT % S].set(new_v.transpose(0, 2, 1, 3))

    out = _local(local, layer["k"], layer["v"], new["k"], new["v"], table_BN, start_B, count_B)
    return dict(zip("kv", out, strict=True))


def copy(cache: Cache, source_BN: jax.Array, target_BN: jax.Array) -> Cache:
    """Copies pages `source` to `target`, each [shards, n] of ids in their shard; 0 to 0 does nothing."""
    if is_ragged(cache):
        return {"kv": _copy_ragged(cache["kv"], source_BN, target_BN)}

    def local(pages: jax.Array, source: jax.Array, target: jax.Array) -> jax.Array:
        return pages.at[target.ravel()].set(pages[source.ravel()])

    def layer(pages: dict[str, jax.Array]) -> dict[str, jax.Array]:
        return {name: _local(local, x, source_BN, target_BN) for name, x in pages.items()}

    return per_layer(layer, cache)


def _read_ragged(pages: attention.Pages, table_BN: jax.Array) -> dict[str, jax.Array]:
    def local(kv: jax.Array, layer: jax.Array, table: jax.Array) -> tuple[jax.Array, jax.Array]:
        (B, N), (_, _, S, J, H) = table.shape, kv.shape
        # the gather in the order of the pages: XLA would rather copy the whole cache into the order that it wants next
        kv_BNSJH = with_layout_constraint(kv[layer, table], Layout(major_to_minor=(0, 1, 2, 3, 4)))
        kv_BSKJH = kv_BNSJH.reshape(B, N * S, J // 2, 2, H)
        return kv_BSKJH[..., 0, :].transpose(0, 2, 3, 1), kv_BSKJH[..., 1, :].transpose(0, 2, 1, 3)

    return dict(zip("kv", _local(local, pages.kv, pages.layer, table_BN), strict=True))


def _copy_ragged(kv: jax.Array, source_BN: jax.Array, target_BN: jax.Array) -> jax.Array:
    def local(kv: jax.Array, source: jax.Array, target: jax.Array) -> jax.Array:
        return kv.at[:, target.ravel()].set(kv[:, source.ravel()])

    return _local(local, kv, source_BN, target_BN, out=attention.KV_SPEC)


def _local(f: Callable[..., Any], *args: jax.Array, out: P = _PAGES) -> Any:
    """`f` on each shard's own pages and rows."""
    if jax.sharding.get_abstract_mesh().empty:
        return f(*args)
    specs = {0: P(), 4: _PAGES, 5: attention.KV_SPEC}
    in_specs = tuple(specs.get(x.ndim, batch_spec(x.ndim)) for x in args)
    return jax.shard_map(f, in_specs=in_specs, out_specs=out)(*map(reshard, args, in_specs))


def _abstract(shape: tuple[int, ...], dtype: Any, spec: P) -> jax.ShapeDtypeStruct:
    mesh = jax.sharding.get_mesh()
    return jax.ShapeDtypeStruct(shape, dtype, sharding=None if mesh.empty else jax.NamedSharding(mesh, spec))
