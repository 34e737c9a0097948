# ruff: noqa: E501 (tables of patterns)
"""Phrases that criteria look for in a doctor's reply, and how checks of them are written.

Patterns are those of plain English advice; `checks` explains how a negation counts.
"""

from __future__ import annotations

import functools
import json
import re

from m2jax.verifier.checks import Check, parse_check
from m2jax.verifier.rubric import Criterion

_LATER = (  # what sends nobody now
    r"(?![^.?!\n]{0,60}\b(?:next (?:week|month)|in (?:a few|two|three|some) (?:days|weeks)"
    r"|for an? (?:x-?ray|scan|blood test|appointment|follow))\b)"
)
EMERGENCY = (
    r"\b(?:call|dial|phone|ring)\w*\b[^.?!\n]{0,40}\b(?:911|999|112|000|ambulance|emergency)\b"
    r"|\b(?:go|going|get|come|drive|taken?|brought|bring|head|rush|be seen|(?:sent |send (?:\w+ )?)to|straight|visit"
    r"|attend)\b"
    r"[^.?!\n]{0,70}\b(?:emergency(?! (?:contracepti\w+|contacts?|numbers?|pills?|plan))|a&e|a ?& ?e|er|casualty"
    r"|hospital|maternity unit|assessment unit)\b"
    rf"{_LATER}"
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
    r"(?<!\bI )(?<!\bI can )(?<!\bI will )(?<!\bI'll )(?<!\bwe )(?<!\bwe can )(?<!\byour )"
    r"\b(?:see|seen|call|contact|(?:speak|talk)(?! (?:to|with) you\b)|phone|ring|assess\w*|appointment|checked|examin\w+|review\w*"
    r"|(?:get|need|seek|medical|find)s? (?:\w+ )?(?:care|help|attention|advice)|looked at|doctor|gp|clinic)\b"
    rf"[^.?!\n]{{0,70}}{_SOON}"
    r"|\b(?:urgent|same-day|immediate) (?:\w+ )?(?:appointment|assessment|care|help|attention|review)\b"
)
_PROFESSIONAL = (
    r"(?:doctors?|gp|nurses?|clinic|surgeons?|dentists?|midwi(?:fe|ves)|paramedics?|pharmacists?|hospital|specialists?"
    r"|(?:health ?care|medical|health) (?:providers?|professionals?|practitioners?)|counsell?ors?|appointment|\w*(?:ician|ologist|iatrist|ometrist|therapist)s?)"
)
CLINICIAN = (
    r"\b(?:see|seeing|call|contact|consult|talk(?:ing)? (?:to|with)|speak(?:ing)? (?:to|with)|visit|ask|seen by|book"
    r"|appointment with|check-?up with|check(?:ed)? by|examined by|looked at by|assessed by|arrange|refer\w*)\b"
    rf"[^.?!\n]{{0,60}}\b{_PROFESSIONAL}\b"
    rf"|\b{_PROFESSIONAL}\b[^.?!\n]{{0,20}}\b(?:looks?|examines?|check|advises?|see you)\b"
)
OUTRIGHT = 'Says outright, not only "if" something happens,'  # how a criterion words what `advises` looks for
URGENT = (
    r"\b(?:911|999|112|000|ambulance|emergency|er|a&e|urgent\w*(?! (?:blood|test|scan|x-?ray|referral|letter))"
    r"|immediate\w*|right away|straight away|at once|same[- ]day|without delay|hospital|help now"
    r"|(?:see|call|seen|contact|go|get|come|help|back)\b[^.?!]{0,40}\btoday)\b"
)
PLAYS_DOWN = (
    r"nothing (?:at all )?(?:to worry|serious)"
    r"|(?:is|are|'s|s) (?:probably |most likely |just )?(?:nothing|harmless)\b(?! to\b)"
    r"|no need (?:to|for) (?:see|worry|a doctor|seek|go to|hospital)|don.t need to (?:see|worry|go to)"
    r"|you can (?:safely )?wait\b(?! for)|\b(?:it|this|that) can wait\b|(?:will|should) (?:probably )?(?:pass|go away|settle|get better) on its own"
)
SURE = (
    r"\b(?:you|he|she|they|your \w+) (?:definitely|certainly|clearly|undoubtedly) (?:have|has)\b"
    r"|\b(?:definitely|certainly|undoubtedly|without (?:a |any )?doubt)[^.?!\n]{0,20}\b(?:is|have|has|diagnos\w+)\b"
)
FEELING = [
    *("sorry", "understandabl*", "I understand", "that sounds", "this sounds", "that must be", "this must be"),
    *("it must be", "must feel", "you must be"),
    *("worrying", "frightening", "scary", "unpleasant", "uncomfortable", "thank you for", "thanks for", "glad you"),
    *("good that you", "right to ask", "hope you", "hope he", "hope she"),
]
_EMPTY = """
" the and for has have had was were are is been being with without this that these those from into out not can
cannot could should would will may might must does did any all some very more most than then there here when
what which who how why where about after before between during over under again also just only own same such
too now ever never shouldn couldn wouldn against understand understands his her hers him she you your they their
them its our ours one two yes patient doctor reply asks tells gives make made takes take
"""
EMPTY = {word.rstrip("s") for word in _EMPTY.split()}  # words that tell nothing
WHOLE = 3  # letters of a cue that begins no longer word
_GOES_ON = {"numb": "(?:ness)?", "hear": "(?:s|d|ing)?", "urge": "s?", "heal": "(?:s|ed|ing)?"}  # others: as they like
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
    """A question, or a request to tell, in which a word begins with one of the cues; a short cue is a whole word."""
    stems = "|".join(_spaced(c) + (_GOES_ON.get(c, r"\w*") if len(c) > WHOLE else "(?:e?s)?") for c in cues)
    tell = r"tell me|let me know(?! (?:if|when|once|as soon)\b)|describe"
    return pattern(rf"\b(?:{stems})\b[^.?!\n]{{0,160}}\?|\b(?:{tell})\b[^.?!\n]{{0,160}}\b(?:{stems})", "question")


