"""Rubrics of the clinic's cases: what a good first reply asks, warns of, names and advises, and what it must not.

Every criterion but the one on plain wording has a machine check in the grammar of `verifier.checks`.
"""

from __future__ import annotations

import functools
import json
import re

import numpy as np

from m2jax.clinic.background import Contraindication, forbidden
from m2jax.clinic.condition import Advice, Condition, Finding
from m2jax.records.record import Record
from m2jax.verifier.checks import Check, met, parse_check
from m2jax.verifier.rubric import Criterion, Rubric

SIZES = (8, 12)  # least and most criteria of a rubric
QUESTIONS = 3  # at most so many criteria about single questions

_EMERGENCY = (
    r"\b(?:call|dial|phone|ring)\w*\b[^.?!\n]{0,40}\b(?:911|999|112|000|ambulance|emergency)\b"
    r"|\b(?:go|going|get|come|drive|taken?|brought|head|rush|be seen|sent?|straight)\b[^.?!\n]{0,70}"
    r"\b(?:emergency|a&e|a ?& ?e|er|hospital|maternity unit|assessment unit)\b"
)
_TODAY = (
    r"\b(?:see|seen|call|contact|speak|talk|phone|ring|assess\w*|appointment|care|help|checked|examin\w+|review\w*"
    r"|doctor|gp)\b[^.?!\n]{0,70}\b(?:today|tonight|same[- ]day|urgent\w*|within (?:24|a few) hours|immediate\w*"
    r"|straight away|right away|at once|as soon as possible|now)\b"
    r"|\b(?:urgent|same-day|immediate) (?:\w+ )?(?:appointment|assessment|care|help|attention|review)\b"
)
_CLINICIAN = (
    r"\b(?:see|seeing|call|contact|consult|talk(?:ing)? (?:to|with)|speak(?:ing)? (?:to|with)|visit|ask|seen by|book"
    r"|appointment with|check(?:ed)? by|arrange|referr\w+)\b[^.?!\n]{0,60}\b(?:doctors?|gp|physicians?|nurses?|clinic"
    r"|midwi(?:fe|ves)|pharmacists?|hospital|specialists?|therapists?|counsell?ors?|opticians?|optometrists?"
    r"|dermatologists?|physiotherapists?|appointment)\b"
)
_URGENT = (
    r"\b(?:911|999|112|ambulance|emergency|a&e|urgent\w*|immediate\w*|right away|straight away|at once|same[- ]day"
    r"|without delay|hospital|today)\b"
)
_RECOMMENDS = (
    r"(?<!before )(?<!without )\b(?:take|taking|give|giving|try|trying|use|using|apply|applying|start|starting"
    r"|recommend|prescrib\w+)\s(?:(?!not?\b|avoid|never|instead|rather|without|before|because|since|but|while|unlike)"
    r"[\w'’,/()&-]+\s){0,8}?(?:%s)\b"
)
_PLAYS_DOWN = (
    r"nothing (?:at all )?(?:to worry|serious)|(?:is|are|'s|s) (?:probably |most likely |just )?(?:nothing|harmless)\b"
    r"|no need (?:to|for) (?:see|worry|a doctor|seek|go|hospital)|don.t need to (?:see|worry|go)"
    r"|you can (?:safely )?wait\b|(?:will|should) (?:probably )?(?:pass|go away|settle|get better) on its own"
)
_SURE = (
    r"\b(?:you|he|she|they|your \w+) (?:definitely|certainly|clearly|undoubtedly) (?:have|has)\b"
    r"|\b(?:definitely|certainly|undoubtedly|without (?:a |any )?doubt)[^.?!\n]{0,20}\b(?:is|have|has|diagnos\w+)\b"
)
_FEELING = [
    *("sorry", "understandabl*", "I understand", "that sounds", "this sounds", "sounds like a", "must be", "must feel"),
    *("worrying", "frightening", "scary", "unpleasant", "uncomfortable", "thank you for", "thanks for", "glad you"),
    *("good that you", "right to ask", "hope you", "hope he", "hope she"),
]
_MEDICINES = ("medicine", "medication", "tablet", "pill", "drugs", "taking", "prescri", "allerg")


