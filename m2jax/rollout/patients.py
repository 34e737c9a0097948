"""Who comes to the doctor in RL stage 3: patients of the clinic, or of records of your own (`records.load`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from m2jax.clinic.condition import conditions
from m2jax.clinic.sample import sample_condition
from m2jax.patient.persona import sample_persona
from m2jax.patient.script import Script, sample_script
from m2jax.patient.shown import opening
from m2jax.records.load import load
from m2jax.records.record import Record

TRIES = 5000  # seeds that are looked through for a patient of a specialty
HELD_OUT = 5  # of records of your own every so many is held out

Patients = Callable[[int, int], tuple[Script, str]]  # by number and seed: the script, and what the patient says first


def of_clinic(number: int, seed: int, split: str = "train") -> tuple[Script, str]:
    """A patient of the split's conditions, of one specialty after the other by `number`."""
    patient = stratified(number, seed, split)
    script = sample_script(patient, split)
    return script, opening(script.record, patient)


def of_records(records: Sequence[Record]) -> Patients:
    """The patients of records, each once before any comes again, in an order of its own each time; with the number
    their personas change.
    """

    def patient(number: int, seed: int) -> tuple[Script, str]:
        again, place = divmod(number, len(records))
        record = records[np.random.default_rng([seed, again]).permutation(len(records))[place]]
        return Script(record, sample_persona(number, record)), opening(record, number)

    return patient


def read(path: str | Path) -> tuple[list[Record], list[Record]]:
    """(records to train on, records held out) of a file or folder, de-identified. ValueError where they are too few,
    and as `records.load.load` has it.
    """
    records, _ = load(path)
    if len(records) < HELD_OUT:
        raise ValueError(f"{path} has {len(records)} records; every fifth is held out, so give at least {HELD_OUT}")
    return [r for i, r in enumerate(records, 1) if i % HELD_OUT], records[HELD_OUT - 1 :: HELD_OUT]


def stratified(number: int, seed: int, split: str) -> int:
    """The seed of a patient of the clinic, of one specialty after the other by `number`."""
    specialties = sorted({c.specialty for c in conditions() if c.split == split})
    wanted = specialties[number % len(specialties)]
    first = (seed * 1_000_003 + number) * TRIES
    own = (s for s in range(first, first + TRIES) if sample_condition(s, split).specialty == wanted)
    return next(own, first)
