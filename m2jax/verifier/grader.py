"""Grades replies against their rubrics: by check where a criterion has one, by the judge where it has none.

The judge is a role of the engine. It is asked about one criterion at a time, in separate words for positive and
negative criteria, and its verdict is read off the next token: met where P(Yes) > P(No). All criteria of one sign
share the conversation's prefix. Grading is a dialogue: what it asks, it yields.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Generator, Sequence

import numpy as np

from m2jax.sampler.requests import Score
from m2jax.text.chat import Message, render
from m2jax.text.tokenizer import Tokenizer
from m2jax.verifier.judge_prompt import judge_parts
from m2jax.verifier.reward import Verdict, grade_checks
from m2jax.verifier.rubric import Case, Criterion


@dataclasses.dataclass(frozen=True)
class Judge:
    """Who is asked: the engine's role, the tokenizer of its model, and how many tokens a question's prefix may have.

    ValueError where Yes or No is not a token of its own.
    """

    tokenizer: Tokenizer
    role: str = "judge"
    max_prefix: int = 1 << 30
    choices: tuple[int, ...] = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        choices = tuple(answer_token(self.tokenizer, word) for word in ("Yes", "No"))
        object.__setattr__(self, "choices", choices)


def grade(case: Case, reply: str, judge: Judge | None) -> Generator[list[Score], list[list[np.ndarray]], list[Verdict]]:
    """The verdicts of a reply, one per criterion of the case's rubric.

    Without a judge, ValueError names the first criterion that has no check.
    """
    verdicts = grade_checks(case.rubric, reply)
    undecided = [i for i, verdict in enumerate(verdicts) if verdict is None]
    if undecided and judge is None:
        raise ValueError(
            f"criterion {case.rubric[undecided[0]].text!r} of {case.id} has no check and there is no judge; "
            "set config.reward.unchecked='judge', or 'skip' to leave such criteria out"
        )
    of_a_sign = [[i for i in undecided if (case.rubric[i].points > 0) == positive] for positive in (True, False)]
    asked = [indices for indices in of_a_sign if indices]
    if asked:
        answers = yield [_question(case, reply, [case.rubric[i] for i in indices], judge) for indices in asked]
        for indices, logps in zip(asked, answers, strict=True):
            for i, (yes, no) in zip(indices, logps, strict=True):
                p = 1 / (1 + math.exp(no - yes))
                verdicts[i] = Verdict(p > 0.5, p, "judge")
    return verdicts


def _question(case: Case, reply: str, criteria: Sequence[Criterion], judge: Judge) -> Score:
    """One request for all criteria of one sign; the reply is cut where it is too long for the engine (bytes that are
    no text grow).
    """
    parts = [judge_tokens(judge.tokenizer, case, reply, criterion) for criterion in criteria]
    while reply and len(parts[0][0]) > judge.max_prefix:
        reply = reply[: len(reply) * 3 // 4]
        parts = [judge_tokens(judge.tokenizer, case, reply, criterion) for criterion in criteria]
    return Score(judge.role, parts[0][0], [suffix for _, suffix in parts], judge.choices)


def judge_tokens(tokenizer: Tokenizer, case: Case, reply: str, criterion: Criterion) -> tuple[list[int], list[int]]:
    """(prefix, suffix) token ids of the judge's prompt; the prefix is the same for all criteria of one sign."""
    conversation = [*((m["role"], m["content"]) for m in case.messages), ("assistant", reply)]
    prefix, suffix = (tokenizer.encode(text) for text in judge_parts(conversation, criterion))
    # the template's scaffolding around the user's message; the message's own ids are put in between
    framed = render(tokenizer, [Message("user", [*prefix, *suffix])])
    inside = np.flatnonzero(framed.roles == 0)
    cut = int(inside[0]) + len(prefix)
    return framed.tokens[:cut].tolist(), framed.tokens[cut:].tolist()


def answer_token(tokenizer: Tokenizer, word: str) -> int:
    """The first token of an answer; ValueError where it is not a token of its own."""
    ids = tokenizer.encode(word)
    if len(ids) != 1:
        raise ValueError(f"{word!r} is {len(ids)} tokens for this model; the judge reads single-token answers")
    return ids[0]
