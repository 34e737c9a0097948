"""An endless stream of batches, reshuffled every epoch from a seed, whose position can be saved (Grain)."""

from __future__ import annotations

import sys
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
    """Batches of several sources in a proportion of whole numbers, each reshuffled in epochs of its own. Of the first n
    items each source gives less than one more or less than its share of n. A source without a share may be empty.
    """

    def __init__(self, sources: Sequence[Sequence[Item]], shares: Sequence[int], batch_size: int, seed: int) -> None:
        given = [(_endless(items, seed), share) for items, share in zip(sources, shares, strict=True) if share]
        datasets, shares = zip(*given, strict=True)
        self._iterator = _batches(grain.MapDataset.select_from_datasets(datasets, _Turns(shares)), batch_size)


class _Turns(grain.transforms.DatasetSelectionMap):
    """Whose turn it is: the quota method (Balinski and Young 1975), over and over. Of those whose count is below their
    share of what will have been given, the one with the highest share / (count + 1).
    """

    def __init__(self, shares: Sequence[int]) -> None:
        self.shares, counts = tuple(shares), [0] * len(shares)
        self.turns: list[tuple[int, int]] = []
        for n in range(1, sum(shares) + 1):
            below = [i for i, share in enumerate(shares) if counts[i] * sum(shares) < n * share]
            turn = max(below, key=lambda i: shares[i] / (counts[i] + 1))
            self.turns.append((turn, counts[turn]))
            counts[turn] += 1

    def __len__(self) -> int:
        return sys.maxsize

    def __getitem__(self, index: int) -> tuple[int, int]:
        rounds, place = divmod(index, len(self.turns))
        turn, count = self.turns[place]
        return turn, rounds * self.shares[turn] + count


def _endless(items: Sequence[Item], seed: int) -> grain.MapDataset:
    return grain.MapDataset.source(list(items)).seed(seed).shuffle().repeat()


def _batches(dataset: grain.MapDataset, size: int) -> Iterator[list[Item]]:
    whole = dataset.batch(size, drop_remainder=True, batch_fn=list)
    return iter(whole.to_iter_dataset(grain.ReadOptions(num_threads=0)))
