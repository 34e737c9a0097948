"""AgentClinic (arXiv 2405.07960), for `launch/eval.py`: a doctor finds out a diagnosis in a consultation of four roles.

    doctor       knows what it is to find out; in each of at most `rounds` messages it asks the patient, or says
                 "REQUEST TEST: ...", or ends with "DIAGNOSIS READY: ..."
    patient      knows its own part of the case, and answers questions
    measurement  knows findings and results, and answers requests: "RESULTS: ..."
    moderator    is told the right diagnosis and the doctor's last message, and says whether they are the same

Each is a local model or an endpoint. Accuracy is over cases; who names no diagnosis in time is wrong. Beside the
original: messages are chats and not one text, what the roles are told is in our own words (`prompts/agentclinic_*`),
and a moderator's "Yes." counts as yes, as does any answer that begins with the word. A reply's thoughts are not heard.

The cases are the lines of `agentclinic_medqa.jsonl` and its like (`records.agentclinic` has the form). What came of
each consultation is in `consultations.jsonl` of the results folder; a stopped evaluation goes on with the rest.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Iterator, Sequence
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

from ml_collections import ConfigDict

from m2jax.evaluate import serving
from m2jax.evaluate.figures import Figure, figure, share
from m2jax.records.outside import read_objects
from m2jax.rollout.kept import Row
from m2jax.sampler.requests import Dialogue
from m2jax.text.chat import Message
from m2jax.text.tokenizer import Tokenizer
from m2jax.weights import names

ROLES = ("doctor", "patient", "measurement", "moderator")
TEST, READY = "REQUEST TEST", "DIAGNOSIS READY"  # as the protocol has them
LAST = "This is your last message: give your diagnosis now."


@dataclasses.dataclass(frozen=True)
class Osce:
    """A case: what the doctor is told, what the patient knows, findings and results, and the diagnosis, all as text."""

    objective: str
    patient: str
    findings: str
    diagnosis: str


def load(path: str | Path) -> list[Osce]:
    """The cases of a file, in its order. ValueError is `file:line: what is wrong`."""
    found = []
    for place, raw in read_objects(path):
        case = raw.get("OSCE_Examination", raw)
        wanted = ("Objective_for_Doctor", "Patient_Actor", "Correct_Diagnosis")
        if not isinstance(case, dict) or (missing := [key for key in wanted if not case.get(key)]):
            lacks = "OSCE_Examination is no object" if not isinstance(case, dict) else f"the case has no {missing}"
            raise ValueError(f"{place}: {lacks}; give cases of AgentClinic's OSCE form")
        findings = {key: case.get(key) for key in ("Physical_Examination_Findings", "Test_Results")}
        texts = (case["Objective_for_Doctor"], case["Patient_Actor"], findings, case["Correct_Diagnosis"])
        found.append(Osce(*(t if isinstance(t, str) else json.dumps(t, indent=1, ensure_ascii=False) for t in texts)))
    return found


def run(config: ConfigDict, tell: Callable[[str], None]) -> Iterator[Figure]:
    """The figures of the doctor on the cases of config.data."""
    cases = load(names.data_file(config.data))[: config.n or None]
    folder = Path(config.workdir)
    folder.mkdir(parents=True, exist_ok=True)
    who = {key: value for key, value in config.to_dict().items() if key not in ("workdir", "slots")}
    outside = serving.endpoints({name: config.roles[name] for name in ROLES}, config.temperature)

    def served() -> Any:
        return serving.serve(
            config.model, {}, config.temperature, config.max_tokens, config.longest, config.slots, outside
        )

    def jobs(tokenizer: Tokenizer) -> Callable[[int], Dialogue]:
        say = serving.speaker(tokenizer, outside, config.max_tokens, config.longest)
        return lambda i: consult(cases[i], say, config.rounds)

    rows = serving.kept(folder / "consultations.jsonl", who, cases, served, jobs, config.seed, tell)
    yield from figures_of(rows, cases)


def figures_of(rows: Sequence[Row], cases: Sequence[Osce]) -> list[Figure]:
    """Of consultations as `consult` returns them, one of each case."""
    undecided = sum(row["diagnosis"] is not None and row["right"] is None for row in rows)
    note = f"{undecided} without a verdict count as wrong" if undecided else ""
    said = [[line["who"] for line in row["dialogue"]] for row in rows]
    return [
        share("AgentClinic accuracy", [float(row["right"] or False) for row in rows], note=note, ids=cases),
        share("a diagnosis was given", [float(row["diagnosis"] is not None) for row in rows], ids=cases),
        figure("messages of the doctor", [float(who.count("doctor")) for who in said], ids=cases),
        figure("tests requested", [float(who.count("measurement")) for who in said], ids=cases),
    ]


def consult(case: Osce, say: serving.Say, rounds: int) -> Dialogue:
    """A consultation: {"dialogue": [{"who", "text"}], "diagnosis": the message that gave it or None, "moderator": what
    it said, "right": None where it said neither yes nor no}.
    """
    told = prompt("doctor", objective=case.objective, rounds=rounds)
    chat = [Message("system", told), Message("user", "The patient is here. Begin.")]
    heard: list[Row] = []
    for round in range(1, rounds + 1):
        if round == rounds:
            chat[-1] = Message("user", f"{chat[-1].content}\n\n{LAST}")
        text = yield from say("doctor", chat)
        if text is None:  # no room is left for another message, or an endpoint refuses it
            break
        heard.append({"who": "doctor", "text": text})
        if READY in text:
            verdict = yield from say(
                "moderator", [Message("user", prompt("moderator", diagnosis=case.diagnosis, said=text))]
            )
            right = decided(verdict or "")
            return {"dialogue": heard, "diagnosis": text, "moderator": verdict, "right": right}
        who = "measurement" if TEST in text else "patient"
        knows = {"measurement": case.findings, "patient": case.patient}[who]
        asked = [Message("system", prompt(who, case=knows)), Message("user", transcript(heard))]
        reply = yield from say(who, asked)
        if reply is None:
            break
        heard.append({"who": who, "text": reply})
        chat += [
            Message("assistant", text),
            Message("user", f"{reply}\n\n[{round} of your {rounds} messages are used]"),
        ]
    return {"dialogue": heard, "diagnosis": None, "moderator": None, "right": None}


def decided(verdict: str) -> bool | None:
    """The moderator's yes or no, by its first word; None where it is neither."""
    word = re.match(r"\W*(yes|no)\b", verdict, re.IGNORECASE)
    return None if word is None else word[1].lower() == "yes"


def transcript(heard: Sequence[Row]) -> str:
    """What was said so far, for the patient and for the measurements, who both hear all of it."""
    return "\n\n".join(f"{line['who'].capitalize()}: {' '.join(line['text'].split())}" for line in heard)


def prompt(role: str, **places: Any) -> str:
    """What a role is told."""
    text = resources.files("m2jax.evaluate").joinpath("prompts", f"agentclinic_{role}.txt").read_text("utf-8")
    return Template(text.strip()).substitute(places)
