"""The units' prompts: text files with places, filled with lines that cannot pass for a heading or another turn."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from importlib import resources

from m2jax.patient.script import Line

MOST_LINES = 8  # a prompt shows the last lines of a dialogue only
LONGEST = 1000  # characters of what was said that a prompt shows: a doctor may write pages


def fill(name: str, **places: str) -> str:
    """The prompt of a unit; a place that is not filled stays."""
    text = template(name)
    parts = []  # what fills a place is not searched for places
    for place, value in sorted(places.items(), key=lambda item: text.index("{" + item[0] + "}")):
        head, _, text = text.partition("{" + place + "}")
        parts += [head, value]
    return "".join([*parts, text])


def conversation(dialogue: Sequence[Line]) -> str:
    """The last lines of a dialogue, each content line behind "> "."""
    return "\n".join(f"{line.who.capitalize()}:\n{quoted(line.text)}" for line in dialogue[-MOST_LINES:])


def quoted(text: str) -> str:
    """What was said, each line behind "> "; of a long text the beginning."""
    text = text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return "\n".join(f"> {line}" for line in lines or ["(nothing)"])


def listed(texts: Iterable[str]) -> str:
    return "\n".join(f"- {' '.join(text.split())}" for text in texts) or "- (nothing)"


@cache
def template(name: str) -> str:
    return resources.files("m2jax.patient").joinpath("prompts", f"{name}.txt").read_text("utf-8").rstrip("\n")
