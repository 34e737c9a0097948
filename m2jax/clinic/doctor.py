"""A scripted doctor: a consultation's messages by seed, each with what it asks for, to measure the simulated patient.

The doctor does not listen, so that the truth of what was asked for is known by construction: it stands in `Move.asks`,
and nobody has to read it off the words.
"""

from __future__ import annotations

import dataclasses
import functools
import tomllib
from importlib import resources
from typing import Any

import numpy as np

from m2jax.clinic.sample import condition_of, is_of_clinic
from m2jax.records.record import Fact, Record


@dataclasses.dataclass(frozen=True)
class Move:
    """A message of the doctor. asks: ids of the facts that a patient may tell in answer. ends: whether the patient
    should end the consultation here.
    """

    text: str
    asks: frozenset[str] = frozenset()
    ends: bool = False


def moves(record: Record, seed: int, rounds: int) -> tuple[Move, ...]:
    """The doctor's part of a consultation: `rounds` messages, at least 2; the last ends it. Questions go from the open
    to the single, one in four about what is private; a symptom of a record from outside has no name to ask for, so
    there only sections of the history are asked for. ValueError for fewer.
    """
    if rounds < 2:
        raise ValueError(f"rounds is {rounds}; a consultation has an opening and an end, so at least 2")
    rng = np.random.default_rng([seed, rounds])
    text = _texts()
    told = frozenset(f.id for f in record.facts if f.disclosure == "volunteers")
    made = [Move(_draw(text["opening"], rng), told)]
    askable = [f for f in record.facts if f.disclosure in ("asked", "private")]
    if not is_of_clinic(record):
        askable = [f for f in askable if _subject(f) in text["kinds"]]
    symptoms = frozenset(f.id for f in record.of("symptom"))
    asked: set[str] = set()
    while len(made) < rounds - 1:
        if len(made) == 1 or not askable or rng.random() < 0.1:
            which = rng.integers(2)
            made.append(Move(_draw(text[("more", "others")[which]], rng), told | symptoms if which else told))
            continue
        private = rng.random() < 0.25
        open_ = [f for f in askable if (f.disclosure == "private") is private and f.id not in asked] or askable
        fact = open_[rng.integers(len(open_))]
        about = frozenset(f.id for f in askable if _subject(f) == _subject(fact)) | told
        asked |= about
        before = f"{_draw(text['remark'], rng)} " if rng.random() < 0.4 else ""
        made.append(Move(before + _question(fact, rng), about))
    return (*made, _end(record, rng))


def _end(record: Record, rng: np.random.Generator) -> Move:
    text = _texts()
    if rng.random() < 0.25:
        return Move(_draw(text["farewell"], rng), ends=True)
    plan = condition_of(record).management[:2] if is_of_clinic(record) else ()
    advice = " ".join(a.text for a in plan)
    said = _draw(text["diagnosis"], rng).format(diagnosis=record.diagnosis, advice=advice)
    return Move(said.strip(), ends=True)


def _subject(fact: Fact) -> str:
    """What a question is about: the kind of a fact, of habits the habit, of symptoms the symptom."""
    if fact.kind == "social":
        return fact.id.partition(".")[2].partition(".")[0]
    return fact.id if fact.kind == "symptom" else fact.kind


def _question(fact: Fact, rng: np.random.Generator) -> str:
    kinds = _texts()["kinds"]
    if _subject(fact) in kinds:
        return _draw(kinds[_subject(fact)], rng)
    name = fact.id.rpartition(".")[2].replace("-", " ")
    return _draw(_texts()["finding"], rng).format(name)


def _draw(options: list[str], rng: np.random.Generator) -> str:
    return options[rng.integers(len(options))]


@functools.cache
def _texts() -> dict[str, Any]:
    return tomllib.loads(resources.files("m2jax.clinic").joinpath("doctor.toml").read_text("utf-8"))
