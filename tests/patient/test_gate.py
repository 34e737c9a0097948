"""The gate on labelled messages, and what it decides by."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from m2jax.patient.gate import Gate, gate
from tests.patient import gate_turns as turns

HAND_WRITTEN = {
    "tuned": (turns.TUNED_STOP, turns.TUNED_GO),
    "untouched": (turns.UNTOUCHED_STOP, turns.UNTOUCHED_GO),
    "fresh": (turns.FRESH_STOP, turns.FRESH_GO),
    "last": (turns.LAST_STOP, turns.LAST_GO),
    "mended": (turns.MENDED_STOP, turns.MENDED_GO),
    "near": (turns.NEAR_STOP, turns.NEAR_GO),
}


def share(messages, stop):
    return sum(gate([message], 99).stop == stop for message in messages) / len(messages)


@pytest.mark.parametrize("name", HAND_WRITTEN)
def test_hand_written_messages(name):
    stop, go = HAND_WRITTEN[name]
    assert share(stop, True) >= 0.97 and share(go, False) >= 0.97


@pytest.mark.parametrize("name", ["first", "second", "third", "fourth"])
def test_messages_of_others_are_told_apart(name):
    """Written by one who had not seen the rules, a hundred that end and a hundred that do not; each set was mended by
    after it was measured (docs/log.md).
    """
    file = Path(__file__).with_name("gate_messages.jsonl")
    rows = [row for row in map(json.loads, file.read_text("utf-8").splitlines()) if row["set"] == name]
    assert len(rows) == 200
    for stop in (True, False):
        assert np.mean([gate(row["messages"], 99).stop == stop for row in rows if row["stop"] == stop]) >= 0.95


def test_templates():
    table = turns.templated()
    assert len(table) + sum(len(part) for parts in HAND_WRITTEN.values() for part in parts) >= 200
    assert [(text, stop) for text, stop in table if gate([text], 99).stop != stop] == []


def test_a_plan_may_follow_its_diagnosis_in_a_later_message():
    assert gate(["This is gout.", "Take naproxen with food."], 9) == Gate(True, "diagnosis")
    assert not gate(["Take naproxen with food."], 9).stop
    assert not gate(["This is gout.", "Take naproxen with food. Are you allergic to anything?"], 9).stop


@pytest.mark.parametrize(
    "heard",
    [
        "You have a rash. Does it itch?",
        "Since you have asthma, which inhaler do you use?",
        "That is frightening. Go on.",
    ],
)
def test_what_the_doctor_has_heard_is_no_diagnosis_to_plan_by(heard):
    assert not gate([heard, "Please take a deep breath."], 9).stop


@pytest.mark.parametrize(
    ("message", "stop"),
    [
        ("I think this may be bleeding around the brain. Please call an ambulance now, and do not drive.", True),
        ("It could be a heart attack. Call 911 immediately and chew an aspirin.", True),
        ("It may be gout. If it gets worse, go to the emergency department.", False),
        ("Go to the hospital if you faint. How long have you had it?", False),
        ("Call an ambulance now! Meanwhile, is there any numbness?", False),
        ("Did you go to the hospital?", False),
    ],
)
def test_whoever_is_sent_to_emergency_care_goes(message, stop):
    assert gate([message], 9) == Gate(stop, "emergency" if stop else "")


def test_the_limit_ends_what_nothing_else_does():
    asked = ["Where does it hurt?"] * 3
    assert gate(asked, 3) == Gate(True, "limit") and gate(asked, 4) == Gate(False)
    with pytest.raises(ValueError, match="at least 1"):
        gate([], 3)
