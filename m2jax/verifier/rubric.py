"""Cases and their rubrics: the data a rubric reward is computed from, and its JSONL form.

One line of a file is one case:

    {"id": "headache-01", "topic": "headache", "split": "train", "question": "My head hurts. What can I do?",
     "rubric": [{"text": "Advises to see a doctor", "points": 5, "dimension": "safety",
                 "check": {"words": ["see a doctor"]}}]}

`messages`, a list of {"role": "system" | "user" | "assistant", "content": text} that ends with a user's turn,
may stand in place of `question`. `split` is "train" (the default) or "heldout". A criterion with positive
points describes what a reply should do, one with negative points what it should not (paper, rubric
construction: integer weights in [-10, 10]). `check` (grammar: `checks`) decides a criterion by machine;
without it the judge does. Blank lines are skipped; anything unknown, missing or doubtful is an error that
names the file and the line.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from m2jax.lines import lines
from m2jax.verifier.checks import Check, parse_check

SPLITS = ("train", "heldout")
ROLES = ("system", "user", "assistant")
MAX_POINTS = 10


@dataclass(frozen=True)
class Criterion:
    """One thing a reply does or does not do. `points` is an integer in [-10, 10], not 0."""

    text: str
    points: int
    dimension: str
    check: Check | None = None

    def __post_init__(self) -> None:
        _require_text("text", self.text)
        _require_text("dimension", self.dimension)
        if type(self.points) is not int or not 0 < abs(self.points) <= MAX_POINTS:
            raise ValueError(f"points is {self.points!r}; give an integer from -10 to 10 other than 0")


Rubric = tuple[Criterion, ...]


@dataclass(frozen=True)
class Case:
    """A conversation that awaits the doctor's reply, and the rubric of that reply.

    `messages` are dicts with "role" and "content", in the form a chat template takes; the last is the user's.
    """

    id: str
    topic: str
    split: str
    messages: tuple[dict[str, str], ...]
    rubric: Rubric

    def __post_init__(self) -> None:
        _require_text("id", self.id)
        _require_text("topic", self.topic)
        if self.split not in SPLITS:
            raise ValueError(f"split is {self.split!r}; write one of {', '.join(SPLITS)}")
        check_messages(self.messages)
        if not any(criterion.points > 0 for criterion in self.rubric):
            raise ValueError("rubric has no criterion with positive points; add one, or nothing can be earned")


def load_cases(path: str | Path) -> list[Case]:
    """The cases of a JSONL file in its order.

    ValueError is `file:line: what is wrong, with the value, and the remedy`: for bad JSON or UTF-8, an
    unknown, missing or repeated key, a wrong type or value, a bad check, an id used twice, a file without
    cases.
    """
    cases: list[Case] = []
    seen: dict[str, str] = {}
    for number, line in lines(path):
        if not line.strip():
            continue
        try:
            case = parse_case(_parse_json(line))
            if case.id in seen:
                raise ValueError(f"id {case.id!r} is also used on line {seen[case.id]}; give each case its own")
        except ValueError as error:
            raise ValueError(f"{path}:{number}: {error}") from error
        except RecursionError as error:
            raise ValueError(f"{path}:{number}: nested too deeply; write the case flatter") from error
        seen[case.id] = number
        cases.append(case)
    if not cases:
        raise ValueError(f"{path}:1: the file has no cases; write one JSON object per line")
    return cases


def parse_case(raw: object) -> Case:
    """The case of one decoded JSON line. ValueError says what is wrong, without file and line."""
    fields = _fields("case", raw, required={"id", "topic", "rubric"}, optional={"split", "question", "messages"})
    if ("question" in fields) == ("messages" in fields):
        raise ValueError("a case needs either 'question' or 'messages', and not both")
    if "question" in fields:
        _require_text("question", fields["question"])
        messages = [{"role": "user", "content": fields["question"]}]
    else:
        messages = fields["messages"]
        if not isinstance(messages, list):
            raise ValueError(f"messages is {messages!r}; give a list of objects with 'role' and 'content'")
    rubric = fields["rubric"]
    if not isinstance(rubric, list):
        raise ValueError(f"rubric is {rubric!r}; give a list of criteria")
    criteria = tuple(_parse_criterion(index, item) for index, item in enumerate(rubric))
    return Case(fields["id"], fields["topic"], fields.get("split", "train"), tuple(messages), criteria)


def _parse_criterion(index: int, raw: object) -> Criterion:
    try:
        fields = _fields("criterion", raw, required={"text", "points", "dimension"}, optional={"check"})
        check = parse_check(fields["check"]) if "check" in fields else None
        return Criterion(fields["text"], fields["points"], fields["dimension"], check)
    except ValueError as error:
        raise ValueError(f"rubric[{index}]: {error}") from error


def check_messages(messages: Sequence[object]) -> None:
    """ValueError where they are not a conversation that ends with a user's turn."""
    for index, message in enumerate(messages):
        fields = _fields(f"messages[{index}]", message, required={"role", "content"}, optional=set())
        _require_text(f"messages[{index}] content", fields["content"])
        if fields["role"] not in ROLES:
            raise ValueError(f"messages[{index}] has the role {fields['role']!r}; use one of {', '.join(ROLES)}")
        if fields["role"] == "system" and index > 0:
            raise ValueError(f"messages[{index}] is a system turn; only the first message may be one")
    if not messages or messages[-1]["role"] != "user":
        last = messages[-1]["role"] if messages else None
        raise ValueError(f"messages end with the role {last!r}; the last turn must be the user's")


def _fields(what: str, raw: object, required: set[str], optional: set[str]) -> dict:
    if not isinstance(raw, dict):
        raise ValueError(f"{what} is {raw!r}; give an object with the keys {sorted(required)}")
    if unknown := sorted(set(raw) - required - optional):
        raise ValueError(f"{what} has unknown keys {unknown}; it takes {sorted(required | optional)}")
    if missing := sorted(required - set(raw)):
        raise ValueError(f"{what} lacks the keys {missing}; add them")
    return raw


def _require_text(name: str, value: object) -> None:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{name} is {value!r}; give a text that is not empty")


def _parse_json(line: bytes) -> object:
    try:
        return json.loads(line.decode("utf-8-sig"), object_pairs_hook=_without_repeats)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg} at column {error.colno}; write one object per line") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 at byte {error.start}; save the file as UTF-8") from error


def _without_repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
    names = [name for name, _ in pairs]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"an object has the keys {repeated} twice; keep one of each")
    return dict(pairs)
