"""Multiple choice: the reply commits to the expected letter, and to no other.

    {"kind": "choice", "options": {"A": "Aspirin", "B": "Warfarin", "C": "Heparin"}, "answer": "B"}

    met      "B", "(b)", "**B. Warfarin**", "The answer is warfarin.", "Answer: B, not C", "\\boxed{\\text{B}}"
    not met  "A or B", "The answer is not B.", "If she were pregnant, the answer would be B.", "Is it B?"

A reply says its letter in one of six ways, and the first of them that it uses counts; letters said in a weaker way are
then discussion. All letters said in that way must be one and the same.

    1. in a box, or after "final answer"
    2. in a statement: "the answer is B", "Answer: warfarin", "I would choose B", "B is correct", "so it must be B"
    3. as all of the first or the last line: "B", "(B)", "B. Warfarin", "Therefore, **B**."
    4. as the only option that the last line names by its text or as "option B"
    5. in bold: "**B**", "**Warfarin**"
    6. as the only option that the reply names by its text

"A" and "I" are letters only where no word follows them that they would be the article or the pronoun of: "A patient
with ..." is no choice. A statement that is denied, conditional or a question says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from m2jax.rules.final import answered, boxed

HEAD, TAIL = 2_000, 6_000  # characters of an answer that are read; some of the patterns take quadratic time
_WINDOW = 400  # characters of a sentence that are looked at

_NOT = re.compile(
    r"\b(?:not|never|isn['’]?t|cannot|can['’]?t|don['’]?t|doesn['’]?t|unlikely|rather than|instead of|except"
    r"|exclude[sd]?|ruled? out|neither|nor|no|over|incorrect|wrong)\b",
    re.IGNORECASE,
)
_BUT = re.compile(r"\b(?:but(?: rather)?|it is|it['’]s)\b", re.IGNORECASE)
_UNSAID = re.compile(
    r"^\W*(?:if|had|were|unless|suppose|assuming|when)\b"
    r"|\b(?:whether|why|do(?:es)?n['’]?t think|not think|might think|would think|tempt\w+|if)\b",
    re.IGNORECASE,
)
_STOP = re.compile(  # where a clause ends
    r"\s*(?:[;.!?。，\n]|,(?!\s*(?:[A-Z]\b|and|or|not|but))|\s[-–—]\s"
    r"|\b(?:because|since|as|which|whereas|while|given|due|for the|based on|so)\b)",
    re.IGNORECASE,
)
_KIND = "(?:answers?|options?|choices?|letters?|selection|response|diagnosis|treatment|step|management|答案|选项|选择)"
_TO_BE = r"(?:['’]s\b|\b(?:is|are|would be|should be|must be|has to be|remains)\b|[:=：–—]|是|为|应为|选)"
_LETTER_NEXT = r"\(?[*_]{0,2}(?-i:[A-Z])\b"
_CUES = (  # what comes before the letter of a statement
    rf"\b(?:answers?|(?:correct|best|right|final|chosen|my|appropriate|likely|suitable)\s+(?:\w+\s+){{0,2}}{_KIND})\b"
    rf"[^.;:\n]{{0,60}}?{_TO_BE}",
    rf"(?:{_KIND}|\bans)\s*[*_]{{0,2}}[:=：]",
    r"答案(?:应)?(?:是|为|选)?",
    r"(?:应|故)?选(?:择)?",
    rf"\b(?:answer|correct option|correct choice)(?=\s+{_LETTER_NEXT})",
    rf"\bans\.?(?=\s+{_LETTER_NEXT})",
    r"\bI(?:['’]d|['’]ll|['’]m| am| would| will| shall| must|['’]m going to)?\s+(?:\w+ly\s+)?"
    r"(?:choose|pick|select|go(?:ing)? with|opt for|answer|vote for|recommend)\b",
    rf"\b(?:it is|it['’]s|this is|it must be)(?=\s+(?:option\s+)?{_LETTER_NEXT})",
    r"(?:^|\n)\W*correct\s*:",
    rf"\b(?:choose|pick|select)(?=\s+(?:option|choice|answer)?\s*{_LETTER_NEXT})",
    r"\b(?:so|thus|hence|therefore)\b,?\s+(?:it\s+|this\s+)?(?:is|must be|has to be|should be)\b",
    r"\b(?:leaves|leaving)(?:\s+us)?(?:\s+with)?(?:\s+only)?",
)
_CUE = re.compile("|".join(_CUES), re.IGNORECASE)
_FINAL = re.compile(
    rf"\b(?:my\s+)?final\s+(?:answer|choice|decision|selection)\b[^.;:\n]{{0,60}}?(?:{_TO_BE}|\n)", re.IGNORECASE
)
_WRAP = r"[\s\\*_`\"'“”‘’(\[{$:：]*(?:\\(?:text|mathbf|textbf|mathrm|boxed)\s*\{\s*)*[*_(\[]*"  # around a letter
_FILLER = (  # between a cue and a letter
    rf"(?:{_WRAP}(?:the|an?(?=\s+\w)|option|choice|letter|answer|most likely|clearly|therefore|thus|probably|definitely"
    r"|likely|indeed|both|either|is|选项?)\b)*"
)
_OPENING = re.compile(  # of a line that says a letter
    r"^\W*(?:(?:so|thus|hence|therefore|ok(?:ay)?|sure|definitely|probably|clearly"
    r"|option|choice)\b[\s,:]*)+",
    re.IGNORECASE,
)
_GOOD = (
    "(?:correct|best|right|most (?:likely|consistent|appropriate|accurate|suitable)|preferred|true|the answer|answer"
    "|appropriate)"
)
_ADVERBS = r"(?:\s+(?:the|to be|clearly|thus|therefore|indeed|definitely|most likely|probably|also|both|single))*"


@dataclass(frozen=True)
class Choice:
    """options: letter to text (which may be empty). answer: a letter."""

    options: Mapping[str, str]
    answer: str

    def __post_init__(self) -> None:
        fine = isinstance(self.options, Mapping) and len(self.options) > 1
        if not fine or not all(re.fullmatch("[A-Z]", k) and isinstance(v, str) for k, v in self.options.items()):
            raise ValueError(
                f"options is {self.options!r}; give an object of two or more, as in {{'A': 'Aspirin', ...}}"
            )
        if self.answer not in self.options:
            raise ValueError(f"answer is {self.answer!r}; give one of the letters {', '.join(self.options)}")


def met(rule: Choice, reply: str) -> bool:
    """Whether the reply commits to the answer alone."""
    return committed(rule.options, reply) == {rule.answer}


def committed(options: Mapping[str, str], reply: str) -> set[str]:
    """The letters that the reply commits to: one where it is clear, none where it says none, several where it
    contradicts itself.
    """
    text = re.sub(r"</?answer>", "\n", answered(reply))
    if len(text) > HEAD + TAIL:
        text = text[:HEAD] + "\n" + text[-TAIL:]
    ways: tuple[Callable[[_Options, str], Iterator[str]], ...] = (_finally, _stated, _lines, _named_last, _bold, _only)
    known = _Options(options)
    return next((letters for way in ways if (letters := set(way(known, text)))), set())


class _Options:
    """What is looked for in a text: the letters, and the options' texts with their letters, longest first."""

    def __init__(self, options: Mapping[str, str]) -> None:
        self.letters = "".join(options)
        self.texts = {re.sub(r"\W+", " ", text).strip().lower(): letter for letter, text in options.items()}
        names = sorted(filter(None, self.texts), key=len, reverse=True)
        body = "|".join(r"\W+".join(map(re.escape, name.split())) for name in names)
        self.named = re.compile(rf"(?<!\w)(?:{body})(?:e?s)?(?!\w)" if body else r"(?!)", re.I)
        a_letter = rf"(?P<upper>[{self.letters}])|(?P<lower>[{self.letters.lower()}])"
        self.letter = re.compile(rf"{_FILLER}{_WRAP}(?:{a_letter})(?![\w'’])")
        self.further = re.compile(
            rf"[*_)\]}}.]*\s*(?:,\s*(?:and|or)?|/|&|\+|\band\b|\bor\b|和|或)\s*(?:option\s+)?[(*_]*([{self.letters}])(?![\w'’])"
        )

    def letter_of(self, text: str) -> str:
        """The letter of an option's text as `named` has found it."""
        plain = re.sub(r"\W+", " ", text).strip().lower()
        return next(
            self.texts[form]
            for form in (plain, plain.removesuffix("s"), plain.removesuffix("es"))
            if form in self.texts
        )

    def at(self, text: str) -> tuple[list[str], int]:
        """The letters that a text begins with ("B", "(B) and C", "option B."), and where they end."""
        found = self.letter.match(text)
        if not found:
            return [], 0
        after = text[found.end() :]
        if (found["lower"] or found["upper"] in "AI") and not self._stands_alone(found, after):
            return [], 0
        letters, end = [(found["upper"] or found["lower"]).upper()], found.end()
        while more := self.further.match(text, end):
            letters.append(more[1])
            end = more.end()
        return letters, end

    def _stands_alone(self, found: re.Match[str], after: str) -> bool:
        """Whether "a" or "A" is the letter and not a word of a sentence."""
        if re.match(r"[*_\s]*(?:$|[)\]}.,;:*_!?/&+|\n\"”’—–]|[-–—]\s|\()", after):
            return True
        own = self.named.match(after.strip(" *_"))
        if own and self.letter_of(own[0]) == (found["upper"] or found["lower"]).upper():
            return True
        return bool(
            found["upper"] and re.match(r"\s+(?:because|since|as|and|or|is|which|but|not|rather|given|due)\b", after)
        )


