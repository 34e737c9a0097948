"""What a person in a terminal is shown of a talk: what the units decided, rubric marks, the case sheet, the ending."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from m2jax.clinic.message import phrase, sample_question
from m2jax.clinic.sample import is_of_clinic
from m2jax.patient.disclosed import asked
from m2jax.patient.gate import Gate
from m2jax.patient.persona import behaviour
from m2jax.patient.reference import tell
from m2jax.patient.rubric import rubric_after
from m2jax.patient.script import Dialogue, Script, said_by
from m2jax.patient.simulate import Turn
from m2jax.records.record import Fact, Record
from m2jax.verifier.reward import grade_checks, score_minmax

_MOST_TOLD = 3  # facts of an opening that is composed here


@dataclasses.dataclass(frozen=True)
class Mark:
    """A criterion of the slice's rubric, and whether the doctor's message met it (None: it has no check)."""

    text: str
    points: int
    dimension: str
    met: bool | None


def marks_of(record: Record, dialogue: Dialogue, message: str) -> tuple[Mark, ...]:
    """The rubric of the slice that a dialogue has come to, checked on what the doctor says next."""
    rubric = rubric_after(record, dialogue)
    verdicts = grade_checks(rubric, message)
    return tuple(Mark(c.text, c.points, c.dimension, v and v.met) for c, v in zip(rubric, verdicts, strict=True))


def opening(record: Record, seed: int) -> str:
    """What the patient says first: of the clinic's records `sample_question`, of others what is volunteered."""
    if is_of_clinic(record):
        return sample_question(record, seed)
    told = [f for f in record.facts if f.disclosure == "volunteers" and f.kind != "demographic"]
    told.sort(key=lambda f: f.kind != "complaint")
    return " ".join(["Hello, doctor.", *(tell(f, record) for f in told[:_MOST_TOLD])])


def show_marks(marks: Sequence[Mark]) -> str:
    """The rubric, the criteria that weigh most first, with the score of those that were checked."""
    checked = [m for m in marks if m.met is not None]
    score = f"{score_minmax([m.points for m in checked], [m.met for m in checked]):.2f}" if checked else "none checked"
    signs = {True: "met", False: "-", None: "?"}
    rows = sorted(marks, key=lambda m: -abs(m.points))
    return "\n".join([f"  rubric    {score}", *(f"    {signs[m.met]:<4}{m.points:+3d}  {m.text}" for m in rows)])


def show_turn(turn: Turn) -> str:
    """What the units decided about one reply."""
    rows = [("gate", (f"stops: {turn.gate.reason}" if turn.gate.stop else "goes on") + _odds(turn.gate))]
    if not turn.gate.stop:
        rows += [("asked", ", ".join(turn.asked) or "(nothing)"), ("draft", turn.draft or "(nothing)")]
        rows += _claims("claim", turn.claims)
        if turn.rewrite is not None:
            rows += [("rewrite", turn.rewrite or "(nothing)"), *_claims("claim", turn.rewrite_claims)]
        rows += [("source", turn.source)]
    return "\n".join(f"  {name:<9} {' '.join(text.split())}" for name, text in rows)


def case_sheet(script: Script) -> str:
    """What a person needs who plays the patient; the hidden facts are not in it."""
    record = script.record
    parts = ["You play this patient. Nobody sees what you know but you."]
    for title, disclosure in (
        ("Tell at once", "volunteers"),
        ("Tell when asked about it", "asked"),
        ("Keep back unless asked for it directly", "private"),
    ):
        if facts := [f for f in record.facts if f.disclosure == disclosure]:
            parts += [f"{title}:", *(f"  - {tell(f, record)}" for f in facts)]
    parts += ["How you are:", *(f"  - {text}" for text in behaviour(script.persona))]
    return "\n".join([*parts, "You do not know the diagnosis; it is shown at the end."])


def reveal(record: Record, dialogue: Dialogue) -> str:
    """The diagnosis, what an examination and tests would have shown, and what the doctor has not heard or asked for."""
    rows = [f"The diagnosis: {record.diagnosis}."]
    if findings := record.of("exam", "test"):
        rows += ["Examination and tests:", *(f"  - {f.text}" for f in findings)]
    missed = never_asked(record, dialogue)
    rows += ["Never asked about:", *(f"  - {f.text}{' (private)' * (f.disclosure == 'private')}" for f in missed)]
    return "\n".join(rows if missed else [*rows[:-1], "Everything the patient could tell was asked about."])


def never_asked(record: Record, dialogue: Dialogue) -> list[Fact]:
    """The facts that the patient could have told and that came up in no question and in none of her lines."""
    told = " ".join(said_by("patient", dialogue)).lower()
    meant = {i for message in said_by("doctor", dialogue) for i in asked(message, record).facts}
    open_ = (f for f in record.facts if f.disclosure != "hidden" and f.kind != "demographic" and f.id not in meant)
    return [f for f in open_ if phrase(f).lower() not in told and tell(f, record).lower() not in told]


def _odds(gate: Gate) -> str:
    """How sure regression and model are that the consultation is over."""
    sure = [f"{p:.2f} {by}" for p, by in ((gate.p, "by its words"), (gate.read, "by the model")) if p is not None]
    return f" ({', '.join(sure)})" if sure else ""


def _claims(name: str, claims: Sequence) -> list[tuple[str, str]]:
    return [
        (name, f"{c.label}{f' ({c.fact})' if c.fact else ''}{' by the model' * (c.by == 'model')}: {c.text}")
        for c in claims
    ]
