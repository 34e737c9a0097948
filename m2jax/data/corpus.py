"""Documents made by seed, without limit: what mid-training learns from where it is given no file.

Knowledge and reasoning come of the clinic, train and held-out of different conditions; general prose of the templates
in `general.toml`, mathematics of those here, train and held-out of different ones. It is practice material of few
forms; it does not stand for a corpus.
"""

from __future__ import annotations

import functools
import importlib.resources
import math
import tomllib
from collections.abc import Callable
from fractions import Fraction

import numpy as np

from m2jax.clinic.background import render
from m2jax.clinic.message import phrase
from m2jax.clinic.sample import condition_of, sample_record
from m2jax.data.documents import KINDS, Document, Part
from m2jax.records.record import Record
from m2jax.verifier.rubric import SPLITS

FIELDS = {"emergency": "emergency medicine", "ent": "medicine of ear, nose and throat", "infectious": "the infections"}
HASTE = {
    "emergency": "It is an emergency.",
    "today": "A doctor should see it on the same day.",
    "soon": "A doctor should see it within days.",
    "routine": "It can wait for an appointment.",
}


FOR_EACH = {"knowledge": 1, "reasoning": 1, "general": 8, "mathematics": 5}  # of like tokens in all, about 2 : 2 : 1


def make_documents(train: int, heldout: int, seed: int) -> list[Document]:
    """`train` training documents and `heldout` held-out ones, times `FOR_EACH` of each kind. ValueError for a number
    below 1.
    """
    if min(train, heldout) < 1:
        raise ValueError(f"config.data.train {train} and config.data.heldout {heldout} must be at least 1")
    return [
        Document(f"{kind}-{split}-{i}", kind, MADE[kind](i, split), split)
        for split, n in (("train", train), ("heldout", heldout))
        for kind in KINDS
        for i in range(seed, seed + n * FOR_EACH[kind])
    ]


def knowledge(seed: int, split: str) -> tuple[Part, ...]:
    """What the clinic knows of a condition, in sections of a drawn order, with one patient as an example."""
    record = sample_record(seed, split)
    c = condition_of(record)
    _, low, high, _ = c.ages
    who = "women" if c.female >= 0.7 else "men" if c.female <= 0.3 else "people"
    begin = f"{_capital(c.name)} is also called {_listed(c.names, 'or')}. "
    begin += f"It belongs to {FIELDS.get(c.specialty, c.specialty)} and is seen mostly in {who} between {low} and "
    begin += f"{high} years. {HASTE[c.urgency]}"
    mistakes = " ".join(f"It is a mistake if somebody {_small(a.text)}" for a in c.avoid)
    sections = [
        f"How it shows itself. An example: {_who(record)}. {_said(record, 'complaint', 'symptom')}",
        f"What is found. {_found(record)}",
        f"What it must be told apart from: {_listed([d[0] for d in c.differentials], 'and')}.",
        f"What is done. {' '.join(a.text for a in c.management)} {mistakes}",
        f"When it becomes urgent: {c.red_flags.text}. {c.safety_net.text}",
    ]
    order = np.random.default_rng([seed, 1]).permutation(len(sections))
    return (Part("\n".join([begin, *(sections[i] for i in order)])),)


