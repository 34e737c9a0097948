"""The largest micro-batch from two peaks, and what is said where something does not fit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from m2jax.aot import fit


def test_sizes_lie_over_the_shards_and_divide_the_update():
    assert fit.sizes(48, 8) == [8, 16, 24, 48]
    assert fit.sizes(8, 8) == [8] and fit.sizes(4, 8) == []


@given(
    st.integers(1, 64), st.integers(1, 8), st.floats(0.1, 50), st.floats(0.01, 5), st.floats(1, 100), st.data()
)  # fmt: skip
def test_the_largest_is_that_of_a_bisection_where_peaks_lie_on_a_line(n, shards, fixed, each, room, data):
    sizes = fit.sizes(n * shards, shards)
    micro = data.draw(st.sampled_from(sizes))
    peak = lambda m: fixed + each * m  # noqa: E731
    peaks = {micro: peak(micro)}
    other = fit.neighbour(sizes, micro, fits=peak(micro) <= room)
    if other:
        peaks[other] = peak(other)
    got, want = fit.largest(sizes, peaks, room), max((m for m in sizes if peak(m) <= room), default=0)
    assert got == want or abs(peak(max(got, want)) - room) < 1e-6  # on the edge a rounding decides


def test_the_neighbour_is_on_the_side_where_the_limit_lies():
    assert fit.neighbour([8, 16, 48], 16, fits=True) == 48 and fit.neighbour([8, 16, 48], 16, fits=False) == 8
    assert fit.neighbour([8, 16, 48], 48, fits=True) is None and fit.neighbour([8, 16, 48], 8, fits=False) is None


@pytest.mark.parametrize(
    ("program", "resident", "rows", "said"),
    [
        ("update", {"training state": 5, "pages": 2}, 16, "config.data.micro_rows=16, config.remat='full'"),
        ("logprobs", {"training state": 5, "pages": 2}, 0, "no config.data.micro_rows fits"),
        ("update", {"training state": 12, "pages": 5}, 16, "config.optimizer.moments='bfloat16'"),
        ("update", {"training state": 5, "pages": 12}, 16, "a lower config.sampling.cache_tokens"),
        ("decode", {"training state": 12, "pages": 2}, 16, "a lower config.sampling.cache_tokens"),
        ("hand-over", {"training state": 5, "policy weights": 6}, 16, "a larger model size in config.sampling.mesh"),
    ],
)
def test_the_remedy_names_what_takes_the_room(program, resident, rows, said):
    text = fit.remedy(program, resident, 16.0, ("data.micro_rows", rows), "remat")
    assert said in text and "more chips" in text
    assert ("micro_rows" in text) == (program in ("update", "logprobs") and sum(resident.values()) < 16)
