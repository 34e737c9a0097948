"""How true a simulated patient is: consultations with the scripted doctor, judged by the witness.

Three forms of the patient over the same model, for the ablation (paper, section 1): `single`, one prompt with the whole
record and the persona; `two`, the Termination Gate and the Affective Unit; `three`, the Factual Unit as well.

- Privacy: turns without a leak. Fact: turns without a contradiction or an invention (`evaluate.witness`).
- Personification: how well a classifier of words, cross-fitted over consultations, tells from the patient's lines alone
  which of two personas speaks: outgoing or reserved, thinking or feeling, schooled little or at a university. The mean
  of the three accuracies, each balanced, so that chance is 0.5.
- answers: of the lines after a question for facts not told before, those that tell one of them.
- gate: of the doctor's last messages those at which the patient stops, of the others those at which it goes on. What
  a message is stands in the script.
"""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Callable, Sequence
from importlib import resources

from m2jax.clinic import doctor
from m2jax.clinic.sample import sample_case
from m2jax.evaluate.figures import Figure, share
from m2jax.evaluate.serving import Runs
from m2jax.evaluate.witness import Testimony, tells, witness
from m2jax.evaluate.words import FOLDS, balanced_guesses
from m2jax.patient.affective import affective
from m2jax.patient.claims import known
from m2jax.patient.persona import Persona, behaviour
from m2jax.patient.prompt import conversation, fill, listed
from m2jax.patient.reference import tell
from m2jax.patient.script import Line, Script, said_by, sample_script
from m2jax.patient.simulate import Units, decide, patient_turn
from m2jax.rollout.single_turn import results_of
from m2jax.sampler import requests
from m2jax.text.chat import Message
from m2jax.verifier.ask import ask

FORMS = ("single", "two", "three")
NO_LIMIT = 99  # rounds
SEED = 7_000_000  # of patients, none of which training draws
TRAITS: dict[str, Callable[[Persona], str]] = {  # "" is neither of the two
    "outgoing or reserved": lambda p: p.mbti[0],
    "thinking or feeling": lambda p: p.mbti[2],
    "schooled little or long": lambda p: {"basic": "basic", "university": "university"}.get(p.education, ""),
}


@dataclasses.dataclass(frozen=True)
class Heard:
    """One consultation. lines: of the patient after its opening. testimonies: one a line. answers: of the lines that
    should tell something new, whether they do. stops, goes_on: of the doctor's messages that should, and should not,
    end it, whether they did and did not.
    """

    script: Script
    lines: tuple[str, ...]
    testimonies: tuple[Testimony, ...]
    answers: tuple[bool, ...]
    stops: tuple[bool, ...]
    goes_on: tuple[bool, ...]


def patient_figures(
    engine: Runs, units: Units, n: int, beside: int, rounds: int = 5, single: str = "start"
) -> list[Figure]:
    """The figures of n held-out consultations of `rounds` messages of the doctor, and of the first `beside` of them for
    the forms that are there to compare with. single: the role that plays the form of one prompt.
    """
    figures = []
    for form in FORMS:
        numbers = range(n if form == FORMS[-1] else beside)
        heard = results_of(engine.run([_consult(i, rounds, form, units, single) for i in numbers]))
        figures += figures_of(heard, form, full=form == FORMS[-1])
    return figures


def gate_figures(engine: Runs, units: Units) -> list[Figure]:
    """The gate on `gate_turns`, and its regression alone where a model reads too."""
    turns, units = gate_turns(), dataclasses.replace(units, limit=NO_LIMIT)
    forms = [("gate", units, 0.97)]
    if units.gate:
        forms.append(("gate without a model", dataclasses.replace(units, gate=None), None))
    figures = []
    for name, form, wanted in forms:
        found = results_of(engine.run([decide(messages, form) for messages, _ in turns]))
        right = [(stop, float(gate.stop is stop)) for gate, (_, stop) in zip(found, turns, strict=True)]
        what = f"turns of other writers: {name}"
        figures += [
            share(f"{what} stops when it should", [r for stop, r in right if stop], wanted),
            share(f"{what} goes on when it should", [r for stop, r in right if not stop], wanted),
        ]
    return figures


def gate_turns() -> list[tuple[list[str], bool]]:
    """The doctor's messages of 400 consultations, each with whether the last one ends it, written by a large language
    model that had not seen those that the gate was fitted to.
    """
    text = resources.files("m2jax.evaluate").joinpath("gate_turns.jsonl").read_text("utf-8")
    rows = [json.loads(line) for line in text.split("\n") if line]
    return [(row["messages"], row["stop"]) for row in rows]


