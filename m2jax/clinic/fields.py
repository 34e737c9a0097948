"""Readers of the values in a data file: each returns the value in its type, or says in a ValueError what is wrong."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import Any

OLDEST = 120  # years


def at(field: str, read: Callable[[Any], Any], raw: Any) -> Any:
    try:
        return read(raw)
    except ValueError as error:
        raise ValueError(f"{field}: {error}") from error


def known(raw: Any, kind: type) -> None:
    if not isinstance(raw, dict):
        raise ValueError(f"{raw!r}; give a table")
    optional = [
        f.name for f in dataclasses.fields(kind) if (f.default, f.default_factory) != (dataclasses.MISSING,) * 2
    ]
    names = {f.name: f.name not in optional for f in dataclasses.fields(kind)}
    if unknown := sorted(set(raw) - set(names)):
        raise ValueError(f"unknown fields {unknown}; it takes {list(names)}")
    if missing := [name for name, required in names.items() if required and name not in raw]:
        raise ValueError(f"lacks the fields {missing}; add them")


def text(raw: Any) -> str:
    if not isinstance(raw, str) or not raw.strip() or raw != raw.strip():
        raise ValueError(f"{raw!r}; give a text without space around it")
    return raw


def list_(raw: Any) -> list:
    if not isinstance(raw, list):
        raise ValueError(f"{raw!r}; give a list")
    return raw


def texts(raw: Any, at_least: int = 1) -> tuple[str, ...]:
    if len(list_(raw)) < at_least:
        raise ValueError(f"{raw!r}; give at least {at_least}")
    return tuple(text(r) for r in raw)


def words(raw: Any, at_least: int = 1) -> tuple[str, ...]:
    """Phrases of a check in words: `*` ends a word with any ending."""
    for phrase in texts(raw, at_least):
        if any(not re.fullmatch(r"[^\s*]+\*?", word) for word in phrase.split()):
            raise ValueError(f"{phrase!r}; a * goes at the end of a word, as in 'clinic*'")
    return tuple(raw)


def cues(raw: Any) -> tuple[str, ...]:
    for cue in texts(raw):
        if cue != cue.lower():
            raise ValueError(f"{cue!r}; write it in lower case")
    return tuple(raw)


def slug(raw: Any) -> str:
    if not isinstance(raw, str) or not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", raw):
        raise ValueError(f"{raw!r}; write lower-case words joined by hyphens")
    return raw


def flag(raw: Any) -> bool:
    if not isinstance(raw, bool):
        raise ValueError(f"{raw!r}; write true or false")
    return raw


def one_of(allowed: tuple[str, ...]) -> Callable[[Any], str]:
    def read(raw: Any) -> str:
        if raw not in allowed:
            raise ValueError(f"{raw!r}; write one of {', '.join(allowed)}")
        return raw

    return read


def number(low: float, high: float) -> Callable[[Any], float]:
    def read(raw: Any) -> float:
        if isinstance(raw, bool) or not isinstance(raw, int | float) or not low <= raw <= high:
            raise ValueError(f"{raw!r}; give a number from {low} to {high}")
        return raw

    return read


def ages(n: int) -> Callable[[Any], tuple[int, ...]]:
    def read(raw: Any) -> tuple[int, ...]:
        if len(list_(raw)) != n or any(a > b for a, b in zip([0, *raw], [*raw, OLDEST], strict=True)):
            raise ValueError(f"{raw!r}; give {n} ages in ascending order")
        return tuple(raw)

    return read
