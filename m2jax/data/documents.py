"""Documents to mid-train on, and their JSONL form.

One line of a file is one document, a text or, for reasoning, texts and thinking notes in turn:

    {"id": "k-1", "kind": "knowledge", "split": "train", "text": "Angina is ..."}
    {"id": "r-1", "kind": "reasoning", "parts": [{"text": "A man of 60 ..."}, {"note": "Which causes ..."}]}

`split` is "train" (the default) or "heldout". What is learned of each kind is said in `train/midtrain.py`. Blank lines
are skipped; anything unknown, missing or doubtful is an error that names the file and the line.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from m2jax.data import jsonl
from m2jax.data.packing import Segment
from m2jax.text.tokenizer import Tokenizer
from m2jax.verifier.rubric import SPLITS

KINDS = ("knowledge", "reasoning", "general", "mathematics")
SHARES = {"medical": ("knowledge", "reasoning"), "general": ("general",), "mathematics": ("mathematics",)}
NOTE = ("<think>", "</think>")  # stand around a note


@dataclasses.dataclass(frozen=True)
class Part:
    """A stretch of a document; a note is what was thought there."""

    text: str
    note: bool = False


@dataclasses.dataclass(frozen=True)
class Document:
    """A text of a kind (of `KINDS`), in parts; those of reasoning have at least one note, others none."""

    id: str
    kind: str
    parts: tuple[Part, ...]
    split: str = "train"

    def __post_init__(self) -> None:
        for name, allowed in (("kind", KINDS), ("split", SPLITS)):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} is {getattr(self, name)!r}; write one of {', '.join(allowed)}")
        if self.kind == "reasoning" and not any(part.note for part in self.parts):
            raise ValueError(
                "a document of reasoning has no note, which alone is learned; add one, or call it knowledge"
            )
        if self.kind != "reasoning" and any(part.note for part in self.parts):
            raise ValueError(f"a document of {self.kind} has notes; only reasoning may have them")


def load_documents(path: str | Path) -> list[Document]:
    """The documents of a JSONL file in its order. ValueError is `file:line: what is wrong, with the value`."""
    return jsonl.load(path, "document", parse_document)


def parse_document(raw: object) -> Document:
    """The document of one decoded JSON line. ValueError says what is wrong, without file and line."""
    fields = jsonl.fields("document", raw, {"id", "kind"}, {"split", "text", "parts"})
    for name in fields.keys() & {"id", "kind", "split"}:
        if not isinstance(fields[name], str) or not fields[name].strip():
            raise ValueError(f"{name} is {fields[name]!r}; give a text")
    if ("text" in fields) == ("parts" in fields):
        raise ValueError("give either 'text' or 'parts'")
    parts = fields.get("parts", [{"text": fields.get("text")}])
    if not isinstance(parts, list) or not parts:
        raise ValueError(f"parts is {parts!r}; give a list of objects with 'text' or 'note'")
    made = tuple(_part(f"parts[{i}] " if "parts" in fields else "", item) for i, item in enumerate(parts))
    return Document(fields["id"], fields["kind"], made, fields.get("split", "train"))


def to_json(document: Document) -> dict[str, object]:
    """What `parse_document` reads."""
    parts = [{"note" if part.note else "text": part.text} for part in document.parts]
    return {"id": document.id, "kind": document.kind, "split": document.split, "parts": parts}


def split_documents(documents: Sequence[Document], where: str) -> tuple[list[Document], list[Document]]:
    """(training documents, held-out ones); ValueError names `where` they are from if a split is empty."""
    parts = tuple([document for document in documents if document.split == split] for split in SPLITS)
    for name, part in zip(SPLITS, parts, strict=True):
        if not part:
            raise ValueError(f"{where} has no document with split {name!r}; mark some, to learn from and to test on")
    return parts


def segments(tokenizer: Tokenizer, documents: Sequence[Document], longest: int) -> list[Segment]:
    """The documents in tokens; the index of its document owns each target. One of more than `longest` tokens is cut,
    and its pieces see nothing of each other; a piece in which nothing is a target is left out.
    """
    made = []
    for i, document in enumerate(documents):
        tokens, counted = lay_out(tokenizer, document)
        for start in range(0, len(tokens), longest):
            piece = tokens[start : start + longest]
            targets = np.flatnonzero(counted[start + 1 : start + longest]) + 1  # nothing predicts a piece's first token
            if len(targets):
                places, none = np.arange(len(piece), dtype=np.int32), np.zeros(len(piece), np.int32)
                at, owners = (targets - 1).astype(np.int32), np.full(len(targets), i, np.int32)
                made.append(Segment(piece, places, none, at, piece[targets], owners))
    return made


def lay_out(tokenizer: Tokenizer, document: Document) -> tuple[np.ndarray, np.ndarray]:
    """(tokens int32 [n], counted bool [n]): the model's begin token if it has one, the parts on lines of their own, the
    end token. All tokens count; of reasoning, those of notes with `NOTE` around them.
    """
    whole = document.kind != "reasoning"
    ids, counted = ([] if tokenizer.bos_id is None else [tokenizer.bos_id]), []
    counted += [False] * len(ids)
    for i, part in enumerate(document.parts):
        text = part.text.join(NOTE) if part.note else part.text
        text += "\n" if i + 1 < len(document.parts) else ""
        stretch = tokenizer.encode_with_offsets(text, at_start=i == 0)[0]
        ids += stretch
        counted += [whole or part.note] * len(stretch)
    end = list(tokenizer.eos_ids[:1])
    return np.array(ids + end, np.int32), np.array(counted + [whole] * len(end))


def _part(where: str, raw: object) -> Part:
    fields = jsonl.fields(where.strip() or "document", raw, set(), {"text", "note"})
    if len(fields) != 1:
        raise ValueError(f"{where}is {raw!r}; give either 'text' or 'note'")
    ((name, text),) = fields.items()
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f"{where}{name} is {text!r}; give a text that is not empty")
    return Part(text, name == "note")
