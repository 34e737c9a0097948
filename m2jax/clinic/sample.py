"""Patients by seed, without limit: records, opening messages, cases with rubrics, multiple-choice items.

    record = sample_record(seed=17, split="train")     # a `records.record.Record`
    message = sample_question(record, seed=0)          # what the patient writes first
    case = sample_case(seed=17, split="train")         # a `verifier.rubric.Case`
    item = sample_item(seed=17, split="train")         # an `Item`

All draws come from the seed. The conditions of the two splits are disjoint.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

import numpy as np

from m2jax.clinic import rubrics
from m2jax.clinic.background import forbidden, render, sample_background
from m2jax.clinic.condition import SLOTS, Condition, Finding, conditions
from m2jax.clinic.message import SPEAKERS, age_text, phrase, sample_question
from m2jax.records.record import Fact, Record
from m2jax.verifier.rubric import SPLITS, Case

__all__ = [
    "Item",
    "condition_of",
    "is_of_clinic",
    "sample_case",
    "sample_condition",
    "sample_item",
    "sample_question",
    "sample_record",
]

TEMPER = 0.4  # a condition's weight is its prevalence to this power, so that rare ones that must not be missed come up
USUAL = 0.8  # the share of patients in the usual range of ages
ELDER = 75  # from this age on a relative may speak
USUAL_SIGNS = (  # from age; heart rate, respiratory rate and systolic pressure at rest
    (0, (115, 150), (30, 44), (75, 95)),
    (1, (95, 130), (22, 32), (85, 100)),
    (3, (85, 115), (20, 26), (90, 105)),
    (6, (75, 105), (17, 22), (95, 112)),
    (12, (62, 92), (14, 18), (105, 125)),
    (18, (60, 88), (12, 17), (110, 132)),
    (60, (60, 86), (13, 18), (118, 145)),
)
FEVER = (38.0, 39.5)  # °C, where a condition says nothing else
NO_FEVER = (36.3, 37.3)
BEATS_PER_DEGREE = 9.0  # of heart rate, for a degree of fever
CHANGES = (("hypertension", "systolic", 8), ("bisoprolol", "heart_rate", -8))  # what is known or taken, on average
SIDES = ("left", "right")


def sample_record(seed: int, split: str) -> Record:
    """The patient of a seed. ValueError for an unknown split."""
    rng = _generator(seed, split, 0)
    condition = _draw_condition(rng, split)
    age, sex = _age(rng, condition), "female" if rng.random() < condition.female else "male"
    who = _who(rng, condition, age, sex)
    lists = {name: getattr(condition, name) for name in SLOTS}
    slots = {name: values[rng.integers(len(values))] for name, values in lists.items() if values}
    slots["side"] = SIDES[_generator(seed, split, 3).integers(2)]
    facts = [*who, _fact(condition.complaint, True, rng, slots, "complaint")]
    here = {f.id: rng.random() < f.likely for f in condition.symptoms + condition.history if _fits(f, age, sex)}
    for finding in condition.symptoms:
        if finding.id in here and (fact := _fact(finding, here[finding.id], rng, slots, f"symptom.{finding.id}")):
            facts.append(fact)
    speaker = next((f.text for f in who if f.id == "demographic.speaker"), "")
    apart = ("alone", "flat-share") if speaker == SPEAKERS["partner"] else () if speaker else ("dementia",)
    background = sample_background(rng, age, sex, condition.risks, condition.excludes + apart)
    own = [
        fact
        for f in condition.history
        if f.id in here and (fact := _fact(f, here[f.id], rng, slots, f"{f.kind}.{f.id}"))
    ]
    said = {f.kind for f in own if not f.text.startswith("No ")}
    background = [f for f in background if not (f.id.endswith(".none") and f.kind in said)]
    for kind in ("past", "drug", "allergy", "family", "social"):
        facts += [f for f in background if f.kind == kind] + [f for f in own if f.kind == kind]
    facts += _vitals(rng, condition, age, here.get("fever"), {f.id.rpartition(".")[2] for f in background})
    for finding in condition.exam + condition.tests:
        if _fits(finding, age, sex):
            name = finding.id.replace("-", ".")
            there = here.get(finding.follows, False) if finding.follows else rng.random() < finding.likely
            if fact := _fact(finding, there, rng, slots, name):
                facts.append(fact)
    facts.append(Fact("diagnosis", "diagnosis", f"{condition.name[0].upper()}{condition.name[1:]}.", "hidden"))
    return Record(f"clinic-{split}-{seed}", age, sex, condition.name, tuple(facts), "clinic")


def sample_condition(seed: int, split: str) -> Condition:
    """What the patient of the seed has: that of `sample_record`, at a fraction of the cost."""
    return _draw_condition(_generator(seed, split, 0), split)


def condition_of(record: Record) -> Condition:
    """The condition that a record of the clinic was drawn from. KeyError for any other record."""
    return _by_name()[record.diagnosis]


def is_of_clinic(record: Record) -> bool:
    """Whether `condition_of` and `sample_question` can take a record; a file may say anything of its source."""
    return record.source == "clinic" and record.age is not None and record.diagnosis in _by_name()


# ---- Cases and items ------------------------------------------------------------


def sample_case(seed: int, split: str) -> Case:
    """The patient of the seed, what she writes, and the rubric of a reply to it."""
    record = sample_record(seed, split)
    question = sample_question(record, seed)
    rng = _generator(seed, split, 2)
    rubric = rubrics.rubric_of(condition_of(record), record, question, rng)
    message = {"role": "user", "content": question}
    return Case(f"clinic-case-{split}-{seed}", condition_of(record).id, split, (message,), rubric)


@dataclass(frozen=True)
class Item:
    """A multiple-choice question. kind: diagnosis, test, step (the first of management) or avoid. answer: the index
    of the right one of `options`.
    """

    id: str
    kind: str
    condition: str
    split: str
    stem: str
    options: tuple[str, ...]
    answer: int


ASKS = {
    "diagnosis": "Which diagnosis is most likely?",
    "test": "Which investigation should be done next?",
    "step": "Which is the best first step of management?",
    "avoid": "Which of these should be avoided?",
}


def sample_item(seed: int, split: str) -> Item:
    """A stem from the patient of the seed, and four or five options in a drawn order."""
    record = sample_record(seed, split)
    rng = _generator(seed, split, 4)
    condition = condition_of(record)
    kind = tuple(ASKS)[rng.integers(len(ASKS))]
    right, *wrong = _options(kind, condition, record) or _options("diagnosis", condition, record)
    kind = kind if right != condition.name else "diagnosis"
    wrong = [wrong[i] for i in rng.permutation(len(wrong))[: rng.integers(3, 5)]]
    options = [right, *wrong]
    order = rng.permutation(len(options))
    stem = f"{_stem(record)} {ASKS[kind]}"
    if kind in ("step", "avoid"):
        stem = f"{_stem(record)} The diagnosis is {condition.name}. {ASKS[kind]}"
    answer = int(np.flatnonzero(order == 0)[0])
    return Item(
        f"clinic-item-{split}-{seed}", kind, condition.id, split, stem, tuple(options[i] for i in order), answer
    )


def _options(kind: str, condition: Condition, record: Record) -> list[str]:
    """The right option and the others; none where the right step is forbidden to this patient, or where too few are
    left of those that need not be avoided.
    """
    if kind == "diagnosis":
        return [condition.name, *(d[0] for d in condition.differentials)]
    drugs = [drug for c in forbidden(record.age, record.facts) for drug in c.drugs]
    right, *wrong = condition.items[kind]

    def bad(option: str) -> bool:
        return any(re.search(rf"\b{drug}\b", option, re.IGNORECASE) for drug in drugs)

    if kind == "avoid":
        wrong = [option for option in wrong if not bad(option)]
    return [] if len(wrong) < 3 or (kind == "step" and bad(right)) else [right, *wrong]


def _stem(record: Record) -> str:
    """Who, the complaint, symptoms that are there and that are not, what bears on it, signs and examination."""
    symptoms = record.of("symptom")
    history = [f for f in record.of("past", "drug", "allergy") if not f.id.endswith(".none")]
    parts = [*record.of("complaint"), *symptoms, *history]
    signs = "; ".join(phrase(f) for f in record.of("exam") if f.id.startswith("vitals."))
    exam = [f.text for f in record.of("exam") if not f.id.startswith("vitals.")]
    who = record.facts[0].text.rstrip(".")
    story = " ".join(f.text for f in parts)
    return f"{who}. {story} On examination: {signs}. {' '.join(exam)}".strip()


# ---- Parts of a record ------------------------------------------------------------


def _generator(seed: int, split: str, stream: int) -> np.random.Generator:
    """Draws for one purpose: stream 0 the record, 2 a case's rubric, 3 the side, 4 an item. Two on one stream would
    depend on each other.
    """
    if split not in SPLITS:
        raise ValueError(f"split is {split!r}; write one of {', '.join(SPLITS)}")
    return np.random.default_rng([seed, SPLITS.index(split), stream])


@functools.cache
def _by_name() -> dict[str, Condition]:
    return {c.name: c for c in conditions()}


def _draw_condition(rng: np.random.Generator, split: str) -> Condition:
    options = [c for c in conditions() if c.split == split]
    weights = np.array([c.prevalence**TEMPER for c in options])
    return options[rng.choice(len(options), p=weights / weights.sum())]


def _age(rng: np.random.Generator, condition: Condition) -> float:
    """Years; below two to a twelfth, in whole months."""
    youngest, low, high, oldest = condition.ages
    low, high = (low, high) if rng.random() < USUAL else (youngest, oldest)
    age = rng.uniform(low, high + (high >= 2))  # whole years but for the smallest
    return round(max(1, int(age * 12)) / 12, 2) if age < 2 else float(int(min(age, oldest)))


def _who(rng: np.random.Generator, condition: Condition, age: float, sex: str) -> list[Fact]:
    word = {"female": ("girl", "woman"), "male": ("boy", "man")}[sex][age >= 18]
    facts = [Fact("demographic.who", "demographic", f"{age_text(age)} {word}.", "volunteers", ("how old", "age"))]
    speaker = ""
    if age < 16:
        speaker = "parent"
    elif condition.carer:
        speaker = "child" if age >= 60 else "partner" if age >= 25 else "parent"
    elif age >= ELDER and rng.random() < 0.25:
        speaker = "child"
    if speaker:
        cues = ("who are you", "relation")
        facts.append(Fact("demographic.speaker", "demographic", SPEAKERS[speaker], "volunteers", cues))
    return facts


def _fits(finding: Finding, age: float, sex: str) -> bool:
    return finding.ages[0] <= age < finding.ages[1] + 1 and finding.sex in ("", sex)


def _fact(finding: Finding, here: bool, rng: np.random.Generator, slots: dict[str, str], name: str) -> Fact | None:
    if not here and not finding.no:
        return None
    text = finding.yes[rng.integers(len(finding.yes))] if here else finding.no
    tells = "asked" if not here and finding.tells == "volunteers" else finding.tells
    return Fact(
        name, finding.kind, render(text, rng, slots), tells, finding.cues, absent=not here and not finding.differs
    )


def _vitals(
    rng: np.random.Generator, condition: Condition, age: float, fever: bool | None, has: set[str]
) -> list[Fact]:
    """Signs that fit the age, the condition, what the patient has besides (ids of the background), and whether the
    record says that there is fever.
    """
    changes = condition.vitals
    usual = next(row for row in reversed(USUAL_SIGNS) if age >= row[0])
    temperature = changes.get("temperature", FEVER if fever else NO_FEVER)
    if fever is False:
        temperature = (min(temperature[0], NO_FEVER[0]), min(temperature[1], NO_FEVER[1]))
    values = {"temperature": rng.uniform(*temperature), "spo2": rng.uniform(*changes.get("spo2", (96, 99)))}
    for name, (low, high) in zip(("heart_rate", "respiratory_rate", "systolic"), usual[1:], strict=True):
        values[name] = rng.uniform(low, high) + rng.uniform(*changes.get(name, (0, 0)))
    values["heart_rate"] += BEATS_PER_DEGREE * max(0.0, values["temperature"] - 37.5)
    for name, sign, change in CHANGES:
        values[sign] += change * (name in has)
    diastolic = values["systolic"] * rng.uniform(0.58, 0.66)
    texts = {
        "temperature": f"Temperature {values['temperature']:.1f} °C.",
        "heart_rate": f"Heart rate {values['heart_rate']:.0f} a minute.",
        "respiratory_rate": f"Respiratory rate {values['respiratory_rate']:.0f} a minute.",
        "blood_pressure": f"Blood pressure {values['systolic']:.0f}/{diastolic:.0f} mmHg.",
        "spo2": f"Oxygen saturation {values['spo2']:.0f}% on air.",
    }
    return [Fact(f"vitals.{name}", "exam", text, "hidden") for name, text in texts.items()]