def _sentence(text: str, start: int, end: int) -> tuple[str, str]:
    """(what stands before `start` in its sentence, the end mark of the sentence `end` is in)."""
    before = re.split(r"[.!?。]\s|\n", text[max(0, start - _WINDOW) : start])[-1]
    mark = re.search(r"[.!?。](?=\s|$|[*_])|\n", text[end : end + _WINDOW])
    return before, mark[0] if mark else ""


def _announced(options: _Options, rest: str) -> list[str]:
    """The letters that a statement names behind its cue, those it denies left out."""
    denied = re.match(rf"{_FILLER}{_WRAP}(?:{_NOT.pattern})", rest, re.I)
    if denied:
        turn = _BUT.search(_line_of(rest))
        return _announced(options, rest[turn.end() :]) if turn else []
    letters, _ = options.at(rest)
    return letters or _in_clause(options, rest)


def _line_of(text: str) -> str:
    return re.match(r"\s*([^\n]*)", text)[0]


def _in_clause(options: _Options, rest: str) -> list[str]:
    """The options whose text stands in the clause that `rest` begins with, up to a denial."""
    line = _line_of(rest)
    first = options.named.search(line)
    if not first:
        return []
    stop = _STOP.search(line, first.end())
    denial = _NOT.search(line)
    earlier = _STOP.search(line.lstrip("*_ :"), 0)
    if (denial and denial.start() < first.start()) or (earlier and earlier.end() + 4 < first.start()):
        return []
    ends = [m.start() for m in (stop, denial) if m and m.start() >= first.end()]
    clause = line[: min(ends, default=len(line))]
    return [options.letter_of(found[0]) for found in options.named.finditer(clause)]


