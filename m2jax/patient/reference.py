"""Replies straight from the facts, without a model: the neutral reply that the Factual Unit falls back to, and the
replies of the scripted patient, who adds a sentence of her persona.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from m2jax.clinic.message import RELATIONS, phrase
from m2jax.patient.disclosed import Asked, asked
from m2jax.patient.persona import Persona, manner, says, speaker
from m2jax.patient.script import Dialogue, Script, said_by
from m2jax.patient.words import read
from m2jax.records.record import Fact, Record

_T = TypeVar("_T")
MOST_FACTS = 6  # a reply tells of no more; who asks for a whole history hears of the rest when asking again
UNKNOWN = "I'm not sure about that, sorry."
NOTHING_MORE = "There is nothing else that I can think of."
NODS = "All right."
AGAIN = "As I said, "  # before what was told already
OFTEN = 0.5  # how often something of the persona stands before a reply, and how often after it
# Verbs that begin a fact without its subject, with the form after "I".
_VERBS = {"has": "have", "is": "am", "was": "was", "does": "do", "goes": "go", "could": "could", "can": "can",
          "had": "had", "cannot": "cannot"}  # fmt: skip
_THIRD = re.compile(r"(?P<verb>[A-Z][a-z]+(?<!nes)s)\b(?! (?:in|of|on|at|with|and|are|is|that|for|from)\b)")
_PAST = re.compile(
    r"(?:Gave|Took|Had|Ate|Drank|Fell|Went|Came|Felt|Lost|Got|Left|Wanted|Stopped|Started|Used|Slept|Swam|Sat|Cut|Hit)\b"
)
_NO_VERBS = frozenset(
    """Always Bouts Bowels Cramps Eyes Fits Flashes Gallstones Hands Headaches Hives Its Less Lips Loss Moles Perhaps
    Periods Shoulders Sometimes Spots Stools Tears This Vaccinations Yes""".split()
)
# What these begin is said of the symptom and not of the patient.
_OF_IT = re.compile(r"(?:Goes away|Comes|Spreads|Does not (?:come|spread|cross)|Has come and gone)\b(?! on turning)")
_ALREADY = re.compile(
    r"\b(?:is|are|was|were|has|have|had|hurts|feels|goes|came|runs|began|lasts?|died|gets?|does|did)\b"
)
_COSTLY = re.compile(
    r"\b(?:MRI|CT|scan|private|specialist|surgery|operation|new(?:er)? (?:drug|medicine)|expensive|\w*scopy|genetic)\b",
    re.I,
)
_CURT = re.compile(
    r"\b(?:just answer|hurry|don't waste|stop complaining|nonsense|obviously|calm down|no time|quickly now)\b", re.I
)
_PROPOSES = re.compile(
    r"\b(?:i (?:recommend|suggest|advise|would like you to|want you to|will (?:prescribe|refer|order|arrange)"
    r"|'ll (?:prescribe|refer|order|arrange))"
    r"|you (?:should|need to|ought to|must)|we (?:should|will|can|need to)|let's|take \w+|start(?:ing)? \w+)\b", re.I,
)  # fmt: skip


def neutral_reply(script: Script, dialogue: Dialogue) -> str:
    """The facts that the doctor's last message asks for and that were not told yet, in plain words; "As I said, " and
    those that were, where there are no others; the neutral short reply where nothing is asked for.
    """
    messages = said_by("doctor", dialogue)
    if not messages:
        raise ValueError("the dialogue has no message of the doctor; a reply answers one")
    meant = asked(messages[-1], script.record)
    facts, again = _chosen(script.record, meant, dialogue)
    if facts:
        reply = " ".join(dict.fromkeys(tell(fact, script.record) for fact in facts))
        return _behind(AGAIN, reply) if again else reply
    if not meant.asks:
        return NODS
    return NOTHING_MORE if meant.open else UNKNOWN


def scripted_reply(script: Script, dialogue: Dialogue, seed: int) -> str:
    """The neutral reply with what the persona adds to it."""
    reply = neutral_reply(script, dialogue)
    messages = said_by("doctor", dialogue)
    rng = np.random.default_rng([seed, len(messages), *script.record.id.encode()])
    occasion = _occasion(script.persona, messages[-1])
    if not occasion:
        return reply
    extra = _one(says(occasion), rng)
    return extra if reply == NODS else f"{reply} {extra}"


def in_manner(reply: str, script: Script, dialogue: Dialogue, rng: np.random.Generator, ends: bool = True) -> str:
    """A reply as the persona might put it: `OFTEN` with words before it, and as often with a sentence after it that she
    has not said in the dialogue.
    """
    earlier = " ".join(said_by("patient", dialogue))
    if (traits := manner(script.persona, "begins")) and rng.random() < OFTEN:
        reply = _behind(_one(_one(traits, rng), rng), reply)
    traits = [fresh for lines in manner(script.persona, "ends") if (fresh := [e for e in lines if e not in earlier])]
    if ends and traits and rng.random() < OFTEN:
        reply = f"{reply} {_one(_one(traits, rng), rng)}"
    return reply


def tell(fact: Fact, record: Record) -> str:
    """A fact as a sentence of who speaks: "Has never smoked." is "I have never smoked."; a noun phrase is "I have a dry
    cough."; what is a sentence of its own, or begins with No, stays.
    """
    text = fact.text.strip()
    i, have, am = _subject(record)
    first, _, rest = text.rstrip(".").partition(" ")
    if fact.id == "demographic.who":
        return f"{i} {am} {'an' if re.match(r'8|11-|18-', text) else 'a'} {phrase(fact)}."
    if fact.id == "demographic.speaker" or not rest:
        return _end(text)
    if _OF_IT.match(text):
        return _end(f"It {first.lower()} {rest}")
    third = i != "I"
    if first.lower() in _VERBS:
        verb = first.lower() if third else _VERBS[first.lower()]
        return _end(f"{i} {verb} {rest}")
    if _PAST.match(text):
        return _end(f"{i} {first.lower()} {rest}")
    if _THIRD.match(text) and first not in _NO_VERBS:
        return _end(f"{i} {first.lower() if third else _bare(first.lower())} {rest}")
    volunteered = fact.disclosure == "volunteers" and fact.kind in ("complaint", "symptom")
    if volunteered and (record.source == "clinic" or not _ALREADY.search(text)):  # a noun phrase, by `clinic.message`
        return _end(f"{i} {have} {phrase(fact)}")
    return _end(text)


def _one(options: Sequence[_T], rng: np.random.Generator) -> _T:
    return options[rng.integers(len(options))]


def _behind(begin: str, reply: str) -> str:
    """A reply behind words that it goes on from: "Well, " makes its first word small where that is not a name."""
    whole = begin.endswith(". ") or re.match(r"I\b|[A-Z]{2}", reply)
    return begin + (reply if whole else reply[0].lower() + reply[1:])


def untold(facts: Sequence[Fact], record: Record, dialogue: Dialogue) -> list[Fact]:
    """Those of the facts whose words, as negated as they are, or numbers the patient has not said yet."""
    earlier = read(" ".join(said_by("patient", dialogue)))
    said = [read(tell(fact, record)) for fact in facts]
    return [
        fact
        for fact, own in zip(facts, said, strict=True)
        if not (set(own.stems) <= set(earlier.stems) and own.numbers <= earlier.numbers)
    ]


def _chosen(record: Record, meant: Asked, dialogue: Dialogue) -> tuple[Sequence[Fact], bool]:
    """The facts to tell, and whether all of them were told before. "Anything else?" asks for none of those."""
    by_id = {fact.id: fact for fact in record.facts}
    facts = [by_id[i] for i in meant.facts]
    fresh = untold(facts, record, dialogue)
    if fresh or (meant.open and len(said_by("doctor", dialogue)) > 1):
        return fresh[:MOST_FACTS], False
    return facts[:MOST_FACTS], bool(facts)


def _occasion(persona: Persona, message: str) -> str:
    """What of a persona a message brings out: at most one thing, the stronger first."""
    if persona.mbti[2] == "F" and _CURT.search(message):
        return "hurt"
    if not _PROPOSES.search(message):
        return ""
    if persona.income == "low" and _COSTLY.search(message):
        return "costly"
    if persona.education == "university":
        return "evidence"
    return "treatment" if persona.mbti[0] == "E" else "accepts"


def _subject(record: Record) -> tuple[str, str, str]:
    who = speaker(record)
    if not who:
        return "I", "have", "am"
    return f"My {RELATIONS[who][record.sex == 'male']}", "has", "is"


def _bare(verb: str) -> str:
    """ "drinks" to "drink", "catches" to "catch", "carries" to "carry"."""
    for ending, instead in (("ies", "y"), ("ches", "ch"), ("shes", "sh"), ("sses", "ss"), ("oes", "o")):
        if verb.endswith(ending):
            return verb.removesuffix(ending) + instead
    return verb.removesuffix("s")


def _end(text: str) -> str:
    text = text[0].upper() + text[1:]
    return text if text[-1] in ".!?" else f"{text}."
