"""Thinking notes (paper, section 3): a model's thoughts at the knowledge-dense spots of a text, for documents of
reasoning.

A spot is the end of a sentence. Dense is one that brings much that was not there before: new content words, numbers,
drugs. The densest are taken, with at least `GAP` sentences between them, and the kinds of thought come in turn, the
last one a deduction. A note that is unsound (`unsound`) is left out, and a document without any.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Sequence
from typing import Any

from m2jax.data.documents import NOTE, Document, Part, to_json
from m2jax.data.tools.faithful import new_dose, no_text, sentences
from m2jax.data.tools.rephrase import clean, template
from m2jax.data.tools.rows import grams
from m2jax.patient.words import numbers, read
from m2jax.text.chat import Message
from m2jax.text.tokenizer import Tokenizer
from m2jax.verifier.ask import ask

KINDS = {
    "association": "Association: what else belongs to this: a mechanism, a related condition, a typical case.",
    "reflection": "Reflection: what this means, why it matters, and what it does not yet tell.",
    "verification": "Verification: whether this agrees with what stands before it, and how one would check it.",
    "deduction": "Deduction on a case: a patient for whom this matters, and what follows for that patient.",
}
GAP = 2
LEAST, MOST = 6, 90  # words of a note
COPIED = 0.5  # the share of its runs of five words that may stand in the text
SEEN = 300  # words before the spot that the model is shown


def spots(found: Sequence[str], n: int) -> list[int]:
    """The numbers of at most n sentences after which a note is to stand, in order."""
    known: set[str] = set()
    weights = []
    for sentence in found:
        said = read(sentence)
        weights.append(len(said.names - known) + 2 * len(numbers(sentence)))
        known |= said.names
    chosen: list[int] = []
    for i in sorted(range(len(found)), key=lambda i: (-weights[i], i)):
        if len(chosen) < n and weights[i] > 0 and all(abs(i - other) >= GAP for other in chosen):
            chosen.append(i)
    return sorted(chosen)


def annotate(
    document: Document, n: int, tokenizer: Tokenizer | None, role: str, max_tokens: int | None = None
) -> Generator[Any, Any, dict[str, Any]]:
    """{"document": a line of documents of reasoning, or None, "reason": why there is none, "dropped": reasons of notes
    with their numbers}, by `role` (tokenizer None: an endpoint). n: notes at most.
    """
    text = "\n".join(part.text for part in document.parts)
    lines = sentences(text)
    parts: list[Part] = []
    dropped: Counter[str] = Counter()
    begin, at = 0, spots(lines, n)
    for turn, i in enumerate(at):
        kind = "deduction" if turn == len(at) - 1 else list(KINDS)[turn % (len(KINDS) - 1)]
        shown = " ".join(" ".join(lines[: i + 1]).split()[-SEEN:])
        prompt = template("note").replace("{kind}", KINDS[kind]).replace("{text}", shown)
        note = clean((yield from ask(tokenizer, role, [Message("user", prompt)], max_tokens)))
        if reason := unsound(note, text):
            dropped[reason.partition(":")[0]] += 1
            continue
        parts += [Part(" ".join(lines[begin : i + 1])), Part(note, note=True)]
        begin = i + 1
    told = {"dropped": dict(dropped)}
    if not parts:
        return told | {"document": None, "reason": "no sound note"}
    if begin < len(lines):
        parts.append(Part(" ".join(lines[begin:])))
    made = Document(f"{document.id}/notes", "reasoning", tuple(parts), document.split)
    return told | {"document": to_json(made), "reason": ""}


def unsound(note: str, text: str) -> str:
    """Why a note may not stand in a text; "" where it may."""
    if reason := no_text(note):
        return reason
    if any(mark in note for mark in NOTE):
        return "control token"
    if not LEAST <= len(note.split()) <= MOST:
        return "too short" if len(note.split()) < LEAST else "too long"
    there, own = set(grams(text, 5)), grams(note, 5)
    if sum(gram in there for gram in own) > COPIED * len(own):
        return "copies the text"
    return new_dose(text, note)
