"""Consensus: which final answers are the same, by the rule of each kind."""

from __future__ import annotations

import pytest

from m2jax.rules.consensus import consensus, own_answer
from m2jax.rules.rule import parse_rule, reward

OPTIONS = {"A": "Aspirin", "B": "Warfarin", "C": "Heparin"}
CHOICE = parse_rule({"kind": "choice", "options": OPTIONS, "answer": "C"})
DOSE = parse_rule({"kind": "quantity", "value": 1, "unit": "mg"})
HALF = parse_rule({"kind": "math", "answer": "7"})
NAME = parse_rule({"kind": "exact", "answers": ["measles"]})


@pytest.mark.parametrize(
    ("rule", "replies", "share"),
    [
        (CHOICE, ["B", "Warfarin.", "The answer is (B).", "A"], 0.75),
        (DOSE, ["The dose is 250 mg.", "0.25 g", "Answer: 250", "500 mg"], 0.75),
        (HALF, ["\\boxed{0.5}", "The answer is 1/2.", "**Answer:** $\\frac12$", "Answer: 2"], 0.75),
        (NAME, ["The diagnosis is aortic dissection.", "Answer: Aortic dissection", "Diagnosis: gout"], 2 / 3),
    ],
)
def test_the_reference_plays_no_part(rule, replies: list[str], share: float):
    agreed, found = consensus(rule, replies)
    assert found == pytest.approx(share) and type(agreed) is type(rule)
    assert [reward(agreed, reply) for reply in replies] == [1.0] * (len(replies) - 1) + [0.0]
    assert not any(reward(rule, reply) for reply in replies)


@pytest.mark.parametrize("reply", ["I cannot tell.", "A or B", ""])
def test_a_reply_without_one_answer_has_no_vote(reply: str):
    assert own_answer(CHOICE, reply) is None
    assert consensus(CHOICE, [reply, "B"])[1] == 0.5 and consensus(CHOICE, [reply]) == (None, 0.0)


def test_two_amounts_are_no_answer_and_a_tie_goes_to_the_first():
    assert own_answer(DOSE, "250 mg or 500 mg") is None
    assert own_answer(DOSE, "0.25 g (250 mg)").value == pytest.approx(250)
    agreed, share = consensus(CHOICE, ["C", "A", "A", "C"])
    assert (agreed.answer, share) == ("C", 0.5)


def test_a_rule_without_one_answer_is_refused():
    with pytest.raises(ValueError, match="does not ask for one answer"):
        own_answer(parse_rule({"kind": "set", "answers": [["a"]]}), "a")
