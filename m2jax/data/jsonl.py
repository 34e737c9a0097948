"""JSONL files, one object a line, or TFDS folders: blank lines are skipped, and whatever is wrong is told with file and
line.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from m2jax.lines import lines

Item = TypeVar("Item")


def load(path: str | Path, what: str, parse: Callable[[object], Item]) -> list[Item]:
    """The objects of a file in its order, each with an `id` of its own. what: their name in messages, "chat". parse:
    one decoded line -> an object, or a ValueError. ValueError is `file:line: what is wrong, with the value`.
    """
    items: list[Item] = []
    seen: dict[str, str] = {}
    for number, line in lines(path):
        if not line.strip():
            continue
        try:
            item = parse(json.loads(line.decode("utf-8-sig")))
            if item.id in seen:
                raise ValueError(f"id {item.id!r} is also used on line {seen[item.id]}; give each {what} its own")
        except ValueError as error:  # bad JSON and bad UTF-8 are ValueErrors
            raise ValueError(f"{path}:{number}: {error}") from error
        seen[item.id] = number
        items.append(item)
    if not items:
        raise ValueError(f"{path}:1: the file has no {what}s; write one JSON object per line")
    return items


def fields(what: str, raw: object, required: set[str], optional: set[str]) -> dict[str, Any]:
    """`raw` where it is an object with the keys that are required, and no others than the optional ones."""
    if not isinstance(raw, dict):
        raise ValueError(f"{what} is {raw!r}; give an object with the keys {sorted(required)}")
    if unknown := sorted(set(raw) - required - optional):
        raise ValueError(f"{what} has unknown keys {unknown}; it takes {sorted(required | optional)}")
    if missing := sorted(required - set(raw)):
        raise ValueError(f"{what} lacks the keys {missing}; add them")
    return raw
