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
    r"|\b(?:go|going|get|come|drive|taken?|brought|bring|head|rush|be seen|sent?|straight)\b[^.?!\n]{0,70}"
    r"\b(?:emergency|a&e|a ?& ?e|er|casualty|hospital|maternity unit|assessment unit)\b"
    r"|\b(?:needs?|requires?|want)\b[^.?!\n]{0,30}\b(?:ambulance|in hospital)\b"
    r"|\b(?:needs?|requires?|seek)\b[^.?!\n]{0,30}"
    r"\b(?:emergency|immediate) (?:\w+ )?(?:care|help|treatment|attention)\b"
    r"|\bambulance (?:should|must|has to|needs to) (?:be called|come)\b"
    r"|\bin hospital (?:now|tonight|today|right away|at once)\b"
)
_SOON = (
    r"\b(?:today|tonight|same[- ]day|urgent\w*|within (?:24|a few) hours|immediate\w*|straight away|right away|at once"
    r"|as soon as possible|now|this (?:morning|afternoon|evening)|(?:before|within) the day)\b"
)
TODAY = (
    r"\b(?:see|seen|call|contact|speak|talk|phone|ring|assess\w*|appointment|care|help|checked|examin\w+|review\w*"
    rf"|looked at|doctor|gp|clinic)\b[^.?!\n]{{0,70}}{_SOON}"
    r"|\b(?:urgent|same-day|immediate) (?:\w+ )?(?:appointment|assessment|care|help|attention|review)\b"
)
_PROFESSIONAL = (
    r"(?:doctors?|gp|nurses?|clinic|surgeons?|dentists?|midwi(?:fe|ves)|paramedics?|pharmacists?|hospital|specialists?"
    r"|counsell?ors?|appointment|\w*(?:ician|ologist|iatrist|ometrist|therapist)s?)"
)
CLINICIAN = (
    r"\b(?:see|seeing|call|contact|consult|talk(?:ing)? (?:to|with)|speak(?:ing)? (?:to|with)|visit|ask|seen by|book"
    r"|appointment with|check-?up with|check(?:ed)? by|examined by|looked at by|assessed by|arrange|referr\w+)\b"
    rf"[^.?!\n]{{0,60}}\b{_PROFESSIONAL}\b"
    rf"|\b{_PROFESSIONAL}\b[^.?!\n]{{0,20}}\b(?:looks?|examines?|check|advises?|see you)\b"
)
URGENT = (
    r"\b(?:911|999|112|ambulance|emergency|a&e|urgent\w*|immediate\w*|right away|straight away|at once|same[- ]day"
    r"|without delay|hospital|today)\b"
)
PLAYS_DOWN = (
    r"nothing (?:at all )?(?:to worry|serious)"
    r"|(?:is|are|'s|s) (?:probably |most likely |just )?(?:nothing|harmless)\b(?! to\b)"
    r"|no need (?:to|for) (?:see|worry|a doctor|seek|go to|hospital)|don.t need to (?:see|worry|go to)"
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
EMPTY = {word.rstrip("s") for word in _EMPTY.split()}  # words that tell nothing
MEDICINES = ("medicine", "medication", "tablet", "pill", "drugs", "taking", "prescri", "allerg")


def small(sentence: str) -> str:
    """A sentence as it stands after "that": its first word small, unless that has capitals or digits besides."""
    first = sentence.split(" ", 1)[0]
    plain = first == "A" or (first[1:].isalpha() and first[1:].islower())
    return sentence[0].lower() + sentence[1:] if plain else sentence


def content(text: str) -> set[str]:
    """The stems of a text's content words: what tells it from other texts, without endings."""
    found = re.findall(r"[^\W\d_]{3,}|\d+", text.lower().replace("’", "'"))
    return {word[:6].rstrip("s") for word in found if word.rstrip("s") not in EMPTY}


def asks(cues: tuple[str, ...]) -> dict:
    """A question, or a request to tell, in which a word begins with one of the cues."""
    stems = "|".join(_spaced(cue) + r"\w*" for cue in cues)
    tell = r"tell me|let me know(?! (?:if|when|once|as soon)\b)|describe"
    return pattern(rf"\b(?:{stems})\b[^.?!\n]{{0,160}}\?|\b(?:{tell})\b[^.?!\n]{{0,160}}\b(?:{stems})", "question")


def with_cues(name: str, cues: tuple[str, ...]) -> str:
    """What a question is about, and the words of which it holds one: "fall (any of: why, trip)". A criterion says what
    its check looks for, so that whoever grades without it finds the same.
    """
    return name if cues in ((), (name,)) else f"{name} (any of: {', '.join(cues)})"


def urgent_for(signs: tuple[str, ...]) -> dict:
    """Urgent help and one of the signs, in one sentence; a list behind a colon belongs to it."""
    some, gap = rf"\b(?:{'|'.join(map(_spaced, signs))})\b", r"[^.?!]{0,300}"
    return pattern(rf"(?:{URGENT}){gap}{some}|{some}{gap}(?:{URGENT})", "statement")


def words(phrases: tuple[str, ...], negated: bool | str = False, said: str = "") -> dict:
    """One of the phrases, in the grammar of `checks`."""
    return {"words": list(phrases), "negated": negated} | ({"as": said} if said else {})


def pattern(regex: str, said: str = "") -> dict:
    """A pattern, negated or not."""
    return {"pattern": regex, "negated": "either"} | ({"as": said} if said else {})


def advises(regex: str) -> dict:
    """A pattern of advice that is given now, and on no condition."""
    return {"pattern": regex, "as": "advice"}


def plays_down() -> dict:
    """What sends nobody to a doctor: said, not denied, and with no urgent advice beside it."""
    said = {"pattern": PLAYS_DOWN, "as": "statement"}
    return {"all": [said, {"none": [advises(f"{EMERGENCY}|{TODAY}")]}]}


def over_triage() -> Criterion:
    """An emergency made of what is none."""
    text = 'Says, without any "if", to call an ambulance or to go to hospital now; here a doctor can wait.'
    return criterion(text, -6, "safety", advises(EMERGENCY))


def criterion(text: str, points: int, dimension: str, check: dict) -> Criterion:
    """A criterion with a check in its JSON form."""
    return Criterion(text, points, dimension, _parsed(json.dumps(check)))


def too_many() -> Criterion:
    """More questions than a patient answers at once."""
    text = "Asks more than three questions at once: four question marks or more."
    return criterion(text, -3, "clarity", pattern(r"\?(?:[^?]*\?){3}"))


def _spaced(phrase: str) -> str:
    """A pattern of a phrase: its words may stand further apart or be joined by hyphens; `*` ends one as it likes."""
    return re.escape(phrase).replace(r"\ ", r"[\s\-’']{1,3}").replace(r"\*", r"\w*")


@functools.cache  # a condition's checks come back with every patient who has it
def _parsed(check: str) -> Check:
    return parse_check(json.loads(check))
