"""Rows of JSONL files of any form, and what is text in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from m2jax.data import jsonl

NOT_TEXT = ("id", "role", "split", "topic", "kind", "canary")  # keys whose values say what a row is, not what it tells


@dataclass(frozen=True)
class Row:
    """One object of a file."""

    id: str
    raw: dict[str, Any]

    @property
    def texts(self) -> list[str]:
        """Every text in it, at any depth, in order."""
        return [*_texts(self.raw)]

    @property
    def text(self) -> str:
        """All of it, a text a line."""
        return "\n".join(self.texts)


def load(path: str | Path) -> list[Row]:
    """The rows of a file, whose ids differ; one without an id goes by its place. ValueError is `file:line: why`."""
    count = iter(range(1, 1 << 62))

    def parse(raw: object) -> Row:
        place = next(count)
        if not isinstance(raw, dict):
            raise ValueError(f"the line is {str(raw)[:60]!r}; write one JSON object per line")
        name = raw.get("id", f"row-{place}")
        if not isinstance(name, str | int):
            raise ValueError(f"id is {name!r}; give a text")
        return Row(str(name), raw)

    return jsonl.load(path, "row", parse)


def words(text: str) -> list[str]:
    """Its words, in small letters."""
    return re.findall(r"\w+", text.lower())


def grams(text: str, n: int) -> list[tuple[str, ...]]:
    """Its runs of n words; of a text with fewer words, the whole."""
    found = words(text)
    return [tuple(found[i : i + n]) for i in range(max(len(found) - n + 1, 1))] if found else []


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key not in NOT_TEXT:
                yield from _texts(item)
