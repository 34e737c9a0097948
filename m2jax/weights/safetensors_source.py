"""Tensors of a Hugging Face folder: config.json and safetensors, in one file or in shards with an index.

The format (https://huggingface.co/docs/safetensors): 8 bytes with the header's length, a JSON header of
names, dtypes, shapes and byte ranges, then the bytes. The header is checked here in full, and a read maps
just the tensor it needs for as long as the caller holds the result, so neither a second copy nor the whole
file ever stands in memory.
"""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from m2jax.models.config import ModelConfig, from_hf

INDEX_NAME = "model.safetensors.index.json"
DTYPES = {
    "F32": np.dtype(np.float32),
    "F16": np.dtype(np.float16),
    "BF16": np.dtype(ml_dtypes.bfloat16),
}
_MAX_HEADER_BYTES = 100_000_000  # the limit of the safetensors library


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a tensor's bytes are: `offset` in bytes from the start of `file`."""

    file: Path
    dtype: np.dtype
    shape: tuple[int, ...]
    offset: int


class SafetensorsSource:
    """The configuration and the tensors of `folder`, by Hugging Face name."""

    def __init__(self, folder: Path) -> None:
        """Reads config.json and every header. ValueError names the file or tensor that is missing or
        damaged."""
        self.path = folder
        self.config: ModelConfig = from_hf(_json(folder / "config.json"))
        self._places = _places(folder)

    def names(self) -> set[str]:
        return set(self._places)

    def shape(self, name: str) -> tuple[int, ...]:
        return self._places[name].shape

    def read(self, name: str, index: tuple[slice, ...]) -> np.ndarray:
        """The tensor at `index`, one slice per axis, in its stored dtype: a read-only view of the file, to be
        copied."""
        place = self._places[name]
        if 0 in place.shape:
            return np.empty(place.shape, place.dtype)[index]
        return np.memmap(place.file, place.dtype, "r", place.offset, place.shape)[index]


def read_header(file: Path) -> dict[str, Place]:
    """The tensors of one safetensors file. ValueError names the file, and the tensor that is at fault."""
    size = file.stat().st_size
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if size < 8 or length > min(size - 8, _MAX_HEADER_BYTES):
            raise ValueError(f"{file} is truncated or not a safetensors file: {size} bytes, header length {length}")
        try:
            header = json.loads(stream.read(length))
        except ValueError as error:
            raise ValueError(f"{file} is not a safetensors file: its header is not JSON ({error})") from None
    try:
        return _checked(file, header, 8 + length, size)
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"the header of {file} is malformed: {error!r}") from None


def _checked(file: Path, header: dict[str, Any], data_start: int, size: int) -> dict[str, Place]:
    header.pop("__metadata__", None)
    places: dict[str, Place] = {}
    end = 0
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        start, stop = entry["data_offsets"]
        if start != end:
            what = "overlaps the tensor before it" if start < end else "leaves a hole before it"
            raise ValueError(f"tensor {name!r} in {file} {what}: bytes {start} to {stop}, expected a start at {end}")
        places[name] = _place(file, name, entry, data_start)
        if data_start + stop > size:
            raise ValueError(
                f"tensor {name!r} in {file} is truncated: it ends at byte {data_start + stop}, "
                f"the file has {size}; download the file again"
            )
        end = stop
    return places


def _place(file: Path, name: str, entry: dict[str, Any], data_start: int) -> Place:
    dtype = DTYPES.get(entry["dtype"])
    if dtype is None:
        raise ValueError(
            f"tensor {name!r} in {file} has dtype {entry['dtype']}, which is not supported; one of {', '.join(DTYPES)}"
        )
    start, stop = entry["data_offsets"]
    shape = tuple(entry["shape"])
    if stop - start != math.prod(shape) * dtype.itemsize:
        raise ValueError(
            f"tensor {name!r} in {file} has {stop - start} bytes, but its shape {shape} of {entry['dtype']} "
            f"needs {math.prod(shape) * dtype.itemsize}"
        )
    return Place(file, dtype, shape, data_start + start)


def _places(folder: Path) -> dict[str, Place]:
    index = folder / INDEX_NAME
    if index.exists():
        return _sharded(folder, _json(index)["weight_map"])
    files = sorted(folder.glob("*.safetensors"))
    if folder / "model.safetensors" in files:
        return read_header(folder / "model.safetensors")
    if len(files) == 1:
        return read_header(files[0])
    if not files:
        raise ValueError(f"{folder} has no .safetensors file")
    raise ValueError(f"{folder} has {len(files)} .safetensors files but no {INDEX_NAME} to say what is in which")


def _sharded(folder: Path, weight_map: dict[str, str]) -> dict[str, Place]:
    shards: dict[str, dict[str, Place]] = {}
    for shard in sorted(set(weight_map.values())):
        if Path(shard).name != shard:
            raise ValueError(f"{folder / INDEX_NAME} names a shard outside its folder: {shard!r}")
        if not (folder / shard).is_file():
            raise ValueError(f"shard {shard!r}, which {INDEX_NAME} names, is missing from {folder}")
        shards[shard] = read_header(folder / shard)
    for name, shard in weight_map.items():
        if name not in shards[shard]:
            raise ValueError(f"tensor {name!r} is not in {folder / shard}, where {INDEX_NAME} says it is")
    return {name: shards[shard][name] for name, shard in weight_map.items()}


def _json(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise ValueError(f"{file.parent} has no {file.name}: it is not a Hugging Face model folder")
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file} is not JSON: {error}") from None
