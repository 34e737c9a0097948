"""One form for every dialogue, whatever wrote it: a step of training, an evaluation, or a talk in a terminal.

A dialogue has the fields of `rollout.dialogues` and "when" it was held: "before" or "after" training (held-out),
"training", "watch" or "talk". Its lines are the same wherever it comes from. Nothing that a file holds is trusted: what
is not of its form is left out, and a row of which nothing is left is None.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from m2jax.report import number

Row = dict[str, Any]

WHO = {"user": "patient", "assistant": "doctor", "system": "system", "patient": "patient", "doctor": "doctor"}
NUMBERS = ("score", "shared", "lost", "checked", "bonus", "reward", "advantage", "base_logp", "tokens")
WORDS = ("id", "topic", "split", "ended", "fault", "role")
OF_A_LINE = ("score", "shared", "lost", "bonus", "reward", "advantage")
OUTCOME = ("share", "diagnosis", "safety_net")


def body_of(row: object, when: str) -> Row | None:
    """The dialogue in a row of a file of `when`."""
    if not isinstance(row, dict):
        return None
    if "patient" in row and "lines" in row:
        row = _consultation(row)
    elif "reply" in row:
        row = _held_out(row)
    lines = [_line(line) for line in _dicts(row.get("lines"))]
    if not lines:
        return None
    body: Row = {"when": when, "kind": str(row.get("kind") or "reply")}
    body |= {name: str(row.get(name) or "") for name in WORDS} | {name: number(row.get(name)) for name in NUMBERS}
    body |= {
        "sample": int(number(row.get("sample")) or 0),
        "step": _whole(row.get("step")),
        "cut": _whole(row.get("cut")),
    }
    body |= {"outcome": _flat(row.get("outcome")), "about": _about(row.get("about")), "lines": lines}
    return body


def body_of_talk(talk: object) -> Row | None:
    """The dialogue in a transcript of `launch/chat.py`."""
    if not isinstance(talk, dict) or not _dicts(talk.get("dialogue")):
        return None
    lines, turns, marks = [], iter(_dicts(talk.get("turns"))), iter(_list(talk.get("marks")))
    for line in _dicts(talk.get("dialogue")):
        lines.append({"who": line.get("who"), "text": line.get("text")})
        if line.get("who") == "doctor":
            graded = [mark | {"by": "check", "check": mark.get("met")} for mark in _dicts(next(marks, None))]
            lines[-1]["criteria"] = graded
        elif len(lines) > 1:
            lines[-1]["units"] = next(turns, None)
    if (last := next(turns, None)) is not None:
        lines.append({"who": "patient", "text": "", "units": last})
    script = talk.get("script") if isinstance(talk.get("script"), dict) else {}
    record = script.get("record") if isinstance(script.get("record"), dict) else {}
    about = {"diagnosis": record.get("diagnosis"), "persona": script.get("persona")}
    named = {"kind": "talk", "id": record.get("id") or "talk", "ended": talk.get("ended"), "about": about}
    return body_of(named | {"lines": lines}, "talk")


def words_of(body: Row) -> str:
    """What a search looks through, in lower case."""
    found = [body["id"], body["topic"], body["fault"], body["ended"], body["about"].get("diagnosis", "")]
    for line in body["lines"]:
        units = line.get("units") or {}
        found += [line["text"], units.get("draft", ""), units.get("rewrite", "")]
        found += [criterion["text"] for criterion in line.get("criteria", ())]
    return "\n".join(text for text in found if text).lower()


def preview_of(body: Row) -> str:
    """What the patient says, on one line: last before a reply, first in a consultation."""
    said = [line["text"] for line in body["lines"] if line["who"] == "patient" and line["text"]]
    shown = said[-1 if body["kind"] == "reply" else 0] if said else body["lines"][0]["text"]
    return " ".join(shown.split())[:160]


def _held_out(row: Row) -> Row:
    """A held-out reply (`evaluate.heldout`)."""
    asked = [{"who": m.get("role"), "text": m.get("content")} for m in _dicts(row.get("messages"))]
    reply = {name: row.get(name) for name in ("criteria", "pieces", "logp")}
    lines = [*asked, {"who": "doctor", "text": row.get("reply")} | reply]
    return {"kind": "reply", "split": "heldout"} | row | {"lines": lines}


def _consultation(row: Row) -> Row:
    """A held-out consultation (`evaluate.consultations`). Its score is what it came to (`sessions.worth`)."""
    outcome = {name: number(row.get(name)) for name in (*OUTCOME, "messages")}
    reached = [outcome[name] for name in OUTCOME]
    score = None if None in reached else sum(reached) / len(reached)
    named = {"kind": "consultation", "split": "heldout", "id": f"Patient {row['patient']}", "score": score}
    return named | {"outcome": outcome, "lines": row["lines"]}


def _line(line: Row) -> Row:
    made: Row = {"who": WHO.get(str(line.get("who")), "system"), "text": str(line.get("text") or "")}
    if criteria := [_criterion(c) for c in _dicts(line.get("criteria"))]:
        made["criteria"] = criteria
    if isinstance(units := line.get("units"), dict):
        made["units"] = _units(units)
    made |= {name: value for name in OF_A_LINE if (value := number(line.get(name))) is not None}
    made |= {name: str(line[name]) for name in ("stage", "fault") if line.get(name)}
    pieces, logp = line.get("pieces"), line.get("logp")
    if isinstance(pieces, list) and isinstance(logp, list) and len(pieces) == len(logp) > 0:
        made |= {"pieces": [str(piece) for piece in pieces], "logp": [number(value) for value in logp]}
    return made


def _criterion(c: Row) -> Row:
    truth = {name: c.get(name) if isinstance(c.get(name), bool) else None for name in ("met", "check")}
    numbers = {"points": number(c.get("points")) or 0.0, "probability": number(c.get("probability"))}
    if truth["check"] is None and c.get("by") == "check":
        truth["check"] = truth["met"]  # of runs from before that was written
    named = {"text": str(c.get("text", "")), "dimension": str(c.get("dimension") or "other")}
    return named | {"by": str(c.get("by") or "")} | truth | numbers


def _units(units: Row) -> Row:
    gate = units.get("gate") if isinstance(units.get("gate"), dict) else {}
    made: Row = {"stop": bool(gate.get("stop")), "reason": str(gate.get("reason") or "")}
    made |= {name: str(units.get(name) or "") for name in ("draft", "final", "source")}
    made["rewrite"] = None if units.get("rewrite") is None else str(units["rewrite"])
    made["asked"] = [str(fact) for fact in _list(units.get("asked"))]
    for name in ("claims", "rewrite_claims"):
        made[name] = [
            {key: str(claim.get(key) or "") for key in ("text", "label", "by", "fact")} | {"p": number(claim.get("p"))}
            for claim in _dicts(units.get(name))
        ]
    return made


def _about(about: object) -> Row:
    if not isinstance(about, dict):
        return {}
    persona = about.get("persona")
    return {"diagnosis": str(about.get("diagnosis") or ""), "persona": _flat(persona)}


def _flat(found: object) -> Row:
    """Of a mapping what is a number or a text."""
    kept = found.items() if isinstance(found, Mapping) else ()
    return {str(k): v for k, v in kept if isinstance(v, str) or number(v) is not None}


def _whole(value: object) -> int | None:
    return None if number(value) is None else int(number(value))


def _dicts(found: object) -> list[Row]:
    return [item for item in _list(found) if isinstance(item, dict)]


def _list(found: object) -> list[Any]:
    return found if isinstance(found, list) else []
