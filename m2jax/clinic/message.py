"""The opening message of a patient, or of who speaks for her: from the facts that she volunteers, and no others.

Facts of the complaint, and symptoms that are volunteered, are noun phrases, so that they go on after "I have".
"""

from __future__ import annotations

import re

import numpy as np

from m2jax.records.record import Fact, Record

SPEAKERS = {  # who talks, where it is not the patient
    "parent": "A parent does the talking.",
    "child": "A grown-up child does the talking.",
    "partner": "The partner does the talking.",
}
RELATIONS = {"parent": ("daughter", "son"), "child": ("mother", "father"), "partner": ("wife", "husband")}
LASTING = re.compile(  # "I've had a cough for two weeks", but "I have a cough that began yesterday"
    r"\b(?:since|on and off|over"
    r"|for (?:about )?(?:an? (?:day|week|month|year)|half|the|two|three|four|five|six|eight|nine|ten))\b"
)
MOST_SYMPTOMS = 3  # a first message tells of no more, besides the complaint

TONES = (
    {  # plain
        "self": (
            "Hello, I'm {a_age} {sex} and {I have it} {complaint}.",
            "Hi. {I have it} {complaint}. I'm {years}, a {sex}.",
            "Good morning. I'm {a_age} {sex} and I've come about this: {I have it} {complaint}.",
        ),
        "other": (
            "Hello, I'm asking for my {age} {relation}, who {has it} {complaint}.",
            "Hi. My {relation} {has it} {complaint}. {She} is {years}.",
        ),
        "ask": ("What could this be?", "What should I do?", "Do I need to do anything about it?"),
    },
    {  # worried
        "self": (
            "I'm really worried. {I have it} {complaint}. I'm {a_age} {sex}.",
            "Please help, I'm scared. I'm {a_age} {sex} and {I have it} {complaint}.",
        ),
        "other": (
            "Please help, I'm worried about my {relation}, {years}. {She} {has it} {complaint}.",
            "I'm frightened for my {age} {relation}. {She} {has it} {complaint}.",
        ),
        "ask": ("Is it something serious?", "Should I be worried?", "Could it be something bad? What do I do now?"),
    },
    {  # brief
        "self": ("{Complaint}. {Sex}, {years}.", "{Sex}, {years}. {Complaint}."),
        "other": ("{Complaint}. It's my {relation}, {years}.", "My {relation}, {years}: {complaint}."),
        "ask": ("What now?", "Advice?", "What is it and what helps?"),
    },
    {  # wordy
        "self": (
            "Hello doctor, I hope you don't mind me asking, I wasn't sure whom to turn to. I'm {a_age} {sex}. "
            "To get to the point, {I have it} {complaint}.",
            "Hi there, sorry to bother you with this. I don't usually make a fuss, but {I have it} {complaint}. I'm "
            "{a_age} {sex}, by the way.",
        ),
        "other": (
            "Hello doctor, I hope you don't mind me asking for my {age} {relation}. {She} {has it} {complaint}.",
            "Hi there, sorry to bother you. It is about my {relation}, who is {years}. {She} {has it} {complaint}.",
        ),
        "ask": (
            "I'd be glad to know what you think and whether somebody should have a look at it.",
            "Do you think this can wait, or is there something I should be doing?",
        ),
    },
    {  # doubtful
        "self": (
            "My family says I should ask somebody. I'm {a_age} {sex} and {I have it} {complaint}.",
            "I don't like seeing doctors, but {I have it} {complaint}. I'm {a_age} {sex}.",
        ),
        "other": (
            "I don't want to overreact, but my {age} {relation} {has it} {complaint}.",
            "It may be nothing, but my {relation} {has it} {complaint}. {She} is {years}.",
        ),
        "ask": (
            "Can I just wait and see?",
            "Is there something I can buy for it?",
            "Do we really need to see a doctor?",
        ),
    },
)


def sample_question(record: Record, seed: int) -> str:
    """A first message: the complaint, some of the symptoms and all of the history that the patient volunteers, in one
    of several tones. Nothing else of the record enters but age and sex.
    """
    rng = np.random.default_rng([seed, *record.id.encode()])
    told = [f for f in record.facts if f.disclosure == "volunteers" and f.kind not in ("complaint", "demographic")]
    symptoms = [f for f in told if f.kind == "symptom"]
    chosen = sorted(rng.permutation(len(symptoms))[: rng.integers(1, MOST_SYMPTOMS + 1)])
    words = _words(record)
    who = "other" if words["relation"] else "self"
    tone = TONES[rng.integers(len(TONES))]
    opening, ask = (tone[part][rng.integers(len(tone[part]))].format(**words) for part in (who, "ask"))
    parts = [_symptom(symptoms[i], place, words, rng) for place, i in enumerate(chosen)]
    parts += [_history(fact, words) for fact in told if fact.kind != "symptom"]
    return " ".join([opening, *parts, ask])


def age_text(age: float) -> str:
    """ "7-month-old" below two years, "43-year-old" above."""
    return f"{round(age * 12)}-month-old" if age < 2 else f"{int(age)}-year-old"


def phrase(fact: Fact) -> str:
    """A fact's text as it goes on in a sentence: "pain in the right side"."""
    text = fact.text.rstrip(".")
    first = text.split()[0]
    return text if first[1:] != first[1:].lower() or first.endswith("'s") else text[0].lower() + text[1:]


def _words(record: Record) -> dict[str, str]:
    """What the templates and sentences are filled with."""
    female = record.sex == "female"
    said = {fact.text for fact in record.of("demographic")}
    relation = next((RELATIONS[who][not female] for who, text in SPEAKERS.items() if text in said), "")
    sex = ("woman" if female else "man") if record.age >= 18 else ("girl" if female else "boy")
    complaint, age = phrase(record.of("complaint")[0]), age_text(record.age)
    lasting = LASTING.search(complaint)
    pronoun = "She" if female else "He"
    return {
        "age": age,
        "a_age": f"{'an' if re.match(r'8|11-|18-', age) else 'a'} {age}",
        "years": age.replace("-year-old", "").replace("-month-old", " months old"),
        "sex": sex,
        "Sex": sex.capitalize(),
        "relation": relation,
        "She": pronoun,
        "complaint": complaint,
        "Complaint": complaint[0].upper() + complaint[1:],
        "I have it": "I've had" if lasting else "I have",
        "has it": "has had" if lasting else "has",
        "I have": f"{pronoun} has" if relation else "I have",
        "I also have": f"{pronoun} also has" if relation else "I also have",
        "I had": f"{pronoun} had" if relation else "I had",
        "I take": f"{pronoun} takes" if relation else "I take",
        "I am": f"{pronoun} is" if relation else "I am",
    }


def _symptom(fact: Fact, place: int, words: dict[str, str], rng: np.random.Generator) -> str:
    text = phrase(fact)
    if text.split()[0].rstrip(",").endswith("ing") or rng.random() < 0.25:
        return f"Also {text}."
    return f"{words['I also have' if place else 'I have']} {text}."


def _history(fact: Fact, words: dict[str, str]) -> str:
    if fact.text.endswith(" ago."):
        return f"{words['I had']} {phrase(fact)}."
    verb = "I take" if fact.kind == "drug" else "I am" if fact.id == "past.pregnant" else "I have"
    return f"{words[verb]} {phrase(fact)}."
