"""What a consultation came to: naming much, or much over many messages, is no diagnosis."""

from __future__ import annotations

import pytest

from m2jax.clinic.condition import conditions
from m2jax.clinic.names import names_of
from m2jax.clinic.sample import condition_of
from m2jax.patient.outcome import outcome
from m2jax.patient.script import sample_script

RECORD = sample_script(3, "train").record
OWN = condition_of(RECORD)
RIVALS = [c.name for c in conditions() if c.id != OWN.id]


@pytest.mark.parametrize("name", names_of(OWN))
def test_the_last_cause_that_is_named_counts(name: str):
    for said, right in (
        ((f"It could be {name}.",), 1),
        ((f"It could be {RIVALS[0]}.", f"I think now that it is {name}."), 1),
        ((f"It could be {name} or {RIVALS[0]}.", "Is it worse at night?", "Rest, and see your doctor."), 1),
        ((f"It could be {name}.", f"No: it is {RIVALS[0]}."), 0),
        ((f"It could be {name}.", f"No: it is {OWN.differentials[0][0]}."), 0),
        ((f"It could be {name}.", f"It is not {RIVALS[0]}.", f"Have you had {RIVALS[0]} before?"), 1),
        ((f"Is it {name}?", f"It is not {name}."), 0),
    ):
        assert outcome(RECORD, said).diagnosis == right, said


def test_causes_are_counted_over_the_whole_consultation():
    every = [*RIVALS[:20], OWN.name]
    for many in (1, 2, 5):
        parts = [every[i : i + many] for i in range(0, len(every), many)]
        said = tuple(f"Doctors think of {' or '.join(part)} here." for part in parts)
        assert outcome(RECORD, said).diagnosis == 0
    assert outcome(RECORD, tuple(f"Doctors think of {name} here." for name in every[-4:])).diagnosis == 1


def test_nothing_said_comes_to_nothing():
    assert outcome(RECORD, ()) == (0, 0, 0, 0, 0)
