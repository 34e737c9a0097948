"""Files to parameters: `load` streams a model tensor by tensor into the sharding it will live in.

Each process reads the slices that its own devices hold and nothing else, one leaf of the tree at a time,
converting layout and dtype in the one copy it makes; host memory holds one leaf's shards besides what is
already on the devices.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from m2jax.models.config import ModelConfig
from m2jax.models.params import Params, Row, abstract, build, logical_axes, table
from m2jax.sharding import Rules, shardings
from m2jax.weights import layout
from m2jax.weights.gguf_source import GgufSource
from m2jax.weights.safetensors_source import SafetensorsSource

_HARMLESS = ("rotary_emb.inv_freq",)  # buffers that old checkpoints carry and every implementation computes
_COMPARE_BYTES = 2**24


class Source(Protocol):
    """Stored tensors by Hugging Face name; what `read` returns may be a view of a file, to be copied."""

    path: Path
    config: ModelConfig

    def names(self) -> set[str]: ...
    def shape(self, name: str) -> tuple[int, ...]: ...
    def read(self, name: str, index: tuple[slice, ...]) -> np.ndarray: ...


def load(path: Path, *, stacked: bool, dtype: Any, shardings: Any = None) -> tuple[ModelConfig, Params]:
    """The model at `path`, a GGUF file or a Hugging Face folder (see `names.resolve`).

    `stacked` picks scanned layers over unrolled ones (`params.build`); `dtype` is the parameters' (a float
    type); `shardings` is a tree like the parameters with a `jax.sharding.Sharding` per array (`read_config`
    tells what to build it for), or None for the default device. ValueError names the tensor that is missing,
    unexpected, mis-shaped, truncated or of a dtype that is not supported. A head stored beside a tied
    embedding is accepted if it equals the embedding.
    """
    if not jnp.issubdtype(dtype, jnp.floating):
        raise ValueError(f"parameters of dtype {jnp.dtype(dtype).name} make no sense; use float32 or bfloat16")
    source = open_source(path)
    cfg = source.config
    _check(source, table(cfg))

    def make(row: Row, layer: int | None) -> jax.Array:
        layers = [None] if not row.in_layer else list(range(cfg.n_layers)) if layer is None else [layer]
        is_stack = row.in_layer and layer is None
        shape = ((cfg.n_layers,) if is_stack else ()) + row.shape
        shards: dict[tuple[tuple[int, int], ...], np.ndarray] = {}  # replicas share one

        def shard(index: tuple[slice, ...]) -> np.ndarray:
            index = tuple(slice(*s.indices(n)[:2]) for s, n in zip(index, shape, strict=True))
            key = tuple((s.start, s.stop) for s in index)
            if key not in shards:
                wanted, inner = (layers[index[0]], index[1:]) if is_stack else (layers, index)
                shards[key] = _read(source, row, wanted, inner, is_stack, jnp.dtype(dtype))
            return shards[key]

        if shardings is None:
            return jax.device_put(shard((slice(None),) * len(shape))).block_until_ready()
        sharding = _leaf(shardings, row, layer)
        return jax.make_array_from_callback(shape, sharding, shard).block_until_ready()

    return cfg, build(cfg, make, stacked=stacked)


def load_over(path: Path, mesh: jax.sharding.Mesh, *, stacked: bool, dtype: Any) -> Params:
    """The parameters of the model at `path`, laid out over the mesh as `sharding.Rules` have it. Else as `load`."""
    cfg = read_config(path)
    axes, shapes = logical_axes(cfg, stacked=stacked), abstract(cfg, stacked=stacked)
    return load(path, stacked=stacked, dtype=dtype, shardings=shardings(mesh, axes, shapes, Rules()))[1]


def read_config(path: Path) -> ModelConfig:
    """The configuration alone of the model at `path`; reads headers, no tensors."""
    return open_source(path).config


def open_source(path: Path) -> Source:
    """The source of a GGUF file or a Hugging Face folder."""
    if path.is_dir():
        return SafetensorsSource(path)
    if path.is_file() and path.suffix == ".gguf":
        return GgufSource(path)
    raise ValueError(f"{path} is neither a .gguf file nor a folder with config.json and safetensors")


def _read(
    source: Source, row: Row, layers: list[int | None], index: layout.Index, is_stack: bool, dtype: np.dtype
) -> np.ndarray:
    """One shard: `index` of each of `layers`, stacked or the only one, in our layout and `dtype`."""
    inner = tuple(s.stop - s.start for s in index)
    out = np.empty(((len(layers),) if is_stack else ()) + inner, dtype)
    for i, layer in enumerate(layers):
        name = row.hf.format(layer)
        target = out[i] if is_stack else out
        target[...] = layout.read_slice(row, index, lambda stored, name=name: source.read(name, stored))
    return out


def _leaf(shardings: Any, row: Row, layer: int | None) -> jax.sharding.Sharding:
    try:
        if not row.in_layer:
            return shardings[row.name]
        layers = shardings["layers"]
        return (layers if layer is None else layers[layer])[row.name.removeprefix("layers/")]
    except (KeyError, IndexError, TypeError):
        raise ValueError(f"the tree of shardings has no entry for {row.name!r}, layer {layer}") from None


def _check(source: Source, rows: tuple[Row, ...]) -> None:
    """All names and shapes, before anything is read."""
    cfg, names = source.config, source.names()
    expected = {
        row.hf.format(i): layout.stored_shape(row)
        for row in rows
        for i in (range(cfg.n_layers) if row.in_layer else (None,))
    }
    missing = sorted(expected.keys() - names)
    if missing:
        hint = "; set tie_word_embeddings to true if the head is tied" if missing == ["lm_head.weight"] else ""
        raise ValueError(f"{source.path} lacks {_listed(missing)}{hint}")
    for name, shape in expected.items():
        if source.shape(name) != shape:
            raise ValueError(
                f"tensor {name!r} in {source.path} has shape {source.shape(name)}, but the configuration says {shape}"
            )
    extra = sorted(n for n in names - expected.keys() if not n.endswith(_HARMLESS))
    if cfg.tied and "lm_head.weight" in extra:
        _check_tied(source)
        extra.remove("lm_head.weight")
    if extra:
        raise ValueError(f"{source.path} has {_listed(extra)}, which a {cfg.family} model has no place for")


def _check_tied(source: Source) -> None:
    """A tied model may store its head again, but only the same one: else one of the two would be lost in
    silence."""
    embed, head = "model.embed_tokens.weight", "lm_head.weight"
    shape = source.shape(embed)
    step = max(1, _COMPARE_BYTES // (4 * math.prod(shape[1:])))
    same = source.shape(head) == shape and all(
        np.array_equal(
            *(source.read(n, (slice(i, min(i + step, shape[0])), slice(0, shape[1]))) for n in (embed, head))
        )
        for i in range(0, shape[0], step)
    )
    if not same:
        raise ValueError(
            f"{source.path} says tie_word_embeddings, but its {head!r} differs from {embed!r}: "
            "set it to false, or delete the head"
        )


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"tensor{'s' if len(names) > 1 else ''} {', '.join(map(repr, names[:5]))}{more}"
