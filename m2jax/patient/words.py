"""Text as what facts and replies are compared by: stems with their polarity, and numbers.

A stem is a content word without its ending, synonyms joined ("tummy", "abdomen" -> "belly"). Words that carry no
statement about a case (pronouns, auxiliaries, "doctor", "really", units of time) have none. Plain English rules,
made for short sentences of patients and records.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Iterator

from m2jax.verifier.negation import is_negated

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_AGREES = re.compile(r"(?:\ball|\bthat's|\bthat is|\byou're|\byou are|^)\W*right$", re.IGNORECASE)
_NUMBER = re.compile(r"\d+(?:[.,]\d+)?")
NUMBER_WORDS = {
    word: str(i)
    for i, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
        "seventeen eighteen nineteen twenty".split()
    )
    if word not in ("zero", "one")  # "one" is mostly a pronoun
} | {"thirty": "30", "forty": "40", "fifty": "50", "sixty": "60", "seventy": "70", "eighty": "80", "ninety": "90"}
_EMPTY = frozenset(
    """a about above absolutely actually after again ago ah all already alright also although always am an and any
    anybody anymore anyone anything apart are around as ask asked at away back bad basically be became because been
    before began begin begun being below best better between bit both bother but by call came can cannot care
    certain certainly come concern could did do doc doctor doctors does doing done down during each early either
    else enough especially even ever every everything exactly except far feel feeling feels felt few fine first for
    from get gets getting give go goes going good got great guess had happen happened has have having he hello help
    helpful her here hers herself hey hi him himself his hm hmm honest honestly how however i if in indeed into is
    it its itself just keep kind knew know known last late lately later least less let like likely little long look
    lot lots made main mainly make many matter may maybe me mean mention mentioned might mine moment more most
    mostly much must my myself near nearly need needs neither never new next no nobody none nor normal normally not
    note noted nothing notice noticed now occasionally of off often oh ok okay old on once one only open or other
    others our out over own perhaps please point pretty probably problem put question quite rather real really
    recall recently regular regularly remember report right said same say saying see seem seems seen shall she
    should show showed since so some somebody someone something sometimes somewhat soon sorry sort start started
    still stuff such suppose sure symptom symptoms take taken takes taking talk tell than thank thanks that the
    their them then there these they thing things think this those though thought time times to today together told
    tonight too took tried tries try trying turn two type uh um under understand unfortunately until up upon us use
    used uses using usual usually very wait want wanted was way we well went were what when whenever where whether
    which while who whole why will wish with within without wonder worried worry would yeah yes yet you your yours
    yourself
    afternoon afternoons daily day days evening evenings hour hours minute minutes month months morning mornings night
    nights week weekly weeks weekend weekends year yearly years yesterday second seconds mg ml kg cm mm""".split()
) - {"new", "sleep"}
_KEEP = frozenset({"right", "worse", "better", "new"})  # said of a case in spite of the list above
_SYNONYMS = {
    "tummy": "belly", "stomach": "belly", "abdomen": "belly", "abdominal": "belly",
    "hurt": "pain", "ache": "pain", "sore": "pain", "painful": "pain", "soreness": "pain",
    "nausea": "sick", "nauseous": "sick", "nauseat": "sick", "queasy": "sick",
    "puk": "vomit", "throw": "vomit",
    "temperature": "fever", "feverish": "fever", "thermometer": "fever",
    "breathless": "breath", "breathlessness": "breath",
    "fatigue": "tired", "tiredness": "tired", "exhaust": "tired",
    "dizziness": "dizz", "dizzy": "dizz",
    "urine": "pee", "urinate": "pee", "urinat": "pee",
    "medication": "medicine", "tablet": "medicine", "pill": "medicine", "drug": "medicine",
    "cigarette": "smok", "tobacco": "smok",
    "mum": "mother", "mom": "mother", "dad": "father",
    "itchy": "itch", "itching": "itch", "swollen": "swell", "swelling": "swell", "swoll": "swell",
    "operat": "operation", "surgery": "operation", "allergic": "allergy", "allergie": "allergy",
    "bleed": "blood", "bloody": "blood", "blee": "blood",
}  # fmt: skip
OPPOSITES = (
    ("right", "left"),
    ("better", "worse"),
    ("sudden", "gradual"),
    ("dull", "sharp"),
    ("dry", "productive"),
    ("mild", "severe"),
    ("constant", "intermittent"),
    ("alone", "partner"),
    ("increas", "decreas"),
    ("warm", "cold"),
)


@dataclasses.dataclass(frozen=True)
class Said:
    """What a text says: each stem with whether it is negated (both where it stands twice), and its numbers."""

    stems: tuple[tuple[str, bool], ...]
    numbers: frozenset[str]

    @property
    def names(self) -> frozenset[str]:
        return frozenset(stem for stem, _ in self.stems)

    def polarities(self, stem: str) -> frozenset[bool]:
        return frozenset(negated for name, negated in self.stems if name == stem)


@functools.lru_cache(maxsize=8192)
def read(text: str) -> Said:
    """The stems and numbers of a text."""
    text = text.replace("’", "'")
    found = tuple((stem, is_negated(text, start, end)) for stem, start, end in _stems(text))
    return Said(tuple(dict.fromkeys(found)), numbers(text))


def numbers(text: str) -> frozenset[str]:
    """Numbers as written in digits: "two" is "2", "2.0" is "2"."""
    found = [match[0].replace(",", ".") for match in _NUMBER.finditer(text)]
    found = [f"{float(n):g}" for n in found]
    words = (match[0].lower() for match in _WORD.finditer(text))
    return frozenset(found) | {NUMBER_WORDS[w] for w in words if w in NUMBER_WORDS}


def stem(word: str) -> str:
    """The stem of one lower-case word."""
    word = word.removesuffix("'s")
    if word in _SYNONYMS:
        return _SYNONYMS[word]
    for ending in ("ingly", "edly", "ings", "ness", "ing", "ies", "ed", "es", "ly", "s", "e", "y"):
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not word.endswith("ss"):
            word = word.removesuffix(ending)
            break
    if len(word) > 4 and word[-1] == word[-2] and word[-1] not in "ls":
        word = word[:-1]
    return _SYNONYMS.get(word, _JOINED.get(word, word))


def _stems(text: str) -> Iterator[tuple[str, int, int]]:
    for match in _WORD.finditer(text):
        word = match[0].lower()
        if word.endswith("n't") or word.split("'")[0] in ("i", "you", "he", "she", "it", "we", "they", "that"):
            continue
        if word in NUMBER_WORDS or (word in _EMPTY and word not in _KEEP) or len(word) < 2:
            continue
        if word == "right" and _AGREES.search(text, 0, match.end()):
            continue
        yield stem(word), *match.span()


_JOINED: dict[str, str] = {}
_JOINED.update({stem(word): to for word, to in _SYNONYMS.items()})
_JOINED.pop("", None)
