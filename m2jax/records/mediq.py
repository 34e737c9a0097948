"""Cases in MediQ's form (https://github.com/stellali7/mediQ), a case an object:

    {"id": 3, "question": "Which ... the most likely diagnosis?", "context": [sentences], "options": {...},
     "answer": ..., "facts": ["1. ...", ...], "patient": {"age": "22 years", "gender": "male"}}

The facts are taken as they are, without their numbers; where there are none, the context's sentences. A fact's kind
comes from its own words, else from the sentence of the context it was drawn from: what follows "on examination" is a
finding until a sentence turns back to the history. `diagnosis` is the answer where the question asks for it; where it
asks for something else, it is "not stated", and question and answer are a hidden fact.
"""

from __future__ import annotations

import re
from pathlib import Path

from m2jax.records.kinds import kind_of
from m2jax.records.outside import UNSTATED, Outside, build, read_objects
from m2jax.records.structured import take_identifiers
from m2jax.records.text import age_of, says_something, sex_of, statements

_ASKS_DIAGNOSIS = re.compile(
    r"(?i)diagnos|most likely (?:condition|disease|disorder|etiolog|underlying condition|explanation)|"
    r"which (?:condition|disease|disorder)|is (?:most likely )?suffering from"
)
_NOT_DIAGNOSIS = re.compile(
    r"(?i)next (?:best )?step|confirm|establish|test|treatment|management|mechanism|step in|rule out|associated|"
    r"complication|support|risk"
)
_PRESENTS = re.compile(
    r"(?i)\b(?:presents?|presented|complain(?:s|ed|ing|ts?)?|comes?|came|brought|referred|seen|consults?|visits?|"
    r"admitted|reports?)\b"
)
_ONLY_WHO = re.compile(
    r"(?i)(?:the patient is |an? |the (?:man|woman|boy|girl|infant|child) is )[^.,]*?\b(?:\d+[\s\-]*(?:year|month|week|"
    r"day)s?[\s\-]old|newborn|elderly)(?: [\w\-]+){0,4}?(?:\b(?:presents?|presented|comes|came|is brought|is admitted|"
    r"was brought)\b(?: to (?:the|a|an|his|her) [\w ]+| for evaluation| with complaints)?)?\.?"
)
_BACK_TO_HISTORY = re.compile(
    r"(?i)^(?:the (?:patient|man|woman|boy|girl|mother|father|parents?|infant|child)|he|she|they|his|her|past|family|"
    r"social)\b.*\b(?:history|reports?|denie[sd]|states?|says|takes?|taking|smokes?|drinks?|works?|lives?|medications?|"
    r"has had|notes?|noticed|complains?|describes?|recalls?)\b|\b(?:treatment|treated|therapy|medications?|"
    r"improve[ds]?|improvement|failed|responded)\b"
)


def read(path: str | Path) -> list[Outside]:
    """The cases of a file, not yet de-identified. ValueError is `file:line: what is wrong`."""
    out = []
    for number, (place, raw) in enumerate(read_objects(path)):
        try:
            out.append(_case(f"mediq-{raw.get('id', number)}", raw, place))
        except ValueError as error:
            raise ValueError(f"{place}: {error}") from error
    return out


def _case(id: str, raw: dict, place: str) -> Outside:
    known: dict[str, list[str]] = {}
    kept = take_identifiers(raw, known)
    raw = {"patient": {}} | {key: value for key, value in kept.items() if value is not None}
    context = [part for text in _texts("context", raw) for part in statements(text)]
    facts = [re.sub(r"^\s*(?:\(?\d+[.)]|[-*•])\s*", "", text) for text in _texts("facts", raw)]
    facts = [
        text if text.endswith((".", "!", "?")) else f"{text}." for text in facts if says_something(text)
    ] or context
    if not facts:
        raise ValueError("the case has neither facts nor context; give one of them as a list of sentences")
    question, answer = str(raw.get("question", "")).strip(), raw.get("answer")
    if not isinstance(answer, str) or not answer.strip():
        raise ValueError(f"answer is {answer!r}; give the text of the right option")
    if not isinstance(raw["patient"], dict):
        raise ValueError(f"patient is {raw['patient']!r}; give an object with age and gender")
    if asks := bool(_ASKS_DIAGNOSIS.search(question)) and not _NOT_DIAGNOSIS.search(question):
        last = f"The diagnosis is {answer.strip().rstrip('.')}."
    else:
        last = f"Asked: {question} Answer: {answer.strip().rstrip('.')}."
    ages = (age_of(text) for text in (raw["patient"].get("age"), *context[:2], *facts[:3]))
    age = next((age for age in ages if age is not None), None)
    sex = sex_of(raw["patient"].get("gender"), raw["patient"].get("sex"), *context, *facts)
    found = [*zip(_kinds(facts, context), facts, strict=True), ("diagnosis", last)]
    return Outside(build(id, age, sex, answer.strip() if asks else UNSTATED, found, "mediq"), known, place)


def _texts(field: str, raw: dict) -> list[str]:
    value = raw.get(field, [])
    value = value.split("\n") if isinstance(value, str) else value
    if not isinstance(value, list):
        raise ValueError(f"{field} is {str(value)[:80]}; give a list of texts")
    for number, item in enumerate(value):
        if not isinstance(item, str):
            raise ValueError(f"{field}[{number}] is {str(item)[:80]}; give a text")
    return [item.strip() for item in value if item.strip()]


def _kinds(facts: list[str], context: list[str]) -> list[str]:
    sections = _sections(context)
    words = [set(re.findall(r"\w+", sentence.lower())) for sentence in context]
    kinds, complained, at = [], False, 0
    for fact in facts:
        own = set(re.findall(r"\w+", fact.lower())) - {
            "the",
            "a",
            "an",
            "of",
            "was",
            "is",
            "patient",
            "has",
            "had",
            "and",
            "in",
            "on",
        }
        # the sentence that shares most words; of equals the one nearest after the last fact's
        if words:
            at = max(range(len(words)), key=lambda i: (len(own & words[i]), i >= at, -abs(i - at)))
        section = sections[at] if sections else "symptom"
        kind = kind_of(fact, section, None if section == "symptom" else ("exam", "test", "allergy", "family"))
        if _ONLY_WHO.fullmatch(fact):
            kind = "demographic"
        elif (
            not complained
            and kind not in ("exam", "test")
            and (at == 0 or _PRESENTS.search(fact))
            and kind in ("symptom", "past", "drug")
        ):
            if kind == "symptom" or _PRESENTS.search(fact):
                kind, complained = "complaint", True
        kinds.append(kind)
    return kinds


def _sections(context: list[str]) -> list[str]:
    """For each sentence "exam", "test" or "symptom" (the history), going on as the one before where it does not say."""
    sections, now = [], "symptom"
    for number, sentence in enumerate(context):
        told = kind_of(sentence, "", ("exam", "test"))
        if told and number > 0:
            now = told
        elif _BACK_TO_HISTORY.search(sentence):
            now = "symptom"
        sections.append(now)
    return sections