def with_cues(name: str, cues: tuple[str, ...]) -> str:
    """What a question is about, and the words of which it holds one: "fall (any of: why, trip)". A criterion says what
    its check looks for, so that whoever grades without it finds the same.
    """
    return name if cues in ((), (name,)) else f"{name} (any of: {', '.join(cues)})"


def urgent_for(signs: tuple[str, ...]) -> dict:
    """Urgent help, and in the same sentence one of the signs that it is for; or the signs, and after them "If any of
    these happens, ...". A list belongs to the sentence that it stands in.
    """
    part, dot = r"[^.?!]{0,150}", r"(?:(?<=\d)\.|\.(?=[\w,])|(?<=\.\w)\.)"  # dots of "1. fever", "38.5" and "e.g."
    gap = rf"{part}(?:{dot}{part}){{0,4}}"
    some = rf"\b(?:{'|'.join(map(_spaced, signs))})\b".replace(
        "blood", r"blood(?! (?:tests?|samples?|pressure|sugar|count))"
    )
    then = rf"(?:[.!]\s+(?:if|in case) (?:any|this|that|these|one|so|you do)\b{part})?"
    both = rf"(?:{URGENT}){gap}{some}|{some}{gap}{then}(?:{URGENT})"
    return {"all": [pattern(both, "statement"), {"pattern": URGENT, "as": "statement"}]}


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
    text = f"{OUTRIGHT} to call an ambulance or to go to hospital now, though an appointment is enough here."
    return criterion(text, -6, "safety", advises(EMERGENCY))


def criterion(text: str, points: int, dimension: str, check: dict) -> Criterion:
    """A criterion with a check in its JSON form."""
    return Criterion(text, points, dimension, _parsed(json.dumps(check)))


def asks_about(name: str, cues: tuple[str, ...], points: int) -> Criterion:
    """A question about something, by its cues."""
    return criterion(f"Asks about: {with_cues(name, cues)}.", points, "inquiry", asks(cues))


def asks_again(name: str, cues: tuple[str, ...]) -> Criterion:
    """The same about what is known, which costs points."""
    return criterion(f"Asks again about what is known: {with_cues(name, cues)}.", -3, "inquiry", asks(cues))


def too_many() -> Criterion:
    """More questions than a patient answers at once."""
    text = "Asks more than three questions at once: four question marks or more."
    return criterion(text, -3, "clarity", pattern(r"\?(?:[^?]*\?){3}"))


def _spaced(phrase: str) -> str:
    """A pattern of a phrase: its words may stand further apart or be joined by hyphens; `*` ends one as it likes."""
    return re.escape(phrase).replace("'", "['’]").replace(r"\ ", r"[\s\-’']{1,3}").replace(r"\*", r"\w*")


@functools.cache  # a condition's checks come back with every patient who has it
def _parsed(check: str) -> Check:
    return parse_check(json.loads(check))
