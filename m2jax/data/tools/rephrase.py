"""Structured rephrasing (paper, section 3): passages of knowledge rewritten by a model for logic and readability.

A document is cut into passages at its paragraphs; each becomes a document of its own. The model is asked up to `TRIES`
times for a text that passes `faithful.unfaithful`; a passage for which there is none is left out.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Generator, Sequence
from functools import cache
from importlib import resources
from typing import Any

from m2jax.data.documents import Document, Part, to_json
from m2jax.data.tools.faithful import sentences, unfaithful
from m2jax.text.chat import Message
from m2jax.text.tokenizer import Tokenizer
from m2jax.verifier.ask import ask

WORDS = 250  # of a passage, at most, unless one sentence has more
TRIES = 2


def passages(documents: Sequence[Document], words: int = WORDS) -> list[Document]:
    """The documents of knowledge, in pieces of at most so many words; of several pieces each has a number in its id."""
    made = []
    for document in documents:
        if document.kind != "knowledge":
            continue
        cut = _cut("\n".join(part.text for part in document.parts), words)
        for i, text in enumerate(cut):
            name = f"{document.id}/{i + 1}" if len(cut) > 1 else document.id
            made.append(dataclasses.replace(document, id=name, parts=(Part(text),)))
    return made


def rephrase(
    passage: Document, tokenizer: Tokenizer | None, role: str, max_tokens: int | None = None
) -> Generator[Any, Any, dict[str, Any]]:
    """{"document": a line of documents, or None, "reason": why there is none}, by `role` (tokenizer None: an
    endpoint).
    """
    source, reason = passage.parts[0].text, ""
    for _ in range(TRIES):
        prompt = template("rephrase").replace("{text}", source)
        text = clean((yield from ask(tokenizer, role, [Message("user", prompt)], max_tokens)))
        reason = unfaithful(source, text)
        if not reason:
            return {"document": to_json(dataclasses.replace(passage, parts=(Part(text),))), "reason": ""}
    return {"document": None, "reason": reason}


def clean(text: str) -> str:
    """A model's text without what it puts around it: what it thought before, a heading, a fence, quotation marks."""
    text = text.rpartition("</think>")[2].strip()
    text = re.sub(r"^```\w*\n|\n```$", "", text)
    text = re.sub(
        r"^\W*(?:rewritten text|rewrite|thought|note)\W*(?::|\n)[\s*]*", "", text, flags=re.IGNORECASE
    ).strip()
    whole = len(text) > 1 and text[0] == text[-1] == '"' and '"' not in text[1:-1]
    return text[1:-1].strip() if whole else text


@cache
def template(name: str) -> str:
    """The prompt of a tool."""
    return resources.files("m2jax.data.tools").joinpath("prompts", f"{name}.txt").read_text("utf-8").rstrip("\n")


def _cut(text: str, words: int) -> list[str]:
    """Paragraphs joined while they fit; one that is too long is cut at its sentences."""
    paragraphs = [p.strip() for p in re.split(r"\n\s*\n", text) if p.strip()]
    pieces = [
        piece for p in paragraphs for piece in ([p] if len(p.split()) <= words else _joined(sentences(p), words, " "))
    ]
    return _joined(pieces, words, "\n\n")


def _joined(pieces: Sequence[str], words: int, by: str) -> list[str]:
    made: list[str] = []
    for piece in pieces:
        if made and len(made[-1].split()) + len(piece.split()) <= words:
            made[-1] += by + piece
        else:
            made.append(piece)
    return made
