"""Replies that a model wrote to the clinic's patients, as a file: what the grader practises and is tested on, besides
composed ones. `launch/replies.py` makes such a file; `BUNDLED` beside this one is taken where it is there.

One line is one reply: {"split": "train", "seed": 17, "reply": "I'm sorry ..."}, to `sample_case(seed, split)`; "by",
which may be there, is who wrote it.
"""

from __future__ import annotations

import importlib.resources
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from m2jax.lines import lines
from m2jax.verifier.rubric import SPLITS, Case, Criterion

BUNDLED = "replies.jsonl"
WISHES = 3  # criteria that a request names, at most


def wishes(case: Case, rng: np.random.Generator) -> list[Criterion]:
    """Some criteria of the case, that a reply may be asked to meet."""
    return [case.rubric[i] for i in rng.permutation(len(case.rubric))[:WISHES]]


def request(case: Case, wished: Sequence[Criterion]) -> str:
    """The patient's message, with what is wished for. A small model left alone meets hardly a criterion."""
    message = case.messages[0]["content"]
    if not wished:
        return message
    return "\n".join([message, "", "In your answer to me, in a few sentences:", *(f"- {c.text}" for c in wished)])


def load_replies(split: str, path: str = "") -> list[tuple[int, str]]:
    """(seed, reply) of a split, in the file's order; of the bundled file if `path` is empty, none where there is no
    such file. ValueError is `file:line: what is wrong, with the value`.
    """
    file = Path(path or str(importlib.resources.files("m2jax.data").joinpath(BUNDLED)))
    if not path and not file.is_file():
        return []
    found = []
    for number, line in lines(file):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise ValueError(f"{file}:{number}: not JSON ({error}); write one object per line") from error
        if not isinstance(row, dict) or set(row) - {"by"} != {"split", "seed", "reply"} or row["split"] not in SPLITS:
            raise ValueError(
                f"{file}:{number}: {str(row)[:80]!r} needs split ({', '.join(SPLITS)}), seed and reply, no more"
            )
        if not isinstance(row["reply"], str) or type(row["seed"]) is not int:
            raise ValueError(f"{file}:{number}: seed is {row['seed']!r}, reply {row['reply']!r}; an integer and a text")
        if row["split"] == split:
            found.append((row["seed"], row["reply"]))
    return found
