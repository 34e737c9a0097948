"""What is shown of a talk about a record whose file says anything of where it came from."""

from __future__ import annotations

import dataclasses

import pytest

from m2jax.clinic.sample import sample_question, sample_record
from m2jax.patient.rubric import rubric_after, rubric_of_whole
from m2jax.patient.script import Line
from m2jax.patient.shown import opening

RECORD = sample_record(3, "heldout")


@pytest.mark.parametrize("change", [{"age": None}, {"diagnosis": "a condition the clinic has not"}])
def test_a_record_that_only_says_it_is_of_the_clinic(change: dict) -> None:
    """It is opened and graded as one from outside; the clinic's own is not."""
    said, other = (dataclasses.replace(RECORD, source=source, **change) for source in ("clinic", "a file"))
    dialogue = (Line("patient", opening(said, 1)),)
    assert opening(RECORD, 1) == sample_question(RECORD, 1) != dialogue[0].text
    assert rubric_after(said, dialogue) == rubric_after(other, dialogue) != rubric_after(RECORD, dialogue)
    assert rubric_of_whole(said) == rubric_of_whole(other) != rubric_of_whole(RECORD)
