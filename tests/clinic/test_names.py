"""By which names conditions go."""

from __future__ import annotations

import pytest

from m2jax.clinic import names
from m2jax.clinic.condition import conditions

BY_NAME = {c.name: c for c in conditions()}
ANGINA, ATTACK = BY_NAME["stable angina"], BY_NAME["heart attack"]


@pytest.mark.parametrize("condition", conditions(), ids=lambda c: c.id)
def test_a_condition_is_named_by_its_names_and_these_are_no_others_of_it(condition):
    own = names.names_of(condition)
    assert all(names.named(f"This is {name.capitalize()}.", condition) == {condition.id} for name in own)
    others = names.others(condition)
    assert len(set(others)) == len(others) and not set(others) & set(own)
    elsewhere = {name for c in conditions() if c.id != condition.id for name in names.names_of(c)}
    assert elsewhere <= set(others)


def test_the_longest_name_counts_and_what_is_denied_does_not():
    assert names.named("Unstable  angina, I fear.", ANGINA) == {ATTACK.id}
    assert names.named("It is angina and not a heart attack.", ATTACK) == {ANGINA.id}
    assert names.named("Have some rest.", ATTACK) == set()


def test_what_is_told_of_a_patient_may_be_named_unless_it_is_of_the_differential():
    told = names.others(ATTACK, "Known eczema. His father had stable angina.")
    assert "atopic eczema" not in told and {"atopic eczema", "angina"} <= {*names.others(ATTACK), *told}
    assert "angina" in told
