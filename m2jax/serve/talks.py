"""A person talks to the model: as the doctor of a simulated patient, or as a patient of the doctor. For the page at /.

The talk lies with the page: each request brings the patient's seed and all that was said, and the answer follows from
them, so that nothing is kept here and a talk can go on anywhere. One turn at a time:

    {"role": "patient", "seed": 7, "dialogue": []}                        what the patient says first
    {"role": "patient", "seed": 7, "dialogue": [..., {"who": "doctor"}]}  her answer, and what the rubric says of him
    {"role": "doctor",  "seed": 7, "dialogue": [..., {"who": "patient"}]} the doctor's answer, and its marks
    {..., "over": true}                                                   what there was to find
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import functools
import hashlib
import re
from importlib import resources
from typing import Any

from m2jax import adapters
from m2jax.patient import shown
from m2jax.patient.script import Dialogue, Line, Script, sample_script
from m2jax.patient.simulate import Turn, Units, patient_turn, units_of
from m2jax.patient.terminal import ENDINGS, LONGEST
from m2jax.rollout import slices
from m2jax.sampler import requests
from m2jax.serve.fields import flag, integer, mapping, text, wrong
from m2jax.serve.models import SHIPPED, TALK, UNITS, Served
from m2jax.text.chat import Message
from m2jax.verifier.ask import ask
from m2jax.verifier.calibration import of_card
from m2jax.verifier.grader import grade
from m2jax.verifier.judge import Judge
from m2jax.verifier.reward import Verdict, grade_checks

ROUNDS = 20
SEEDS = 1_000_000
LONGEST_MADE = 20 * TALK  # characters of a line of the model's own


@dataclasses.dataclass(frozen=True)
class Talk:
    """role: whom the model plays. over: nobody says anything more."""

    role: str
    seed: int
    script: Script
    dialogue: Dialogue
    over: bool


def read(body: Any) -> Talk:
    """The talk of a request's JSON; `Refused` names what is wrong."""
    body = mapping(body, "the body")
    if body.get("role") not in ("patient", "doctor"):
        raise wrong("role", body.get("role"), "patient or doctor")
    seed, said = integer(body, "seed", 0, 0, SEEDS), body.get("dialogue")
    if not isinstance(said, list) or len(said) > 2 * ROUNDS + 2:
        raise wrong("dialogue", said, f"a list of at most {2 * ROUNDS + 2} lines")
    lines = tuple(_line(line, f"dialogue[{i}]", body["role"]) for i, line in enumerate(said))
    for i, line in enumerate(lines):
        if line.who != ("patient", "doctor")[i % 2]:
            raise wrong(f"dialogue[{i}].who", line.who, "patient and doctor in turn, the patient first")
    talk = Talk(body["role"], seed, sample_script(seed, "heldout"), lines, flag(body, "over"))
    if lines and not talk.over and lines[-1].who == talk.role:
        raise wrong("dialogue", said, f"a dialogue that the {talk.role} has not ended: it is his turn")
    return talk


def _line(given: Any, name: str, role: str) -> Line:
    """role: whom the model plays."""
    line = mapping(given, name)
    longest = LONGEST_MADE if line.get("who") == role else LONGEST
    said = " ".join(re.sub(r"[^\S ]|[\x00-\x1f\x7f]", " ", text(line.get("text"), f"{name}.text")).split())
    if not said or len(said) > longest:
        raise wrong(f"{name}.text", said, f"1 to {longest} characters")
    if line.get("who") not in ("patient", "doctor"):
        raise wrong(f"{name}.who", line.get("who"), "patient or doctor")
    return Line(line["who"], said)


def turn(served: Served, talk: Talk) -> requests.Dialogue:
    """A dialogue that returns the JSON of the next line: "text" ("" where nobody speaks), "marks" of the doctor's last
    message, "ended", and with the patient "units", what they decided.
    """
    record, said = talk.script.record, talk.dialogue
    if talk.over:
        return {"text": "", "marks": [], "ended": "quit", "reveal": shown.reveal(record, said)}
    if talk.role == "doctor":
        if not said:
            return {"text": "", "marks": [], "ended": "", "sheet": shown.case_sheet(talk.script)}
        chat = [Message("user" if line.who == "patient" else "assistant", line.text) for line in said]
        reply = yield from ask(served.tokenizer, "doctor", chat)
        return {"text": reply, "marks": (yield from _marks(served, talk.script, said, reply)), "ended": ""}
    if not said:
        return {"text": shown.opening(record, talk.seed), "marks": [], "ended": ""}
    made: Turn = yield from patient_turn(talk.script, said, _units(served))
    marks = yield from _marks(served, talk.script, said[:-1], said[-1].text)
    answer = {"text": made.final, "marks": marks, "units": shown.show_turn(made)}
    over = {"reveal": shown.reveal(record, said), "why": ENDINGS[made.gate.reason]} if made.gate.stop else {}
    return answer | {"ended": made.gate.reason if made.gate.stop else ""} | over


@functools.cache
def page() -> tuple[str, str]:
    """(HTML, its content security policy: nothing but itself, and this server)"""
    html = resources.files(__package__).joinpath("page.html").read_text("utf-8")
    script = re.search("<script>(.*?)</script>", html, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; connect-src 'self'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    return html, policy + "; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


def _units(served: Served) -> Units:
    cards = {  # what a run has trained has none
        name: adapters.card(name) if role.adapter == name else {}
        for name, role in served.engine.roles.items()
        if name in UNITS
    }
    units = units_of(served.tokenizer, cards, next(iter(served.models)), ROUNDS)
    return dataclasses.replace(units, affective="patient")


def _marks(served: Served, script: Script, dialogue: Dialogue, message: str) -> requests.Dialogue:
    """A dialogue that returns the criteria of the doctor's message as JSON, those that weigh most first, and whether
    it met them: by check, else by the judge with its probability, else None.
    """
    case = slices.case_of(script, dialogue)
    verdicts: list[Verdict | None] = grade_checks(case.rubric, message)
    if judge := _judge(served):
        with contextlib.suppress(ValueError):  # the engine's: a talk too long to be judged
            verdicts = yield from grade(case, message, judge)
    rows = [
        {"text": c.text, "points": c.points, "dimension": c.dimension, "met": v and v.met}
        | {"probability": v and v.probability}
        for c, v in zip(case.rubric, verdicts, strict=True)
    ]
    return sorted(rows, key=lambda row: -abs(row["points"]))


def _judge(served: Served) -> Judge | None:
    """The role that judges, where an adapter or a run made it a judge."""
    role = served.engine.roles["judge"]
    if role.adapter is None and role.params == "base":
        return None
    card = adapters.card(role.adapter) if role.adapter == SHIPPED["judge"] else {}
    return Judge(served.tokenizer, max_prefix=served.longest, calibration=of_card(card))