def reasoning(seed: int, split: str) -> tuple[Part, ...]:
    """A patient's case in three stretches, each with a note: association, reflection, and deduction with what would
    overturn it.
    """
    record = sample_record(seed, split)
    c = condition_of(record)
    rng = np.random.default_rng([seed, 2])
    others = [d[0] for d in c.differentials]
    causes = [[c.name, *others][i] for i in rng.permutation(len(others) + 1)]
    symptoms = record.of("symptom")
    absent = [f for f in symptoms if f.absent]
    there = [phrase(f) for f in symptoms if f not in absent]
    reflection = f"The story: {'; '.join([phrase(record.of('complaint')[0]), *there])}."
    if absent:
        reflection += f" What is absent or normal counts too: {'; '.join(phrase(f) for f in absent)}."
    reflection += " The story alone decides nothing; it has to be held against what is found."
    deduction = f"The story and the findings together fit {c.name} better than {_listed(others, 'or')}."
    deduction += f" {HASTE[c.urgency]} I would think again in case of {c.red_flags.text}."
    return (
        Part(f"{_capital(_who(record))}. {_said(record, 'complaint')}"),
        Part(f"What can begin like this: {_listed(causes, 'and')}. The next questions should tell them apart.", True),
        Part(f"{_said(record, 'symptom')} {_said(record, 'past', 'drug', 'allergy')}"),
        Part(reflection, True),
        Part(_found(record)),
        Part(deduction, True),
        Part(f"Diagnosis: {c.name}. {' '.join(a.text for a in c.management)} {c.safety_net.text}"),
    )


def general(seed: int, split: str) -> tuple[Part, ...]:
    """Plain prose: a template with its slots filled."""
    texts, rng = _prose()[split], _rng(seed, split)
    return (Part(render(texts[rng.integers(len(texts))], rng, {})),)


def general_text(seed: int, split: str) -> int:
    """Which of the templates `general` fills."""
    return int(_rng(seed, split).integers(len(_prose()[split])))


def mathematics(seed: int, split: str) -> tuple[Part, ...]:
    """A problem and its solution in steps."""
    rng = _rng(seed, split)
    makers = PROBLEMS[split]
    return (Part(makers[rng.integers(len(makers))](lambda low, high: int(rng.integers(low, high + 1)))),)


MADE: dict[str, Callable[[int, str], tuple[Part, ...]]] = {
    "knowledge": knowledge,
    "reasoning": reasoning,
    "general": general,
    "mathematics": mathematics,
}

# ---- Problems: of a function that draws a number from low to high, both included ------------------------------------

Draw = Callable[[int, int], int]


def _equation(draw: Draw) -> str:
    a, x, b = draw(2, 12), draw(-15, 25), draw(1, 60)
    c = a * x + b
    return (
        f"Solve {a}x + {b} = {c}.\nSubtract {b} from both sides: {a}x = {c - b}. "
        f"Divide both sides by {a}: x = {x}.\nCheck: {a} times {x} is {a * x}, and {a * x} + {b} = {c}."
    )


def _percent(draw: Draw) -> str:
    price, percent = 20 * draw(2, 60), 5 * draw(1, 12)
    off = price * percent // 100
    return (
        f"A coat costs {price} pounds. Its price is lowered by {percent}%. What does it cost now?\n"
        f"{percent}% of {price} is {price} times {percent} divided by 100, which is {off}. "
        f"The new price is {price} - {off} = {price - off} pounds."
    )


def _series(draw: Draw) -> str:
    first, step, n = draw(1, 20), draw(1, 9), 2 * draw(3, 12)
    last = first + (n - 1) * step
    return (
        f"Add the first {n} terms of {first}, {first + step}, {first + 2 * step}, and so on.\nEach term is {step} "
        f"larger than the one before, so the last is {first} + {n - 1} times {step} = {last}. The first and the last "
        f"add up to {first + last}, and so does each of the {n // 2} pairs. The sum is {n // 2} times {first + last} = "
        f"{n // 2 * (first + last)}."
    )


def _divisor(draw: Draw) -> str:
    shared, a, b = draw(2, 15), draw(3, 30), draw(2, 20)
    a, b = shared * max(a, b + 1), shared * min(a, b)
    steps, x, y = [], a, b
    while y:
        steps.append(f"{x} = {x // y} times {y} + {x % y}.")
        x, y = y, x % y
    return (
        f"Find the greatest common divisor of {a} and {b}.\nDivide, and go on with the remainder. {' '.join(steps)}"
        f" The last remainder that is not 0, or the smaller number where there is none, is {x}. The answer is {x}."
    )


