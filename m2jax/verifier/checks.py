"""Machine-decidable checks of a reply: the grammar of a criterion's `check`, and its evaluation.

A check is JSON, parsed once by `parse_check` into a frozen tree and evaluated by `met(check, reply)`:

    {"words": ["see a doctor", "clinic*"]}       some phrase stands in the reply
    {"pattern": "call (911|112)"}                a Python regular expression is found, case ignored
    {"number": {"unit": ["mg", "milligram*"], "min": 200, "max": 400}}   a number with it lies in [min, max]
    {"all": [...]}  {"any": [...]}  {"none": [...]}                      of checks
    {"before": [A, B]}  {"after": [A, B]}        A's first counted occurrence starts before (after) that of B

Words: case is ignored; a phrase begins and ends on word boundaries; a space in it matches any run of white
space, hyphens, apostrophes and Markdown stars; a hyphen or an apostrophe in it may also be missing (x-ray,
x ray, xray); `*` ends a word with any ending. Words and patterns take "negated": absent or false counts the
occurrences that are not negated ("see a doctor", but not "no need to see a doctor"), true only the negated
ones, "either" all.
Both also take "as", how it is said: "statement" leaves out what is asked or reported ("Have you tried rest?"), "advice"
also what hangs on a condition ("if it gets worse, call 112"), "offer" counts a thing that is named unless it is asked
about or warned of, "question" leaves out what is told of oneself (`mood`).
Numbers: digits with decimals and thousands commas, one to twelve in letters, and each end of "200-400 mg" or
"120/80 mmHg". Fractions such as 1/2 are not read. "mg" does not match "mg/kg": say "mg/kg". Every part of
`number` may be left out. Negation plays no part ("never more than 4000 mg" states 4000 mg).

Negation is decided by rules on the clause around an occurrence (`is_negated`). They aim at advice in plain
English: a list keeps its negation ("do not take ibuprofen, aspirin or naproxen"), a new clause loses it ("if
it does not help, see a doctor"), and an idiom that only looks negative has none ("do not hesitate to call").
They miss what needs understanding ("you need not be in crisis to seek help" reads as negated): word a
criterion so that one plain statement meets it, and leave the subtle ones to the judge.

Time: words and numbers cost time linear in the reply and read all of it. A pattern reads the first
MAX_PATTERN_CHARS characters; the usual exponential shape (a repeat inside an open repeat) is refused when it
is parsed. What is left is polynomial: where several open repeats can share characters (`.*a.*b`), bound them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from re import _constants, _parser  # the parsed form of a pattern; the same in Python 3.11 to 3.13
from typing import Literal

from m2jax.verifier.mood import MOODS, holds
from m2jax.verifier.negation import is_negated

MAX_PATTERN_CHARS = 8_000  # a quadratic pattern then costs under a second; about 2,000 tokens
MAX_INNER_REPEAT = 10  # an outer repeat that can go further may not hold another repeat or an alternative

Span = tuple[int, int]


@dataclass(frozen=True)
class Text:
    """Words or a pattern: `regex` is searched in the first `limit` characters (None: in all). said: one of `MOODS`, or
    "" for any.
    """

    regex: re.Pattern[str]
    counts: Literal["plain", "negated", "either"]
    limit: int | None
    said: str = ""


@dataclass(frozen=True)
class Number:
    """`regex` finds `group("numbers")`, one or more numbers before the unit; one must be in [low, high]."""

    regex: re.Pattern[str]
    low: float
    high: float


@dataclass(frozen=True)
class Group:
    """All, any or none of some checks."""

    kind: Literal["all", "any", "none"]
    checks: tuple[Check, ...]


@dataclass(frozen=True)
class Order:
    """`first` starts before `second`, both being there."""

    first: Text | Number
    second: Text | Number


Check = Text | Number | Group | Order


def met(check: Check, reply: str) -> bool:
    """Whether the reply satisfies the check."""
    match check:
        case Group("all", checks):
            return all(met(c, reply) for c in checks)
        case Group("any", checks):
            return any(met(c, reply) for c in checks)
        case Group("none", checks):
            return not any(met(c, reply) for c in checks)
        case Order(first, second):
            a, b = next(_spans(first, reply), None), next(_spans(second, reply), None)
            return a is not None and b is not None and a[0] < b[0]
        case _:
            return next(_spans(check, reply), None) is not None


def parse_check(raw: object) -> Check:
    """The tree of one JSON `check` (grammar: the module docstring). ValueError names the wrong part."""
    if not isinstance(raw, dict):
        raise ValueError(f"check is {raw!r}; write an object such as {{'words': ['see a doctor']}}")
    heads = [key for key in raw if key in _PARSERS]
    if len(heads) != 1:
        raise ValueError(f"check has the keys {sorted(raw)}; it needs exactly one of {', '.join(_PARSERS)}")
    head = heads[0]
    allowed = {head, "negated", "as"} if head in ("words", "pattern") else {head}
    if unknown := sorted(set(raw) - allowed):
        raise ValueError(f"check {head!r} has unknown keys {unknown}; it takes {sorted(allowed)}")
    return _PARSERS[head](raw)


# ---- Parsing ------------------------------------------------------------

_JOIN = r"\s\-‐-―'’*_"  # may stand between two words of a phrase
_START, _END = r"(?<![^\W_])", r"(?![^\W_])"  # no letter or digit on that side


def _parse_words(raw: dict) -> Text:
    phrases = raw["words"]
    if not isinstance(phrases, list) or not phrases:
        raise ValueError(f"words is {phrases!r}; give a list with at least one phrase")
    body = "|".join(_phrase(phrase) for phrase in phrases)
    return Text(re.compile(f"{_START}(?:{body}){_END}", re.IGNORECASE), _counts(raw), None, _said(raw))


def _phrase(phrase: object) -> str:
    if not isinstance(phrase, str) or not re.search(r"[^\W_]", phrase):
        raise ValueError(f"phrase {phrase!r} has no letter or digit; write words")
    out = ""
    for part in re.split(r"([\s\-‐-―'’]+)", phrase.strip()):
        if re.fullmatch(r"[\s\-‐-―'’]+", part):
            out += f"[{_JOIN}]" + ("+" if re.search(r"\s", part) else "*")
        else:
            stem = part.removesuffix("*")
            if "*" in stem or (part and not stem):
                raise ValueError(f"phrase {phrase!r} has a misplaced *; it goes at the end of a word, as in 'clinic*'")
            out += re.escape(stem) + (r"[^\W_]*" if part != stem else "")
    return out


def _parse_pattern(raw: dict) -> Text:
    pattern = raw["pattern"]
    if not isinstance(pattern, str):
        raise ValueError(f"pattern is {pattern!r}; give a regular expression as text")
    try:
        regex = re.compile(pattern, re.IGNORECASE)
    except re.error as error:
        raise ValueError(f"pattern {pattern!r} is not a regular expression: {error}") from error
    if regex.search(""):
        raise ValueError(f"pattern {pattern!r} matches an empty reply; use 'none' to say what must be absent")
    _refuse_nested_repeats(_parser.parse(pattern), pattern, inside=False)
    return Text(regex, _counts(raw), MAX_PATTERN_CHARS, _said(raw))


def _refuse_nested_repeats(tree: object, pattern: str, inside: bool) -> None:
    """(a+)* and (a|a)* can take exponential time. `inside`: in a repeat that may pass MAX_INNER_REPEAT."""
    if isinstance(tree, _parser.SubPattern):
        for op, arguments in tree:
            wide = inside
            if op in (_constants.MAX_REPEAT, _constants.MIN_REPEAT, _constants.POSSESSIVE_REPEAT):
                wide = inside or arguments[1] > MAX_INNER_REPEAT
                risky = inside and arguments[0] != arguments[1]
            else:
                risky = inside and op is _constants.BRANCH
            if risky:
                raise ValueError(
                    f"pattern {pattern!r} repeats a part that itself repeats or has alternatives, "
                    f"which can take for ever; bound the outer repeat by {{0,{MAX_INNER_REPEAT}}} "
                    f"or write the part as one character class"
                )
            _refuse_nested_repeats(arguments, pattern, wide)
    elif isinstance(tree, (list, tuple)):
        for part in tree:
            _refuse_nested_repeats(part, pattern, inside)


def _counts(raw: dict) -> Literal["plain", "negated", "either"]:
    value = raw.get("negated", False)
    if value is False:
        return "plain"
    if value is True:
        return "negated"
    if value == "either":
        return "either"
    raise ValueError(f"negated is {value!r}; write true, false or 'either'")


def _said(raw: dict) -> str:
    value = raw.get("as", "")
    if value not in ("", *MOODS):
        raise ValueError(f"as is {value!r}; write one of {', '.join(MOODS)}, or leave it out")
    return value


_DIGITS = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?"
_NAMED = "one two three four five six seven eight nine ten eleven twelve".split()
_ONE = rf"(?:{_DIGITS}|\b(?:{'|'.join(_NAMED)})\b)"
_SEVERAL = rf"(?P<numbers>{_ONE}(?:\s*(?:[-‐-―]|\bto\b|\bor\b|\band\b|(?<=\d\d)/(?=\d\d))\s*{_ONE}){{0,3}})"
_PER = r"(?!\s?/\s?(?!day|dose|hour|week|hr|h\b|d\b|24)[^\W\d_])"  # mg, but not mg/kg


def _parse_number(raw: dict) -> Number:
    spec = raw["number"]
    if not isinstance(spec, dict) or set(spec) - {"unit", "min", "max"}:
        raise ValueError(f"number is {spec!r}; give an object with any of 'unit', 'min', 'max'")
    bounds = {"min": -math.inf, "max": math.inf}
    for name in bounds.keys() & spec.keys():
        value = spec[name]
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueError(f"number {name} is {value!r}; give a finite number")
        bounds[name] = float(value)
    if bounds["min"] > bounds["max"]:
        raise ValueError(f"number min {spec['min']} is above max {spec['max']}; swap them")
    units = spec.get("unit", [])
    units = [units] if isinstance(units, str) else units
    if not isinstance(units, list) or ("unit" in spec and not units):
        raise ValueError(f"number unit is {spec['unit']!r}; give one unit or a list of synonyms, or leave it out")
    tail = rf"\)?[\s\-]{{0,3}}(?:{'|'.join(_unit(u) for u in units)}){_END}{_PER}" if units else _END
    return Number(re.compile(rf"(?<![\w.,/]){_SEVERAL}{tail}", re.IGNORECASE), bounds["min"], bounds["max"])


def _unit(unit: object) -> str:
    if unit in ("%", "°", "$", "€"):
        return re.escape(str(unit))
    return _phrase(unit)


def _parse_group(raw: dict) -> Group:
    ((kind, items),) = raw.items()
    if not isinstance(items, list) or not items:
        raise ValueError(f"{kind} is {items!r}; give a list with at least one check")
    return Group(kind, tuple(parse_check(item) for item in items))


def _parse_order(raw: dict) -> Order:
    ((kind, items),) = raw.items()
    if not isinstance(items, list) or len(items) != 2:
        raise ValueError(f"{kind} is {items!r}; give a list of two checks")
    a, b = (parse_check(item) for item in items)
    if not isinstance(a, Text | Number) or not isinstance(b, Text | Number):
        raise ValueError(f"{kind} orders {items!r}; both must be words, pattern or number checks")
    return Order(a, b) if kind == "before" else Order(b, a)


_PARSERS = {
    "words": _parse_words,
    "pattern": _parse_pattern,
    "number": _parse_number,
    "all": _parse_group,
    "any": _parse_group,
    "none": _parse_group,
    "before": _parse_order,
    "after": _parse_order,
}


# ---- Occurrences ------------------------------------------------------------


def _spans(check: Text | Number, reply: str) -> Iterator[Span]:
    if isinstance(check, Number):
        for found in check.regex.finditer(reply):
            words = re.findall(_ONE, found["numbers"], re.IGNORECASE)
            if any(check.low <= _value(word) <= check.high for word in words):
                yield found.span()
        return
    begin, stop = 0, len(reply) if check.limit is None else check.limit
    while found := check.regex.search(reply, begin, stop):
        start, end = found.span()
        counts = check.counts == "either" or is_negated(reply, start, end) == (check.counts == "negated")
        if counts and (not check.said or holds(check.said, reply, start, end)):
            yield start, end
            begin = max(end, start + 1)
        else:  # it hides none that begins within it: "no need to see your GP first; go straight to hospital"
            begin = start + 1 if check.said else max(end, start + 1)


def _value(word: str) -> float:
    return float(_NAMED.index(word.lower()) + 1) if word[0].isalpha() else float(word.replace(",", ""))
