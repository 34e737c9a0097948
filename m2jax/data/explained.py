"""Explanations of a condition that leave things out, and statements about it in other words: of some the explanation
says it, of others of the same condition it does not. For the grader to practise what is told apart from what is near.
"""

from __future__ import annotations

import dataclasses
import re

import numpy as np

from m2jax.clinic.condition import Condition, conditions
from m2jax.verifier.phrases import small
from m2jax.verifier.rubric import Case, Criterion

ASKS = ("Tell me about {}.", "What is {}, and what is done about it?", "My doctor says I have {}. What should I know?")
SAYS = (5, 9)  # least and most points of an explanation
ASKED = 5  # statements that it makes, at most, and as many that it does not
COMMON = 0.35  # how likely a symptom is that counts as one
HASTE = {  # as it is told, and as it is stated
    "emergency": ("It is an emergency: call an ambulance.", "{} needs help at once"),
    "today": ("A doctor should see it on the same day.", "{} should be seen within a day"),
    "soon": ("Make an appointment within the next days.", "{} should be seen within days, though not at once"),
    "routine": ("It can wait for a usual appointment.", "there is no hurry with {}"),
}


@dataclasses.dataclass(frozen=True)
class Point:
    """Something about a condition. told: a sentence, or with a `list` a part of the sentence that begins so. stated:
    the same in other words.
    """

    told: str
    stated: str
    list: str = ""


def explanation(split: str, name: str, rng: np.random.Generator) -> tuple[Case, str, list[tuple[Criterion, str]]]:
    """A case, the doctor's reply to it, and statements with "Yes" or "No"."""
    of_split = [c for c in conditions() if c.split == split]
    condition = of_split[rng.integers(len(of_split))]
    known = points(condition, rng)
    order = rng.permutation(len(known))
    count = int(rng.integers(SAYS[0], SAYS[1] + 1))
    said, unsaid = ([known[i] for i in part] for part in (order[:count], order[count:]))
    stated = [(p, "Yes") for p in said[:ASKED]] + [(p, "No") for p in unsaid[:ASKED]]
    asked = [(Criterion(f"States that {p.stated}.", 5, "accuracy"), answer) for p, answer in stated]
    question = ASKS[rng.integers(len(ASKS))].format(condition.name)
    case = Case(name, condition.id, split, ({"role": "user", "content": question},), tuple(c for c, _ in asked))
    return case, _text(said), asked


def points(c: Condition, rng: np.random.Generator) -> list[Point]:
    """What is known of a condition, each in one wording of two or three."""
    draw = lambda *options: str(options[rng.integers(len(options))])  # noqa: E731
    name, (_, low, high, _) = c.name, c.ages
    told, stated = HASTE[c.urgency]
    made = [
        Point(told, stated.format(name)),
        Point(f"Most who have it are between {low} and {high} years old.", f"{name} is commonest from {low} to {high}"),
        Point(c.safety_net.text, _clause(c.safety_net.text)),
        *(Point(a.text, _clause(a.text)) for a in c.management),
    ]
    for other in c.names[:2]:
        same = draw(f"another name for {name} is {other}", f"{other} means the same as {name}")
        made.append(Point(f"It is also called {other}.", same))
    for a in c.avoid:
        mistake = small(a.text.rstrip("."))
        made.append(Point(f"It is a mistake if somebody {mistake}.", f"this should be avoided: {mistake}"))
    for f in c.symptoms:
        if f.likely >= COMMON:
            symptom = f.id.replace("-", " ")
            other = draw(
                f"{symptom} is a symptom of {name}", f"{name} can cause {symptom}", f"a patient may notice {symptom}"
            )
            made.append(Point(symptom, other, "It often comes with"))
    for d in c.differentials:
        called = draw(*(n for n in d if n == d[0] or " " in n))  # the others are words to look for
        other = draw(f"{called} can look like {name}", f"{called} has to be ruled out")
        made.append(Point(d[0], other, "It must be told apart from"))
    for part in re.split(r",\s*(?:or\s+)?|\s+or\s+", c.red_flags.text):
        other = draw(f"{part} is a reason to get help at once", f"{part} is a warning sign")
        made.append(Point(part, other, "Get urgent help in case of"))
    return made


def _text(said: list[Point]) -> str:
    """The points as sentences; those of a list share one, where the first of them stands."""
    sentences: dict[str, list[str]] = {}
    for p in said:
        sentences.setdefault(p.list or p.told, []).append(p.told)
    whole = []
    for begin, parts in sentences.items():
        listed = " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))
        whole.append(parts[0] if begin == parts[0] else f"{begin} {listed}.")
    return " ".join(whole)


def _clause(sentence: str) -> str:
    """The longest part of a sentence."""
    return small(max(re.split(r"[,;:]\s+|\s+and\s+", sentence.rstrip(".")), key=len))
