"""Shape: format and length of a reply.

    {"kind": "shape", "think": true, "headings": ["Assessment", "Plan"], "max_words": 200}
    {"kind": "shape", "json_keys": ["diagnosis", "urgency"]}
    {"kind": "shape", "pattern": "Yes\\..+|No\\..+"}

All that is given must hold:

    think      the reply is <think>a thought</think> and then an answer, each tag once. Without it a thought may be
               there or not, and is not looked at by what follows
    headings   the answer has these, each on a line of its own, in this order: "## Plan", "**Plan**", "Plan:",
               "2. Plan:". Others may stand between them; each has text under it, before the next
    json_keys  the answer is a JSON object, in a fence or bare, with at least these keys
    pattern    the whole answer matches this Python regular expression; `.` matches line ends too. It is matched by a
               worker: one that takes too long does not match
    min_words  the answer has at least so many words, parted by white space
    max_words  at most so many
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from m2jax.rules.final import answered
from m2jax.rules.workers import WORKERS

_FENCED = re.compile(r"```(?:json)?[ \t]*\n(.*?)\n?[ \t]*```", re.DOTALL | re.IGNORECASE)
_HEADING = (
    r"^[ \t]*(?:#{{1,6}}[ \t]+)?(?:\d+[.)][ \t]+)?(?:\*\*|__)?(?:\d+[.)][ \t]+)?{}[ \t]*:?(?:\*\*|__)?[ \t]*:?[ \t]*#*$"
)


@dataclass(frozen=True)
class Shape:
    """At least one of these; the module says what each asks."""

    think: bool = False
    headings: Sequence[str] = ()
    json_keys: Sequence[str] = ()
    pattern: str = ""
    min_words: int = 0
    max_words: int = 0

    def __post_init__(self) -> None:
        if not any(vars(self).values()):
            raise ValueError(f"a shape asks for nothing; give it at least one of {', '.join(vars(self))}")
        if not isinstance(self.think, bool):
            raise ValueError(f"think is {self.think!r}; write true, or leave it out")
        for name in ("headings", "json_keys"):
            items = getattr(self, name)
            if not isinstance(items, list | tuple) or not all(isinstance(i, str) and i.strip() for i in items):
                raise ValueError(f"{name} is {items!r}; give a list of texts that are not empty")
        try:
            re.compile(self.pattern)
        except (re.error, TypeError) as error:
            raise ValueError(f"pattern {self.pattern!r} is not a regular expression: {error}") from error
        for name in ("min_words", "max_words"):
            if type(getattr(self, name)) is not int or getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)!r}; give a whole number of at least 1")
        if 0 < self.max_words < self.min_words:
            raise ValueError(f"min_words is {self.min_words}, above max_words {self.max_words}; lower it")


def met(rule: Shape, reply: str) -> bool:
    """Whether the reply has the shape. A blank answer has none."""
    answer = answered(reply)
    words = len(answer.split())
    return (
        words >= max(1, rule.min_words)
        and (not rule.max_words or words <= rule.max_words)
        and (not rule.think or _thinks(reply))
        and (not rule.headings or _in_order(rule.headings, answer))
        and (not rule.json_keys or _has_keys(rule.json_keys, answer))
        and (not rule.pattern or _matches(rule.pattern, answer))
    )


def _thinks(reply: str) -> bool:
    found = re.fullmatch(r"\s*<think>(.*)</think>(.*)", reply, re.DOTALL)
    return found is not None and all(part.strip() and not re.search(r"</?think>", part) for part in found.groups())


def _in_order(headings: Sequence[str], answer: str) -> bool:
    end, starts = 0, []
    for heading in headings:
        found = re.compile(_HEADING.format(re.escape(heading.strip())), re.MULTILINE | re.IGNORECASE).search(
            answer, end
        )
        if not found or (starts and not answer[end : found.start()].strip()):
            return False
        end = found.end()
        starts.append(found.start())
    return bool(answer[end:].strip())


def _has_keys(keys: Sequence[str], answer: str) -> bool:
    fenced = _FENCED.findall(answer)
    try:
        found = json.loads(fenced[-1] if fenced else answer)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and found.keys() >= set(keys)


def _matches(pattern: str, answer: str) -> bool:
    return WORKERS.ask({"job": "full_match", "pattern": pattern, "text": answer}) is True
