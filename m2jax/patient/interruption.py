"""Interruptions (arXiv 2602.06570): a question of the patient that the doctor alone sees, put into one of her lines.

The patient's own units never see it, so it cannot lead them astray; the doctor has to take it up and go on. Half come
at the end of a line, half in the middle of it.
"""

from __future__ import annotations

import dataclasses
import re

import numpy as np

from m2jax.patient.script import Dialogue, Line
from m2jax.verifier.phrases import criterion, words
from m2jax.verifier.rubric import Criterion

WITHIN = 3  # rounds from the opening in which it comes: most consultations are still going on then
QUESTIONS = {  # what any patient may ask, with the words of a reply that takes it up
    "Is it something serious?": ("serious", "worr*", "dangerous", "harmless", "urgent*", "emergency"),
    "Could it be cancer?": ("cancer*", "tumour*", "tumor*", "malignan*"),
    "Do I need antibiotics?": ("antibiotic*",),
    "Do I need a scan or an x-ray?": ("scan*", "x-ray*", "imaging", "mri", "ct", "ultrasound"),
    "Do you need to take blood?": ("blood", "test*"),
    "How long will it last?": ("day*", "week*", "month*", "long", "soon", "time"),
    "Can I go to work tomorrow?": ("work*", "job", "stay at home", "day off", "days off"),
    "Can my family catch it?": ("catch*", "contagious", "infectious", "spread*", "pass on", "pass it on"),
    "Should I go to the hospital?": ("hospital*", "emergency", "ambulance"),
    "Is there anything I can take for it?": ("take", "taking", "medicine*", "medication*", "tablet*", "painkiller*"),
    "May I still do my sports?": ("sport*", "exercise*", "rest", "train*", "activit*"),
    "Did I do something wrong?": ("wrong", "fault", "blame", "cause*"),
}


@dataclasses.dataclass(frozen=True)
class Interruption:
    """A snippet that only the doctor sees, with the patient's line of a round (0 is the opening): at its end, or in the
    middle of it.
    """

    round: int
    snippet: str
    middle: bool = False


def draw(share: float, seed: int, number: int) -> Interruption | None:
    """The interruption of a numbered consultation; None for all but `share` of them."""
    rng = np.random.default_rng([seed, 5, number])
    if rng.random() >= share:
        return None
    snippet = list(QUESTIONS)[rng.integers(len(QUESTIONS))]
    return Interruption(int(rng.integers(WITHIN)), snippet, bool(rng.random() < 0.5))


def shown(text: str, number: int, interruption: Interruption | None) -> str:
    """The patient's line of a round as the doctor sees it."""
    if interruption is None or interruption.round != number:
        return text
    if not interruption.middle:
        return f"{text} {interruption.snippet}"
    ends = [m.end() for m in re.finditer(r"[.?!]\s+", text)]
    at = ends[(len(ends) - 1) // 2] if ends else 0  # a line of one sentence begins with it
    return f"{text[:at]}{interruption.snippet} {text[at:]}"


def shown_dialogue(dialogue: Dialogue, interruption: Interruption | None) -> Dialogue:
    """A dialogue that the patient opens, as the doctor sees it."""
    return tuple(
        Line(line.who, shown(line.text, i // 2, interruption)) if line.who == "patient" else line
        for i, line in enumerate(dialogue)
    )


def takes_up(interruption: Interruption) -> Criterion:
    """What the reply to it is graded by, beside the slice's rubric."""
    cues = QUESTIONS[interruption.snippet]
    return criterion(f'Takes up the question "{interruption.snippet}".', 4, "communication", words(cues, "either"))
