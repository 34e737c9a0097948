"""Cases with rubrics: the bundled ones or a user's file, and the shuffled, endless, checkpointable stream of the
training split.
"""

from __future__ import annotations

import dataclasses
import importlib.resources
from collections.abc import Sequence
from pathlib import Path

from m2jax.clinic.sample import sample_case
from m2jax.data.stream import Stream
from m2jax.verifier.rubric import Case, load_cases

OF_HELDOUT = (  # bundled questions to train on that are about conditions which the clinic holds out
    "headache-02",  # subarachnoid haemorrhage
    "headache-05",  # giant cell arteritis
    "fever-in-children-03",  # meningitis
    "painkillers-01",  # paracetamol overdose
    "pregnancy-problems-02",  # ectopic pregnancy
    "falls-older-people-02",  # hip fracture
    "skin-rash-03",  # shingles
)


def load(
    path: str = "", *, clinic: int = 0, first: int = 0, skip_unchecked: bool = False
) -> tuple[list[Case], list[Case]]:
    """(training cases, held-out cases) of a JSONL file (`verifier.rubric`), or of the bundled questions if `path` is
    empty.

    clinic: so many of the clinic's patients besides, to train on, by seed from `first` on (`sample.sample_case`); then
    its held-out conditions are held out of the bundled questions too (`OF_HELDOUT`).
    skip_unchecked: leave out the criteria that only a judge could decide. ValueError where a split is empty.
    """
    bundled = importlib.resources.files("m2jax.clinic").joinpath("questions.jsonl")
    cases = load_cases(Path(path or str(bundled)))
    if clinic and not path:
        cases = [case for case in cases if case.id not in OF_HELDOUT]
    cases += [sample_case(seed, "train") for seed in range(first, first + clinic)]
    if skip_unchecked:
        cases = checked_only(cases)
    train, heldout = ([c for c in cases if c.split == split] for split in ("train", "heldout"))
    for name, split in (("train", train), ("heldout", heldout)):
        if not split:
            raise ValueError(
                f"{path} has no case with split {name!r}; mark some, so that there is something to learn and to test"
            )
    return train, heldout


class CaseStream(Stream[Case]):
    """Endless batches of cases. ValueError where there are fewer than a batch."""

    def __init__(self, cases: Sequence[Case], batch_size: int, seed: int) -> None:
        check_enough(cases, batch_size)
        super().__init__(cases, batch_size, seed)


def check_enough(cases: Sequence[Case], batch_size: int) -> None:
    """ValueError where a step wants more cases than there are."""
    if batch_size > len(cases):
        raise ValueError(
            f"config.data.prompts_per_step is {batch_size}, but there are only {len(cases)} training cases; give a "
            "file with more (config.data.path), have more made (config.data.clinic, or config.tasks.train), or lower it"
        )


def checked_only(cases: Sequence[Case]) -> list[Case]:
    """The cases without the criteria that have no check. ValueError where nothing could be earned then."""
    return [_checked_only(case) for case in cases]


def _checked_only(case: Case) -> Case:
    rubric = tuple(c for c in case.rubric if c.check is not None)
    if not any(c.points > 0 for c in rubric):
        raise ValueError(f"case {case.id} has no positive criterion with a check; set config.reward.unchecked='judge'")
    return dataclasses.replace(case, rubric=rubric)
