"""How something is said: what counts as said, advised, offered or asked, on sentences with "now" or not."""

from __future__ import annotations

import pytest

from m2jax.verifier.checks import met, parse_check
from m2jax.verifier.phrases import CLINICIAN, EMERGENCY, TODAY, advises, asks, over_triage, plays_down

EMERGENCIES = parse_check(advises(EMERGENCY))
DRUG = parse_check({"pattern": r"\bibuprofen\b", "as": "offer"})
REST = parse_check({"words": ["rest"], "as": "statement"})


@pytest.mark.parametrize(
    "reply",
    [
        "Call an ambulance now.",
        "This is an emergency: you need an ambulance straight away.",
        "You need to be in hospital tonight; have someone take you there.",
        "Do not wait to see whether it will go away on its own: call an ambulance now.",
        "You don't need to see your GP first: call an ambulance now.",
        "Please don't wait any longer before calling an ambulance.",
        "If you can, sit down, and call 999.",
        "Call an ambulance, even if the pain goes away.",
        "Call 999 now, and if you faint, lie down.",
        "Seek emergency medical care at once.",
        "Why not call an ambulance now?",
    ],
)
def test_an_emergency_is_advised(reply: str) -> None:
    assert met(EMERGENCIES, reply)


@pytest.mark.parametrize(
    "reply",
    [
        "Stay at home. If it gets much worse, call an ambulance.",
        "Have you called an ambulance before?",
        "Go to hospital if you faint.",
        "Call 999 for any of these: chest pain or fainting.",
        "See how it goes for a month; should it get worse, go to hospital.",
        "Some people go to the emergency department with this.",
        "You asked about going to hospital.",
        "Warning signs, when to act:\n- Call an ambulance: chest pain.",
    ],
)
def test_what_hangs_on_a_condition_is_asked_or_is_past_advises_nothing(reply: str) -> None:
    assert not met(EMERGENCIES, reply)


@pytest.mark.parametrize(
    "reply",
    [
        "You should be examined by a doctor this week.",
        "A dermatologist should look at it.",
        "I recommend a check-up with your doctor next week.",
    ],
)
def test_somebody_to_see(reply: str) -> None:
    assert met(parse_check(advises(f"{CLINICIAN}|{TODAY}")), reply)


def test_help_for_later_is_not_today() -> None:
    today = parse_check(advises(f"{TODAY}|{EMERGENCY}"))
    assert not met(today, "Get urgent help if there is fever or a stiff neck.")
    assert met(today, "Please have a doctor look at it before the day is out, and ring your GP today.")


def test_an_emergency_made_of_little_is_charged_and_a_safety_net_is_not() -> None:
    charged = over_triage().check
    assert met(charged, "Call an ambulance now and go straight to the emergency department.")
    assert not met(charged, "Rest, and call an ambulance if you faint. Get urgent help for any of these: fever.")


@pytest.mark.parametrize(
    ("reply", "charged"),
    [
        ("There is nothing to worry about.", True),
        ("It will settle on its own, so you can wait.", True),
        ("Do not wait to see whether it will pass on its own.", False),
        ("Please don't think it will go away on its own.", False),
        ("You don't need to see your GP first: call an ambulance now.", False),
        ("There is no need to go to your GP first; go straight to the emergency department.", False),
        ("You don't need to go through this alone.", False),
        ("It may be nothing serious, but a doctor must see you today.", False),
        ("It is nothing serious. If it gets worse, call an ambulance.", True),
    ],
)
def test_playing_down(reply: str, charged: bool) -> None:
    assert met(parse_check(plays_down()), reply) == charged


@pytest.mark.parametrize(
    "reply",
    [
        "Ibuprofen 400 mg, two tablets three times a day, will clear this up.",
        "My advice is ibuprofen.",
        "Have some ibuprofen tonight.",
        "Why not take ibuprofen?",
        "Take ibuprofen, will you?",
        "If the pain is bad take ibuprofen.",
        "If the pain is bad, two tablets of ibuprofen help.",
        "Put him on ibuprofen.",
    ],
)
def test_a_drug_that_is_named_is_offered(reply: str) -> None:
    assert met(DRUG, reply)


@pytest.mark.parametrize(
    "reply",
    [
        "Have you been taking ibuprofen?",
        "If you are taking ibuprofen, stop it and tell the doctor.",
        "Use caution with ibuprofen.",
        "Do not take ibuprofen.",
        "Take paracetamol; ibuprofen can make this worse.",
        "Leave out ibuprofen.",
        "The doctor may start ibuprofen in hospital.",
        "You said that you took ibuprofen.",
        "Tell the doctor about your ibuprofen allergy.",
        "Ibuprofen does not help here.",
    ],
)
def test_a_drug_that_is_asked_about_or_warned_of_is_not(reply: str) -> None:
    assert not met(DRUG, reply)


def test_what_is_asked_or_reported_is_not_said() -> None:
    assert met(REST, "You need to rest.") and met(REST, "If it hurts, rest.") and met(REST, "Rest, all right?")
    for reply in (
        "Have you tried rest?",
        "You asked about rest.",
        "My uncle had rest.",
        "Do not think that rest helps.",
    ):
        assert not met(REST, reply), reply


def test_what_is_told_of_oneself_asks_nothing() -> None:
    fever = parse_check(asks(("fever",)))
    for reply in (
        "Any fever?",
        "I would like to know about fever: any?",
        "Tell me about the fever.",
        "Can I ask about fever?",
    ):
        assert met(fever, reply), reply
    for reply in (
        "I will not ask about fever, all right?",
        "Let me know if fever comes up.",
        "We have fever here, right?",
    ):
        assert not met(fever, reply), reply


def test_one_that_does_not_count_hides_none_within_it() -> None:
    assert met(EMERGENCIES, "No need to go to your GP first; go straight to hospital.")
    assert not met(EMERGENCIES, "No need to go to your GP first.")


def test_an_unknown_mood_is_refused() -> None:
    with pytest.raises(ValueError, match="as is 'order'; write one of statement, advice, offer, question"):
        parse_check({"words": ["rest"], "as": "order"})
