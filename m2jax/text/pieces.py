"""Sampled ids as the pieces of text that a reader sees them in."""

from __future__ import annotations

from collections.abc import Sequence

from m2jax.text.tokenizer import Tokenizer

LONGEST = 8  # tokens that one character may be spread over before what there is of it is given out


def pieces(tokenizer: Tokenizer, ids: Sequence[int]) -> list[str]:
    """A piece of text for each id; joined they are what the ids decode to, control tokens by their names. Of the ids
    that make up one character the last has it, the others "".

    A token is decoded after the one before it: some vocabularies write a first token otherwise than a later one.
    """
    found: list[str] = []
    start = done = 0  # of the piece before, and where what has been given out ends
    for end in range(1, len(ids) + 1):
        before, now = (tokenizer.decode(ids[start:at], skip_controls=False) for at in (done, end))
        if now.endswith("\ufffd") and end < len(ids) and end - done < LONGEST:
            found.append("")
            continue
        found.append(now[len(before) :])
        start, done = done, end
    return found
