"""The header of a GGUF file: its metadata, and where each tensor's bytes are.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, versions 2 and 3, little-endian.
`gguf.GGUFReader` reads the same, but makes several objects for every string of the vocabulary: 4 s of CPU for
49,152 tokens, where this takes 0.1 s.
"""

from __future__ import annotations

import dataclasses
import math
import mmap
import struct
from pathlib import Path
from typing import Any

from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9


@dataclasses.dataclass(frozen=True)
class TensorPlace:
    """A tensor: its shape with the fastest axis last (as in numpy), block type, and bytes from the start of
    the file."""

    shape: tuple[int, ...]
    kind: GGMLQuantizationType
    offset: int

    @property
    def row_bytes(self) -> int:
        """Bytes of one row (blocks run along the last axis and never cross rows)."""
        block, size = GGML_QUANT_SIZES[self.kind]
        return self.shape[-1] // block * size


def read_gguf(path: Path) -> tuple[dict[str, Any], dict[str, TensorPlace]]:
    """(metadata, tensors), both by name; metadata values are Python numbers, strings and lists.

    ValueError names the file and what is wrong with it; a truncated file names the first tensor that is cut.
    """
    size = path.stat().st_size
    if size < 24:
        raise ValueError(f"{path} is not a GGUF file: it has {size} bytes")
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if data[:4] != b"GGUF":
            raise ValueError(f"{path} is not a GGUF file: it begins with {data[:4]!r}")
        try:
            metadata, tensors = _header(_Cursor(data))
        except (struct.error, UnicodeDecodeError, OverflowError, MemoryError) as error:
            raise ValueError(f"{path} is truncated or damaged in its header: {error}") from None
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
    for name, tensor in sorted(tensors.items(), key=lambda item: item[1].offset):
        end = tensor.offset + math.prod(tensor.shape[:-1]) * tensor.row_bytes
        if end > size:
            raise ValueError(
                f"tensor {name!r} in {path} is truncated: it ends at byte {end}, the file has {size}; "
                "download the file again"
            )
    return metadata, tensors


class _Cursor:
    """A place in the file that moves on with every read."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data, self.at = data, 4

    def scalar(self, code: str) -> Any:
        (value,) = struct.unpack_from("<" + code, self.data, self.at)
        self.at += struct.calcsize("<" + code)
        return value

    def string(self) -> str:
        length = self.scalar("Q")
        if self.at + length > len(self.data):
            raise ValueError(f"truncated or damaged: a string of {length} bytes at byte {self.at}")
        self.at += length
        return self.data[self.at - length : self.at].decode("utf-8")

    def value(self, kind: int) -> Any:
        if kind in _SCALARS:
            return self.scalar(_SCALARS[kind])
        if kind == _STRING:
            return self.string()
        if kind != _ARRAY:
            raise ValueError(f"metadata of unknown type {kind} at byte {self.at}")
        inner, length = self.scalar("I"), self.scalar("Q")
        if length > len(self.data):
            raise ValueError(f"truncated or damaged: an array of {length} values at byte {self.at}")
        if inner not in _SCALARS:
            return [self.value(inner) for _ in range(length)]
        code = f"<{length}{_SCALARS[inner]}"
        values = list(struct.unpack_from(code, self.data, self.at))
        self.at += struct.calcsize(code)
        return values


def _header(cursor: _Cursor) -> tuple[dict[str, Any], dict[str, TensorPlace]]:
    version = cursor.scalar("I")
    if version not in (2, 3):
        raise ValueError(f"GGUF version {version} is not supported; versions 2 and 3 (little-endian) are")
    n_tensors, n_metadata = cursor.scalar("Q"), cursor.scalar("Q")
    metadata = {}
    for _ in range(n_metadata):
        key = cursor.string()
        metadata[key] = cursor.value(cursor.scalar("I"))
    relative: dict[str, TensorPlace] = {}
    for _ in range(n_tensors):
        name = cursor.string()
        if name in relative:
            raise ValueError(f"tensor {name!r} is there twice")
        shape = tuple(cursor.scalar("Q") for _ in range(cursor.scalar("I")))[::-1]
        relative[name] = TensorPlace(shape, _kind(name, shape, cursor.scalar("I")), cursor.scalar("Q"))
    alignment = metadata.get("general.alignment", 32)
    if alignment < 1:
        raise ValueError(f"general.alignment is {alignment}")
    start = -(-cursor.at // alignment) * alignment
    return metadata, {name: dataclasses.replace(t, offset=start + t.offset) for name, t in relative.items()}


def _kind(name: str, shape: tuple[int, ...], number: int) -> GGMLQuantizationType:
    try:
        kind = GGMLQuantizationType(number)
    except ValueError:
        raise ValueError(f"tensor {name!r} has type {number}, which the gguf package does not know") from None
    block = GGML_QUANT_SIZES[kind][0]
    if not shape or shape[-1] % block:
        raise ValueError(f"tensor {name!r} of shape {shape} does not divide into {kind.name} blocks of {block}")
    return kind
