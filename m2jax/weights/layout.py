"""Between a tensor as it is stored (Hugging Face: output-first, heads merged) and our array (input-first,
heads apart).

A row of the parameter table says it in einops' notation, "(k g h) d -> d k g h": the left side is the stored
tensor, an axis in brackets is merged from several with the first outermost, the right side is ours. Only
numpy views are made here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import numpy as np

from m2jax.models.params import Row

Index = tuple[slice, ...]


def stored_shape(row: Row) -> tuple[int, ...]:
    """The shape of the stored tensor of one layer."""
    stored, ours = _axes(row)
    size = dict(zip(ours, row.shape, strict=True))
    return tuple(math.prod(size[a] for a in group) for group in stored)


def read_slice(row: Row, index: Index, fetch: Callable[[Index], np.ndarray]) -> np.ndarray:
    """Our array (one layer) at `index`, one slice with start and stop per axis of `row.shape`.

    `fetch` returns the stored tensor at the slices it is given. Of a merged axis only the outermost part is
    cut in the file; where an inner part is cut too, the whole of that axis is fetched and cut here.
    """
    stored, ours = _axes(row)
    size, want = dict(zip(ours, row.shape, strict=True)), dict(zip(ours, index, strict=True))
    cuts: list[slice] = []
    split: list[int] = []
    for outer, *inner in stored:
        n_inner = math.prod(size[a] for a in inner)
        cut = slice(0, size[outer])
        if all(want[a] == slice(0, size[a]) for a in inner):
            cut, want[outer] = want[outer], slice(None)
        cuts.append(slice(cut.start * n_inner, cut.stop * n_inner))
        split += [cut.stop - cut.start, *(size[a] for a in inner)]
    names = [a for group in stored for a in group]
    block = fetch(tuple(cuts)).reshape(split)
    return block.transpose([names.index(a) for a in ours])[tuple(want[a] for a in ours)]


def to_stored(row: Row, array: np.ndarray) -> np.ndarray:
    """The stored tensor of our array (one layer)."""
    stored, ours = _axes(row)
    return array.transpose([ours.index(a) for group in stored for a in group]).reshape(stored_shape(row))


def _axes(row: Row) -> tuple[list[list[str]], list[str]]:
    left, right = row.hf_layout.split("->")
    groups = [(merged or single).split() for merged, single in re.findall(r"\(([^)]*)\)|(\w+)", left)]
    return groups, right.split()
