"""A draft as claims, each judged by rules against the atomic facts.

A claim is a sentence, or a part of one with a subject of its own. Labels:
  talk          nothing about the case: thanks, worry, a question
  supported     all that it says is in facts that may be told, or was said before
  contradicted  a fact says otherwise: a negation, a number, an opposite ("left" for "right")
  leak          says what is in a fact that may not be told, and in none that may
  invented      says something that no fact has
  open          the rules cannot tell: `factual` asks a model
What may be told is `disclosed.may_tell`. A word that the doctor has said is no leak, but is no support either.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Sequence

from m2jax.patient.disclosed import asked, may_tell, questions
from m2jax.patient.persona import endings
from m2jax.patient.reference import tell, untold
from m2jax.patient.script import Dialogue, said_by
from m2jax.patient.words import OPPOSITES, Said, read, stem
from m2jax.records.record import Fact, Record

LABELS = ("talk", "supported", "contradicted", "leak", "invented", "open")
GOOD = ("talk", "supported")

_SUBJECT = r"(?:i|it|she|he|my|the|we|they|there|that|this|no|both|nobody)\b"
_SPLIT = re.compile(
    rf"(?<=[.!?;])(?<!\bDr\.)\s+|\n+|(?:,\s*|\s+)(?:but|although|because|while|though)\s+"
    rf"|(?:,\s*|\s+)and\s+(?={_SUBJECT})|,\s+(?={_SUBJECT})|\s+[–—-]\s+",
    re.IGNORECASE,
)
_SHORT = re.compile(
    r"^\W*(?P<no>no|nope|nah|never|not (?:really|at all|that i know(?: of)?))\b"
    r"|^\W*(?P<yes>yes|yeah|yep|yup|right|exactly|correct|of course)\b",
    re.IGNORECASE,
)
# Words of a conversation that say nothing of the case.
_TALK = frozenset(
    stem(word)
    for word in """afford afraid agree answer anxious appreciat bear bother busy cheap cheaper
    choose cold concern cost curiou
    danger
    decid evidence expensiv explain frighten hear hop honest idea import money nervous option pay plan possibl promis
    reason scar scary serio sound stress stud study suggest support treat treatment trust understand upset useful work
    explanation advice advis help follow recommend cure doc choice careful glad happy nice mind clear confus interest
    sir madam pleas visit appointment danger life happens happen""".split()
)


@dataclasses.dataclass(frozen=True)
class Claim:
    """One claim. label: of `LABELS`. by: "rules" or "model". fact: the id of the fact that decided, or "". p: what the
    model gave for "supported", in [0, 1].
    """

    text: str
    label: str
    by: str = "rules"
    fact: str = ""
    p: float | None = None

    @property
    def good(self) -> bool:
        return self.label in GOOD


@dataclasses.dataclass(frozen=True)
class Known:
    """What claims are held against. tellable: facts that may be told now; kept: the others. words, numbers: of the
    tellable facts. doctor: stems of what the doctor has said. answered: facts that the last message asked for;
    question: stems of its question where it has just one.
    """

    record: Record
    tellable: tuple[Fact, ...]
    kept: tuple[Fact, ...]
    words: frozenset[str]
    numbers: frozenset[str]
    doctor: frozenset[str]
    doctor_numbers: frozenset[str]
    answered: tuple[Fact, ...]
    question: frozenset[str]


def known(record: Record, dialogue: Dialogue) -> Known:
    """What may be told after a dialogue that ends with the doctor."""
    messages = said_by("doctor", dialogue)
    ids = may_tell(messages, record)
    tellable = tuple(f for f in record.facts if f.id in ids)
    said = [_said(f, record) for f in tellable]
    heard = [read(m) for m in messages]
    meant = asked(messages[-1], record).facts if messages else ()
    last = questions(messages[-1]) if messages else []
    return Known(
        record,
        tellable,
        tuple(f for f in record.facts if f.id not in ids),
        frozenset().union(*(s.names for s in said)),
        frozenset().union(*(s.numbers for s in said)),
        frozenset().union(*(s.names for s in heard)),
        frozenset().union(*(s.numbers for s in heard)),
        tuple(f for f in record.facts if f.id in meant),
        read(last[0]).names if len(last) == 1 else frozenset(),
    )


def split(draft: str) -> list[str]:
    """The claims of a draft as texts, in order; what holds no letter or digit is left out."""
    parts = (part.strip(" \t,;–—-") for part in _SPLIT.split(draft))
    return [part for part in parts if re.search(r"\w", part)]


def judge(draft: str, known: Known) -> list[Claim]:
    """The claims of a draft with their labels by rules."""
    return [_judge(text, known) for text in split(draft)]


def leaks(text: str, known: Known) -> Fact | None:
    """The first fact that may not be told and that a whole text gives away; it may be spread over several claims."""
    said = read(text)
    return next((fact for fact in known.kept if _gives_away(said, fact, known, whole=True)), None)


def evades(found: Sequence[Claim], known: Known, dialogue: Dialogue) -> bool:
    """Whether a reply tells none of the facts that were asked for, though some were not told before."""
    fresh = untold([f for f in known.answered if f in known.tellable], known.record, dialogue)
    return bool(fresh) and not {claim.fact for claim in found if claim.label == "supported"} & {f.id for f in fresh}


def _judge(text: str, known: Known) -> Claim:
    if text.replace("’", "'") in _small_talk():
        return Claim(text, "talk")
    said = read(text)
    question = text.endswith("?")
    for fact in known.tellable:  # word for word
        own = _said(fact, known.record)
        if said.names and set(said.stems) <= set(own.stems) and said.numbers <= own.numbers:
            return Claim(text, "supported", fact=fact.id)
    if not question and (fact := _contradicted(said, known)):
        return Claim(text, "contradicted", fact=fact.id)
    leak = next((f for f in known.kept if _gives_away(said, f, known)), None)
    if leak:
        return Claim(text, "leak", fact=leak.id)
    if not said.names - _TALK and not said.numbers:
        return _short_answer(text, known) if _SHORT.match(text) and not question else Claim(text, "talk")
    if said.numbers - known.numbers and not (question and said.numbers <= known.doctor_numbers | known.numbers):
        return Claim(text, "invented")
    rest = said.names - known.words - _TALK
    if question and not rest - known.doctor:
        return Claim(text, "talk")
    if not rest:
        best = max(known.tellable, key=lambda f: len(said.names & _said(f, known.record).names), default=None)
        return Claim(text, "supported", fact=best.id if best and said.names & _said(best, known.record).names else "")
    if not said.names & known.words:
        return Claim(text, "invented") if not rest & known.doctor and len(rest) > 2 else Claim(text, "open")
    return Claim(text, "open")


@functools.cache
def _small_talk() -> frozenset[str]:
    return frozenset(part for line in endings() for part in split(line))


def _contradicted(said: Said, known: Known) -> Fact | None:
    """A fact that says otherwise. Of the facts that share a word, the ones that share most of theirs count."""
    facts = [(f, _said(f, known.record)) for f in known.record.facts if f.disclosure != "hidden"]
    for word in sorted(said.names - _TALK):
        near = [(len(said.names & s.names) / len(s.names), f, s) for f, s in facts if word in s.names]
        if not near:
            continue
        most = max(share for share, _, _ in near)
        closest = [(f, s) for share, f, s in near if share == most]
        polarities = frozenset().union(*(s.polarities(word) for _, s in closest))
        if most >= 0.25 and not said.polarities(word) & polarities:
            return closest[0][0]
        for fact, s in closest:
            if most >= 0.25 and said.numbers and s.numbers and not said.numbers & (s.numbers | known.numbers):
                return fact
            if most >= 0.25 and any(
                a in said.names and b in s.names and a not in s.names and not said.polarities(a) & {True}
                for pair in OPPOSITES
                for a, b in (pair, pair[::-1])
            ):
                return fact
    return None


def _gives_away(said: Said, fact: Fact, known: Known, whole: bool = False) -> bool:
    """Whether a text says of a kept fact what no fact that may be told says, and the doctor has not."""
    own, digits = _distinctive(fact, known.record)
    own = own - known.words - known.doctor
    own = own - _TALK or (own if fact.disclosure == "private" else frozenset())
    digits = digits - known.numbers - known.doctor_numbers
    hits = len(own & said.names)
    if hits and (hits >= 3 or 2 * hits >= len(own)) and (hits >= 2 or not whole or len(own) <= 2):
        return True
    if hits >= 2 and not whole:
        return True
    return bool(fact.disclosure == "hidden" and {d for d in digits if len(d) > 1} & said.numbers and not whole)


def _short_answer(text: str, known: Known) -> Claim:
    """ "Yes" or "No" by itself, held against what was asked for: of facts that disagree, those nearest the question."""
    facts = known.answered
    if not facts:
        return Claim(text, "talk" if not known.doctor else "open")
    match = _SHORT.match(text)
    absent = [all(negated for _, negated in read(f.text).stems) for f in facts]
    plain = [(f, said) for f, said in zip(facts, absent, strict=True) if f.absent in (None, said)]
    if not plain:  # "Vision is clear." is a no or a yes, as one asks
        return Claim(text, "supported", fact=facts[0].id)
    facts, absent = zip(*plain, strict=True)
    if any(absent) and not all(absent):
        shared = [len(known.question & _said(f, known.record).names) for f in facts]
        near = [i for i, n in enumerate(shared) if n == max(shared)]
        facts, absent = tuple(facts[i] for i in near), [absent[i] for i in near]
    if all(absent) or not any(absent):
        agrees = bool(match["no"]) == all(absent)
        return Claim(text, "supported" if agrees else "contradicted", fact=facts[0].id)
    return Claim(text, "open")


@functools.lru_cache(maxsize=65536)
def _read_fact(fact: Fact, told: str) -> Said:
    plain, spoken = read(fact.text), read(told)
    return Said(tuple(dict.fromkeys((*plain.stems, *spoken.stems))), plain.numbers | spoken.numbers)


def _said(fact: Fact, record: Record) -> Said:
    """What a fact says, as written and as the patient puts it."""
    return _read_fact(fact, tell(fact, record) if fact.disclosure != "hidden" else fact.text)


def _distinctive(fact: Fact, record: Record) -> tuple[frozenset[str], frozenset[str]]:
    """Stems and numbers of a fact; those of the diagnosis are also of its name in the record."""
    said = read(fact.text)
    if fact.kind == "diagnosis":
        said = read(f"{fact.text} {record.diagnosis}")
    return said.names, said.numbers


def reasons(claims: Sequence[Claim]) -> list[str]:
    """The claims that may not stay, for the rewrite."""
    return [claim.text for claim in claims if not claim.good]
