"""An endless stream of batches, reshuffled every epoch from a seed, whose position can be saved (Grain)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import grain

Item = TypeVar("Item")


class Stream(Iterator[list[Item]]):
    """Batches of `items`: an epoch shows each once, and a batch that an epoch leaves short goes on with the next.
    `get_state` / `set_state` resume it exactly.

    Every process draws the same batches; what it makes of them is its own part (`sharding.place_rows`).
    """

    def __init__(self, items: Sequence[Item], batch_size: int, seed: int) -> None:
        self._iterator = _batches(_endless(items, seed), batch_size)

    def __next__(self) -> list[Item]:
        return next(self._iterator)

    def get_state(self) -> Any:
        """A JSON-able position."""
        return self._iterator.get_state()

    def set_state(self, state: Any) -> None:
        self._iterator.set_state(state)


class Mixture(Stream[Item]):
    """Batches of several sources in a fixed proportion, each reshuffled in epochs of its own: of any n items in a row
    from the beginning, each source gives its share of n to within one.
    """

    def __init__(self, sources: Sequence[Sequence[Item]], shares: Sequence[float], batch_size: int, seed: int) -> None:
        given = [(_endless(items, seed), share) for items, share in zip(sources, shares, strict=True) if share]
        self._iterator = _batches(grain.MapDataset.mix(*zip(*given, strict=True)), batch_size)


def _endless(items: Sequence[Item], seed: int) -> grain.MapDataset:
    return grain.MapDataset.source(list(items)).seed(seed).shuffle().repeat()


def _batches(dataset: grain.MapDataset, size: int) -> Iterator[list[Item]]:
    whole = dataset.batch(size, drop_remainder=True, batch_fn=list)
    return iter(whole.to_iter_dataset(grain.ReadOptions(num_threads=0)))
