"""How a patient made of a record from outside (MediQ, AgentClinic) tells its facts: those asked for, those not asked
for, and things that are in no fact. MediQ (Li et al. 2024, arXiv 2406.00922) asks the same of its patients.

The doctor is a script that asks for one fact a message by the fact's own rarest words, so that what was asked for is
known by construction. What a reply told is the witness's to say (`evaluate.witness`), whose medical words are the
clinic's: an invention in others goes unseen.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from m2jax.evaluate.figures import Figure, share
from m2jax.evaluate.serving import Runs
from m2jax.evaluate.witness import Testimony, rarest, tells, witness
from m2jax.patient.persona import sample_persona
from m2jax.patient.script import Line, Script, said_by
from m2jax.patient.shown import opening
from m2jax.patient.simulate import Units, patient_turn
from m2jax.records.load import load
from m2jax.records.record import Fact, Record
from m2jax.records.text import CHART_WORDS
from m2jax.rollout.single_turn import results_of
from m2jax.sampler import requests

SEED = 6_000_000
WAYS = ("Can you tell me about this: {}?", "What can you say about this: {}?", "One more question. What about {}?")


@dataclasses.dataclass(frozen=True)
class Told:
    """A turn of the patient. wanted: the fact that the question was made for. told: ids of facts in the reply."""

    wanted: str
    told: frozenset[str]
    testimony: Testimony


def disclosure_figures(engine: Runs, units: Units, path: str | Path, n: int, rounds: int) -> list[Figure]:
    """Of the first n records of a file (0: all), `rounds` questions each. ValueError as `records.load.load` has it."""
    records, _ = load(path)
    dialogues = [_questioned(record, i, rounds, units) for i, record in enumerate(records[: n or None])]
    heard = [turns for turns in results_of(engine.run(dialogues)) if turns]
    name, said = records[0].source, f"{sum(map(len, heard))} turns"
    measures: dict[str, Callable[[Told], bool]] = {
        "asked facts told": lambda t: t.wanted in t.told,
        "turns without an unasked fact": lambda t: t.testimony.keeps,
        "turns without contradiction or invention": lambda t: t.testimony.true,
    }
    return [
        share(f"{name}: {what}", [[float(holds(t)) for t in turns] for turns in heard], None, said)
        for what, holds in measures.items()
    ]


def question(record: Record, fact: Fact, rng: np.random.Generator) -> tuple[str, frozenset[str]]:
    """A question made for a fact, and the ids of all facts that it asks for: those that share a word it names, and what
    is volunteered.
    """
    named = [w for w in rarest(fact.text, 5) if w not in CHART_WORDS][:2]
    about = {
        f.id
        for f in record.facts
        if f.disclosure == "volunteers"
        or (f.disclosure != "hidden" and not set(named).isdisjoint(re.findall(r"[a-z]+", f.text.lower())))
    }
    return str(WAYS[rng.integers(len(WAYS))]).format(", ".join(named)), frozenset(about | {fact.id})


def _questioned(record: Record, number: int, rounds: int, units: Units) -> requests.Dialogue:
    rng = np.random.default_rng([SEED, number])
    script = Script(record, sample_persona(SEED + number, record))
    dialogue: tuple[Line, ...] = (Line("patient", opening(record, SEED + number)),)
    facts = [f for f in record.facts if f.disclosure in ("asked", "private") and f.kind != "demographic"]
    asked: set[str] = set()
    turns: list[Told] = []
    for i in rng.permutation(len(facts))[:rounds]:
        text, about = question(record, facts[i], rng)
        asked |= about
        dialogue += (Line("doctor", text),)
        turn = yield from patient_turn(script, dialogue, units)
        if turn.gate.stop:
            break
        dialogue += (Line("patient", turn.final),)
        testimony = witness(record, asked, said_by("doctor", dialogue), turn.final)
        turns.append(Told(facts[i].id, tells(record, turn.final), testimony))
    return turns