def _journey(draw: Draw) -> str:
    speed, hours, faster = 10 * draw(3, 11), draw(2, 6), 10 * draw(1, 4)
    way = speed * hours
    minutes = Fraction(way * 60, speed + faster)
    return (
        f"A train needs {hours} hours at {speed} km an hour. How many minutes would it need at {speed + faster}?\n"
        f"The way is {speed} times {hours} = {way} km. At {speed + faster} km an hour it takes {way} divided by "
        f"{speed + faster} hours, times 60: about {round(float(minutes))} minutes."
    )


def _mean(draw: Draw) -> str:
    values = [draw(4, 60) for _ in range(draw(3, 4))]
    total, n = sum(values), len(values)
    wanted = -(-total // n) + draw(1, 5)
    return (
        f"The mean of {', '.join(map(str, values))} and one more number is {wanted}. Which number is it?\n"
        f"{n + 1} numbers with the mean {wanted} add up to {n + 1} times {wanted} = {wanted * (n + 1)}. The known ones "
        f"add up to {total}. The missing number is {wanted * (n + 1)} - {total} = {wanted * (n + 1) - total}."
    )


def _rectangle(draw: Draw) -> str:
    a, b = draw(3, 30), draw(3, 30)
    return (
        f"A rectangular garden is {a} m long and has an area of {a * b} square metres. How long is a fence around it?\n"
        f"Its width is {a * b} divided by {a}, which is {b} m. The fence has twice the length and twice the width: "
        f"2 times ({a} + {b}) = 2 times {a + b} = {2 * (a + b)} m."
    )


def _fractions(draw: Draw) -> str:
    b, d = draw(2, 9), draw(3, 11)
    a, c = draw(1, b - 1), draw(1, d - 1)
    common = math.lcm(b, d)
    left, right = a * common // b, c * common // d
    total = Fraction(a, b) + Fraction(c, d)
    return (
        f"What is {a}/{b} + {c}/{d}?\nThe least common multiple of {b} and {d} is {common}. {a}/{b} is {left}/{common} "
        f"and {c}/{d} is {right}/{common}. Together they are {left + right}/{common}, in lowest terms {total}."
    )


def _digits(draw: Draw) -> str:
    tens, ones = draw(2, 9), draw(1, 8)
    number, turned = 10 * tens + ones, 10 * ones + tens
    return (
        f"The digits of a number of two digits add up to {tens + ones}, and its tens digit is {tens}. By how much does "
        f"the number change when the digits are swapped?\nThe ones digit is {tens + ones} - {tens} = {ones}, so the "
        f"number is {number} and with swapped digits {turned}. The difference is {abs(number - turned)}."
    )


PROBLEMS: dict[str, tuple[Callable[[Draw], str], ...]] = {
    "train": (_equation, _percent, _series, _divisor, _journey, _mean),
    "heldout": (_rectangle, _fractions, _digits),
}

# ---- Words -----------------------------------------------------------------------------------------------------------


@functools.cache
def _prose() -> dict[str, list[str]]:
    raw = tomllib.loads(importlib.resources.files("m2jax.data").joinpath("general.toml").read_text("utf-8"))
    return {split: [" ".join(text.split()) for text in raw[split]] for split in SPLITS}


def _rng(seed: int, split: str) -> np.random.Generator:
    return np.random.default_rng([seed, SPLITS.index(split), 3])


def _who(record: Record) -> str:
    return _small(record.facts[0].text.rstrip("."))


def _said(record: Record, *kinds: str) -> str:
    return " ".join(f.text for f in record.of(*kinds))


def _found(record: Record) -> str:
    signs = "; ".join(phrase(f) for f in record.of("exam") if f.id.startswith("vitals."))
    rest = [f.text for f in record.of("exam", "test") if not f.id.startswith("vitals.")]
    return " ".join([f"{_capital(signs)}.", *rest])


def _listed(names: tuple[str, ...] | list[str], last: str) -> str:
    return f" {last} ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _small(text: str) -> str:
    return text[0].lower() + text[1:]
