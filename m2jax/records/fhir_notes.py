"""Clinical notes in FHIR resources, split by their headings into statements."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator

from m2jax.records.fhir_parts import encounter_id, of_type
from m2jax.records.kinds import kind_of
from m2jax.records.text import statements

_HEADINGS = (
    ("complaint", r"chief complaint|reason for (?:visit|consultation)|presenting complaint|cc"),
    (
        "symptom",
        r"(?:history of (?:the )?)?present(?:ing)? illness|hpi|review of systems|ros|subjective|symptoms|history",
    ),
    ("past", r"past (?:medical |surgical )?history|pmh|psh|(?:medical|surgical|obstetric) history|immuni[sz]ations"),
    ("social", r"social history|sh|habits"),
    ("family", r"family (?:medical )?history|fh"),
    ("allergy", r"allergies|allergy"),
    ("drug", r"(?:current |home )?medications?(?: list)?|drugs"),
    ("exam", r"(?:physical )?exam(?:ination)?|objective|vital signs|vitals"),
    ("test", r"(?:laboratory |test )?results|labs?|laboratory(?: data)?|imaging|investigations|studies|data"),
    (
        "diagnosis",
        r"assessment(?: and plan| & plan|/plan)?|plan(?: of care)?|impression|diagnos[ie]s|a/p|recommendations?|"
        r"treatment|disposition|follow.?up",
    ),
)
_HEADING = tuple((kind, re.compile(rf"(?i)(?:#+\s*)?(?:\d+\.\s*)?(?:{words})\s*:?\s*")) for kind, words in _HEADINGS)
_NOT_A_SECTION = re.compile(r"(?:#+\s*.+|[\d\-/]{8,10})")


def notes_of(resources: list[dict], encounter: dict | None) -> Iterator[tuple[str, str]]:
    """Statements of the notes of an encounter, and of those that name none."""
    seen = set()
    for r in of_type(resources, "DiagnosticReport", "DocumentReference"):
        theirs = encounter_id(r)
        if encounter and theirs and theirs not in encounter["_ids"]:
            continue
        for attachment in [*r.get("presentedForm", []), *(c.get("attachment", {}) for c in r.get("content", []))]:
            kind = str(attachment.get("contentType", "text/plain")).partition(";")[0]
            if not attachment.get("data") or not kind.startswith("text/"):
                continue
            try:
                text = base64.b64decode(re.sub(r"\s", "", attachment["data"]), validate=True).decode("utf-8")
            except ValueError as error:
                raise ValueError(
                    f"{r['resourceType']} {r.get('id')!r} has an attachment that is no base64 of UTF-8: {error}"
                ) from error
            text = re.sub(r"<(?:br|/p|/div|/li|/h\d)[^>]*>", "\n", text) if kind == "text/html" else text
            text = re.sub(r"<[^>]+>", " ", text) if kind == "text/html" else text
            if text not in seen:
                seen.add(text)
                yield from _note(text)


def _note(text: str) -> Iterator[tuple[str, str]]:
    kind, block = "symptom", []
    for line in [*text.split("\n"), "#"]:
        head, colon, rest = line.strip().partition(":")
        heading = next((k for k, p in _HEADING if p.fullmatch(head.strip()) or p.fullmatch(line.strip())), None)
        if heading or _NOT_A_SECTION.fullmatch(line.strip()) or line == "#":
            yield from _section(kind, "\n".join(block))
            kind, block = heading or kind, [rest] if heading and colon else []
        else:
            block.append(line)


def _section(kind: str, text: str) -> Iterator[tuple[str, str]]:
    for statement in statements(text):
        if kind == "symptom" and re.search(r"(?i)\bis an? \d+[\s\-](?:year|month|week|day)", statement):
            yield "demographic", statement
        elif kind in ("symptom", "past", "social"):
            yield (
                kind_of(
                    statement,
                    kind,
                    ("allergy", "family", "drug", "social", "past") if kind == "symptom" else ("family",),
                ),
                statement,
            )
        else:
            yield kind, statement
