"""Mathematics: the final answer has the expected value.

    {"kind": "math", "answer": "\\frac{1}{2}"}     met by "\\boxed{0.5}", "The answer is 1/2.", "**Answer:** $\\frac12$"

The final answer is `final.final`'s, else the last line where it is little more than a formula or ends in "is 5".
Values are compared by math-verify (Kydlíček, 2024), which asks sympy, in a worker: one that takes too long is not
equal. A LaTeX answer in words ("\\text{even}") is compared as words.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from m2jax.rules.final import answered, final, last_line
from m2jax.rules.workers import WORKERS

MAX_CHARS = 400  # of an answer; a longer one is no answer
_WORDY = re.compile(r"(?:\\(?:text|textbf|mathrm|mbox)\s*\{)?\s*([A-Za-z][A-Za-z' -]+)\}?")
_ENDS = re.compile(r".*\b(?:is|are|equals?|to be)\b:?\s+(?:about |exactly |approximately )?([*$]*[-−]?[\d$\\].*)")
_FUNCTION = re.compile(r"(?<![\\A-Za-z])(sqrt|sin|cos|tan|ln|log|exp|pi|infinity|oo)(?![A-Za-z])")
_SIGNS = str.maketrans(
    {"−": "-", "×": r"\times ", "·": r"\cdot ", "π": r"\pi ", "∞": r"\infty ", "√": r"\sqrt "}
    | {"≤": r"\le ", "≥": r"\ge "}
)


@dataclass(frozen=True)
class Mathematics:
    """answer: LaTeX, with or without dollars."""

    answer: str

    def __post_init__(self) -> None:
        if not isinstance(self.answer, str) or not formula(self.answer):
            raise ValueError(f"answer is {self.answer!r}; give a formula in LaTeX, such as '\\frac{{1}}{{2}}'")


def met(rule: Mathematics, reply: str) -> bool:
    """Whether the reply's final answer has the value."""
    given, expected = said(reply), formula(rule.answer)
    if not given:
        return False
    if (word := _WORDY.fullmatch(expected)) and "text" in rule.answer:
        other = _WORDY.fullmatch(given)
        return other is not None and other[1].strip().lower() == word[1].strip().lower()
    if re.sub(r"\s", "", given) == re.sub(r"\s", "", expected):
        return True
    return WORKERS.ask({"job": "same_value", "expected": expected, "given": given}) is True


def said(reply: str) -> str:
    """The formula of the final answer; empty where there is none, or one too long to be one."""
    text = answered(reply)
    found = final(text)
    if found is None and (ends := _ENDS.search(last_line(text))):
        found = ends[1]
    given = formula(found if found is not None else last_line(text), sentence=found is None)
    return given if len(given) <= MAX_CHARS else ""


def formula(statement: str, *, sentence: bool = False) -> str:
    """The formula of a statement in LaTeX, without what surrounds it; empty where there is none.

    sentence: the statement has not been announced as an answer; words in it then make it none.
    """
    text = (
        re.sub(r"(?<=\w)\*\*(?=[\w(])(?!.*\*\*)", "^", statement.translate(_SIGNS)).replace("**", "").strip(" \t_`*#")
    )
    displayed = re.findall(r"\$\$?([^$]+)\$\$?|\\\((.+?)\\\)|\\\[(.+?)\\\]", text)
    if displayed and (
        not sentence or re.fullmatch(r"\W*(?:so|thus|hence|therefore)?\W*", re.split(r"\$|\\[(\[]", text)[0], re.I)
    ):
        listed = re.match(r"(?:\$[^$]+\$(?:\s*(?:,|and|or|,\s*and)\s*)?)+", text)
        shown = re.findall(r"\$([^$]+)\$", listed[0]) if listed and not sentence else []
        text = ", ".join(shown) if len(shown) > 1 else "".join(displayed[-1 if sentence else 0])
    else:
        text = re.split(r"[.,;]?\s+(?:because|since|as|which|so|where)\b|\.\s|\.$|;", text)[0]
    text = text.strip(" \t_`").rstrip(".,;").strip()
    text = re.sub(r"^([-+]?\d[\d.,]*)(?:\s+[A-Za-z]{3,})+$", r"\1", text)  # 36 square meters
    if sentence and re.search(r"(?<![\\A-Za-z{])[A-Za-z]{3,}", _FUNCTION.sub("", text)):
        return ""
    text = re.sub(r"(?<![\\A-Za-z])sqrt\s*\(([^()]*)\)", r"\\sqrt{\1}", text)
    text = _FUNCTION.sub(lambda m: "\\" + {"infinity": "infty", "oo": "infty"}.get(m[1], m[1]) + " ", text)
    return text.strip(" $")
