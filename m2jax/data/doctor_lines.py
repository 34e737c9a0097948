"""What a doctor might say next to a patient of the clinic: questions of many kinds, proposals, remarks; by seed.

Only to make practice for the patient's units. What a line asks for is not noted here: `patient.disclosed` reads it off.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence

import numpy as np

from m2jax.clinic.condition import conditions
from m2jax.clinic.sample import condition_of
from m2jax.records.record import Fact, Record

OPEN = (
    "What brings you in today?",
    "Can you tell me more about it?",
    "Tell me what happened.",
    "How have you been feeling?",
    "Do you have any other symptoms?",
    "Is there anything else I should know?",
    "How long have you had this?",
    "When did it start?",
)
NAMED = (
    "Have you noticed any {}?",
    "Any {}?",
    "What about {}?",
    "Could you tell me about the {}?",
    "Do you have any {} at all?",
    "Thank you. Have you had any {} lately?",
)
NAMED_OTHERWISE = (  # for the patient's practice alone: what asks so differently should be answered as well
    "Is there {} as well?",
    "Has there been {} at any point?",
    "Did you ever get {} with it?",
    "And what about {}, anything there?",
    "Would you say that you have {}?",
    "When you think back, was there {}?",
    "Let me ask about {}: is there any?",
    "Okay, thanks. Are you troubled by {}?",
    "Does {} bother you?",
    "Before I go on, {}: yes or no?",
    "Is {} something you have?",
    "I am sorry to hear that. Has {} been a problem?",
)
OF_KIND = {
    "past": ("Do you have any long-term medical conditions?", "Have you had any operations?", "Any other illness?"),
    "drug": ("Do you take any medicines?", "What medication are you on?", "Are you taking any tablets?"),
    "allergy": ("Are you allergic to anything?", "Do you have any allergies to medicines?"),
    "family": ("Does anything run in your family?", "Are your parents in good health? Any illness in the family?"),
    "smoking": ("Do you smoke?", "How many cigarettes do you smoke a day?"),
    "alcohol": ("Do you drink alcohol?", "How much alcohol do you drink?"),
    "work": ("What do you do for a living?", "What is your job?"),
    "home": ("Who do you live with?", "What are things like at home, and who do you live with?"),
    "drugs": ("Do you use any recreational drugs?",),
    "sexual": ("Are you sexually active?", "Do you have a sexual partner?"),
    "mood": ("How is your mood?", "Have you been depressed?"),
    "safety": ("Do you feel safe at home?",),
}
OF_KIND_OTHERWISE = {
    "past": ("Is there a medical condition that you live with?", "Before we go on, what is your medical history?"),
    "drug": (
        "What pills or other medicines are there in your cupboard that you use?",
        "Does anybody prescribe you medicines?",
    ),
    "allergy": (
        "Has a medicine ever given you a rash, an allergy I mean?",
        "Is there anything that you are allergic to?",
    ),
    "family": ("Is there something that your family is prone to?", "What did your parents or siblings suffer from?"),
    "smoking": ("Are you a smoker?", "When did you last smoke?"),
    "alcohol": (
        "Would you tell me what you drink, wine or other alcohol?",
        "Do you have a drink in the evenings, any alcohol?",
    ),
    "work": ("What is your work, if I may ask?", "Are you working, and in what job?"),
    "home": ("Is there somebody at home with you?", "Do you live alone?"),
    "drugs": ("Is cannabis, cocaine or another recreational drug something you use?",),
    "sexual": ("May I ask about your sex life, is there a sexual partner?",),
    "mood": ("Do you feel low or depressed?",),
    "safety": ("With the people you live with, do you feel safe?",),
}
ABSENT = (
    "Do you have any pets?",
    "Have you been abroad lately?",
    "What is your blood group?",
    "Do you play any sport?",
)
PROPOSALS = (
    "I recommend an MRI scan.",
    "I would like you to have a blood test.",
    "You should see a specialist about this. I will refer you.",
    "I suggest that you rest and come back in a week.",
    "We should start treatment today.",
    "You need to take these tablets twice a day.",
)
REMARKS = ("I see. Thank you.", "I'm sorry to hear that.", "That sounds unpleasant.", "All right, let me think.")
CURT = ("Just answer my questions.", "Calm down, please.", "I have no time for this.", "Stop complaining.")


def doctor_line(record: Record, rng: np.random.Generator) -> str:
    """A line of a doctor: mostly questions about facts of the record."""
    draw = lambda options: str(options[rng.integers(len(options))])  # noqa: E731
    kind = rng.choice(
        ["fact", "two", "open", "absent", "propose", "remark", "curt"], p=[0.5, 0.12, 0.12, 0.06, 0.12, 0.05, 0.03]
    )
    if kind == "fact":
        return draw(_ways(draw_fact(record, rng)))
    if kind == "two":
        return " ".join(draw(_ways(draw_fact(record, rng))) for _ in range(2))
    if kind == "propose":
        advice = condition_of(record).management
        return draw(PROPOSALS) if rng.random() < 0.5 else f"I recommend this: {draw([a.text for a in advice])}"
    if kind == "curt":
        return f"{draw(CURT)} {draw(_ways(draw_fact(record, rng)))}"
    return draw({"open": OPEN, "absent": ABSENT, "remark": REMARKS}[str(kind)])


def draw_fact(record: Record, rng: np.random.Generator) -> Fact:
    """A fact that a question could be about."""
    facts = [f for f in record.facts if f.disclosure in ("asked", "private", "volunteers") and f.kind != "demographic"]
    return facts[rng.integers(len(facts))]


def questions_about(
    fact: Fact, named: Sequence[str] = NAMED, of_kind: Mapping[str, Sequence[str]] = OF_KIND
) -> list[str]:
    """Ways to ask for a fact: by its kind, or by those of its cues that are words."""
    subject = fact.id.split(".")[1] if fact.kind == "social" else fact.kind
    if subject in of_kind:
        return list(of_kind[subject])
    names = [cue for cue in fact.cues if all(word in _words() for word in cue.split())]
    names = names or [fact.id.rpartition(".")[2].replace("-", " ")]
    return [form.format(name) for name in names for form in named]


def _ways(fact: Fact) -> list[str]:
    return [*questions_about(fact), *questions_about(fact, NAMED_OTHERWISE, OF_KIND_OTHERWISE)]


@functools.cache
def _words() -> frozenset[str]:
    """Words that stand whole in the clinic's texts: cues may be stems ("injur"), and nobody says a stem."""
    texts = [text for c in conditions() for f in (c.complaint, *c.symptoms, *c.history) for text in (*f.yes, f.no)]
    return frozenset(word for text in texts for word in re.findall(r"[a-z]+", text.lower()))
