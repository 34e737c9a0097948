"""Consultations to learn from, made from the clinic by seed: a doctor script and a patient who answers from the record.

The doctor asks for what is told only when asked for, at most two things in a message (in an emergency once), then names
the condition, what to do and when to come back. Its messages are learned. The patient is `patient.reference`'s, so no
model is needed; or, by `launch/consultations.py`, the simulator's three units.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from m2jax.clinic.condition import Condition
from m2jax.clinic.sample import condition_of
from m2jax.data.chats import Chat
from m2jax.data.doctor_lines import REMARKS, questions_about
from m2jax.data.grading import URGENT
from m2jax.patient.disclosed import asked
from m2jax.patient.outcome import open_facts
from m2jax.patient.reference import scripted_reply
from m2jax.patient.script import Dialogue, Line, Script, sample_script
from m2jax.patient.shown import opening
from m2jax.records.record import Fact, Record
from m2jax.sampler import requests
from m2jax.text.chat import Message

ROUNDS = 3  # messages with questions, at most
AT_ONCE = (2, 3)  # questions in a message, least and most
FORMS = ("What about {}?", "Can you tell me about {}?", "Is there anything to say about {}?", "How about {}?")
Answers = Callable[[Script, Dialogue], requests.Dialogue]  # returns what the patient says, or None: nothing more
ROLES = {"patient": "user", "doctor": "assistant"}


def consultations(split: str, n: int, seed: int) -> list[Chat]:
    """n consultations, each with another patient, who answers from the record."""
    return [_without_model(consultation(split, number, _scripted(number))) for number in range(seed, seed + n)]


def consultation(split: str, number: int, answers: Answers) -> requests.Dialogue:
    """The dialogue of one with the numbered patient; returns its `Chat`, or None where an answer is None."""
    script = sample_script(number, split)
    record, rng = script.record, np.random.default_rng([number, 4])
    condition = condition_of(record)
    facts = [f for f in record.facts if f.id in open_facts(record)]
    left = [(f, q) for f in (facts[i] for i in rng.permutation(len(facts))) if (q := _question(f, record, rng))]
    dialogue: Dialogue = (Line("patient", opening(record, number)),)
    for _ in range(1 if condition.urgency == "emergency" else ROUNDS):
        # what an earlier question or answer brought up is not asked again
        said = " ".join(line.text for line in dialogue if line.who == "doctor")
        known = asked(said, record).facts if said else ()
        left = [(f, q) for f, q in left if f.id not in known]
        if not left:
            break
        remark = f"{REMARKS[rng.integers(len(REMARKS))]} " if len(dialogue) > 1 and rng.random() < 0.5 else ""
        count = int(rng.integers(AT_ONCE[0], AT_ONCE[1] + 1))
        dialogue += (Line("doctor", remark + " ".join(q for _, q in left[:count])),)
        answer = yield from answers(script, dialogue)
        if answer is None:
            return None
        dialogue += (Line("patient", answer),)
    dialogue += (Line("doctor", _end(condition, rng)),)
    messages = tuple(Message(ROLES[line.who], line.text, trained=line.who == "doctor") for line in dialogue)
    return Chat(f"consultation-{split}-{number}", messages, condition.id, split)


def _scripted(number: int) -> Answers:
    def answers(script: Script, dialogue: Dialogue) -> requests.Dialogue:
        return scripted_reply(script, dialogue, number)
        yield  # it asks nobody

    return answers


def _without_model(dialogue: requests.Dialogue) -> Chat:
    """What a dialogue that asks nobody returns."""
    try:
        next(dialogue)
    except StopIteration as ended:
        return ended.value
    raise TypeError("the dialogue asks a model")


def _question(fact: Fact, record: Record, rng: np.random.Generator) -> str:
    """A question that a patient with the record takes to be about the fact; "" where there is none."""
    name = fact.id.rpartition(".")[2].replace("-", " ")
    drawn = [FORMS[i].format(name) for i in rng.permutation(len(FORMS))] + questions_about(fact)
    return next((text for text in drawn if fact.id in asked(text, record).facts), "")


def _end(condition: Condition, rng: np.random.Generator) -> str:
    urgent = URGENT[condition.urgency]
    first = f"Thank you. From what you tell me this is most likely {condition.name}."
    advice = " ".join(a.text for a in condition.management[:2])
    return " ".join([first, urgent[rng.integers(len(urgent))], advice, condition.safety_net.text])
