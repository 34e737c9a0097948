"""What units ask a model: a chat and its answer as text, or P(Yes). All their model calls go through here.

Text of others is encoded in `text.chat`, which lets none of it become a control token.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence

import numpy as np

from m2jax.outside.endpoint import Said
from m2jax.sampler.requests import Chat, Completion, Generate, Score, Unanswered
from m2jax.text.chat import Message, render
from m2jax.text.tokenizer import Tokenizer
from m2jax.verifier.calibration import calibrate
from m2jax.verifier.judge import Judge, framed, yes_of_two


def ask(
    tokenizer: Tokenizer | None, role: str, messages: Sequence[Message], max_tokens: int | None = None
) -> Generator[Generate | Chat, Completion | Said, str]:
    """What `role` answers to a chat of texts, without outer whitespace. tokenizer: None where it is an endpoint; what
    that refuses to answer is "".
    """
    if tokenizer is None:
        try:
            said = yield Chat(role, [{"role": m.role, "content": m.content} for m in messages], max_tokens)
        except Unanswered:
            return ""
        return said.text.strip()
    completion = yield Generate(role, render(tokenizer, messages).tokens.tolist(), max_tokens)
    return tokenizer.decode(completion.tokens).strip()


def ask_yes(judge: Judge, prefix: str, suffixes: Sequence[str]) -> Generator[Score, list[np.ndarray], list[float]]:
    """P(Yes) in [0, 1], calibrated, after each user message prefix + suffix; what they share is computed once."""
    if not suffixes:
        return []
    asked = [framed(judge.tokenizer, prefix, suffix) for suffix in suffixes]
    answers = yield Score(judge.role, asked[0][0], [suffix for _, suffix in asked], judge.choices)
    return [calibrate(yes_of_two(yes, no), judge.calibration) for yes, no in answers]
