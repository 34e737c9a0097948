"""Tasks of the clinic by seed, whose replies rules reward: what RL stage 1 practises where it is given no file.

    choice        a patient, a question, four or five options
    diagnosis     a patient; one name of what she has, none of the differential or of another condition
    quantity      doses, rates and the like, worked out
    instructions  a patient's message, with two instructions of IFEval's types on how to answer it; a reply that says
                  nothing of what there is to say to her earns nothing

The conditions of the two splits are disjoint, and so are the sums of `quantity`.
"""

from __future__ import annotations

import functools
import re
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from m2jax.clinic.condition import Condition, conditions
from m2jax.clinic.names import names_of, others
from m2jax.clinic.sample import sample_case, sample_item
from m2jax.data.tasks import Task
from m2jax.rules.rule import parse_rule
from m2jax.verifier.phrases import content
from m2jax.verifier.rubric import SPLITS, Case

LETTERS = "ABCDE"
SEEDS = 1_000_000  # of the tasks of one run
ASKS_DIAGNOSIS = "Which diagnosis is most likely?"  # how the stem of an item of that kind ends
KEYWORDS = ("rest", "fluids", "doctor", "days", "symptoms")  # that instructions ask for
ENDINGS = ("is there anything else?", "take care of yourself.", "please write again tomorrow.")
_WORD = re.compile(r"[^\W\d_]{3,}")
DRUGS = ("paracetamol", "ibuprofen", "amoxicillin", "gentamicin", "ceftriaxone")


