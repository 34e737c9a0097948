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

MAX_PATTERN_CHARS = 8_000  # a quadratic pattern then costs under a second; about 2,000 tokens
MAX_INNER_REPEAT = 10  # an outer repeat that can go further may not hold another repeat or an alternative
CONTEXT_CHARS = 400  # negation looks no further than this to either side
SCOPE_WORDS = 14  # a cue further away than this many words negates nothing

Span = tuple[int, int]


@dataclass(frozen=True)
class Text:
    """Words or a pattern: `regex` is searched in the first `limit` characters (None: in all)."""

    regex: re.Pattern[str]
    counts: Literal["plain", "negated", "either"]
    limit: int | None


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


def find(check: Check, reply: str) -> list[Span]:
    """Counted occurrences as sorted [start, end) character offsets, for highlighting.

    For a group or an order: those of everything inside it, `none` included (they show why it failed).
    """
    match check:
        case Group(_, checks):
            return sorted({span for c in checks for span in find(c, reply)})
        case Order(first, second):
            return sorted({*find(first, reply), *find(second, reply)})
        case _:
            return list(_spans(check, reply))


def parse_check(raw: object) -> Check:
    """The tree of one JSON `check` (grammar: the module docstring). ValueError names the wrong part."""
    if not isinstance(raw, dict):
        raise ValueError(f"check is {raw!r}; write an object such as {{'words': ['see a doctor']}}")
    heads = [key for key in raw if key in _PARSERS]
    if len(heads) != 1:
        raise ValueError(f"check has the keys {sorted(raw)}; it needs exactly one of {', '.join(_PARSERS)}")
    head = heads[0]
    allowed = {head, "negated"} if head in ("words", "pattern") else {head}
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
    return Text(re.compile(f"{_START}(?:{body}){_END}", re.IGNORECASE), _counts(raw), None)


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
    return Text(regex, _counts(raw), MAX_PATTERN_CHARS)


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
    for found in check.regex.finditer(reply, 0, len(reply) if check.limit is None else check.limit):
        if check.counts == "either" or is_negated(reply, *found.span()) == (check.counts == "negated"):
            yield found.span()


def _value(word: str) -> float:
    return float(_NAMED.index(word.lower()) + 1) if word[0].isalpha() else float(word.replace(",", ""))


# ---- Negation ------------------------------------------------------------

