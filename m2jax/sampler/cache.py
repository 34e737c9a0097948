"""The paged key-value cache on the device.

Per layer {"k": [N, K, H, S], "v": [N, K, S, H]}: N pages of S tokens. The pages lie over (data, fsdp) like the rows of
a batch, the heads over `model`: a row's table names pages of its own shard (`pages.Pages` does their books), so that
no cache line ever crosses the mesh. Reading is a gather of whole pages into the dense past that attention multiplies
by; it happens once for a whole run of decode steps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from m2jax.models.config import ModelConfig
from m2jax.sharding import P, batch_spec, reshard

Cache = Any  # a tuple of L layers, or one layer with a leading L
_PAGES = P(("data", "fsdp"), "model", None, None)


def empty(cfg: ModelConfig, n_pages: int, page_size: int, dtype: Any, *, stacked: bool) -> Cache:
    """A cache of `n_pages` (all shards together), zeros, on the mesh that is set."""
    K, H, S = cfg.n_kv_heads, cfg.d_head, page_size
    lead, spec = ((cfg.n_layers,), P(None, *_PAGES)) if stacked else ((), _PAGES)

    def layer() -> dict[str, jax.Array]:
        mesh = jax.sharding.get_mesh()
        where = jax.NamedSharding(mesh, spec) if not mesh.empty else None
        shapes = {"k": (*lead, n_pages, K, H, S), "v": (*lead, n_pages, K, S, H)}
        return {name: jnp.zeros(shape, dtype, device=where) for name, shape in shapes.items()}

    return layer() if stacked else tuple(layer() for _ in range(cfg.n_layers))


def per_layer(f: Callable[..., Any], *trees: Any) -> Any:
    """`f` on each layer of trees that are tuples of layers or have a leading L."""
    if isinstance(trees[0], tuple):
        return tuple(f(*layers) for layers in zip(*trees, strict=True))
    return jax.vmap(f)(*trees)


def read(layer: dict[str, jax.Array], table_BN: jax.Array) -> dict[str, jax.Array]:
    """The pages of each row's table in a row: the past {"k": BKHS, "v": BKSH} of S = N * page_size tokens."""

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

    def local(pages: jax.Array, source: jax.Array, target: jax.Array) -> jax.Array:
        return pages.at[target.ravel()].set(pages[source.ravel()])

    def layer(pages: dict[str, jax.Array]) -> dict[str, jax.Array]:
        return {name: _local(local, x, source_BN, target_BN) for name, x in pages.items()}

    return per_layer(layer, cache)


def _local(f: Callable[..., Any], *args: jax.Array) -> Any:
    """`f` on each shard's own pages and rows."""
    if jax.sharding.get_abstract_mesh().empty:
        return f(*args)
    specs = tuple(_PAGES if x.ndim == 4 else batch_spec(x.ndim) for x in args)
    return jax.shard_map(f, in_specs=specs, out_specs=_PAGES)(*map(reshard, args, specs))