def _after(options: _Options, text: str, cue: re.Pattern[str]) -> Iterator[str]:
    """What each cue announces that is not denied, conditional or asked."""
    for found in cue.finditer(text):
        before, mark = _sentence(text, found.start(), found.end())
        if mark != "?" and not _UNSAID.search(before) and not _NOT.search(re.split("[,:;]", before)[-1][-25:]):
            yield from _announced(options, text[found.end() :])


def _finally(options: _Options, text: str) -> Iterator[str]:
    for box in boxed(text):
        yield from options.at(box)[0] or _in_clause(options, box)
    yield from _after(options, text, _FINAL)


def _stated(options: _Options, text: str) -> Iterator[str]:
    yield from _after(options, text, _CUE)
    letter = rf"(?-i:[{options.letters}])"
    subject = rf"(?<![\w'’])[(*_]*(?P<letter>{letter})(?P<more>(?:[)*_\s,]*(?:and|or|,|&)[\s(*_]*{letter})*)[)*_.:]*"
    for pattern in (
        rf"{subject}\s*(?:\([^()\n]*\)\s*)?(?:(?:is|are|seems|remains)\b{_ADVERBS}\s+{_GOOD}|(?:fits?|matches) best)\b",
        rf"^\W*{subject}[\s:–—*_-]*(?:{_GOOD})\b",
    ):
        for found in re.finditer(pattern, text, re.I | re.M):
            before, mark = _sentence(text, found.start(), found.end())
            if mark != "?" and not _UNSAID.search(before) and not re.search(r"\b(?:not|neither|nor)\W*$", before, re.I):
                yield found["letter"]
                yield from re.findall(rf"\b[{options.letters}]\b", found["more"])
    for found in re.finditer(
        rf"{options.named.pattern}\s+(?:is|are)\b{_ADVERBS}\s+(?:correct|best|right)\s+(?:answer|option|choice)\b",
        text,
        re.I,
    ):
        before, mark = _sentence(text, found.start(), found.end())
        if mark != "?" and not _UNSAID.search(before):
            yield options.letter_of(options.named.match(found[0])[0])


