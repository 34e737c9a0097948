"""The mixture: exact shares of every prefix, each source in epochs, and the same batches from a saved position."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from m2jax.data.stream import Mixture

SOURCES = (
    [("medical", i) for i in range(7)],
    [("general", i) for i in range(5)],
    [("mathematics", i) for i in range(3)],
)


@pytest.mark.parametrize("shares", [(2, 2, 1), (3, 1, 1), (5, 2, 3), (1, 0, 4), (11, 7, 2)])
def test_every_prefix_has_its_shares_to_within_one(shares: tuple[int, ...]):
    stream, counts = Mixture(SOURCES, shares, 1, seed=0), Counter()
    for n in range(1, 301):
        counts[next(stream)[0][0]] += 1
        for (name, _), share in zip((source[0] for source in SOURCES), shares, strict=True):
            assert abs(counts[name] - n * share / sum(shares)) < 1
    assert [counts[source[0][0]] for source in SOURCES] == [300 * share // sum(shares) for share in shares]


def test_each_source_shows_all_it_has_before_it_begins_again():
    stream = Mixture(SOURCES, (2, 2, 1), 5, seed=1)
    drawn = [item for _ in range(30) for item in next(stream)]
    for source in SOURCES:
        own = [item for item in drawn if item[0] == source[0][0]]
        epochs = [own[i : i + len(source)] for i in range(0, len(own) - len(source) + 1, len(source))]
        assert all(sorted(epoch) == source for epoch in epochs)
        assert len({tuple(epoch) for epoch in epochs}) > 1


@pytest.mark.parametrize("done", [0, 1, 4, 13])
def test_a_saved_position_goes_on_with_the_same_batches(done: int):
    stream, again = (Mixture(SOURCES, (2, 2, 1), 3, seed=2) for _ in range(2))
    for _ in range(done):
        next(stream)
    again.set_state(json.loads(json.dumps(stream.get_state())))
    assert [next(stream) for _ in range(20)] == [next(again) for _ in range(20)]