_AUX = "is|are|was|were|do|does|did|can|could|should|must|may|might|will|would|need|ought|has|have|had|be"
_PRONOUN = "i|you|we|it|he|she|they|there|this|these|those|please|should|must|may|can|need"
# Verbs that open new advice after a comma or "and". The second set also stands in negative lists ("do not
# smoke, drink alcohol or drive"), so it opens nothing when an "or" follows at once.
_ADVISE = (
    "call|see|seek|contact|consult|ask|talk|speak|visit|go|get|keep|stay|make|monitor|try|remember|consider|follow|rest"
    "|schedule|book|tell|let|check|watch|limit|reduce|elevate|wash|ensure|recommend|suggest|advise|encourage|urge"
)
_ACT = (
    "take|use|drink|eat|apply|start|continue|wear|sit|lie|lean|stand|pinch|press|hold|place|put|cover|rinse|clean"
    "|breathe|loosen|remove|bring|move|raise|give|inhale|gargle|walk|sleep"
)
_FILLER = "and|then|so|please|just|instead|also|always|strongly|definitely|immediately|simply"
_CONDITION = "if|when|whenever|unless|until|because|since|while|once|after|before|although|though"
_HARD = re.compile(
    rf"[;!?\n]|(?<!\be\.g)(?<!\bi\.e)(?<!\bdr)(?<!\bvs)\.(?=[\s\"')*]|$)"
    rf"|\b(?:but|however|whereas|except|instead(?!\s+of)|other\s+than)\b|,\s*yet\b|\b(?P<condition>{_CONDITION})\b",
    re.IGNORECASE,
)
_SOFT = re.compile(
    rf"(?:[,:–—]|\s-\s|\b(?:and|then|so)\b)(?=[\s*_]*(?:(?:{_FILLER})\s+)*(?:"
    rf"(?:{_PRONOUN}|{_ADVISE})\b|(?:{_ACT})\b(?!(?:\s+\w+){{0,2}}\s+n?or\b)"
    rf"|(?!n?or\b)(?:(?!\b(?:that|which|who|as)\b)[^,.;:!?\n()]){{1,60}}?\s(?:is|are|can|could|should|must|may|might|will|would)\b))"
    rf"|\bor\b(?=\s+(?:{_PRONOUN})\b)|,\s*or\b(?=\s+(?:have|are|feel|notice|develop|experience)\b)",
    re.IGNORECASE,
)
# Advice that follows an if-clause with no comma between: "if it does not help in a few days see a doctor".
_UNMARKED = re.compile(
    r"(?:\s+[\w'’]+){4,20}?(?<!\bto)(?<!\bnot)(?<!n['’]t)(?<!\bor)(?<!\band)(?<!\bnever)\s+"
    r"(?=(?:call|see|seek|contact|consult|visit|talk\s+to)\b)",
    re.IGNORECASE,
)
_CUE = re.compile(
    r"""\b(?: (?<!\bor\s)(?<!\bwhy\s)not | cannot | (?<!\bwhy\s)\w+n['’]t
      | (?:do|does|did|is|are|should|must|need|ca|wo)nt | no(?!\s*[,:.!?–—]) | never | nor | neither | none
      | nothing | nobody | (?P<without>without) | (?P<contrast>instead\s+of|rather\s+than)
      | avoid(?:s|ed|ing)? | stop(?:s|ped|ping)?(?!\s+by\b) | quit(?:ting)? | discontinu\w+ | skip(?:ping)?
      | refrain\w* | (?:steer|stay|keep)\s+(?:clear\s+of|away\s+from) | hold(?:ing)?\s+off | unlikely | unable
      | absence\s+of | (?:advis|recommend|caution|warn)\w*(?:\s+you)?\s+against )\b""",
    re.IGNORECASE | re.VERBOSE,
)
# What undoes the cue right before it: "not only", "don't forget to", "no more than", "not avoid".
_UNDO = re.compile(
    r"""[\s*_]+(?:need\s+)?(?:a\s+good\s+idea\s+|safe\s+|wise\s+)?(?:to\s+)?(?:be\s+|feel\s+|you\s+|ever\s+)?(?:
      only | just | merely | simply | hesitat\w* | forget\w* | wait\w* | delay\w* | ignor\w* | postpon\w*
      | put(?:ting)?\s+off | hold(?:ing)?\s+(?:off|back) | afraid | scared | ashamed | embarrassed | shy
      | reluctant | worr\w+ | panic\w* | miss\w* | skip\w* | neglect\w* | overlook\w* | fail\w*
      | underestimat\w* | avoid\w* | stop\w* | refrain\w* | hurt | a\s+bad\s+idea
      | un(?:common|usual|likely|reasonable|safe) | doubt | matter | question | wonder | wrong | harm | shame
      | too\s+(?:late|early|soon) | (?:\w+\s+){0,3}(?:more|longer|later|less|fewer|greater)\s+than
      | (?:\w+\s+){0,2}exceed\w* )\b""",
    re.IGNORECASE | re.VERBOSE,
)
_RELATIVE = re.compile(r"\b(?:that|which|who)\b", re.IGNORECASE)  # "a mole that does not change is harmless"
_FINITE = re.compile(r"\s(?:is|are|should|can|could|may|might|must|will|would)\s", re.IGNORECASE)
_UNFIT = (
    r"(?:be\s+|been\s+|a\s+|an\s+|the\s+)?(?:\w+ly\s+)?(?:recommend\w*|advis\w+|need\w*|necessary|required?|safe|appropriate"
    r"|suitable|indicated|effective|helpful|useful|used|taken|given|started|combined|mixed|option|good|best|right|help|work"
    r"|allowed|ok|okay|warranted|encouraged)\b"
)
_GAP_STOP = (
    rf"{_AUX}|\w+n['’]t|{_CONDITION}|but|however|so|then|that|which|who|where|than"
    r"|i|you|we|it|he|she|they|this|these|there"
)
_AFTER = re.compile(
    rf"(?P<gap>(?:[ \t,()*_\-]+(?!(?:{_GAP_STOP})\b)[^\W_][\w'’/]*){{0,6}}?)[ \t,():*_–—\-]+(?:"
    rf"(?:should|must|ought)(?:n['’]t|\s+not|\s+never)\b"
    rf"(?!\s+(?:to\s+)?(?:be\s+)?(?:only|just|delay|ignor|postpon|skip|miss|stop|avoid|underest|put\s+off|overlook|neglect))"
    rf"|(?:(?:{_AUX})(?:\s*not|\s+(?:never|rarely|seldom|hardly|no\s+longer))|\w+n['’]t)(?:\s+{_UNFIT}|(?=[.;!?]|$))|not\s+{_UNFIT}|avoid\b(?=\W*$|\W*\n|[.;)])"
    rf"|(?:{_AUX})\s+(?:be\s+)?(?:\w+ly\s+|best\s+|also\s+)*(?:be\s+)?(?:avoided|contraindicated|discouraged|unnecessary|unsafe"
    rf"|inappropriate|off[\s-]limits|a\s+bad\s+idea|prohibited|forbidden|discontinued|skipped)\b)",
    re.IGNORECASE,
)
_ITEM = re.compile(r"\s*(?:[-*•]|\d+[.)])\s+")
_HEADING = re.compile(r"\s*(?:#+\s+\S.*|\*\*.+\*\*:?|.*:[*_]*)\s*")


