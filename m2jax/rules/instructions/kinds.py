"""The 25 instruction types of IFEval (arXiv 2311.07911, table 3): of each its checker and its kwargs.

A checker takes the reply and the type's kwargs by name and says whether the reply follows, in time linear in the reply.
It is only called with kwargs that `check.check_instruction` has passed, and with a reply that is not blank.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from m2jax.rules.instructions.language import LANGUAGES, language_of
from m2jax.rules.instructions.text import capital_words, sentences, words

RELATIONS = ("at least", "less than")
ANSWERS = ("My answer is yes.", "My answer is no.", "My answer is maybe.")


@dataclass(frozen=True)
class Kwarg:
    """What a value must be, in words and as a test."""

    is_a: str
    holds: Callable[[Any], bool]


@dataclass(frozen=True)
class Kind:
    """One instruction type: its checker and the kwargs it takes, all of which it needs."""

    met: Callable[..., bool]
    kwargs: Mapping[str, Kwarg] = field(default_factory=dict)


def _is_string(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


COUNT = Kwarg("a whole number of at least 1", lambda v: isinstance(v, int) and not isinstance(v, bool) and v >= 1)
RELATION = Kwarg(f"one of {', '.join(map(repr, RELATIONS))}", lambda v: isinstance(v, str) and v in RELATIONS)
STRING = Kwarg("a string that is not blank", _is_string)
STRINGS = Kwarg("a list of strings, none blank", lambda v: isinstance(v, list) and v != [] and all(map(_is_string, v)))
LETTER = Kwarg("a single character", lambda v: _is_string(v) and len(v.strip()) == 1)
LANGUAGE = Kwarg(f"one of {', '.join(sorted(LANGUAGES))}", lambda v: isinstance(v, str) and v in LANGUAGES)


def _stands(count: int, relation: str, limit: int) -> bool:
    return count < limit if relation == "less than" else count >= limit


def _existence(reply: str, keywords: list[str]) -> bool:
    """Every keyword, also within a word."""
    return all(re.search(re.escape(keyword), reply, re.IGNORECASE) for keyword in keywords)


def _frequency(reply: str, keyword: str, frequency: int, relation: str) -> bool:
    """Occurrences also within words; they do not overlap."""
    return _stands(len(re.findall(re.escape(keyword.strip()), reply, re.IGNORECASE)), relation, frequency)


def _forbidden_words(reply: str, forbidden_words: list[str]) -> bool:
    """None as a whole word."""
    return not any(re.search(rf"(?<!\w){re.escape(word)}(?!\w)", reply, re.IGNORECASE) for word in forbidden_words)


def _letter_frequency(reply: str, letter: str, let_frequency: int, let_relation: str) -> bool:
    """Any character may be the letter; case is ignored."""
    return _stands(reply.lower().count(letter.strip().lower()), let_relation, let_frequency)


def _response_language(reply: str, language: str) -> bool:
    return language_of(reply) == language


def _number_sentences(reply: str, num_sentences: int, relation: str) -> bool:
    return _stands(sentences(reply), relation, num_sentences)


def _number_words(reply: str, num_words: int, relation: str) -> bool:
    return _stands(words(reply), relation, num_words)


def _number_paragraphs(reply: str, num_paragraphs: int) -> bool:
    """Exactly so many, parted by ***; a divider at either end adds none, and two in a row are a fault."""
    filled = [bool(part.strip()) for part in re.split(r"\s?\*{3}\s?", reply)]
    return all(filled[1:-1]) and sum(filled) == num_paragraphs


def _nth_paragraph_first_word(reply: str, num_paragraphs: int, nth_paragraph: int, first_word: str) -> bool:
    """Exactly so many paragraphs that are not blank, parted by an empty line; the nth part begins with the word, up to
    a mark and apart from quotation marks before it.
    """
    paragraphs = reply.split("\n\n")
    first = (paragraphs[nth_paragraph - 1 : nth_paragraph] or [""])[0].split()[:1]
    word = re.match(r"'*\"*([^.,?!'\"]*)", first[0] if first else "")[1]
    return sum(bool(p.strip()) for p in paragraphs) == num_paragraphs and word.lower() == first_word.lower()


def _number_placeholders(reply: str, num_placeholders: int) -> bool:
    """At least so many in square brackets, each on one line."""
    return sum("[" in part for line in reply.split("\n") for part in line.split("]")[:-1]) >= num_placeholders


def _postscript(reply: str, postscript_marker: str) -> bool:
    """The marker anywhere, with a blank after each stop or without, case ignored."""
    marker = re.escape(postscript_marker.strip().lower()).replace(r"\.", r"\.\s?")
    return bool(re.search(marker, reply.lower()))


def _number_bullet_lists(reply: str, num_bullets: int) -> bool:
    """Exactly so many lines that begin with a single star or with a dash."""
    return len(re.findall(r"^[^\S\n]*(?:\*[^*\n]|-)", reply, re.MULTILINE)) == num_bullets


def _constrained_response(reply: str) -> bool:
    """One of the three answers stands in the reply, to the letter."""
    return any(answer in reply for answer in ANSWERS)


def _number_highlighted_sections(reply: str, num_highlights: int) -> bool:
    """At least so many in *single* or **double** stars, each on one line; ***triple*** stars are both."""
    single = re.findall(r"\*([^\n*]*)\*", reply)
    double = re.findall(r"\*\*([^\n*]*)\*\*", reply)
    return sum(bool(text.strip()) for text in single + double) >= num_highlights


def _multiple_sections(reply: str, section_spliter: str, num_sections: int) -> bool:
    """At least so many times the splitter with a number after it, in the case given."""
    return len(re.findall(rf"{re.escape(section_spliter.strip())}\s?\d+", reply)) >= num_sections


def _json_format(reply: str) -> bool:
    """The whole is JSON, in a Markdown fence or without."""
    body = re.sub(r"^```(?:json|Json|JSON)?", "", reply.strip()).removesuffix("```").strip()
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        return False
    return True


def _title(reply: str) -> bool:
    """<<something>> on one line."""
    titles = re.findall(r"^(?:(?!<<).)*+<<(.+)>>", reply, re.MULTILINE)
    return any(title.lstrip("<").rstrip(">").strip() for title in titles)


def _two_responses(reply: str) -> bool:
    """Two that differ, parted by ******; a divider at either end adds none, and two in a row are a fault."""
    parts = [part.strip() for part in reply.split("*" * 6)]
    filled = [part for part in parts if part]
    return all(parts[1:-1]) and len(filled) == 2 and filled[0] != filled[1]


def _repeat_prompt(reply: str, prompt_to_repeat: str) -> bool:
    """The reply begins with the request, case ignored."""
    return reply.strip().lower().startswith(prompt_to_repeat.strip().lower())


def _end_checker(reply: str, end_phrase: str) -> bool:
    """The reply ends with the phrase, case and quotation marks around the whole ignored."""
    return reply.strip().strip('"').lower().endswith(end_phrase.strip().lower())


def _quotation(reply: str) -> bool:
    """Straight double quotation marks around the whole."""
    body = reply.strip()
    return len(body) > 1 and body[0] == body[-1] == '"'


def _capital_word_frequency(reply: str, capital_frequency: int, capital_relation: str) -> bool:
    return _stands(capital_words(reply), capital_relation, capital_frequency)


def _english_capital(reply: str) -> bool:
    return reply.isupper() and language_of(reply) == "en"


def _english_lowercase(reply: str) -> bool:
    return reply.islower() and language_of(reply) == "en"


def _no_comma(reply: str) -> bool:
    """No U+002C; commas of other scripts are none."""
    return "," not in reply


KINDS: dict[str, Kind] = {
    "keywords:existence": Kind(_existence, {"keywords": STRINGS}),
    "keywords:frequency": Kind(_frequency, {"keyword": STRING, "frequency": COUNT, "relation": RELATION}),
    "keywords:forbidden_words": Kind(_forbidden_words, {"forbidden_words": STRINGS}),
    "keywords:letter_frequency": Kind(
        _letter_frequency, {"letter": LETTER, "let_frequency": COUNT, "let_relation": RELATION}
    ),
    "language:response_language": Kind(_response_language, {"language": LANGUAGE}),
    "length_constraints:number_sentences": Kind(_number_sentences, {"num_sentences": COUNT, "relation": RELATION}),
    "length_constraints:number_paragraphs": Kind(_number_paragraphs, {"num_paragraphs": COUNT}),
    "length_constraints:number_words": Kind(_number_words, {"num_words": COUNT, "relation": RELATION}),
    "length_constraints:nth_paragraph_first_word": Kind(
        _nth_paragraph_first_word, {"num_paragraphs": COUNT, "nth_paragraph": COUNT, "first_word": STRING}
    ),
    "detectable_content:number_placeholders": Kind(_number_placeholders, {"num_placeholders": COUNT}),
    "detectable_content:postscript": Kind(_postscript, {"postscript_marker": STRING}),
    "detectable_format:number_bullet_lists": Kind(_number_bullet_lists, {"num_bullets": COUNT}),
    "detectable_format:constrained_response": Kind(_constrained_response),
    "detectable_format:number_highlighted_sections": Kind(_number_highlighted_sections, {"num_highlights": COUNT}),
    "detectable_format:multiple_sections": Kind(_multiple_sections, {"section_spliter": STRING, "num_sections": COUNT}),
    "detectable_format:json_format": Kind(_json_format),
    "detectable_format:title": Kind(_title),
    "combination:two_responses": Kind(_two_responses),
    "combination:repeat_prompt": Kind(_repeat_prompt, {"prompt_to_repeat": STRING}),
    "startend:end_checker": Kind(_end_checker, {"end_phrase": STRING}),
    "startend:quotation": Kind(_quotation),
    "change_case:capital_word_frequency": Kind(
        _capital_word_frequency, {"capital_frequency": COUNT, "capital_relation": RELATION}
    ),
    "change_case:english_capital": Kind(_english_capital),
    "change_case:english_lowercase": Kind(_english_lowercase),
    "punctuation:no_comma": Kind(_no_comma),
}
