"""Who judges, and the judge's question in tokens."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np

from m2jax.text.chat import Message, render
from m2jax.text.tokenizer import Tokenizer
from m2jax.verifier.calibration import Calibration
from m2jax.verifier.judge_prompt import READ, judge_parts
from m2jax.verifier.rubric import Case, Criterion


@dataclasses.dataclass(frozen=True)
class Judge:
    """A role of the engine with the tokenizer of its model. max_prefix: tokens that a question's prefix may have.
    votes: 0 reads the verdict off the next token; k asks k times for a reason and then a verdict (the engine needs
    grammars, and for k > 1 the role a temperature above 0). reason_tokens: of such an answer. calibration: of its
    probabilities (`calibration.fit`).

    ValueError where Yes or No is not a token of its own.
    """

    tokenizer: Tokenizer
    role: str = "judge"
    max_prefix: int = 1 << 30
    votes: int = 0
    reason_tokens: int = 160
    calibration: Calibration = Calibration()
    choices: tuple[int, ...] = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        choices = tuple(answer_token(self.tokenizer, word) for word in ("Yes", "No"))
        object.__setattr__(self, "choices", choices)


@dataclasses.dataclass(frozen=True)
class OutsideJudge:
    """A role of the engine that is an endpoint. votes: how often it is asked (above 1, give it a temperature).
    max_tokens: of an answer. calibration: as in `Judge`.
    """

    role: str = "judge"
    votes: int = 1
    max_tokens: int = 512
    calibration: Calibration = Calibration()


def fitting(tokens: Callable[[str], list[int]], reply: str, room: int) -> str:
    """The reply, cut where its `tokens` are more than `room` (bytes that are no text grow)."""
    while reply and len(tokens(reply)) > room:
        reply = reply[: len(reply) * 3 // 4]
    return reply


def judge_tokens(
    tokenizer: Tokenizer, case: Case, reply: str, criterion: Criterion, prompts: str = READ
) -> tuple[list[int], list[int]]:
    """(prefix, suffix) token ids of the judge's prompt; the prefix is the same for all criteria of one sign."""
    conversation = [*((m["role"], m["content"]) for m in case.messages), ("assistant", reply)]
    return framed(tokenizer, *judge_parts(conversation, criterion, prompts))


def framed(tokenizer: Tokenizer, prefix: str, suffix: str) -> tuple[list[int], list[int]]:
    """The chat of one user message, prefix + suffix, in the template's scaffolding; cut where the suffix begins."""
    start, end = tokenizer.encode(prefix), tokenizer.encode(suffix)
    chat = render(tokenizer, [Message("user", [*start, *end])])
    cut = int(np.flatnonzero(chat.roles == 0)[0]) + len(start)
    return chat.tokens[:cut].tolist(), chat.tokens[cut:].tolist()


def yes_of_two(yes: float, no: float) -> float:
    """P(Yes) in [0, 1] where nothing else may be said, of two log-probabilities in nats."""
    return 1 / (1 + math.exp(min(float(no) - float(yes), 700.0)))


def answer_token(tokenizer: Tokenizer, word: str) -> int:
    """The first token of an answer; ValueError where it is not a token of its own."""
    ids = tokenizer.encode(word)
    if len(ids) != 1:
        raise ValueError(f"{word!r} is {len(ids)} tokens for this model; the judge reads single-token answers")
    return ids[0]