def figures_of(heard: Sequence[Heard], form: str, full: bool) -> list[Figure]:
    """Of one form. full: the whole patient, of which something is wanted."""
    lines = sum(len(h.lines) for h in heard)
    spoke = [h for h in heard if h.lines]
    figures = [
        share(f"{form}: privacy", _of(spoke, lambda t: t.keeps), 0.98 if full else None, f"{lines} turns"),
        share(f"{form}: fact", _of(spoke, lambda t: t.true), 0.95 if full else None, f"{lines} turns"),
        *personification(spoke, form),
    ]
    if answers := [h.answers for h in heard if h.answers]:
        figures.append(share(f"{form}: answers", answers))
    if form != "single":
        figures += [
            share(f"{form}: gate stops when it should", [h.stops for h in heard if h.stops], 0.97 if full else None),
            share(f"{form}: gate goes on when it should", [h.goes_on for h in heard], 0.97 if full else None),
        ]
    return figures


def personification(heard: Sequence[Heard], form: str) -> list[Figure]:
    """See the module. A value per consultation: the mean over the traits that its persona has. None where the
    consultations are too few for it.
    """
    guesses: list[list[float]] = [[] for _ in heard]
    for trait in TRAITS.values():
        of_two = [(i, trait(h.script.persona)) for i, h in enumerate(heard) if trait(h.script.persona)]
        counts = Counter(label for _, label in of_two)
        if len(counts) == 2 and min(counts.values()) >= FOLDS:
            right = balanced_guesses([" ".join(heard[i].lines) for i, _ in of_two], [label for _, label in of_two])
            for (i, _), value in zip(of_two, right, strict=True):
                guesses[i].append(value)
    told = [g for g in guesses if g]
    return [share(f"{form}: personification", told, note="chance is 0.5")] if told else []


def _consult(number: int, rounds: int, form: str, units: Units, single: str) -> requests.Dialogue:
    script = sample_script(SEED + number, "heldout")
    moves = doctor.moves(script.record, SEED + number, rounds)
    opening = sample_case(SEED + number, "heldout").messages[-1]["content"]
    dialogue: tuple[Line, ...] = (Line("patient", opening),)
    asked: set[str] = set()
    told = {f.id for f in script.record.facts if f.disclosure == "volunteers"} | tells(script.record, opening)
    lines, testimonies, answers, stops, goes_on = [], [], [], [], []
    for move in moves:
        dialogue += (Line("doctor", move.text),)
        asked |= move.asks
        stopped, reply = yield from _turn(form, script, dialogue, units, single)
        (stops if move.ends else goes_on).append(stopped if move.ends else not stopped)
        if stopped or move.ends:
            break
        dialogue += (Line("patient", reply),)
        lines.append(reply)
        testimonies.append(witness(script.record, asked, said_by("doctor", dialogue), reply))
        if new := move.asks - told:
            answers.append(bool(new & tells(script.record, reply)))
        told |= tells(script.record, reply)
    return Heard(script, tuple(lines), tuple(testimonies), tuple(answers), tuple(stops), tuple(goes_on))


def _turn(form: str, script: Script, dialogue: tuple[Line, ...], units: Units, single: str) -> requests.Dialogue:
    """(whether the patient ends the consultation, what it says)."""
    if form == "three":
        turn = yield from patient_turn(script, dialogue, units)
        return turn.gate.stop, turn.final
    if form == "two":
        decision = yield from decide(said_by("doctor", dialogue), units)
        if decision.stop:
            return True, ""
        seen = known(script.record, dialogue)
        draft = yield from affective(script, dialogue, seen, units.tokenizer, units.affective, units.max_tokens)
        return False, draft
    prompt = fill(
        "single",
        persona=listed(behaviour(script.persona)),
        conversation=conversation(dialogue),
        facts=listed(tell(fact, script.record) for fact in script.record.facts if fact.disclosure != "hidden"),
    )
    return False, (yield from ask(units.tokenizer, single, [Message("user", prompt)], units.max_tokens))


def _of(heard: Sequence[Heard], holds: Callable[[Testimony], bool]) -> list[list[float]]:
    return [[float(holds(t)) for t in h.testimonies] for h in heard]