def make(kinds: Sequence[str], n: int, split: str, first: int = 0) -> list[Task]:
    """n tasks of the kinds in turn, of seeds from `first` on. ValueError names a kind or a split that there is not."""
    if not kinds or (unknown := [kind for kind in kinds if kind not in MADE]):
        raise ValueError(
            f"kinds are {list(kinds)}; name some of {', '.join(MADE)}" + (f", not {unknown}" if kinds else "")
        )
    return [MADE[kinds[i % len(kinds)]](first + i // len(kinds), split) for i in range(n)]


def choice(seed: int, split: str) -> Task:
    """The item of the seed (`clinic.sample`), with its options in letters."""
    item = sample_item(seed, split)
    options = dict(zip(LETTERS, item.options, strict=False))
    question = "\n".join(
        [
            item.stem,
            *(f"{letter}. {text}" for letter, text in options.items()),
            'End with "The answer is" and the letter.',
        ]
    )
    return _task(
        "choice", seed, split, question, {"kind": "choice", "options": options, "answer": LETTERS[item.answer]}
    )


def diagnosis(seed: int, split: str) -> Task:
    """The patient of an item on a diagnosis, without its options."""
    rng = _generator(seed, split, 1)
    drawn = (sample_item(int(rng.integers(1 << 30)), split) for _ in range(1000))
    item = next(item for item in drawn if item.kind == "diagnosis")
    condition = next(c for c in conditions() if c.id == item.condition)
    rule = {"kind": "set", "answers": [list(names_of(condition))], "others": others(condition, item.stem)}
    question = (
        f'{item.stem.removesuffix(ASKS_DIAGNOSIS)}Name the most likely diagnosis. End with "Diagnosis:" and its name.'
    )
    return _task("diagnosis", seed, split, question, rule)


def quantity(seed: int, split: str) -> Task:
    """A sum of the ward. Every fourth sum that there is belongs to those held out."""
    question, _, value, unit = _sum(seed, split)
    return _task("quantity", seed, split, question, {"kind": "quantity", "value": value, "unit": unit})


def worked(seed: int, split: str) -> tuple[str, str]:
    """The question of the seed's `quantity`, and how it is answered."""
    question, working, value, unit = _sum(seed, split)
    return question, f"{working} = {value}. The answer is {value} {unit}."


def instructions(seed: int, split: str) -> Task:
    """What a patient writes, and how she wants it answered."""
    rng = _generator(seed, split, 3)
    case = sample_case(int(rng.integers(1 << 30)), split)
    message = case.messages[0]["content"]
    drawn = [_INSTRUCTIONS[i](rng) for i in sorted(rng.permutation(len(_INSTRUCTIONS))[:2])]
    question = "\n".join([message, "", *(text for text, _, _ in drawn)])
    rule = {"kind": "instructions", "instruction_ids": [i for _, i, _ in drawn], "kwargs": [k for _, _, k in drawn]}
    return _task("instructions", seed, split, question, rule | {"prompt": question, "about": _about(case, message)})


def _about(case: Case, message: str) -> list[str]:
    """Words of what is to be said of the patient's condition, one for each stem: none of the message, none that
    instructions ask for, and none of what is said of a fifth of all conditions.
    """
    (condition,) = [c for c in conditions() if c.id == case.topic]
    without = content(" ".join((message, *KEYWORDS, *ENDINGS))) | _common()
    words = {stem: word for word in _WORD.findall(_to_say(condition).lower()) for stem in content(word)}
    return [word for stem, word in words.items() if stem not in without]


def _to_say(condition: Condition) -> str:
    advice = (*condition.management, condition.red_flags, condition.safety_net)
    findings = [f.id.replace("-", " ") for f in (*condition.symptoms, *condition.history) if f.asks]
    return " ".join([*names_of(condition), *(a.text for a in advice), *findings])


@functools.cache
def _common() -> frozenset[str]:
    counts = Counter(stem for condition in conditions() for stem in content(_to_say(condition)))
    return frozenset(stem for stem, count in counts.items() if count > len(conditions()) / 5)


MADE: dict[str, Callable[[int, str], Task]] = {
    "choice": choice,
    "diagnosis": diagnosis,
    "quantity": quantity,
    "instructions": instructions,
}


def _task(kind: str, seed: int, split: str, question: str, rule: dict[str, Any]) -> Task:
    message = {"role": "user", "content": question}
    return Task(f"{kind}-{split}-{seed}", (message,), parse_rule(rule), kind, split)


def _generator(seed: int, split: str, what: int) -> np.random.Generator:
    if split not in SPLITS:
        raise ValueError(f"split is {split!r}; write one of {', '.join(SPLITS)}")
    return np.random.default_rng([seed, SPLITS.index(split), what])


# ---- Sums: rng -> (question, what is worked out, value, unit) -------------------

_Sum = tuple[str, str, int, str]


def _sum(seed: int, split: str) -> _Sum:
    rng = _generator(seed, split, 2)
    while True:
        question, working, value, unit = _SUMS[rng.integers(len(_SUMS))](rng)
        if (zlib.crc32(question.encode()) % 4 == 0) == (split == "heldout"):
            return question + f' End with "The answer is", the number and "{unit}".', working, value, unit


def _pick(rng: np.random.Generator, options: Sequence[Any]) -> Any:
    return options[rng.integers(len(options))]


def _by_weight(rng: np.random.Generator) -> _Sum:
    weight, dose, drug = int(rng.integers(6, 41)), int(_pick(rng, (2, 5, 7, 10, 15, 20))), _pick(rng, DRUGS)
    return (
        f"A child weighs {weight} kg and is to have {dose} mg/kg of {drug} in one dose. How much is that?",
        f"{weight} x {dose}",
        weight * dose,
        "mg",
    )


def _of_a_day(rng: np.random.Generator) -> _Sum:
    dose, times, drug = int(_pick(rng, (125, 200, 250, 400, 500, 750))), int(rng.integers(2, 5)), _pick(rng, DRUGS)
    asked = f"{dose} mg of {drug} are given {times} times a day. How much is that in {times} doses?"
    return asked, f"{dose} x {times}", dose * times, "mg"


def _volume(rng: np.random.Generator) -> _Sum:
    strength, volume, drug = int(_pick(rng, (20, 25, 40, 50))), int(rng.integers(2, 13)), _pick(rng, DRUGS)
    asked = f"A syrup holds {strength} mg of {drug} in each mL. How much syrup gives {strength * volume} mg?"
    return asked, f"{strength * volume} / {strength}", volume, "mL"


def _infusion(rng: np.random.Generator) -> _Sum:
    hours, rate = int(_pick(rng, (2, 4, 5, 6, 8, 10, 12))), int(rng.integers(4, 31)) * 5
    asked = f"{hours * rate} mL of fluid are to run in over {hours} hours. At what rate?"
    return asked, f"{hours * rate} / {hours}", rate, "mL/h"


def _course(rng: np.random.Generator) -> _Sum:
    tablets, times, days = int(rng.integers(2, 5)), int(rng.integers(2, 5)), int(rng.integers(3, 15))
    asked = f"{tablets * times * days} tablets are dispensed; {tablets} are taken {times} times a day. For how long?"
    return asked, f"{tablets * times * days} / {tablets * times}", days, "days"


_SUMS = (_by_weight, _of_a_day, _volume, _infusion, _course)

# ---- Instructions: rng -> (what is asked, IFEval's id, kwargs); any two can be followed at once ----------------------

_Instruction = tuple[str, str, dict[str, Any]]


def _words(rng: np.random.Generator) -> _Instruction:
    n = int(rng.integers(3, 9)) * 10
    return f"Use fewer than {n} words.", "length_constraints:number_words", {"num_words": n, "relation": "less than"}


def _bullets(rng: np.random.Generator) -> _Instruction:
    n = int(rng.integers(2, 5))
    asked = f"Write exactly {n} bullet points, each on a line that begins with a star (*)."
    return asked, "detectable_format:number_bullet_lists", {"num_bullets": n}


def _keyword(rng: np.random.Generator) -> _Instruction:
    word = _pick(rng, KEYWORDS)
    return f'Use the word "{word}".', "keywords:existence", {"keywords": [word]}


def _without(rng: np.random.Generator) -> _Instruction:
    word = _pick(rng, ("should", "may", "important", "however"))
    return f'Do not use the word "{word}".', "keywords:forbidden_words", {"forbidden_words": [word]}


def _lowercase(rng: np.random.Generator) -> _Instruction:
    return "Write in lowercase letters alone.", "change_case:english_lowercase", {}


def _no_comma(rng: np.random.Generator) -> _Instruction:
    return "Do not use any commas.", "punctuation:no_comma", {}


def _ending(rng: np.random.Generator) -> _Instruction:
    phrase = _pick(rng, ENDINGS)
    return f'End with exactly these words: "{phrase}"', "startend:end_checker", {"end_phrase": phrase}


def _title(rng: np.random.Generator) -> _Instruction:
    return "Begin with a title in double angle brackets, as in <<my title>>.", "detectable_format:title", {}


def _marked(rng: np.random.Generator) -> _Instruction:
    n = int(rng.integers(1, 4))
    asked = f"Mark at least {n} phrases with stars, as in *this phrase*."
    return asked, "detectable_format:number_highlighted_sections", {"num_highlights": n}


_INSTRUCTIONS = (_words, _bullets, _keyword, _without, _lowercase, _no_comma, _title, _marked, _ending)
