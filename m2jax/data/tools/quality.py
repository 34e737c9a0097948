"""Chats that teach what nobody wants: cut off, repeating, asked for nothing, or with control tokens as text."""

from __future__ import annotations

import re
from collections.abc import Sequence

from m2jax.data.chats import Chat
from m2jax.data.tools.rows import grams

REASONS = ("control token", "incomplete request", "ambiguous request", "cut off", "repetition", "empty reply")
GRAM, REPEATED = 4, 0.3  # words; the share of a reply's runs of words that may stand in it before
_CONTROL = re.compile(r"<\|[a-z_]+\|>|\[/?INST\]|<</?SYS>>|</?s>")
_OPEN_END = re.compile(
    r"(?:\b(?:and|or|but|the|an?|of|with|because|to|for|is|are|that|my)|[,(\[{:\\-])\s*$", re.IGNORECASE
)
_POINTS_NOWHERE = re.compile(
    r"\b(?:the|this|that|these|those) (?:\w+ )?"
    r"(?:image|picture|photo|attachment|attached|figure|table|link|file|document)s?"
    r"\b(?! of\b)[^.?!\n]{0,20}\b(?:above|below|attached|here|shown)\b|\bsee (?:attached|above|below)\b",
    re.IGNORECASE,
)
_ENDS = re.compile(
    r"[.!?。！？…:)\]}>\"'”’`*|\d]\s*$"
)  # also lists, tables, code and bare letters or numbers as answers
_BARE = 6  # words; shorter replies need no full stop


def quality(chats: Sequence[Chat]) -> list[str]:
    """Of each chat "" or one of `REASONS`, the first that holds."""
    return [_fault(chat) for chat in chats]


def _fault(chat: Chat) -> str:
    asked = [m.content for m in chat.messages if m.role == "user"]
    replies = [m.content for m in chat.messages if m.trained]
    answers = [reply.rpartition("</think>")[2].strip() for reply in replies]
    faults = {
        "control token": any(_CONTROL.search(m.content) for m in chat.messages),
        "incomplete request": any(_OPEN_END.search(text.strip()) for text in asked[-1:]),
        "ambiguous request": any(_POINTS_NOWHERE.search(text) for text in asked[:1]),
        "empty reply": not all(re.search(r"\w", answer) for answer in answers),
        "cut off": any("<think>" in answer for answer in answers)
        or any(not _ENDS.search(answer) and len(answer.split()) > _BARE for answer in answers)
        or any(reply.count("```") % 2 for reply in replies),
        "repetition": any(repeated(answer) > REPEATED for answer in answers),
    }
    return next((name for name in REASONS if faults[name]), "")


def repeated(text: str) -> float:
    """The share of its runs of four words that stand in it before, in [0, 1)."""
    found = grams(text, GRAM)
    return 1 - len(set(found)) / len(found) if found else 0.0
