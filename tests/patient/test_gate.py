# ruff: noqa: E501
"""The gate on messages that it was not fitted to, and on the plainest there are; and its fit."""

from __future__ import annotations

import json
from importlib import resources

import numpy as np
import pytest

from m2jax.data import stops
from m2jax.patient import gate as gates
from m2jax.patient.gate import Gate, gate, probability

DIAGNOSES = (
    "acute appendicitis",
    "migraine",
    "community-acquired pneumonia",
    "gout",
    "atrial fibrillation",
    "cellulitis",
)
SAYS = (
    "You have {d}.",
    "This is most likely {d}.",
    "I think it is {d}.",
    "My diagnosis is {d}.",
    "Your symptoms are consistent with {d}.",
)
PLANS = (
    "You should see a specialist today.",
    "I will prescribe something for it.",
    "Please go to the emergency department now.",
    "Rest, drink plenty of fluids, and come back in a week if it is no better.",
)
UNSURE = (
    "It could be {d}, but I need to know more. When did it begin?",
    "If this were {d}, you should rest. Have you had a fever?",
    "Have you ever had {d}?",
    "Does anybody in your family have {d}?",
    "I would like to rule out {d}. Does it hurt when you press there?",
    "Perhaps {d}, perhaps something else. Do you take any medicines?",
)


def templated() -> list[tuple[str, bool]]:
    """(message, whether it ends the consultation) of every diagnosis with every template."""
    over = [(f"{s.format(d=d)} {plan}", True) for d in DIAGNOSES for s in SAYS for plan in PLANS]
    return over + [(unsure.format(d=d), False) for d in DIAGNOSES for unsure in UNSURE]


def blind() -> list[dict]:
    text = resources.files("m2jax.evaluate").joinpath("gate_turns.jsonl").read_text("utf-8")
    return [json.loads(line) for line in text.split("\n") if line]


def test_messages_of_one_who_has_not_seen_the_others():
    """400 of other hands, many of them pairs that are nearly the same; the figure is one of `eval_verifier`."""
    rows, fitted = blind(), {row.messages for row in stops.labelled()}
    assert len(rows) == 400 and not any(tuple(row["messages"]) in fitted for row in rows)
    right = {
        stop: [gate(row["messages"], 99).stop == stop for row in rows if row["stop"] == stop] for stop in (True, False)
    }
    assert np.mean(right[True]) >= 0.93 and np.mean(right[False]) >= 0.9


def test_plain_forms():
    for ends in (True, False):
        assert np.mean([gate([text], 99).stop == stop for text, stop in templated() if stop == ends]) >= 0.97


def test_what_ships_is_what_the_messages_give():
    rows = stops.labelled()
    assert len(rows) > 2000 and 0.4 < np.mean([row.stop for row in rows]) < 0.6
    again_B, ships_B = stops.fit([*rows, *stops.made()]), gates._weights()
    assert again_B.dtype == np.float16 and again_B.shape == ships_B.shape == (gates.BUCKETS + 1,)
    asked = stops._matrix([stops.Row(tuple(row["messages"]), row["stop"]) for row in blind()])
    again, ships = (asked @ w[:-1] + w[-1] for w in (again_B.astype(np.float64), ships_B))
    np.testing.assert_allclose(again, ships, atol=0.2)
    np.testing.assert_allclose(
        ships, [np.log(p / (1 - p)) for p in (probability(row["messages"]) for row in blind())], atol=1e-6
    )


def test_scripted_doctors_are_told_apart():
    """On conditions that the fit has not seen."""
    rows = stops.scripted(30, "heldout")
    assert [row for row in rows if gate(row.messages, 99).stop != row.stop] == [] and len(rows) > 200


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
    ("message", "reason"),
    [
        ("I think this may be bleeding around the brain. Please call an ambulance now, and do not drive.", "emergency"),
        ("It could be a heart attack. Call 911 immediately and chew an aspirin.", "emergency"),
        ("It may be gout. If it gets worse, go to the emergency department.", ""),
        ("Go to the hospital if you faint. How long have you had it?", ""),
        ("Did you go to the hospital?", ""),
        ("Thank you for coming in. Goodbye!", "farewell"),
        ("You have gout. Take naproxen with food for five days. Goodbye!", "diagnosis"),
    ],
)
def test_reasons(message, reason):
    assert gate([message], 9) == Gate(bool(reason), reason)


def test_the_limit_ends_what_nothing_else_does():
    asked = ["Where does it hurt?"] * 3
    assert gate(asked, 3) == Gate(True, "limit") and gate(asked, 4) == Gate(False)
    with pytest.raises(ValueError, match="at least 1"):
        gate([], 3)
    with pytest.raises(ValueError, match="at least 1"):
        gate(["Hm."], 0)


@pytest.mark.parametrize("message", ["", " ", "?", "…", "\ud83d", "a" * 100_000, "no. " * 20_000, "gout " * 20_000])
def test_whatever_is_said_is_decided(message):
    assert 0 <= probability([message, message]) <= 1