def is_negated(text: str, start: int, end: int) -> bool:
    """Whether the words text[start:end] are negated where they stand.

    By a cue before them in their clause ("do not take X"), a verdict after them ("X is not recommended",
    "X should be avoided"), or a cue in the heading of the list they are an item of ("Avoid:" above "- X").
    """
    low = max(0, start - CONTEXT_CHARS)
    if _CUE.search(text, low, start) and _cue_before(text, _scope(text, low, start, end)[0], start):
        return True
    verdict = _AFTER.match(text, end, end + CONTEXT_CHARS)
    if verdict and ("," not in verdict["gap"] or re.search(r"\b(?:and|or|nor)\b", verdict["gap"])):
        return True
    return _heading_negates(text, start, end)


def _scope(text: str, begin: int, start: int, end: int) -> tuple[int, bool]:
    """Where the clause that leads to text[start:end] begins, and whether that is an if- or when-clause."""
    condition = False
    for found in _HARD.finditer(text, begin, start):
        begin, condition = found.end(), found["condition"] is not None
    if condition and (close := re.search(r"[,:–—]|\bthen\b", text[begin:start])):
        begin, condition = begin + close.end(), False
    elif condition and (advice := _UNMARKED.match(text, begin, end)) and advice.end() <= start:
        begin, condition = advice.end(), False
    for found in _SOFT.finditer(text, begin, end + CONTEXT_CHARS):
        if found.end() > start:
            break
        begin, condition = found.end(), False
    return begin, condition


def _cue_before(text: str, begin: int, start: int) -> bool:
    negated, denied, resume = False, False, begin
    for cue in _CUE.finditer(text, begin, start):
        if cue.start() < resume:
            continue
        if undone := _UNDO.match(text, cue.end(), start):
            denied, resume = True, undone.end()
            continue
        between = text[cue.end() : start]
        ahead = text[begin : cue.start()]
        aside = cue["contrast"] or (cue["without"] and not ahead.strip())
        aside = aside or (cue[0].lower() in ("no", "not") and text[: cue.start()].rstrip()[-1:] == ",")
        if (
            (aside and "," in between)
            or between.count(")") > between.count("(")
            or (_RELATIVE.search(ahead) and _FINITE.search(between))
            or len(between.split()) > SCOPE_WORDS
        ):
            continue
        negated = not (cue["without"] and denied)  # "do not take (or stop) it without asking your doctor": ask
        denied = True
    return negated


def _heading_negates(text: str, start: int, end: int) -> bool:
    lines = text[max(0, start - 4 * CONTEXT_CHARS) : start].split("\n")
    here, above = lines[-1], lines[:-1]
    item = _ITEM.match(here)
    if not item or not above:
        return False
    while above and (not above[-1].strip() or _ITEM.match(above[-1])):
        above.pop()
    if not above or not _HEADING.fullmatch(above[-1]):
        return False
    heading, lead = above[-1].rstrip(" *_:"), here[item.end() :]
    begin, condition = _scope(heading, 0, len(heading), len(heading))
    own, _ = _scope(text, start - len(lead), start, end)
    if condition or own > start - len(lead):  # "If it does not help:", or a new clause within the item
        return False
    return _cue_before(f"{heading} {lead}", begin, len(heading) + 1 + len(lead))
