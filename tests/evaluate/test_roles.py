"""The measures of roles, on verdicts and texts whose figures are known."""

from __future__ import annotations

import math

import pytest

from m2jax.evaluate.roles import agreement, in_form


def test_kappa_of_a_worked_example():
    """20 verdicts: 10 yes-yes, 5 no-no, 3 said yes of a no, 2 said no of a yes. p_o = 15/20; by chance
    13/20 * 12/20 + 7/20 * 8/20 = 0.53; kappa = (0.75 - 0.53) / 0.47.
    """
    pairs = [(True, True)] * 10 + [(False, False)] * 5 + [(True, False)] * 3 + [(False, True)] * 2
    figures = agreement([pairs[:7], [], pairs[7:]])
    assert figures["n"] == 20 and figures["records"] == 2
    assert figures["agreement"] == pytest.approx(0.75) and figures["kappa"] == pytest.approx(0.22 / 0.47)
    assert figures["true"] == pytest.approx(0.6) and figures["said_true"] == pytest.approx(0.65)
    assert figures["low"] <= 0.75 <= figures["high"]


def test_saying_the_commoner_answer_always_has_no_kappa():
    assert agreement([[(False, False)] * 9 + [(False, True)]])["kappa"] == pytest.approx(0)
    assert math.isnan(agreement([[(True, True)] * 3])["kappa"])


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("I have a cough. It began two days ago.", True),
        ("No.", True),
        ("", False),
        ("Patient:\n> I have a cough.", False),
        ("I cough.\n# The doctor said", False),
        ("Here is the patient's next reply: I cough.", False),
        ("One. Two. Three. Four. Five.", False),
    ],
)
def test_a_reply_is_in_form_where_it_is_nothing_but_a_reply(text: str, good: bool):
    assert in_form(text) is good
