"""Other patients of the clinic, that a reply to one of them is set against (`verifier.contrast`)."""

from __future__ import annotations

import functools
from typing import NamedTuple

from m2jax.clinic.condition import conditions
from m2jax.clinic.sample import sample_case, sample_condition, sample_record
from m2jax.records.record import Record
from m2jax.verifier.contrast import checked, drawn
from m2jax.verifier.rubric import Rubric

SEED = 10_000_000  # no patient of training or of a measurement
POOL = 128  # patients of each split


class Other(NamedTuple):
    """A patient, and the checks that a first reply to her is graded by."""

    record: Record
    rubric: Rubric


@functools.lru_cache(maxsize=4096)  # every reply to a case asks for the same
def others(key: str, topic: str, split: str) -> tuple[Other, ...]:
    """Patients of the split with conditions of other specialties than that of `topic` (any, where it is no condition),
    fixed by the key.
    """
    seeds = drawn(key, _specialties().get(topic, ""), _pool(split))
    return tuple(_other(seed, split) for seed in seeds)


def is_condition(topic: str) -> bool:
    """Whether a case's topic is a condition of the clinic."""
    return topic in _specialties()


@functools.cache
def _specialties() -> dict[str, str]:
    return {c.id: c.specialty for c in conditions()}


@functools.cache
def _pool(split: str) -> tuple[tuple[str, int], ...]:
    """Seeds of patients, each with its specialty."""
    return tuple((sample_condition(seed, split).specialty, seed) for seed in range(SEED, SEED + POOL))


@functools.cache
def _other(seed: int, split: str) -> Other:
    return Other(sample_record(seed, split), checked(sample_case(seed, split).rubric))