def _lines(options: _Options, text: str) -> Iterator[str]:
    lines = [line.strip() for line in text.splitlines() if re.search(r"\w", line)]
    if len(lines) == 1:
        lines = [re.sub(r"^(?:[-•>]|\d+[.)])\s+", "", lines[0])]
    for line in dict.fromkeys(lines[:1] + lines[-1:]):
        line = _OPENING.sub("", line)
        letters, end = options.at(line)
        if (
            letters
            and re.match(r"\s*[)\]}*_\"”’]*\s*(?:$|[.,:;!–—-]|\(|\b(?:because|since)\b)", line[end:], re.I)
            or letters
            and options.named.match(line[end:].strip(" *_)"))
        ):
            yield from letters
        elif whole := options.named.fullmatch(line.strip(" *_.!\"'`")):
            yield options.letter_of(whole[0])


def _bold(options: _Options, text: str) -> Iterator[str]:
    for bold in re.findall(r"\*\*([^*\n]+)\*\*|__([^_\n]+)__", text):
        inside = "".join(bold).strip()
        letters, end = options.at(inside)
        if letters and not re.match(r"\s*\w", inside[end:]):
            yield from letters
        elif whole := options.named.fullmatch(inside.strip(" .:")):
            yield options.letter_of(whole[0])


def _named_last(options: _Options, text: str) -> Iterator[str]:
    lines = [line for line in text.splitlines() if re.search(r"\w", line)]
    yield from _only(options, lines[-1] if lines else "")


def _only(options: _Options, text: str) -> Iterator[str]:
    """The option whose text is in this one, not denied, where there is no other."""
    letters = set()
    by_letter = re.compile(rf"(?i:\b(?:option|choice))\W{{1,4}}([{options.letters}])\b")
    for found in (*options.named.finditer(text), *by_letter.finditer(text)):
        before, mark = _sentence(text, found.start(), found.end())
        if mark != "?" and not _UNSAID.search(before) and not _NOT.search(re.split("[:;]", before)[-1][-40:]):
            letters.add(found[1] if found.re is by_letter else options.letter_of(found[0]))
    if len(letters) == 1:
        yield from letters
