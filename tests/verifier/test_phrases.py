"""What the phrases of advice find in plain replies, and what only looks like it."""

from __future__ import annotations

import pytest

from m2jax.verifier.checks import met, parse_check
from m2jax.verifier.phrases import (
    CLINICIAN,
    EMERGENCY,
    SURE,
    TODAY,
    advises,
    asks,
    content,
    plays_down,
    urgent_for,
    with_cues,
)


def found(check: dict, reply: str) -> bool:
    return met(parse_check(check), reply)


@pytest.mark.parametrize(
    ("regex", "reply"),
    [
        (EMERGENCY, "Please go to the emergency department straight away."),
        (EMERGENCY, "Visit your nearest emergency room right now."),
        (EMERGENCY, "You must attend the emergency department immediately."),
        (EMERGENCY, "You need to be sent to hospital."),
        (EMERGENCY, "Send him to hospital now."),
        (TODAY, "Please see a doctor today."),
        (TODAY, "A doctor needs to see you today."),
        (TODAY, "You need medical attention immediately."),
        (TODAY, "Speak to your GP as soon as possible."),
        (CLINICIAN, "I will refer you to a cardiologist."),
        (CLINICIAN, "Please see a healthcare provider."),
        (CLINICIAN, "Consult a healthcare professional."),
    ],
)
def test_advice_is_found(regex: str, reply: str) -> None:
    assert found(advises(regex), reply)


@pytest.mark.parametrize(
    ("regex", "reply"),
    [
        (EMERGENCY, "You should go to hospital for an X-ray next week."),
        (EMERGENCY, "You will be sent a letter from the hospital."),
        (EMERGENCY, "Go to a pharmacy for emergency contraception."),
        (EMERGENCY, "Go to hospital if it gets worse."),
        (TODAY, "I can see that this is hard for you right now."),
        (TODAY, "I would like to help you now."),
        (TODAY, "I am happy to help you today."),
        (TODAY, "Take care of yourself today."),
        (TODAY, "Thank you for your call today."),
        (TODAY, "It is good to talk to you today."),
    ],
)
def test_what_sends_nobody_is_no_advice(regex: str, reply: str) -> None:
    assert not found(advises(regex), reply)


@pytest.mark.parametrize(
    "reply",
    [
        "Call 999 if the pain gets worse or she vomits.",
        "If she starts vomiting, go straight to hospital.",
        "Seek urgent help for any of these:\n- a swollen testicle\n- vomiting",
        "Seek urgent help for any of these:\n1. A swollen testicle\n2. Vomiting",
        "Go to A&E (e.g. by taxi) if you are vomiting.",
        "Get help now if your temperature goes above 38.5 with vomiting.",
        "Watch for pain, vomiting or a fever. If any of these happen, call 999.",
        "Go straight to A&E if you can’t walk.",
        "Don't hesitate to call an ambulance if there is blood in it.",
    ],
)
def test_urgent_help_is_for_a_sign_in_its_sentence(reply: str) -> None:
    assert found(urgent_for(("pain", "vomit*", "swollen testicle", "can't walk", "blood")), reply)


@pytest.mark.parametrize(
    "reply",
    [
        "Have you noticed any pain at all? See a doctor today if you are no better.",
        "Go to hospital at once if you notice wind. It is not vomiting.",
        "Should I call an ambulance for pain?",
        "Call an ambulance. It is paintwork.",
        "You do not need to go to hospital for the pain.",
        "There is no need for urgent help, even with some blood in it.",
        "You need an urgent blood test.",
        "I'm sorry you are in so much pain today.",
    ],
)
def test_a_sign_elsewhere_is_no_reason_for_urgent_help(reply: str) -> None:
    assert not found(urgent_for(("pain", "vomit*", "swollen testicle", "can't walk", "blood")), reply)


def test_a_cue_begins_a_word_and_a_short_one_is_a_whole_word() -> None:
    for cue, yes, no in (
        ("die", "Do you want to die?", "What is your diet like?"),
        ("ear", "Any pain in the ears?", "Did it begin early?"),
        ("numb", "Any numbness?", "May I have your phone number?"),
        ("hear", "How is your hearing?", "Any heart trouble?"),
        ("heal", "Has it healed?", "How is your health?"),
        ("urge", "Any sudden urges?", "Is it urgent?"),
        ("stiff", "Any stiffness?", "Any fever?"),
    ):
        assert found(asks((cue,)), yes) and not found(asks((cue,)), no), cue


def test_a_question_is_named_with_the_words_that_it_would_hold() -> None:
    assert with_cues("fever", ("fever",)) == with_cues("fever", ()) == "fever"
    assert with_cues("fall", ("why", "trip")) == "fall (any of: why, trip)"


def test_what_plays_down_and_what_is_too_sure() -> None:
    assert found(plays_down(), "This can wait until Monday.")
    assert not found(plays_down(), "You can wait for the results at home.")
    assert not found(plays_down(), "It's nothing serious, but go to the emergency department now.")
    assert found({"pattern": SURE}, "You definitely have it.")
    assert not found({"pattern": SURE}, "I can't say that you definitely have it.")


def test_words_that_tell_nothing_are_whole_words() -> None:
    assert content("What should she do about the shoulder?") == content("shoulders") != content("should")
    assert not content("She shouldn't understand.")
