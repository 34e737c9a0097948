"""What every tokenizer source is read into: the content of a tokenizer.json, and what was declared about its tokens.

The readers are `from_json`, `from_sentencepiece` and `from_gguf`, one per kind of file; `tokenizer` makes a
`Tokenizer` of what they return.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

# Types of a vocabulary's pieces: sentencepiece's numbers, which GGUF took over.
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED = 1, 2, 3, 4, 5

Token = str | int  # a token named by its text or by its id

# What an added token that nobody marked special has to look like to count as a control.
_CONTROL_LIKE = re.compile(
    r"<[|｜].*[|｜]>|</?s>|<(pad|mask|unk|bos|eos|eot|cls|sep)>|<(start|end)_of_\w+>|<unused\d+>|\[/?[A-Z_]+\]",
    re.S,
)


@dataclass(frozen=True)
class Declared:
    """What metadata, or the files beside a vocabulary, say about its tokens."""

    bos: Token | None = None
    eos: tuple[Token, ...] = ()
    pad: Token | None = None
    special: frozenset[str] = frozenset()
    added: tuple[tuple[int, str, bool], ...] = ()  # id, text, is special
    template: str | None = None


@dataclass(frozen=True)
class Vocabulary:
    """source: the content of a tokenizer.json with a BPE model, controls included.
    declared: what else its files say.
    unused: ids that exist but stand for no text.
    """

    source: dict[str, Any] = field(repr=False)
    declared: Declared
    unused: frozenset[int] = frozenset()

    @cached_property
    def ids(self) -> dict[str, int]:
        """The id of every token, added ones included."""
        added = {token["content"]: token["id"] for token in self.source.get("added_tokens") or []}
        return self.source["model"]["vocab"] | added

    def id(self, token: Token | None) -> int | None:
        """The id of a declared token. ValueError names a text that the vocabulary does not have."""
        if not isinstance(token, str):
            return token
        if token not in self.ids:
            raise ValueError(f"the configuration names the token {token!r}, which the vocabulary does not have")
        return self.ids[token]

    def controls(self) -> dict[str, int]:
        """Text -> id of the tokens that no text may produce: marked special, looking like it, bos or eos."""
        source, declared = self.source, self.declared
        texts = {
            token["content"]
            for token in source.get("added_tokens") or []
            if token["special"] or _CONTROL_LIKE.fullmatch(token["content"])
        }
        texts |= declared.special | {text for _, text, special in declared.added if special}
        texts.add(source["model"].get("unk_token"))
        ids = {self.id(token) for token in (declared.bos, *declared.eos)}
        return {text: i for text, i in self.ids.items() if text in texts or i in ids}


def tokenizer_json(model: dict[str, Any], pieces: Iterable[tuple[int, str, int]], **steps: Any) -> dict[str, Any]:
    """A tokenizer.json of a BPE `model`; the added tokens are the controls and the user-defined `pieces`.

    pieces: (id, text, type). steps: its normalizer, pre_tokenizer and decoder, where it has them.
    """
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    added = [
        {"id": i, "content": text, "special": kind != USER_DEFINED, **flags}
        for i, text, kind in pieces
        if kind in (UNKNOWN, CONTROL, USER_DEFINED)
    ]
    empty = {"version": "1.0", "normalizer": None, "pre_tokenizer": None, "post_processor": None}
    return empty | {"added_tokens": added, **steps, "model": {"type": "BPE", **model}}
