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
        shuffled = grain.MapDataset.source(list(items)).seed(seed).shuffle().repeat()
        dataset = shuffled.batch(batch_size, drop_remainder=True, batch_fn=list)
        self._iterator = iter(dataset.to_iter_dataset(grain.ReadOptions(num_threads=0)))

    def __next__(self) -> list[Item]:
        return next(self._iterator)

    def get_state(self) -> Any:
        """A JSON-able position."""
        return self._iterator.get_state()

    def set_state(self, state: Any) -> None:
        self._iterator.set_state(state)
