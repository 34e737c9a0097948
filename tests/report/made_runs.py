"""Run folders of any size without a model: patients of the clinic, scripted doctors, drafts that are good or are not,
judged and paid by the real code and written by the real writers. To look at one:

    python -m tests.report.made_runs runs/made [dialogues]
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np

from m2jax.clinic import doctor
from m2jax.clinic.sample import sample_case
from m2jax.data.cases import checked_only
from m2jax.evaluate import heldout
from m2jax.outside.endpoint import Said
from m2jax.patient.outcome import outcome
from m2jax.patient.reference import scripted_reply
from m2jax.patient.rubric import stage_of
from m2jax.patient.script import Dialogue, Line, Script, said_by, sample_script
from m2jax.patient.shown import opening
from m2jax.patient.simulate import Consultation, Round, Units, patient_turn
from m2jax.rollout import dialogues, sessions, slices
from m2jax.rollout.single_turn import Reply, Reward, pay
from m2jax.sampler.requests import Completion
from m2jax.verifier.reward import NORMALISATIONS, Verdict, grade_checks, reward_parts
from m2jax.verifier.rubric import Case

ROUNDS = 4
RULES = sessions.Rules(Reward(), 4096, 0.5)
WRONG = ("I vomited blood yesterday.", "It has been like this for twelve years.", "My left leg is numb.")
ADVICE = (
    "Please see a doctor today, and call an ambulance if it gets worse.",
    "Rest, drink enough, and take paracetamol if you have pain.",
    "It may be a virus. Do you have a fever? How long has this been going on?",
    "Do not worry about it; it is nothing.",
    "Are you allergic to any medicine, and do you take any regularly?",
    "If you have chest pain or trouble breathing, go to the emergency department at once.",
)


class Words:
    """A tokenizer whose tokens are words: enough for `pieces`."""

    def __init__(self) -> None:
        self.known: list[str] = []

    def encode(self, text: str) -> list[int]:
        parts = [part if i == 0 else f" {part}" for i, part in enumerate(text.split(" "))]
        self.known += [part for part in parts if part not in self.known]
        return [self.known.index(part) for part in parts]

    def decode(self, ids: Any, skip_controls: bool = True) -> str:
        return "".join(self.known[i] for i in ids)


def made_run(folder: Path, n: int, seed: int = 0, words: str = "", **config: Any) -> Path:
    """A run of about n dialogues, a tenth of them held out. words: of a hostile patient, wherever she has the word."""
    rng, tokenizer = np.random.default_rng(seed), Words()
    folder.mkdir(parents=True, exist_ok=True)
    asked = max(2, n // 20)
    cases = [_case(i, "heldout", words) for i in range(min(asked, 60))]
    for side, skill in (("before", 0.3), ("after", 0.55)):
        rows = []
        for i in range(asked):
            case = dataclasses.replace(cases[i % len(cases)], id=f"{cases[i % len(cases)].id}-{i // len(cases)}")
            (group,) = pay([case], [[_reply(case, skill, rng, tokenizer)]], Reward())
            rows.append(heldout._row(group[0], 0, float(-rng.gamma(2.0)), tokenizer))
        _write(folder / f"eval_{side}.jsonl", rows)
    before, after = (folder / f"eval_{side}.jsonl" for side in ("before", "after"))
    steps = max(1, (n - 2 * asked) // 8)
    train = [_case(i, "train", words) for i in range(12)]
    held = [sessions.pay([_held(i, rng, tokenizer, words) for _ in range(2)], RULES) for i in range(16)]
    for step in range(steps):
        dialogues.write(folder, step, _step(step, step / steps, train, held, rng, tokenizer))
        if step % 50 == 0:
            seen = [_watched(case, role, rng, tokenizer) for case in cases[:2] for role in ("doctor", "start")]
            dialogues.write(folder, step, seen, "watch")
    _write(folder / "metrics.jsonl", [_metrics(step, steps, seed, rng) for step in range(steps)])
    values = {"model": f"smollm2-135m-instruct{words}", "stage": "rl", "steps": steps, "seed": seed, "preset": "cpu"}
    values |= {"optimizer": {"lr": 2e-3}, "data": {"samples_per_prompt": 16, "path": words}, "command": f"made {words}"}
    (folder / "config.json").write_text(json.dumps(values | config))
    summary = {"model": values["model"], "seconds": 31.5 * steps, "steps": steps, "device": "made"}
    summary |= {name: heldout.summarise(file) for name, file in (("before", before), ("after", after))}
    (folder / "summary.json").write_text(json.dumps(summary | {"gain": heldout.gain(before, after)}))
    return folder


def _step(
    step: int,
    skill: float,
    train: list[Case],
    held: list[list[sessions.Episode]],
    rng: np.random.Generator,
    words: Words,
) -> list[dialogues.Row]:
    """Replies to cases, to slices of consultations, or whole consultations, by turns."""
    if step % 3 == 0:
        cases = [train[rng.integers(len(train))] for _ in range(4)]
        groups = pay(cases, [[_reply(case, skill, rng, words) for _ in range(2)] for case in cases], Reward())
        return dialogues.of_replies(groups, words)
    if step % 3 == 1:
        return dialogues.of_episodes([held[rng.integers(len(held))] for _ in range(4)], words)
    cut = [_cut(held[rng.integers(len(held))][0].held) for _ in range(3)]
    cases = [one.case for one in cut]
    groups = pay(cases, [[_reply(case, skill, rng, words) for _ in range(2)] for case in cases], Reward())
    return dialogues.of_replies(groups, words, cut)


def _case(seed: int, split: str, words: str) -> Case:
    case = sample_case(seed, split)
    said = tuple(message | {"content": message["content"] + words} for message in case.messages)
    rubric = tuple(
        dataclasses.replace(c, text=c.text + words, check=None if i == 0 else c.check)
        for i, c in enumerate(case.rubric)
    )
    return dataclasses.replace(case, messages=said, rubric=rubric, topic=case.topic + words)


def _reply(case: Case, skill: float, rng: np.random.Generator, words: Words) -> Reply:
    said = rng.choice(ADVICE, size=1 + rng.integers(1 + round(4 * skill)), replace=False)
    text = " ".join([*said, *(["Best wishes."] if rng.random() < skill else [])])
    return Reply([], _completion(text, rng, words), text, _graded(case, text, skill, rng))


def _graded(case: Case, text: str, skill: float, rng: np.random.Generator) -> list[Verdict]:
    sure = rng.beta(2 * skill + 0.3, 1, len(case.rubric))
    judged = (Verdict(bool(p > 0.5), float(p), "judge") for p in sure)
    return [found or next(judged) for found in grade_checks(case.rubric, text)]


def _watched(case: Case, role: str, rng: np.random.Generator, words: Words) -> dialogues.Row:
    """As `watch` has it: the judge asked about what a check decides."""
    case = checked_only([case])[0]
    text = _reply(case, 0.5, rng, words).text
    truth = [verdict.met for verdict in grade_checks(case.rubric, text)]
    sure = [float(np.clip(met + rng.normal(0, 0.4), 0, 1)) for met in truth]
    judged = [Verdict(p > 0.5, p, "judge") for p in sure]
    score, _ = reward_parts(case.rubric, judged, NORMALISATIONS["minmax"])
    rows = dialogues.criteria_of(case, judged, score)
    graded = [row | {"check": met} for row, met in zip(rows, truth, strict=True)]
    lines = [*dialogues.asked_in(case.messages), {"who": "doctor", "text": text, "criteria": graded}]
    row = {"kind": "watch", "id": case.id, "topic": case.topic, "split": case.split, "sample": 0, "role": role}
    return row | {"score": score, "checked": float(np.mean(truth)), "lines": lines}


def _completion(text: str, rng: np.random.Generator, words: Words) -> Completion:
    tokens = np.asarray(words.encode(text), np.int32)
    logp = -rng.gamma(0.6, 1.4, len(tokens)).astype(np.float32)
    return Completion(tokens, logp, logp, True)


def _held(number: int, rng: np.random.Generator, words: Words, evil: str) -> sessions.Episode:
    """A consultation with a patient whose drafts are wrong now and then."""
    script = sample_script(number, "train")
    dialogue: Dialogue = (Line("patient", opening(script.record, number) + evil),)
    rounds: list[Round] = []
    for move in doctor.moves(script.record, number + int(rng.integers(50)), ROUNDS):
        dialogue += (Line("doctor", move.text),)
        turn = _played(patient_turn(script, dialogue, Units(None, limit=ROUNDS)), script, dialogue, number, rng)
        rounds.append(Round([], _completion(move.text, rng, words), move.text, turn))
        if turn.gate.stop:
            break
        dialogue += (Line("patient", turn.final),)
    held = Consultation(script, dialogue, tuple(rounds), ())
    turns = []
    for i, round in enumerate(rounds):
        case = slices.case_of(script, dialogue[: 2 * i + 1])
        fault = rng.choice(slices.FAULTS) if i == len(rounds) - 1 and rng.random() < 0.2 else ""
        verdicts = () if fault else tuple(_graded(case, round.text, 0.5, rng))
        score, parts = (0.0, {}) if fault else reward_parts(case.rubric, verdicts, NORMALISATIONS["minmax"])
        stage = stage_of(script.record, case.rubric)
        turns.append(sessions.Turn(case, 0, round.completion, round.text, verdicts, score, parts, stage, str(fault)))
    reached = outcome(script.record, said_by("doctor", dialogue))
    asked = set().union(*(round.turn.asked for round in rounds))
    return sessions.Episode([], tuple(turns), reached, rounds[-1].turn.gate.reason or "room", len(asked), held)


def _played(
    turn: Generator[Any, Any, Any], script: Script, dialogue: Dialogue, number: int, rng: np.random.Generator
) -> Any:
    """The turn of a patient whose units say what is scripted, or add what is wrong."""
    answer = None
    while True:
        try:
            turn.send(answer)
        except StopIteration as end:
            return end.value
        text = scripted_reply(script, dialogue, number)
        answer = Said(f"{text} {rng.choice(WRONG)}" if rng.random() < 0.35 else text)


def _cut(held: Consultation) -> slices.Sliced:
    kept = sum(not round.turn.gate.stop for round in held.rounds)
    case = slices.case_of(held.script, held.dialogue[: 2 * kept + 1])
    return slices.Sliced(case, kept, len(held.rounds), "", held.rounds[-1].turn.gate.reason, 1, held)


def _metrics(step: int, steps: int, seed: int, rng: np.random.Generator) -> dict[str, float]:
    rise = 1 - np.exp(-(2 + seed) * step / steps)
    noise = lambda scale: float(scale * rng.standard_normal())  # noqa: E731
    return {
        "step": step,
        "reward/score": 0.3 + 0.25 * rise + noise(0.03),
        "reward/dimension/inquiry": 0.2 + 0.3 * rise + noise(0.05),
        "rollout/length": 60 + 40 * rise + noise(6),
        "rollout/entropy": 2.2 - 0.8 * rise + noise(0.1),
        "update/grad_norm": 0.4 + abs(noise(0.2)),
        "engine/decode_tok_s": 180 + noise(9),
        "seconds": 31.5 + noise(2),
        "compiles": 40 if step else 30,
    }  # fmt: skip


def _write(file: Path, rows: list[dict[str, Any]]) -> None:
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")


def repeated(folder: Path, n: int) -> Path:
    """A run of `made_run` whose steps come again under other numbers, until it has at least n dialogues."""
    files = sorted((folder / dialogues.FOLDER).glob("step-*.jsonl"))
    texts = [file.read_text("utf-8") for file in files]
    count, step = sum(text.count("\n") for text in texts), len(files)
    while count < n:
        text = texts[step % len(texts)].replace(f'{{"step": {step % len(texts)},', f'{{"step": {step},')
        (folder / dialogues.FOLDER / f"step-{step:08d}.jsonl").write_text(text, "utf-8")
        count, step = count + text.count("\n"), step + 1
    return folder


if __name__ == "__main__":
    wanted = int(sys.argv[2]) if len(sys.argv) > 2 else 10_000
    print(repeated(made_run(Path(sys.argv[1]), min(wanted, 1000)), wanted))
