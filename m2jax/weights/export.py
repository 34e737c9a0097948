"""Parameters to files: a folder that Hugging Face software opens (config.json, safetensors, tokenizer).

Tensors go to the file one at a time, behind a header written first; the folder appears under its name only
when it is whole. Other forms: `adapter` (PEFT), `gguf_target`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from m2jax.models.config import ModelConfig, to_hf
from m2jax.models.params import Params, Row, table
from m2jax.weights import layout
from m2jax.weights.safetensors_source import DTYPES, INDEX_NAME

SHARD_BYTES = 4 * 10**9


class Saves(Protocol):
    """A tokenizer, as far as this file knows it."""

    def save(self, folder: Path) -> None: ...


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A tensor of the file, by its Hugging Face name: one layer's, where its row is in the layers."""

    name: str
    row: Row
    layer: int | None
    n_bytes: int


def export(
    cfg: ModelConfig,
    params: Params,
    folder: Path,
    *,
    dtype: Any = jnp.float32,
    tokenizer: Saves | None = None,
    eos_ids: Sequence[int] = (),
    generation: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Writes `params` (stacked or unrolled, any sharding) as `folder`, which must be new or empty.

    `dtype` is the file's: float32, bfloat16 or float16. Above 4 GB the tensors go into shards with an index.
    `tokenizer` writes its own files; `eos_ids` go into generation_config.json, beside what `generation` says (how one
    samples by default), and config.json. ValueError if the folder is taken, a tensor is not finite (named), or the
    parameters are not all on this process's devices.
    """
    code = next((c for c, d in DTYPES.items() if d == jnp.dtype(dtype)), None)
    if code is None:
        raise ValueError(f"cannot write dtype {jnp.dtype(dtype).name}; use float32, bfloat16 or float16")
    with new_folder(folder) as partial:
        _write_configs(cfg, partial, jnp.dtype(dtype).name, list(eos_ids), generation)
        if tokenizer is not None:
            tokenizer.save(partial)
        _write_tensors(cfg, params, partial, code)


@contextlib.contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A folder to write to, which becomes `folder` at the end. ValueError where that is there and not empty."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} exists and is not empty; choose a new folder")
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    yield partial
    os.replace(partial, folder)


def _write_configs(
    cfg: ModelConfig, folder: Path, dtype: str, eos_ids: list[int], generation: Mapping[str, Any]
) -> None:
    config = to_hf(cfg) | {"torch_dtype": dtype}
    if eos_ids:
        config["eos_token_id"] = eos_ids if len(eos_ids) > 1 else eos_ids[0]
        _write_json(folder / "generation_config.json", {**generation, "eos_token_id": config["eos_token_id"]})
    _write_json(folder / "config.json", config)


def _write_tensors(cfg: ModelConfig, params: Params, folder: Path, code: str) -> None:
    shards = _plan(cfg, DTYPES[code].itemsize)
    names = [f"model-{i + 1:05}-of-{len(shards):05}.safetensors" for i in range(len(shards))]
    if len(shards) == 1:
        names = ["model.safetensors"]
    for name, shard in zip(names, shards, strict=True):
        with (folder / name).open("wb") as stream:
            stream.write(_header(shard, code))
            for tensor in shard:
                stream.write(stored(params, tensor, DTYPES[code]).reshape(-1).view(np.uint8).data)
    if len(shards) > 1:
        total = sum(t.n_bytes for shard in shards for t in shard)
        weight_map = {t.name: name for name, shard in zip(names, shards, strict=True) for t in shard}
        _write_json(folder / INDEX_NAME, {"metadata": {"total_size": total}, "weight_map": weight_map})


def _plan(cfg: ModelConfig, itemsize: int) -> list[list[Tensor]]:
    """The tensors in the order of the layers, cut into shards of at most SHARD_BYTES (or one tensor)."""
    shards: list[list[Tensor]] = [[]]
    for tensor in tensors(cfg, itemsize):
        if shards[-1] and sum(t.n_bytes for t in shards[-1]) + tensor.n_bytes > SHARD_BYTES:
            shards.append([])
        shards[-1].append(tensor)
    return shards


def tensors(cfg: ModelConfig, itemsize: int) -> Iterator[Tensor]:
    """All tensors of a model in the order of the layers; `itemsize` bytes a number."""
    rows = table(cfg)
    for layer in (None, *range(cfg.n_layers)):
        for row in rows:
            if row.in_layer == (layer is not None):
                yield Tensor(row.hf.format(layer), row, layer, math.prod(row.shape) * itemsize)


def _header(shard: list[Tensor], code: str) -> bytes:
    """The safetensors header: its length, then JSON padded so that the bytes after it are aligned."""
    entries: dict[str, Any] = {"__metadata__": {"format": "pt"}}  # transformers asks for this mark
    start = 0
    for tensor in shard:
        stop = start + tensor.n_bytes
        shape = layout.stored_shape(tensor.row)
        entries[tensor.name] = {"dtype": code, "shape": shape, "data_offsets": (start, stop)}
        start = stop
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 64)
    return len(text).to_bytes(8, "little") + text


def stored(params: Params, tensor: Tensor, dtype: np.dtype) -> np.ndarray:
    """One tensor on the host, in its stored layout."""
    if not tensor.row.in_layer:
        leaf, layer = params[tensor.row.name], None
    elif isinstance(params["layers"], dict):
        leaf, layer = params["layers"][tensor.row.name.removeprefix("layers/")], tensor.layer
    else:
        leaf, layer = params["layers"][tensor.layer][tensor.row.name.removeprefix("layers/")], None
    array = _to_host(leaf, layer, dtype, tensor)
    if not np.isfinite(array).all():
        raise ValueError(f"tensor {tensor.name!r} holds values that are not finite as {dtype.name}; not exported")
    return np.ascontiguousarray(layout.to_stored(tensor.row, array))


def _to_host(leaf: Any, layer: int | None, dtype: np.dtype, tensor: Tensor) -> np.ndarray:
    if isinstance(leaf, jax.Array):
        if not leaf.is_fully_addressable:
            raise ValueError(f"{tensor.row.name!r} is spread over several processes; load it in a single process")
        # A fresh array: a leaf keeps the numpy copy that is made of it, and a model of them would add up.
        leaf = jnp.array(leaf if layer is None else leaf[layer], dtype, copy=True)
        layer = None
    array = np.asarray(leaf if layer is None else leaf[layer]).astype(dtype, copy=False)
    if array.shape != tensor.row.shape:
        raise ValueError(f"{tensor.row.name!r} has shape {array.shape}, but the configuration says {tensor.row.shape}")
    return array


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