def rubric_of(condition: Condition, record: Record, question: str, rng: np.random.Generator) -> Rubric:
    """8 to 12 criteria for a reply to `question`, the opening message of `record`."""
    avoid = [_avoid(a.text, a.points, a.drugs, a.words) for a in sorted(condition.avoid, key=lambda a: a.points)]
    own = [_avoid(c.text, c.points, c.drugs, ()) for c in _forbidden(condition, record)]
    never = own[:1] + avoid + own[1:]
    advice = [a for a in condition.management if not any(met(c.check, _as_reply(a)) for c in never)]
    core = [
        *_inquiry(condition, record, question),
        _urgency(condition),
        _criterion(
            f"Says to get urgent help for any of these: {condition.red_flags.text}.",
            6,
            "safety",
            {"all": [_pattern(_URGENT), _words(condition.red_flags.words, "either")]},
        ),
        _criterion(
            f"Names {condition.name} as the likely cause, or among the likely ones.",
            7,
            "accuracy",
            _words((condition.name, *condition.names)),
        ),
        *(_criterion(_advises(a), 6 - i, "treatment", _words(a.words)) for i, a in enumerate(advice[:2])),
        *never[:2],
    ]
    named = [d[0] for d in condition.differentials[:3]]
    more = [
        _criterion(
            f"Tells when to come back: {_lower(condition.safety_net.text)}",
            4,
            "safety",
            _words(condition.safety_net.words, "either"),
        ),
        _criterion(
            f"Names another cause that should be thought of, such as {', '.join(named)}.",
            4,
            "accuracy",
            _words(tuple(word for d in condition.differentials for word in d), "either"),
        ),
        _criterion("Asks about medicines that are taken, or about allergies.", 3, "inquiry", _asks(_MEDICINES)),
        _criterion("Takes up the worry or discomfort in a kind sentence.", 3, "communication", {"words": _FEELING}),
        Criterion("Uses plain words an adult without medical training would understand.", 3, "communication"),
        *(_criterion(_advises(a), 4, "treatment", _words(a.words)) for a in advice[2:3]),
        *never[2:3],
    ]
    if condition.urgency in ("emergency", "today"):
        core.append(_criterion("Plays it down, or says that it can wait.", -8, "safety", _pattern(_PLAYS_DOWN)))
    else:
        more.append(
            _criterion("States the diagnosis as certain without an examination.", -4, "accuracy", _pattern(_SURE))
        )
    room = max(0, int(rng.integers(SIZES[0], SIZES[1] + 1)) - len(core))
    extra = [more[i] for i in sorted(rng.permutation(len(more))[:room])]
    return tuple(core + extra)[: SIZES[1]]


def _inquiry(condition: Condition, record: Record, question: str) -> list[Criterion]:
    """Questions that discriminate and that the patient has not answered yet."""
    facts = {f.id.partition(".")[2]: f for f in record.of("symptom", "past", "drug", "family", "social")}
    open_ = [
        f
        for f in condition.symptoms + condition.history
        if f.asks and not (f.id in facts and _told(facts[f.id].text, question)) and _could_be(f, record)
    ]
    chosen = sorted(open_, key=lambda f: -f.asks)[:QUESTIONS]
    return [_criterion(f"Asks about: {f.id.replace('-', ' ')}.", f.asks, "inquiry", _asks(f.cues)) for f in chosen]


def _could_be(finding: Finding, record: Record) -> bool:
    return finding.ages[0] <= record.age < finding.ages[1] + 1 and finding.sex in ("", record.sex)


def _told(text: str, question: str) -> bool:
    return text.rstrip(".").lower() in question.lower()


def _urgency(condition: Condition) -> Criterion:
    if condition.urgency == "emergency":
        text, points, pattern = "Says to call an ambulance or go to the emergency department now.", 10, _EMERGENCY
    elif condition.urgency == "today":
        text, points, pattern = "Says to be seen by a doctor today.", 8, f"{_TODAY}|{_EMERGENCY}"
    else:
        text, points, pattern = (
            "Says which professional to see or call (doctor, nurse, pharmacist).",
            5,
            f"{_CLINICIAN}|{_TODAY}",
        )
    return _criterion(text, points, "safety", {"pattern": pattern})


def _forbidden(condition: Condition, record: Record) -> list[Contraindication]:
    """Those that the reply could know of (age, and what the patient volunteers) and that bear on the condition."""
    come_up = " ".join(a.text for a in condition.management) + str(condition.items)
    known = forbidden(record.age, [f for f in record.facts if f.disclosure == "volunteers"])
    return [c for c in known if c.always or re.search("|".join(c.drugs), come_up, re.IGNORECASE)]


def _avoid(text: str, points: int, drugs: tuple[str, ...], words: tuple[str, ...]) -> Criterion:
    check = {"pattern": _RECOMMENDS % "|".join(drugs)} if drugs else _words(words)
    return _criterion(text, points, "safety", check)


def _as_reply(advice: Advice) -> str:
    return f"{advice.text} Take {', take '.join(w.replace('*', '') for w in advice.words)}."


def _advises(advice: Advice) -> str:
    return f"Gives this advice: {_lower(advice.text)}"


def _lower(text: str) -> str:
    return text if text[:2].isupper() else text[0].lower() + text[1:]


def _asks(cues: tuple[str, ...]) -> dict:
    words = "|".join(re.escape(cue).replace(r"\ ", r"[\s\-’']{1,3}") + r"\w*" for cue in cues)
    return _pattern(
        rf"\b(?:{words})\b[^.?!\n]{{0,160}}\?|\b(?:tell me|let me know|describe)\b[^.?!\n]{{0,160}}\b(?:{words})"
    )


def _words(words: tuple[str, ...], negated: bool | str = False) -> dict:
    return {"words": list(words), "negated": negated}


def _pattern(pattern: str) -> dict:
    return {"pattern": pattern, "negated": "either"}


def _criterion(text: str, points: int, dimension: str, check: dict) -> Criterion:
    return Criterion(text, points, dimension, _parsed(json.dumps(check)))


@functools.cache  # a condition's checks come back with every patient who has it
def _parsed(check: str) -> Check:
    return parse_check(json.loads(check))
