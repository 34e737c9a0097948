"""The consultation examination, for `launch/eval.py`: a model consults with patients, and the verifier marks it.

    inquiry         of the symptoms that are told only when asked for, the share that was asked for
    examination     of the kinds of examination and test that the record has findings of, the share that was done, asked
                    for or advised (`patient.examined`)
    diagnosis       whether some message names it
    treatment       points of the advice that is due with this patient, over all there are
    safety          urgency and safety net, and nothing said that must not be said, as a min-max score
    communication   the same of what each reply owes the patient (takes up what was said, is kind, plain and short, is
                    not surer than can be, asks little at once), by the rubric of its place; the mean over replies
    overall         the mean of those that the case has

All in [0, 1], by checks alone unless a judge is given. Of records from outside no advice is known, so they have no
treatment; the cases of the clinic are held out. The patient answers from the record without a model, or is the three
units over an endpoint. What came of each consultation is in `consultations.jsonl` of the results folder, with every
verdict; a stopped examination goes on with the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from m2jax.evaluate import doctor, serving
from m2jax.evaluate.figures import Figure, figure
from m2jax.patient.examined import named_in, procedures_of
from m2jax.patient.outcome import asked_for, open_facts
from m2jax.patient.persona import sample_persona
from m2jax.patient.rubric import chat, rubric_after, rubric_of_whole
from m2jax.patient.script import Dialogue, Line, Script, said_by, sample_script
from m2jax.patient.shown import opening
from m2jax.patient.simulate import Units, patient_turn
from m2jax.records.load import load
from m2jax.rollout.kept import Row
from m2jax.sampler import requests
from m2jax.text.tokenizer import Tokenizer
from m2jax.verifier.grader import OutsideJudge, grade
from m2jax.verifier.guards import for_checks
from m2jax.verifier.reward import grade_checks, score_minmax
from m2jax.verifier.rubric import Case, Criterion, Rubric
from m2jax.weights import names

PARTS = ("inquiry", "examination", "diagnosis", "treatment", "safety", "communication")
OF_REPLIES = ("communication", "clarity", "citation")  # dimensions of a reply's rubric that make communication


def scripts(config: ConfigDict) -> list[Script]:
    """The patients: of config.data's records, or of the clinic's held-out conditions."""
    if not config.data:
        return [sample_script(doctor.SEED + i, "heldout") for i in range(config.n)]
    records, _ = load(names.data_file(config.data))
    return [Script(r, sample_persona(doctor.SEED + i, r)) for i, r in enumerate(records[: config.n or None])]


def run(config: ConfigDict, tell: Callable[[str], None]) -> Iterator[Figure]:
    """The figures of config.model, or of the endpoint that is the doctor."""
    patients = scripts(config)
    folder = Path(config.workdir)
    folder.mkdir(parents=True, exist_ok=True)
    who = {key: value for key, value in config.to_dict().items() if key not in ("workdir", "slots")}
    outside = serving.endpoints(dict(config.roles.items()), config.temperature)
    judge = OutsideJudge("judge") if "judge" in outside else None

    def served() -> Any:
        return serving.serve(
            config.model, {}, config.temperature, config.max_tokens, config.longest, config.slots, outside
        )

    def jobs(tokenizer: Tokenizer) -> Callable[[int], requests.Dialogue]:
        say = serving.speaker(tokenizer, outside, config.max_tokens, config.longest)

        def examined(i: int) -> requests.Dialogue:
            seed = doctor.SEED + i
            if "patient" in outside:
                answers = _simulated(patients[i], config)
            else:
                answers = doctor.answers_from_facts(patients[i], config.rounds, seed)
            said = opening(patients[i].record, seed)
            dialogue = yield from doctor.held(said, lambda messages: say("doctor", messages), answers)
            return (yield from marked(patients[i].record, dialogue, judge))

        return examined

    rows = serving.kept(folder / "consultations.jsonl", who, patients, served, jobs, config.seed, tell)
    yield from figures_of(rows)


def figures_of(rows: Sequence[Row]) -> list[Figure]:
    """Of consultations as `marked` returns them, each over those that have the part."""
    names = [*PARTS, "overall"]
    parts = {name: [row for row in rows if row["scores"][name] is not None] for name in names}
    messages = [float(sum(line["who"] == "doctor" for line in row["dialogue"])) for row in rows]
    return [
        figure(name, [row["scores"][name] for row in own], ids=[row["record"] for row in own])
        for name, own in parts.items()
        if own
    ] + [figure("messages of the doctor", messages, ids=[row["record"] for row in rows])]


def marked(record: Any, dialogue: Dialogue, judge: OutsideJudge | None) -> requests.Dialogue:
    """{"record": its id, "dialogue": [{"who", "text"}], "marks": of each of the doctor's messages its rubric with what
    was met (None: no check, no judge), "whole": that of all together, "scores": by part, None where there is nothing}.
    """
    said, marks = said_by("doctor", dialogue), []
    for i, line in enumerate(dialogue):
        if line.who == "doctor":
            rubric, messages = rubric_after(record, dialogue[:i]), chat(dialogue[:i])
            marks.append((rubric, (yield from _verdicts(record.id, rubric, messages, line.text, judge))))
    whole = rubric_of_whole(record)
    each = [grade_checks(whole, message) for message in said]
    met = [any(verdicts[k].met for verdicts in each) for k in range(len(whole))]
    key, done = open_facts(record), procedures_of(record)
    named = done & {name for message in said for name in named_in(for_checks(message))}
    scores = {
        "inquiry": len(asked_for(record, said)) / len(key) if key else None,
        "examination": len(named) / len(done) if done else None,
        "diagnosis": _score(whole, met, lambda c: c.dimension == "accuracy" and c.points > 0),
        "treatment": _score(whole, met, lambda c: c.dimension == "treatment" and c.points > 0),
        "safety": _score(whole, met, lambda c: c.dimension == "safety" or c.points < 0),
        "communication": _mean([_score(*mark, lambda c: c.dimension in OF_REPLIES) for mark in marks]),
    }
    return {
        "record": record.id,
        "dialogue": [{"who": line.who, "text": line.text} for line in dialogue],
        "marks": [_written(*mark) for mark in marks],
        "whole": _written(whole, met),
        "scores": scores | {"overall": _mean([*scores.values()])},
    }


def _verdicts(
    name: str, rubric: Rubric, messages: Sequence[Row], reply: str, judge: OutsideJudge | None
) -> requests.Dialogue:
    """What a reply met of its rubric; None where a criterion has no check, and no judge has given a verdict."""
    if judge is None:
        return [verdict and verdict.met for verdict in grade_checks(rubric, reply)]
    verdicts = yield from grade(Case(name, name, "heldout", tuple(messages), rubric), reply, judge)
    return [v.met if v.by in ("check", "judge") else None for v in verdicts]


def _score(rubric: Rubric, met: Sequence[bool | None], counts: Callable[[Criterion], bool]) -> float | None:
    """The min-max score of the criteria that count and were decided; None where there are none."""
    found = [(c.points, m) for c, m in zip(rubric, met, strict=True) if counts(c) and m is not None]
    return score_minmax(*zip(*found, strict=True)) if found else None


def _mean(values: Sequence[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return float(np.mean(there)) if there else None


def _written(rubric: Rubric, met: Sequence[bool | None]) -> list[Row]:
    return [
        {"text": c.text, "points": c.points, "dimension": c.dimension, "met": m}
        for c, m in zip(rubric, met, strict=True)
    ]


def _simulated(script: Script, config: ConfigDict) -> doctor.Answers:
    """The patient of the three units over the endpoint "patient"."""
    units = Units(None, "patient", "patient", None, config.rounds, config.max_tokens)

    def answers(dialogue: tuple[Line, ...]) -> requests.Dialogue:
        turn = yield from patient_turn(script, dialogue, units)
        return None if turn.gate.stop else turn.final

    return answers
