# ruff: noqa: E501 (tables of patterns)
"""Identifiers in free text, found by how they look and by what stands around them.

`find(text)` gives spans of the classes of HIPAA's Safe Harbor method, 45 CFR 164.514(b)(2)(i), in its order
(`CLASSES`). A class is a list of patterns; the part of a match that goes is its group "x", or all of it. What medicine
writes in the same shape is kept: 120/80, 10/10 pain, a dose, an ICD code, "may", an eponym (`identifier_words`).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass

from m2jax.records.identifier_codes import CODES
from m2jax.records.identifier_dates import ages_over_89, dates
from m2jax.records.identifier_people import PEOPLE
from m2jax.records.identifier_places import PLACES
from m2jax.records.identifier_words import ALSO_WORDS, EPONYMS, GIVEN_NAMES, is_medicine, ordinary

CLASSES = {  # class -> what stands in its place
    "name": "[NAME]",
    "geography": "[PLACE]",
    "date": "[DATE]",  # also an age over 89
    "phone": "[PHONE]",
    "fax": "[FAX]",
    "email": "[EMAIL]",
    "ssn": "[SSN]",
    "record_number": "[RECORD NUMBER]",
    "health_plan": "[HEALTH PLAN NUMBER]",
    "account": "[ACCOUNT NUMBER]",
    "licence": "[LICENCE NUMBER]",
    "vehicle": "[VEHICLE]",
    "device": "[DEVICE]",
    "url": "[URL]",
    "ip": "[IP ADDRESS]",
    "biometric": "[BIOMETRIC]",
    "photo": "[PHOTO]",
    "other": "[CODE]",
}


@dataclass(frozen=True, order=True)
class Span:
    """Characters [start, end) of a text, their class, and what replaces them."""

    start: int
    end: int
    kind: str
    replacement: str


@functools.lru_cache(maxsize=1024)  # ids such as "exam.3" come again and again
def find(text: str) -> tuple[Span, ...]:
    """What the patterns see in a text, in order; spans may overlap."""
    found = []
    for kind, pattern, accept in _PATTERNS:
        for match in pattern.finditer(text):
            start, end = match.span("x" if "x" in pattern.groupindex else 0)
            if start < end and (accept is None or accept(match)) and not _in_placeholder(text, start, end):
                found.append(Span(start, end, kind, CLASSES[kind]))
    found += [
        Span(a, b, "date", year or CLASSES["date"]) for a, b, year in dates(text) if not _in_placeholder(text, a, b)
    ]
    found += [Span(a, b, "date", "90") for a, b in ages_over_89(text) if text[a:b] != "90"]
    return tuple(sorted(set(found)))


def _in_placeholder(text: str, start: int, end: int) -> bool:
    return any(m.start() <= start < m.end() for m in _PLACEHOLDER.finditer(text, max(0, start - 40), end + 40))


_PLACEHOLDER = re.compile("|".join(re.escape(word) for word in CLASSES.values()))

# ---- Names --------------------------------------------------------------

_INITIAL = r"(?:[A-Z]\.?(?=[\s.]))"
_PARTICLE = r"(?:van|von|der|den|de|del|della|di|da|dos|la|le|el|al|bin|ibn|ben|ter|ten|O'|St\.)"
_NAME_WORD = r"[A-ZÀ-ÖØ-Þ][a-zà-öø-ÿ'’]*[A-Za-zÀ-ÿ'’\-]*\d*"
_NEXT_SENTENCE = r"(?!(?:He|She|It|They|We|The|This|That|There|His|Her|Their|Patient|Pt)\b)"  # "Dr. X. She"
_NAME = rf"(?:{_INITIAL}\s*)*{_NEXT_SENTENCE}{_NAME_WORD}(?:,?\s+(?:{_PARTICLE}\s+){{0,2}}(?:{_INITIAL}|{_NEXT_SENTENCE}{_NAME_WORD})){{0,3}}"
_SURNAME = rf"(?:{_PARTICLE}\s+){{0,2}}{_NAME}"
_LABEL = (  # what stands before a colon and a name
    r"(?:patient(?:'s)?\s+name|name\s+of\s+(?:the\s+)?patient|(?:full|maiden|first|last|given|family)\s+name|surname|"
    r"name|attending(?:\s+physician)?|physician|provider|pcp|surgeon|consultant|(?:electronically\s+)?signed(?:\s+by)?|"
    r"author|(?:dictated|transcribed|seen|referred|reviewed|ordered|performed|accompanied)\s+by|referring\s+physician|"
    r"emergency\s+contact|next\s+of\s+kin|guardian)"
)
# Two words after one of these and a colon are a name, one is not.
_WEAK_LABEL = r"(?:patient|pt|nurse|resident|gp|cc|re|mother|father|spouse|wife|husband|witness)"
_RELATION = (
    r"(?:wife|husband|spouse|partner|mother|father|mom|dad|mum|daughter|son|sister|brother|aunt|uncle|cousin|niece|"
    r"nephew|grandmother|grandfather|grandson|granddaughter|friend|neighbou?r|girlfriend|boyfriend|fianc[eé]e?|"
    r"roommate|caregiver|carer|boss|coworker|colleague|employer|patient|nurse|doctor|physician|surgeon|therapist|"
    r"teacher|coach|twin|child|baby)"
)


def _is_name(match: re.Match[str]) -> bool:
    words = [word.strip(".,") for word in match["x"].split()]
    if ordinary(words, 1) or words[0].isupper() and len(words[0]) > 1 and len(words) == 1:
        return False
    return not is_medicine(match, words)


def _is_given_name(match: re.Match[str]) -> bool:
    """A common given name, alone or before a surname, that no clinical noun or eponym turns into medicine."""
    words = match["x"].split()
    if len(words) == 1 and words[0] in ALSO_WORDS:
        return False
    if words[0] in EPONYMS and (len(words) == 1 or words[1] in EPONYMS):
        return False
    if re.search(r"[\w'’]-$", match.string[: match.start("x")]) or match.string[match.end("x") :].startswith(
        ("-", "–")
    ):
        return False  # Epstein-Barr, Charcot-Marie-Tooth
    return not is_medicine(match, words)


_GIVEN = "|".join(sorted(GIVEN_NAMES))
_NAME_PATTERNS: list[tuple[str, str, Callable[[re.Match[str]], bool] | None]] = [
    (
        "name",
        rf"\b(?:(?:Mr|Mrs|Ms|Mx|Dr|Prof|Rev|Hon|Sr|Sra|Herr|Frau|Mme|MR|MRS|MS|DR)\.|(?:Mr|Mrs|Ms|Mx|Dr|Prof|Miss|"
        rf"Doctor|Professor|Nurse|Sister|Father|Pastor|Officer|Judge|Captain|Sergeant|Uncle|Aunt|Aunty|Grandma|"
        rf"Grandpa|Lady|Sir)\b)\s+(?P<x>{_SURNAME})",
        lambda m: not ordinary(m["x"].split(), 1) and not re.match(r"\s*(?:disease|syndrome)", m.string[m.end() :]),
    ),
    ("name", r"\b(?:MR|MRS|MS|DR)\.\s+(?P<x>[A-Z][A-Z'\-]+(?:\s+[A-Z][A-Z'\-]+){0,2})", None),
    (
        "name",
        rf"(?P<x>{_NAME}),?\s+(?:M\.?D\.?|D\.?O\.?|R\.?N\.?|N\.P\.|NP|PA-C|Ph\.?D\.?|F\.?A\.?C\.?[PS]\.?|MBBS|DDS|DPM|"
        rf"LCSW|PharmD|APRN|CNM|DVM|Esq)\b",
        _is_name,
    ),
    # Synthea's Ada31 Quill4
    ("name", r"(?<!\w)[A-ZÀ-Þ][a-zß-ÿ'’]{2,}\d{1,3} [A-ZÀ-Þ][A-Za-zß-ÿ'’]{2,}\d{1,3}(?!\w)", None),
    ("name", rf"(?i:\b{_LABEL})\s*:\s*(?P<x>{_SURNAME})", _is_name),
    (
        "name",
        rf"(?i:\b{_WEAK_LABEL})\s*:\s*(?P<x>{_NAME_WORD}(?:\s+{_INITIAL})?(?:\s+[A-Z][a-zà-ö'’\-]+){{1,2}})(?=[.,;(]|$|\s+[\d(])",
        lambda m: not ordinary(m["x"].split()) and _is_name(m),
    ),
    ("name", r"(?i:\b(?:patient\s+name|name|patient))\s*:\s*(?P<x>[A-Z]{2,}(?:,?\s+[A-Z]{2,}){1,3})\b", None),
    (
        "name",
        rf"(?i:\b(?:signed|dictated|transcribed|seen|referred|reviewed|ordered|accompanied)\s+by)\s+(?P<x>{_SURNAME})",
        _is_name,
    ),
    (
        "name",
        rf"(?i:\b(?:named|name\s+is|name\s+was|goes\s+by|maiden\s+name)|^\s*dear|^\s*sincerely,)\s+(?P<x>{_SURNAME})",
        _is_name,
    ),
    (
        "name",
        rf"(?:^|[.!?]\s+|,\s*)(?P<x>{_NAME_WORD}(?:\s+(?:{_INITIAL}|{_NAME_WORD})){{1,3}}),?\s+(?:is|"
        rf"was)\s+an?\s+(?:[\w\-]+\s+)?\d{{1,3}}[\s\-]",
        lambda m: not ordinary(m["x"].split()),
    ),
    (
        "name",
        rf"\b(?i:{_RELATION})(?:,|:|\s+is|\s+named|\s+called)?\s+(?P<x>(?:{_GIVEN})\b(?:\s+{_NAME_WORD})?)",
        _is_name,
    ),
    (
        "name",
        rf"\b(?:{_RELATION}),?\s+(?P<x>{_NAME_WORD}(?:\s+{_NAME_WORD})?)(?=,|'s|’s|\s+(?:who|is|was|has|had|says|said|"
        rf"reports|reported|states|stated|called|brought|found|noticed|denies|and|came|presents|presented)\b)",
        _is_name,
    ),
    (
        "name",
        rf"(?<![\w'’\-])(?P<x>(?:{_GIVEN})\d*(?:\s+{_INITIAL})?(?:\s+(?:{_PARTICLE}\s+){{0,2}}{_NAME_WORD}){{0,2}})(?!\w)",
        _is_given_name,
    ),
]

_PATTERNS = [(kind, re.compile(pattern), None) for kind, pattern in CODES]
_PATTERNS += [(kind, re.compile(pattern), accept) for kind, pattern, accept in PLACES + _NAME_PATTERNS]
_PATTERNS += [("name", re.compile(pattern, re.MULTILINE), accept) for pattern, accept in PEOPLE]
