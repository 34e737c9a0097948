"""Cases with rubrics: the bundled ones or a user's file, and the shuffled, endless, checkpointable stream of the
training split.
"""

from __future__ import annotations

import dataclasses
import importlib.resources
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import grain

from m2jax.verifier.rubric import Case, load_cases


def load(path: str = "", *, skip_unchecked: bool = False) -> tuple[list[Case], list[Case]]:
    """(training cases, held-out cases) of a JSONL file (`verifier.rubric`), or of the bundled questions if `path` is
    empty.

    skip_unchecked: leave out the criteria that only a judge could decide. ValueError where a split is empty.
    """
    bundled = importlib.resources.files("m2jax.clinic").joinpath("questions.jsonl")
    cases = load_cases(Path(path or str(bundled)))
    if skip_unchecked:
        cases = [_checked_only(case) for case in cases]
    train, heldout = ([c for c in cases if c.split == split] for split in ("train", "heldout"))
    for name, split in (("train", train), ("heldout", heldout)):
        if not split:
            raise ValueError(
                f"{path} has no case with split {name!r}; mark some, so that there is something to learn and to test"
            )
    return train, heldout


class CaseStream(Iterator[list[Case]]):
    """Endless batches of cases, reshuffled every epoch from the seed. `get_state` / `set_state` resume it exactly."""

    def __init__(self, cases: Sequence[Case], batch_size: int, seed: int) -> None:
        if batch_size > len(cases):
            raise ValueError(
                f"config.data.prompts_per_step is {batch_size}, but there are only {len(cases)} training cases"
            )
        shuffled = grain.MapDataset.source(list(cases)).seed(seed).shuffle().repeat()
        dataset = shuffled.batch(batch_size, drop_remainder=True, batch_fn=list)
        self._iterator = iter(dataset.to_iter_dataset(grain.ReadOptions(num_threads=0)))

    def __next__(self) -> list[Case]:
        return next(self._iterator)

    def get_state(self) -> Any:
        """A JSON-able position."""
        return self._iterator.get_state()

    def set_state(self, state: Any) -> None:
        self._iterator.set_state(state)


def _checked_only(case: Case) -> Case:
    rubric = tuple(c for c in case.rubric if c.check is not None)
    if not any(c.points > 0 for c in rubric):
        raise ValueError(f"case {case.id} has no positive criterion with a check; set config.reward.unchecked='judge'")
    return dataclasses.replace(case, rubric=rubric)
