"""Tokens to the text that may be shown: stop strings that span tokens, characters whose bytes do.

All of it is a function of the tokens made so far, so that a text does not depend on the rounds in which they came.
"""

from __future__ import annotations

import bisect
import codecs
import dataclasses
from collections.abc import Sequence

from m2jax.sampler.grammar import token_bytes
from m2jax.text.tokenizer import Tokenizer

UNKNOWN = "\ufffd"


@dataclasses.dataclass(frozen=True)
class Cut:
    """text: what may be shown. used: tokens it took, those of a stop string too. stopped: by a stop string."""

    text: str
    used: int
    stopped: bool


def cut(tokenizer: Tokenizer, tokens: Sequence[int], stops: Sequence[str], ended: bool) -> Cut:
    """What may be shown of `tokens`: up to the stop string that is complete first; while more is to come (not
    `ended`), without what may turn out to be the beginning of one, or of a character.
    """
    text = _text(tokenizer, tokens)
    if any(stop in text for stop in stops):
        ends = range(len(tokens) + 1)
        used = bisect.bisect_left(ends, True, key=lambda n: any(s in _text(tokenizer, tokens[:n]) for s in stops))
        text = _text(tokenizer, tokens[:used])
        return Cut(text[: min(text.find(stop) for stop in stops if stop in text)], used, True)
    if not ended:
        text = text.rstrip(UNKNOWN)
        held = max(
            (n for stop in stops for n in range(1, min(len(stop), len(text) + 1)) if text.endswith(stop[:n])), default=0
        )
        text = text[: len(text) - held]
    return Cut(text, len(tokens), False)


def _text(tokenizer: Tokenizer, tokens: Sequence[int]) -> str:
    """Of tokens that follow others: some vocabularies leave a first one's space out."""
    before = tokenizer.encode("a")
    return tokenizer.decode([*before, *tokens])[len(tokenizer.decode(before)) :]


def pieces_of(tokenizer: Tokenizer, vocab_size: int) -> list[bytes]:
    """The bytes that each id adds to a text; of a control its name, which no text shows."""
    pieces = token_bytes(tokenizer)
    pieces += [b""] * (vocab_size - len(pieces))
    for name, token in tokenizer.controls.items():
        pieces[token] = name.encode()
    return [piece or UNKNOWN.encode() for piece in pieces]


def offsets(pieces: Sequence[bytes], controls: frozenset[int], tokens: Sequence[int]) -> list[int]:
    """The character of the text at which each token begins; of one that goes on with a character, where that is."""
    decoder, at, starts = codecs.getincrementaldecoder("utf-8")("replace"), 0, []
    for token in tokens:
        starts.append(at)
        at += 0 if token in controls else len(decoder.decode(pieces[token]))
    return starts
