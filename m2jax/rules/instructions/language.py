"""Which of the languages of IFEval a text is in: by its script, and within a script by function words.

Most of the 30 languages (and Chinese) have a script of their own. In the others (Latin, Cyrillic, Arabic, Devanagari)
a word counts for a language if it is one of its function words, has an ending of its own or a letter of its own
(`languages.toml`); a word that k languages share counts 1/k for each. Where no word counts, the text is in the script's
first language: English, Russian, Arabic, Hindi. The language of most letters is the text's, as in IFEval, so a
quotation may stand in another.

No package: langdetect, which IFEval takes, draws at random, errs on short replies and has had no release since 2021;
the others bring numpy or megabytes of n-grams. What it does not know it cannot tell: Dutch reads as the nearest of ten.
"""

from __future__ import annotations

import tomllib
import unicodedata
from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

_BLOCKS = (  # first character, last character, script; in order
    ("A", "z", "latin"),
    ("ª", "ɏ", "latin"),
    ("Ѐ", "ԯ", "cyrillic"),
    ("\u0590", "\u05ff", "he"),
    ("\u0600", "\u077f", "arabic"),
    ("\u0900", "\u097f", "devanagari"),
    ("\u0980", "\u09ff", "bn"),
    ("\u0a00", "\u0a7f", "pa"),
    ("\u0a80", "\u0aff", "gu"),
    ("\u0b80", "\u0bff", "ta"),
    ("\u0c00", "\u0c7f", "te"),
    ("\u0c80", "\u0cff", "kn"),
    ("\u0d00", "\u0d7f", "ml"),
    ("\u0e00", "\u0e7f", "th"),
    ("\u1100", "\u11ff", "ko"),
    ("\u1e00", "\u1eff", "latin"),
    ("\u3040", "\u30ff", "kana"),
    ("\u3130", "\u318f", "ko"),
    ("\u3400", "\u9fff", "han"),
    ("\uac00", "\ud7a3", "ko"),
    ("\ufb50", "\ufefc", "arabic"),
)
_FIRSTS = [first for first, _, _ in _BLOCKS]

_OWN_SCRIPT = "he bn pa gu ta te kn ml th ko ja zh".split()


@dataclass(frozen=True)
class _Marks:
    """What speaks for a language among those of its script: words, endings of longer words, letters of its own."""

    words: frozenset[str]
    endings: tuple[str, ...]
    letters: frozenset[str]


def _load() -> dict[str, dict[str, _Marks]]:
    """Script to language to marks, as `languages.toml` has them."""
    text = files(__package__).joinpath("languages.toml").read_text("utf-8")
    return {
        script: {
            language: _Marks(frozenset(e["words"].split()), tuple(e["endings"].split()), frozenset(e["letters"]))
            for language, e in languages.items()
        }
        for script, languages in tomllib.loads(text).items()
    }


_MARKS = _load()
LANGUAGES = frozenset(_OWN_SCRIPT).union(*_MARKS.values())


def language_of(text: str) -> str | None:
    """The ISO 639-1 code of the language most letters of `text` are in; None where there are no letters."""
    text = unicodedata.normalize("NFC", text).lower()
    plain = "".join(c if unicodedata.category(c)[0] in "LM" else " " for c in text)
    scripts = Counter(_script(c) for c in plain if c != " ")
    del scripts[""]
    if scripts["kana"]:  # Japanese is written in both
        scripts["kana"] += scripts.pop("han", 0)
    if not scripts.total():
        return None
    script = max(scripts, key=lambda name: scripts[name])
    if script not in _MARKS:
        return {"kana": "ja", "han": "zh"}.get(script, script)
    scores = dict.fromkeys(_MARKS[script], 0.0)
    for word, count in Counter(plain.split()).items():
        languages = _languages(script, word)
        for language in languages:
            scores[language] += count / len(languages)
    return max(scores, key=lambda language: scores[language])


@cache
def _script(character: str) -> str:
    i = bisect_right(_FIRSTS, character) - 1
    return _BLOCKS[i][2] if i >= 0 and character <= _BLOCKS[i][1] else ""


def _languages(script: str, word: str) -> list[str]:
    """The languages of a script that a word speaks for."""
    return [
        language
        for language, marks in _MARKS[script].items()
        if word in marks.words or (len(word) > 4 and word.endswith(marks.endings)) or not marks.letters.isdisjoint(word)
    ]
