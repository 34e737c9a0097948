"""Phrases that criteria look for in a doctor's reply, and how checks of them are written.

Patterns are those of plain English advice; `checks` explains how a negation counts.
"""

from __future__ import annotations

import functools
import json
import re

from m2jax.verifier.checks import Check, parse_check
from m2jax.verifier.rubric import Criterion

EMERGENCY = (
    r"\b(?:call|dial|phone|ring)\w*\b[^.?!\n]{0,40}\b(?:911|999|112|000|ambulance|emergency)\b"
    r"|\b(?:go|going|get|come|drive|taken?|brought|head|rush|be seen|sent?|straight)\b[^.?!\n]{0,70}"
    r"\b(?:emergency|a&e|a ?& ?e|er|hospital|maternity unit|assessment unit)\b"
)
TODAY = (
    r"\b(?:see|seen|call|contact|speak|talk|phone|ring|assess\w*|appointment|care|help|checked|examin\w+|review\w*"
    r"|doctor|gp)\b[^.?!\n]{0,70}\b(?:today|tonight|same[- ]day|urgent\w*|within (?:24|a few) hours|immediate\w*"
    r"|straight away|right away|at once|as soon as possible|now)\b"
    r"|\b(?:urgent|same-day|immediate) (?:\w+ )?(?:appointment|assessment|care|help|attention|review)\b"
)
CLINICIAN = (
    r"\b(?:see|seeing|call|contact|consult|talk(?:ing)? (?:to|with)|speak(?:ing)? (?:to|with)|visit|ask|seen by|book"
    r"|appointment with|check(?:ed)? by|arrange|referr\w+)\b[^.?!\n]{0,60}\b(?:doctors?|gp|nurses?|clinic"
    r"|surgeons?|dentists?|midwi(?:fe|ves)|paramedics?|pharmacists?|hospital|specialists?|counsell?ors?|appointment"
    r"|\w*(?:ician|ologist|iatrist|ometrist|therapist)s?)\b"
)
URGENT = (
    r"\b(?:911|999|112|ambulance|emergency|a&e|urgent\w*|immediate\w*|right away|straight away|at once|same[- ]day"
    r"|without delay|hospital|today)\b"
)
RECOMMENDS = (
    r"(?<!before )(?<!without )\b(?:take|taking|give|giving|try|trying|use|using|apply|applying|start|starting"
    r"|recommend|prescrib\w+)\s(?:(?!not?\b|avoid|never|instead|rather|without|before|because|since|but|while|unlike)"
    r"[\w'’,/()&-]+\s){0,8}?(?:%s)\b"
)
PLAYS_DOWN = (
    r"nothing (?:at all )?(?:to worry|serious)|(?:is|are|'s|s) (?:probably |most likely |just )?(?:nothing|harmless)\b"
    r"|no need (?:to|for) (?:see|worry|a doctor|seek|go|hospital)|don.t need to (?:see|worry|go)"
    r"|you can (?:safely )?wait\b|(?:will|should) (?:probably )?(?:pass|go away|settle|get better) on its own"
)
SURE = (
    r"\b(?:you|he|she|they|your \w+) (?:definitely|certainly|clearly|undoubtedly) (?:have|has)\b"
    r"|\b(?:definitely|certainly|undoubtedly|without (?:a |any )?doubt)[^.?!\n]{0,20}\b(?:is|have|has|diagnos\w+)\b"
)
FEELING = [
    *("sorry", "understandabl*", "I understand", "that sounds", "this sounds", "sounds like a", "must be", "must feel"),
    *("worrying", "frightening", "scary", "unpleasant", "uncomfortable", "thank you for", "thanks for", "glad you"),
    *("good that you", "right to ask", "hope you", "hope he", "hope she"),
]
_EMPTY = """
" the and for has have had was were are is been being with without this that these those from into out not can
cannot could should would will may might must does did any all some very more most than then there here when
what which who how why where about after before between during over under again also just only own same such
too now ever never his her hers him she you your they their them its our ours one two yes patient doctor reply
says said asks tells gives make made takes take
"""
EMPTY = {word[:6].rstrip("s") for word in _EMPTY.split()}  # stems of words that tell nothing
MEDICINES = ("medicine", "medication", "tablet", "pill", "drugs", "taking", "prescri", "allerg")


def content(text: str) -> set[str]:
    """The stems of a text's content words: what tells it from other texts, without endings."""
    found = re.findall(r"[^\W\d_]{3,}|\d+", text.lower().replace("’", "'"))
    return {word[:6].rstrip("s") for word in found} - EMPTY


def asks(cues: tuple[str, ...]) -> dict:
    """A question, or a request to tell, in which a word begins with one of the cues."""
    stems = "|".join(re.escape(cue).replace(r"\ ", r"[\s\-’']{1,3}") + r"\w*" for cue in cues)
    return pattern(
        rf"\b(?:{stems})\b[^.?!\n]{{0,160}}\?|\b(?:tell me|let me know|describe)\b[^.?!\n]{{0,160}}\b(?:{stems})"
    )


def words(phrases: tuple[str, ...], negated: bool | str = False) -> dict:
    """One of the phrases, in the grammar of `checks`."""
    return {"words": list(phrases), "negated": negated}


def pattern(regex: str) -> dict:
    """A pattern, negated or not."""
    return {"pattern": regex, "negated": "either"}


def criterion(text: str, points: int, dimension: str, check: dict) -> Criterion:
    """A criterion with a check in its JSON form."""
    return Criterion(text, points, dimension, _parsed(json.dumps(check)))


def too_many() -> Criterion:
    """More questions than a patient answers at once."""
    return criterion("Asks more than three questions at once.", -3, "clarity", pattern(r"\?(?:[^?]*\?){3}"))


@functools.cache  # a condition's checks come back with every patient who has it
def _parsed(check: str) -> Check:
    return parse_check(json.loads(check))
