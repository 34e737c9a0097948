"""Interruptions: where the question stands, who sees it, how often it comes, and what the reply to it earns."""

from __future__ import annotations

import pytest

from m2jax.patient import interruption
from m2jax.patient.interruption import QUESTIONS, WITHIN, Interruption, draw, shown, shown_dialogue, takes_up
from m2jax.patient.script import Line
from m2jax.verifier.checks import met

ASK = "Do I need antibiotics?"


@pytest.mark.parametrize(
    ("text", "middle", "seen"),
    [
        ("I cough. It hurts.", False, f"I cough. It hurts. {ASK}"),
        ("I cough. It hurts.", True, f"I cough. {ASK} It hurts."),
        ("I cough. It hurts. I am hot. I sleep badly.", True, f"I cough. It hurts. {ASK} I am hot. I sleep badly."),
        ("I cough", True, f"{ASK} I cough"),
        ("It is 39.5 now.", True, f"{ASK} It is 39.5 now."),
    ],
)
def test_the_question_comes_at_the_end_or_in_the_middle(text: str, middle: bool, seen: str):
    assert shown(text, 1, Interruption(1, ASK, middle)) == seen
    assert shown(text, 0, Interruption(1, ASK, middle)) == text == shown(text, 1, None)


def test_it_stands_in_one_line_of_the_patient():
    dialogue = tuple(Line(who, who) for who in ("patient", "doctor", "patient", "doctor"))
    seen = shown_dialogue(dialogue, Interruption(1, ASK))
    assert [line.text for line in seen] == ["patient", "doctor", f"patient {ASK}", "doctor"]
    assert shown_dialogue(dialogue, None) == dialogue


def test_as_many_come_as_are_asked_for_half_of_them_in_the_middle():
    drawn = [draw(0.25, 0, number) for number in range(2000)]
    found = [d for d in drawn if d]
    assert 0.22 < len(found) / 2000 < 0.28 and 0.4 < sum(d.middle for d in found) / len(found) < 0.6
    assert {d.round for d in found} == set(range(WITHIN)) and {d.snippet for d in found} == set(QUESTIONS)
    assert drawn[:50] == [draw(0.25, 0, number) for number in range(50)] != [draw(0.25, 1, n) for n in range(50)]
    assert not any(draw(0.0, 0, n) for n in range(50)) and all(draw(1.0, 0, n) for n in range(50))


@pytest.mark.parametrize("snippet", QUESTIONS)
def test_a_reply_that_takes_it_up_is_told_from_one_that_does_not(snippet: str):
    check = takes_up(Interruption(0, snippet)).check
    word = next(w for w in QUESTIONS[snippet] if " " not in w).replace("*", "")
    assert met(check, f"As to your question: {word}, we will see.") and met(check, f"No {word}.")
    assert not met(check, "I see. Where does it hurt, and is it worse at night?")


def test_the_bank_has_questions_only():
    assert len(QUESTIONS) >= 10 and all(question.endswith("?") for question in interruption.QUESTIONS)
