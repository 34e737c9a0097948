"""Words, sentences and words in capitals of a reply, as IFEval counts them, without NLTK and its models."""

from __future__ import annotations

import re

_WORD = re.compile(r"\w+")
_STOP = re.compile(
    r"(?<![.!?…])(?P<mark>[.!?…]++)[\"'”’»)\]*_]*(?=\s|$)"  # and the closing marks after it
    r"|[。！？]+[\"'”’」』）*]*|[।॥؟۔]+[\"'”’»)*]*"  # these need no space
)
_AFTER = re.compile(r"\s*(\S?)")
_BEFORE = re.compile(r"[^\W_](?:[\w.]*[^\W_])?$")  # the word a stop stands after
_ITEM = re.compile(r"(?:^|\n)[ \t>*#_-]*(?:\d{1,3}|[A-Za-z])$")  # the number of a list item
_DOTTED = re.compile(r"(?:[^\W\d_]\.)+[^\W\d_]$")  # U.S, a.m
_NEVER_LAST = frozenset("mr mrs ms mx dr prof st rev capt lt sgt mt vs cf viz e.g i.e".split())
_ABBREVIATED = frozenset("etc inc ltd co corp jr sr dept approx ph.d".split())  # may end a sentence
_APART = re.compile(r"[^\w.'’/-]+|(?=n['’]t\b)|(?=['’](?:s|m|d|ll|re|ve)\b)", re.IGNORECASE)  # of words in capitals
_WINDOW = 40  # characters before a stop that may make it an abbreviation's


def words(text: str) -> int:
    """Runs of letters, digits and underscores: "don't" is two, "well-known" too."""
    return len(_WORD.findall(text))


def capital_words(text: str) -> int:
    """Words in capitals only: "I", "U.S." and "COVID-19" are one each; of contractions "I'm" is one, "DON'T" two."""
    return sum(word.isupper() for word in _APART.split(text))


def sentences(text: str) -> int:
    """What ends in a stop, and what is left after the last one. Line ends alone end nothing: a heading or a list
    without stops belongs to the sentence that follows.
    """
    count = start = 0
    for stop in _STOP.finditer(text):
        has_words = _WORD.search(text, start, stop.start()) is not None
        if not has_words or not stop["mark"] or _ends(text, stop):
            count, start = count + has_words, stop.end()
    return count + bool(_WORD.search(text, start))


def _ends(text: str, stop: re.Match[str]) -> bool:
    """Whether . ! ? or an ellipsis ends a sentence here; the last one of a text does."""
    after = _AFTER.match(text, stop.end())[1]
    if not after:
        return True
    if stop["mark"] in ("…", "...", "...."):
        return not after.islower()
    if stop["mark"] != ".":
        return True
    before = text[max(0, stop.start() - _WINDOW) : stop.start()]
    if _ITEM.search(before):
        return stop.end() < len(text) and text[stop.end()] == "\n"
    found = _BEFORE.search(before)
    word = found[0] if found else ""
    if word.lower() in _NEVER_LAST:
        return False
    if len(word) == 1 and word.isupper() and word != "I":
        return False  # an initial
    if word.isdigit():
        return not after.islower()  # "1. do this; 2. do that"
    if word.lower() in _ABBREVIATED or _DOTTED.fullmatch(word):
        return not after.islower() and not after.isdigit()
    return True
