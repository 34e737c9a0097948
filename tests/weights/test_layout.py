"""A slice read through a layout is the slice of the whole array, and no more is fetched than must be."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from m2jax.models.params import Row, table
from m2jax.weights import layout
from tests.weights.tiny_model import CONFIGS

ROWS = {row.name: row for cfg in reversed(CONFIGS.values()) for row in table(cfg)}


def stored(row: Row) -> np.ndarray:
    shape = layout.stored_shape(row)
    return np.arange(math.prod(shape)).reshape(shape)


@pytest.mark.parametrize("name", ROWS)
def test_to_stored_undoes_reading(name: str) -> None:
    row = ROWS[name]
    full = tuple(slice(0, n) for n in row.shape)
    ours = layout.read_slice(row, full, lambda index: stored(row)[index])
    assert ours.shape == row.shape
    np.testing.assert_array_equal(layout.to_stored(row, ours), stored(row))


@given(st.sampled_from(sorted(ROWS)), st.data())
def test_a_slice_is_the_slice_of_the_whole(name: str, data: st.DataObject) -> None:
    row = ROWS[name]
    index = []
    for n in row.shape:
        start = data.draw(st.integers(0, n - 1))
        index.append(slice(start, data.draw(st.integers(start + 1, n))))
    whole = layout.read_slice(row, tuple(slice(0, n) for n in row.shape), lambda i: stored(row)[i])
    part = layout.read_slice(row, tuple(index), lambda i: stored(row)[i])
    np.testing.assert_array_equal(part, whole[tuple(index)])


def test_heads_stay_together_in_the_worked_example() -> None:
    row = ROWS["layers/wq"]  # 8 query heads of 8 channels over 4 kv heads
    ours = layout.read_slice(row, tuple(slice(0, n) for n in row.shape), lambda i: stored(row)[i])
    kv_head, group, channel, d = 2, 1, 5, 7
    assert ours[d, kv_head, group, channel] == stored(row)[(kv_head * 2 + group) * 8 + channel, d]


@pytest.mark.parametrize(
    ("name", "index", "fetched"),
    [
        ("layers/wq", (slice(0, 16), slice(1, 2), slice(0, 2), slice(0, 8)), (16, 16)),
        ("layers/wo", (slice(3, 4), slice(0, 2), slice(0, 8), slice(0, 8)), (8, 16)),
        ("layers/w_down", (slice(0, 8), slice(0, 32)), (8, 32)),
        ("layers/wk", (slice(0, 32), slice(1, 2), slice(0, 4)), (32, 32)),  # half a head: all heads are read
    ],
)
def test_only_the_slice_is_fetched(name: str, index: tuple[slice, ...], fetched: tuple[int, ...]) -> None:
    row, shapes = ROWS[name], []

    def fetch(at: layout.Index) -> np.ndarray:
        block = stored(row)[at]
        shapes.append(block.shape)
        return block

    layout.read_slice(row, index, fetch)
    assert shapes == [fetched]
