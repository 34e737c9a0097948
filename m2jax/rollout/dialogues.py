"""What a run keeps of its dialogues to be read: `dialogues/step-NNNNNNNN.jsonl` in its folder, a file for each step.

Of a step's first draw the first `GROUPS` groups are kept, whatever they earned; of each the rollout that earned most
and the one that earned least. A file is written whole or not at all, and again where a step is done again: so whatever
ends a run leaves a folder that can be read. One line is one dialogue:

    {"kind": "reply" (to a case, or to a slice of a consultation), "consultation" (that a slice was cut from),
             "episode" (a whole consultation, trained on) or "watch" (the judge set against the checks),
     "step", "id", "topic", "split", "sample", "score", "bonus", "reward", "advantage": null where there is none,
     "shared": what the same reply earns from other patients, "lost": what of it is taken off the score (contrast),
     "ended": why a consultation ended, "fault": of the doctor, "cut": how many lines of it became a slice,
     "about": {"diagnosis", "persona"} of a simulated patient, "outcome": what a consultation came to,
     "role": "doctor" or "start", "checked": the score by the checks alone (of the watch, where "score" is the judge's),
     "lines": [{"who": "system" | "patient" | "doctor", "text",
                "units": the patient's `Turn` (gate, asked, draft, claims, rewrite, rewrite_claims, final, source),
                "criteria", "score", "shared", "lost", "bonus", "reward", "advantage", "stage", "fault" where graded,
                "pieces", "logp": of its tokens, log-probabilities in nats (null: not kept)}, ...]}

A patient who ends the consultation has a last line of her own with an empty text, for the gate's decision.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from m2jax.data.tasks import Task
from m2jax.lines import write_jsonl
from m2jax.patient.script import Script
from m2jax.patient.simulate import Consultation, Turn
from m2jax.rollout.sessions import Episode
from m2jax.rollout.single_turn import Rollout
from m2jax.rollout.slices import Sliced
from m2jax.rules.rule import kind_of
from m2jax.sampler.requests import Completion
from m2jax.text.pieces import pieces
from m2jax.text.tokenizer import Tokenizer
from m2jax.verifier.reward import Verdict
from m2jax.verifier.rubric import Case

Row = dict[str, Any]

FOLDER = "dialogues"
GROUPS = 4
RULE = 1000  # characters of a task's rule: the names of all conditions are many
TOKENS = 1024  # of a message, whose log-probabilities are kept
PAID = ("score", "shared", "lost", "bonus", "reward")
WHO = {"user": "patient", "assistant": "doctor", "system": "system"}


def write(workdir: Path, step: int, rows: Sequence[Row], name: str = "step") -> None:
    """Writes the dialogues of a step."""
    file = Path(workdir) / FOLDER / f"{name}-{step:08d}.jsonl"
    file.parent.mkdir(parents=True, exist_ok=True)
    write_jsonl(file, ({"step": step} | row for row in rows))


def of_replies(groups: Sequence[Sequence[Rollout]], tokenizer: Tokenizer, held: Sequence[Sliced] = ()) -> list[Row]:
    """The replies to cases; where they are slices, the consultations that these were cut from stand before them."""
    rows = []
    for i, group in enumerate(groups[:GROUPS]):
        rewards = np.asarray([rollout.reward for rollout in group])
        units = [round.turn for round in held[i].held.rounds[: held[i].kept]] if held else []
        if held:
            rows.append(_of_slice(held[i], tokenizer))
        for j in _ends(rewards):
            rollout, advantage = group[j], float(rewards[j] - rewards.mean())
            graded = {"criteria": criteria_of(rollout.case, rollout.verdicts, rollout.score), "advantage": advantage}
            reply = {"who": "doctor", "text": rollout.text} | graded | tokens_of(rollout.completion, tokenizer)
            paid = {name: getattr(rollout, name) for name in PAID} | {"advantage": advantage}
            case = rollout.case
            rows.append(_row("reply", case, j) | paid | {"lines": [*asked_in(case.messages, units), reply]})
    return rows


def of_episodes(groups: Sequence[Sequence[Episode]], tokenizer: Tokenizer) -> list[Row]:
    """Whole consultations; their score and reward are the means of their turns'."""
    rows = []
    for group in groups[:GROUPS]:
        rewards = np.asarray([np.mean([turn.reward for turn in episode.turns]) for episode in group])
        for j in _ends(rewards):
            episode = group[j]
            lines = _lines_of(episode.held, tokenizer)
            spoken = [line for line in lines if line["who"] == "doctor"]
            for line, turn in zip(spoken, episode.turns, strict=True):
                graded = criteria_of(turn.case, turn.verdicts, turn.score) if turn.verdicts else []  # none of a fault
                line["criteria"] = graded
                line |= {name: getattr(turn, name) for name in (*PAID, "advantage", "stage", "fault")}
            score = float(np.mean([turn.score for turn in episode.turns]))
            told = {"score": score, "bonus": None, "reward": float(rewards[j])}
            told |= {"advantage": float(rewards[j] - rewards.mean()), "ended": episode.ended}
            told |= {"fault": episode.turns[-1].fault, "outcome": episode.outcome._asdict()}
            told["about"] = about(episode.held.script)
            rows.append(_row("episode", episode.turns[0].case, j) | told | {"lines": lines})
    return rows


