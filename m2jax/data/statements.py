"""Answers to patients' questions, and statements of which each answer makes some and not the others: what it says in
other words, and what shares its words and is not said. For the grader to practise what K-QA's physicians were asked.

    {"question": "...", "answer": "...", "statements": [{"text": "...", "said": true}, ...]}

`statements.jsonl` beside this file was written one by one by a large language model that had seen neither K-QA nor the
rules here. Every tenth line is held out.
"""

from __future__ import annotations

import json
from functools import cache
from importlib import resources

from m2jax.verifier.rubric import Case, Criterion

HELD_OUT = 10

Asked = tuple[Case, str, tuple[tuple[Criterion, str], ...]]


@cache
def statements(split: str) -> tuple[Asked, ...]:
    """Of each line of a split: its question as a case, the answer, and the statements with "Yes" or "No"."""
    text = resources.files("m2jax.data").joinpath("statements.jsonl").read_text("utf-8")
    made = []
    for number, line in enumerate(filter(None, text.split("\n"))):
        if (number % HELD_OUT == HELD_OUT - 1) is (split == "heldout"):
            row = json.loads(line)
            asked = tuple((states(s["text"]), "Yes" if s["said"] else "No") for s in row["statements"])
            question = ({"role": "user", "content": row["question"]},)
            case = Case(f"statements-{number}", "statements", split, question, tuple(c for c, _ in asked))
            made.append((case, row["answer"], asked))
    return tuple(made)


def states(text: str) -> Criterion:
    """A statement as a criterion of the reply."""
    return Criterion(f"States that {small(text).rstrip('.')}.", 5, "accuracy")


def small(sentence: str) -> str:
    """A sentence as it stands after others, its first word small unless that has capitals or digits besides."""
    first = sentence.split(" ", 1)[0]
    plain = first == "A" or (first[1:].isalpha() and first[1:].islower())
    return sentence[0].lower() + sentence[1:] if plain else sentence
