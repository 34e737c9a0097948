"""Answers in words: exactly one of some names, or all of several and nothing that is wrong.

    {"kind": "exact", "answers": ["aortic dissection", "dissection of the aorta"]}
    {"kind": "set", "answers": [["heart failure", "cardiac failure", "CHF"], ["atrial fibrillation", "AF"]],
     "others": ["pneumonia", "pulmonary embolism"]}

`exact`: the final statement is one of the answers, and nothing else but articles, adverbs of certainty and what
stands in brackets. `set`: it names of each entry one synonym or more, and none of `others`; what it denies ("not
pneumonia") counts as not named. A diagnosis with its synonyms is a set of one. A final statement of a set may have 30
words for each entry, so that a list of everything earns nothing; `others` should hold every name of what the reply is
to decide among: what it lacks can be named beside the answer, to be safe.

The final statement is `final.final` (also after "diagnosis is", "Diagnosis:"), with the list under it where it is
one; else the whole reply where it is that short, else its last paragraph. Names are compared without case, accents,
hyphens, apostrophes, plural endings and British ae, oe, our; abbreviations in capitals ("AF", "MI") only as they are
written.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from m2jax.rules.final import answered, final

WORDS = 30  # of a final statement, for each entry of a set
_WORDS = r"answers?|diagnos[ei]s|result|solution|答案|诊断"
_DENIED = re.compile(  # in plain words: without apostrophes
    r"\b(?:not(?! only)|no|without|never|nor|neither|(?:is|are|was|do|doe|did|can|could|would)nt|unlikely|less likely"
    r"|rather than|instead of|exclud\w+|ruled? out|free of|negative for)\b",
    re.IGNORECASE,
)
_CLAUSE = re.compile(r"[.;:\n]|\bbut\b|\bhowever\b|\balthough\b|\bthough\b", re.IGNORECASE)
_EMPTY = "(?:the|an?|most|likely|probably|clearly|therefore|thus|so|it|is|this|diagnosi|answer|patient|has)"  # plain


@dataclass(frozen=True)
class Exact:
    """answers: names of the same thing."""

    answers: Sequence[str]

    def __post_init__(self) -> None:
        _check_names("answers", self.answers)


@dataclass(frozen=True)
class Named:
    """answers: of each thing its names, all of which things must be named. others: what must not be."""

    answers: Sequence[Sequence[str]]
    others: Sequence[str] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.answers, list | tuple) or not self.answers:
            raise ValueError(f"answers is {self.answers!r}; give a list of at least one list of synonyms")
        for i, names in enumerate(self.answers):
            _check_names(f"answers[{i}]", names)
        if self.others:
            _check_names("others", self.others)
        both = {_name(name) for names in self.answers for name in names} & set(map(_name, self.others))
        if both:
            raise ValueError(f"others has {sorted(both)}, which answers has too; remove them from one")


def exact(rule: Exact, reply: str) -> bool:
    """Whether the final statement is one of the answers."""
    return said(reply) in {re.sub(rf"^(?:{_EMPTY}\s+)+", "", _plain(name)) for name in rule.answers}


def said(reply: str) -> str:
    """The final statement in plain words."""
    text = answered(reply)
    statement = final(text, _WORDS)
    bare = re.sub(r"\([^()]*\)", " ", re.sub(r"[*_`$\\{}]|\\text", " ", text if statement is None else statement))
    return re.sub(rf"^(?:{_EMPTY}\s+)+", "", _plain(bare))


def named(rule: Named, reply: str) -> bool:
    """Whether the final statement names all of the answers and none of the others."""
    limit = WORDS * len(rule.answers)
    statement = _statement(answered(reply), limit)
    if len(statement.split()) > limit:
        return False
    spans = [span for names in rule.answers for span in _mentions(names, statement)]
    if not all(_mentions(names, statement) for names in rule.answers):
        return False
    others = _mentions(rule.others, statement)
    return all(any(a <= c and d <= b for a, b in spans) for c, d in others)  # "heart failure" within what is right


def _statement(text: str, limit: int) -> str:
    statement = final(text, _WORDS)
    if statement is None:
        return text if len(text.split()) <= limit else re.split(r"\n\s*\n", text)[-1]
    start = text.rfind(statement)
    item = r"\s*(?:[-*•+]|\d+[.)])\s+"
    if start < 0 or not re.match(item, text[text.rfind("\n", 0, start) + 1 :]):
        return statement
    lines = text[text.rfind("\n", 0, start) + 1 :].splitlines()
    listed = next((i for i, line in enumerate(lines) if not re.match(item, line)), len(lines))
    return "\n".join(lines[:listed])


def _mentions(names: Sequence[str], statement: str) -> list[tuple[int, int]]:
    """Where a name stands and is not denied: offsets in the statement's clauses, in plain words, end to end."""
    spans: list[tuple[int, int]] = []
    start = 0
    for clause in map(_words, _CLAUSE.split(statement)):
        lower = clause.lower()
        for name in names:
            as_written = name.isupper() and len(name) <= 5
            text, body = (clause, name) if as_written else (lower, _name(name))
            if body not in text:  # names may be hundreds
                continue
            for found in re.finditer(rf"(?<!\w){re.escape(body)}(?!\w)", text):
                if not _DENIED.search(text[: found.start()]):
                    spans.append((start + found.start(), start + found.end()))
        start += len(clause)
    return spans


@functools.lru_cache(1 << 16)  # the same names come with every task
def _name(name: str) -> str:
    return _plain(name)


def _plain(text: str) -> str:
    return _words(text).lower()


def _words(text: str) -> str:
    """Words without accents, hyphens, possessive and plural endings, and British spellings; in their case."""
    text = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    text = re.sub(r"['’]s?\b", "", text)
    return " ".join(_word(word) for word in re.sub(r"[^\w]+|_", " ", text).split())


def _word(word: str) -> str:
    word = re.sub(r"(?<=[a-z])our$", "or", re.sub("[ao]e", "e", word))
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")) else word


def _check_names(what: str, names: object) -> None:
    if not isinstance(names, list | tuple) or not names:
        raise ValueError(f"{what} is {names!r}; give a list of at least one name")
    for name in names:
        if not isinstance(name, str) or not _name(name):
            raise ValueError(f"{what} has {name!r}; give names with letters or digits")