def criteria_of(case: Case | Task, verdicts: Sequence[Verdict], score: float) -> list[Row]:
    """Each criterion with points, verdict, the judge's probability, and what its check says (None: it has none). A
    task's rule takes the form of a criterion: what is met in part, as some of several instructions, is not met.
    """
    if isinstance(case, Task):
        kind, fields = kind_of(case.rule), json.dumps(dataclasses.asdict(case.rule), ensure_ascii=False)
        text = fields if len(fields) <= RULE else f"{fields[:RULE]} ..."
        rule = {"text": f"{kind}: {text}", "points": 1, "dimension": kind, "met": score == 1, "probability": None}
        return [rule | {"by": "rule", "check": score == 1}]
    return [
        {"text": c.text, "points": c.points, "dimension": c.dimension, "met": v.met, "probability": v.probability}
        | {"by": v.by, "check": v.met if v.by == "check" else None}
        for c, v in zip(case.rubric, verdicts, strict=True)
    ]


def tokens_of(completion: Completion, tokenizer: Tokenizer) -> Row:
    """The pieces of a reply with their log-probabilities, of the first `TOKENS`; the rest is one piece without."""
    ids = completion.tokens.tolist()
    own = {"pieces": pieces(tokenizer, ids[:TOKENS])}
    own["logp"] = [round(float(x), 3) for x in completion.logp_full[:TOKENS]]
    if rest := ids[TOKENS:]:
        own["pieces"].append(tokenizer.decode(rest))
        own["logp"].append(None)
    return own


def asked_in(messages: Sequence[Mapping[str, str]], units: Sequence[Turn] = ()) -> list[Row]:
    """The lines of a chat; units: of each of the patient's messages after the first, if they are known."""
    lines = [{"who": WHO[message["role"]], "text": message["content"]} for message in messages]
    answers = [line for line in lines if line["who"] == "patient"][1:]
    for line, turn in zip(answers, units, strict=False):
        line["units"] = dataclasses.asdict(turn)
    return lines


def about(script: Script) -> Row:
    """Who is simulated: what the patient has, which the doctor does not know, and how she is."""
    return {"diagnosis": script.record.diagnosis, "persona": dataclasses.asdict(script.persona)}


def _of_slice(sliced: Sliced, tokenizer: Tokenizer) -> Row:
    told = {name: None for name in ("score", "bonus", "reward", "advantage")}
    told |= {"ended": sliced.ended, "fault": sliced.fault, "cut": 2 * sliced.kept + 1}
    told |= {"about": about(sliced.held.script), "lines": _lines_of(sliced.held, tokenizer)}
    return _row("consultation", sliced.case, 0) | told


def _lines_of(held: Consultation, tokenizer: Tokenizer) -> list[Row]:
    """What was said, the doctor's tokens and what the patient's units decided."""
    lines: list[Row] = [{"who": "patient", "text": held.dialogue[0].text}]
    for round in held.rounds:
        lines.append({"who": "doctor", "text": round.text} | tokens_of(round.completion, tokenizer))
        lines.append({"who": "patient", "text": round.turn.final, "units": dataclasses.asdict(round.turn)})
    return lines


def _row(kind: str, case: Case | Task, sample: int) -> Row:
    return {"kind": kind, "id": case.id, "topic": case.topic, "split": case.split, "sample": sample}


def _ends(rewards: np.ndarray) -> list[int]:
    """The numbers of the one that earned most and the one that earned least."""
    return sorted({int(rewards.argmax()), int(rewards.argmin())})
